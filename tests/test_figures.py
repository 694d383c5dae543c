"""Figures: the same bytes each time, and what is drawn is what the tables say."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from acfd import figures
from acfd.figures import plots
from acfd.figures.architecture import architecture
from acfd.figures.attention import attention_maps
from acfd.method.parts import look
from acfd.paths import Paths
from acfd.results import sentences
from acfd.runs.run import make_system

RNG = np.random.default_rng(0)
FACES = RNG.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
MASKS = np.zeros((3, 32, 32), np.uint8)
MASKS[1:, 8:24, 8:24] = 1
MAPS = RNG.random((3, 4, 4))


def table(rows=("a", "b")):
    lines = [
        {"row": r, "title": r.upper(), "compression": c, "seeds": "0 1"}
        | {"collapsed": int(r == "b"), "auc": 0.9, "auc_lo": 0.8, "auc_hi": 0.95}
        | {"balanced_acc": 0.8, "balanced_acc_lo": 0.7, "balanced_acc_hi": 0.9}
        | {"paper_acc": 95.0 if r == "a" else np.nan, "paper_auc": np.nan}
        for c in ("c40", "c23")
        for r in rows
    ]
    return pd.DataFrame(lines)


def history(rows=("plain", "both"), seeds=(0, 1)):
    lines = [
        {"row": r, "seed": s, "epoch": e, "step": 10 * e}
        | {"val_loss": 1 / e, "val_auc": 0.5 + 0.1 * e}
        | {"attention_inside": np.nan, "attention_outside": np.nan}
        for r in rows
        for s in seeds
        for e in range(1, 4 + s)
    ]
    return pd.DataFrame(lines)


MADE = {
    "forest": lambda: plots.forest(table()),
    "curves": lambda: plots.training_curves(history(["plain"], [0])),
    "learning curves": lambda: plots.learning_curves(history(), {"plain": "P", "both": "B"}),
    "attention": lambda: attention_maps(FACES, MASKS, {"high": MAPS, "low": 1 - MAPS}, "abc"),
    "montage": lambda: figures.montage([FACES, FACES], ["real", "forged"], ["raw", "c23", "c40"]),
}


@pytest.mark.parametrize("name", MADE)
def test_drawn_and_saved_twice_has_the_same_bytes(tmp_path, name):
    paths, saved = Paths("t", tmp_path), []
    for drawn in ("first", "again"):
        fig = MADE[name]()
        assert not plt.get_fignums()  # else a notebook would show it twice
        figures.save(fig, paths, drawn)
        files = [paths.figures / f"{drawn}.{ending}" for ending in ("png", "svg")]
        saved.append([path.read_bytes() for path in files])
    (png, svg), again = saved
    assert [png, svg] == again
    assert png.startswith(b"\x89PNG") and b"<svg" in svg and b"dc:date" not in svg
    left = sorted(p.name for p in paths.figures.iterdir())
    assert left == ["again.png", "again.svg", "first.png", "first.svg"]


def test_forest_shows_the_table():
    ax = plots.forest(table()).axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["A", "B\n(collapsed in 1 of 2 seeds)"]
    middles = [line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 2]
    assert any(np.allclose(x, 80) for x in middles)
    paper = next(line for line in ax.lines if line.get_marker() == "D")
    assert paper.get_xdata()[0] == 95 and np.isnan(paper.get_xdata()[1])


@pytest.mark.parametrize(
    ("row", "there", "absent"),
    [
        ("cls_at_dis_gan", ["L_{Gan}$, Eq. 2, × 0.001", "L_{AT}", "L_{Dis}$, Eq. 6"], ["no Eq."]),
        ("cls_two", ["E_H", "E_L", "L_{Cls}$, Eq. 1"], ["attention", "critic", "Eq. 5"]),
        ("ours_taught", ["same network", "M gates nothing", "L_{KD}"], ["critic", "Eq. 6"]),
        ("xception_both", ["one network", "c23", "c40", "728 x 4 x 4"], ["E_H", "critic"]),
    ],
)
def test_a_drawing_has_what_its_row_has(small_params, row, there, absent):
    system = make_system(small_params, row, 0, weights=None)
    images = torch.rand(2, 2, 3, 64, 64)
    batch = {"high": images[0], "low": images[1], "label": torch.tensor([0, 1])}
    seen = look(system, batch | {"mask": torch.ones(2, 1, 64, 64)})
    fig = architecture(system, seen, {"high": FACES[0], "low": FACES[1], "mask": MASKS[1]})
    words = "\n".join(text.get_text() for text in fig.axes[0].texts)
    assert all(w in words for w in there) and not any(w in words for w in absent)


def test_sentences_say_what_the_tables_say(small_params):
    said = sentences.learning(history(seeds=(0,)), {"plain": "P", "both": "B"})
    assert "lowest for “P”, 80 percent" in said and "2 of 2 rows still rise (†)" in said
    people = {"target": ["0", "1", "2", "3"], "source": ["1", "0", "3", "2"], "label": 1}
    faces = pd.DataFrame(people)
    alike = sentences.ratio([1, 2, 1, 2], 2, faces, small_params.table1)  # in both pairs
    assert alike == "0.75 (0.75 to 0.75)"
    apart = sentences.ratio([1, 1, 0, 0], 1, faces, small_params.table1, 100)
    assert apart.startswith("50.0 (0.0 to 100.0)")
