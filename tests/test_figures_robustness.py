"""Figures of the robustness notebook: every level, every system, its interval."""

import numpy as np
import pandas as pd
import pytest

from acfd import figures
from acfd.figures import robustness as figures_robustness

ROWS = ["plain", "both", "ours"]
LEVELS = {"h264": [np.nan, 23.0, 40.0], "chroma": [np.nan, 2.0]}


def curves(rows=ROWS) -> pd.DataFrame:
    lines = [
        {"row": row, "title": row.upper(), "family": family, "position": k, "level": level}
        | {f"{m}{e}": 0.9 - 0.1 * k - 0.02 * i + d for m in ("auc", "balanced_acc")
           for e, d in (("", 0), ("_lo", -0.05), ("_hi", 0.04))}
        for i, row in enumerate(rows)
        for family, levels in LEVELS.items()
        for k, level in enumerate(levels)
    ]  # fmt: skip
    return pd.DataFrame(lines)


def areas(rows=ROWS) -> pd.DataFrame:
    lines = []
    for i, row in enumerate(rows):
        for family in ("all", *LEVELS):
            line = {"row": row, "title": row.upper(), "family": family, "reference": "ours"}
            line |= {"auc": 0.7 + 0.1 * i, "auc_lo": 0.6, "auc_hi": 0.95}
            gap = np.nan if row == "ours" else 0.1 * i - 0.2
            line |= {"diff_auc": gap, "diff_auc_lo": gap - 0.05, "diff_auc_hi": gap + 0.05}
            lines.append(line)
    return pd.DataFrame(lines)


MADE = {
    "family": lambda: figures_robustness.family(curves(), "h264"),
    "family of one level": lambda: figures_robustness.family(curves(), "chroma"),
    "overview": lambda: figures_robustness.overview(curves()),
    "areas": lambda: figures_robustness.areas(areas()),
}


@pytest.mark.parametrize("name", MADE)
def test_drawn_and_saved_twice_is_the_same(saves_alike, name):
    saves_alike(MADE[name])


def test_a_family_shows_every_level_and_interval():
    fig = figures_robustness.family(curves(), "h264")
    auc = fig.axes[0]
    assert [t.get_text() for t in auc.get_xticklabels()] == ["none", "23", "40"]
    lines = [line for line in auc.lines if line.get_label() in ("PLAIN", "BOTH", "OURS")]
    expected = [[90 - 2 * i, 80 - 2 * i, 70 - 2 * i] for i in range(3)]
    np.testing.assert_allclose([line.get_ydata() for line in lines], expected)
    assert all(np.diff([line.get_xdata()[0] for line in lines]) > 0)  # beside each other
    bar = auc.collections[0].get_segments()[1][:, 1]
    np.testing.assert_allclose(bar, [75, 84])
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["PLAIN", "BOTH", "OURS"]
    assert fig.get_suptitle() == "H.264"


def test_differences_are_to_the_reference_and_systems_keep_their_colour():
    fig = figures_robustness.areas(areas())
    left, right = fig.axes
    assert [t.get_text() for t in left.get_yticklabels()] == ["PLAIN", "BOTH", "OURS"]
    assert "OURS" in right.get_title()
    words = ["all families", "H.264", "Chroma subsampling"]
    assert [t.get_text() for t in right.get_yticklabels()] == words
    drawn = [line for line in right.lines if len(line.get_xdata()) == 3]
    dots = {line.get_color(): line.get_xdata() for line in drawn}
    assert list(dots) == figures.COLOURS[:2]  # those of the first two rows on the left
    np.testing.assert_allclose(dots[figures.COLOURS[0]], -20)
    np.testing.assert_allclose(dots[figures.COLOURS[1]], -10)
