"""Figures of the attention notebook: what is drawn is what was given, the same bytes each time."""

import numpy as np
import pandas as pd
import pytest

from acfd.figures import attention as figures_attention

RNG = np.random.default_rng(0)
FACE = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)
MASK = np.zeros((32, 32), np.uint8)
MASK[8:24, 8:24] = 1
MAPS = [RNG.random((4, 4)) for _ in range(3)]
CASE = (FACE, MASK, MAPS, "IoU 0.50")
NAMES = {"high": "c23", "low": "c40"}


def stored(states=("before", "after"), faces=20) -> pd.DataFrame:
    rng, parts = np.random.default_rng(1), []
    for state in states:
        for quality in NAMES:
            label = np.arange(faces) % 2
            norm = 8 + 40 * label * (state == "after") + rng.random(faces)
            x, y = rng.normal(size=(2, faces))
            said = {"state": state, "quality": quality, "label": label, "norm": norm}
            parts.append(pd.DataFrame(said | {"x": x, "y": y}))
    return pd.concat(parts, ignore_index=True)


def cases(lines):
    return figures_attention.cases(lines, ["Deepfakes", "FaceSwap"], ["face", "mask", "c23", "c40"])


PLACES = {("c23", "high"): "M_H, c23", ("c40", "low"): "M_L, c40"}


def beside() -> pd.DataFrame:
    line = {"forged": 0.6, "elsewhere": 0.2, "real": 0.15}
    line |= {"ratio": 4.0, "ratio_lo": 3.0, "ratio_hi": 5.5}
    places = [{"title": t, "compression": c, "branch": b} for t in "AB" for c, b in PLACES]
    return pd.DataFrame([place | line for place in places])


BOTH = [{"best": CASE, "worst": CASE}, {"best": CASE}]
MADE = {
    "cases": lambda: cases(BOTH),
    "averages": lambda: figures_attention.averages(
        {m: {"mask": MAPS[0], "low": MAPS[1]} for m in ("Deepfakes", "original")},
        {"mask": "mask", "low": "c40"},
    ),
    "real beside forged": lambda: figures_attention.real_beside_forged(beside(), PLACES),
    "norms": lambda: figures_attention.norms(stored(), (5.0, 75.0), NAMES),
    "embedding": lambda: figures_attention.embedding({"a": stored(("after",))}, NAMES),
}


@pytest.mark.parametrize("name", MADE)
def test_drawn_and_saved_twice_is_the_same(saves_alike, name):
    saves_alike(MADE[name])


def test_real_faces_stand_beside_forged_ones():
    axes = figures_attention.real_beside_forged(beside(), PLACES).axes
    assert [ax.get_title() for ax in axes[:2]] == ["M_H, c23", "M_L, c40"]
    assert [t.get_text() for t in axes[0].get_yticklabels()] == ["A", "B"]
    assert sorted({line.get_xdata()[0] for line in axes[1].lines}) == [0.15, 0.2, 0.6]
    for bars in axes[2].containers:
        ends = bars.lines[2][0].get_segments()[0][:, 0]
        assert ends.tolist() == pytest.approx([3.0, 5.5])


def test_a_line_joins_the_two_qualities_of_a_face():
    part = stored(("after",))
    ax = figures_attention.embedding({"a": part}, NAMES, most=6).axes[0]
    assert len(ax.lines) == 6
    high, low = (part[part["quality"] == q].reset_index(drop=True) for q in NAMES)
    ends = {(*h, *lo) for h, lo in zip(high[["x", "y"]].to_numpy(), low[["x", "y"]].to_numpy())}
    for line in ax.lines:
        (x0, x1), (y0, y1) = line.get_data()
        assert (x0, y0, x1, y1) in ends
    assert sorted(len(dots.get_offsets()) for dots in ax.collections) == [3, 3, 3, 3]
    many = figures_attention.embedding({"a": part, "b": part, "c": part}, NAMES)
    assert [ax.get_title() for ax in many.axes[:3]] == ["a", "b", "c"] and not many.axes[3].axison
