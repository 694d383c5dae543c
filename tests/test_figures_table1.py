import numpy as np
import pandas as pd
import pytest

from acfd.figures import table1 as figures_table1


def said(name, value, width=0.05):
    return {name: value, f"{name}_lo": value - width, f"{name}_hi": value + width}


def about(row):
    return {"row": row, "title": row.upper(), "seeds": "0", "collapsed": 0}


def table(rows=("a", "b")):
    lines = []
    for i, compression in enumerate(("c40", "c23")):
        for method in ("all", "Deepfakes", "FaceSwap"):
            for j, row in enumerate(rows):
                line = about(row) | {"compression": compression, "method": method}
                line |= {"always_forged": 0.75, "paper_acc": 60.0 if row == "a" else np.nan}
                line |= {"paper_auc": np.nan, "images_per_second": 10.0 ** (j + 1)}
                line |= {"train_seconds": 0.0 if j == 0 else 300.0}
                auc = 0.6 + 0.1 * i + 0.01 * (method == "FaceSwap")
                line |= said("acc", 0.7) | said("balanced_acc", 0.6) | said("auc", auc)
                lines.append(line)
    return pd.DataFrame(lines)


def drops():
    lines = []
    for row, trained_on in (("a", "c23"), ("b", "c40"), ("c", "c23 + c40")):
        line = about(row) | {"trained_on": trained_on, "high": "c23", "low": "c40"}
        line |= said("auc_high", 0.9) | said("auc_low", 0.7) | said("drop_auc", 0.2)
        lines.append(line)
    return pd.DataFrame(lines)


def unseen():
    lines = []
    for compression in ("c40", "c23"):
        for row, seen in (("a", 0.9), ("b", np.nan)):
            line = about(row) | {"compression": compression, "method": "FaceSwap"}
            lines.append(line | said("auc", 0.6) | said("seen_auc", seen))
    return pd.DataFrame(lines)


MADE = {
    "forest": lambda: figures_table1.forest(table()),
    "methods": lambda: figures_table1.by_method(table()),
    "cost": lambda: figures_table1.cost(table()),
    "compression": lambda: figures_table1.compression(drops()),
    "left out": lambda: figures_table1.left_out(unseen()),
}


@pytest.mark.parametrize("name", MADE)
def test_drawn_and_saved_twice_is_the_same(saves_alike, name):
    saves_alike(MADE[name])


def legend(fig) -> list[str]:
    return [t.get_text() for t in fig.legends[0].get_texts()]


def test_forest_shows_all_manipulations_and_what_always_forged_has():
    fig = figures_table1.forest(table())
    acc, balanced, auc = fig.axes
    assert [t.get_text() for t in acc.get_yticklabels()] == ["A", "B"]
    assert any(np.allclose(line.get_xdata(), 75) for line in acc.lines)
    paper = [[line for line in ax.lines if line.get_marker() == "D"] for ax in fig.axes]
    assert [len(p) for p in paper] == [1, 0, 0]  # the paper has no AUC of these rows
    assert paper[0][0].get_xdata()[0] == 60 and np.isnan(paper[0][0].get_xdata()[1])
    drawn = {tuple(c.lines[0].get_xdata().round(6)) for c in auc.containers}
    assert drawn == {(60.0, 60.0), (70.0, 70.0)}
    assert len(balanced.containers) == 2
    assert sorted(legend(fig)) == ["always “forged”", "c23", "c40", "paper (ACC, AUC)"]


def test_compression_is_hollow_where_training_never_was():
    fig = figures_table1.compression(drops())
    ends, lost = fig.axes
    points = [m for m in ends.lines if m.get_marker() in "so" and len(m.get_xdata()) == 1]
    hollow = [(m.get_xdata()[0], round(m.get_ydata()[0])) for m in points if m.get_mfc() == "white"]
    assert hollow == [(90, 1), (70, 0)]  # b at c23, a at c40
    joined = [m for m in ends.lines if list(m.get_xdata()) == pytest.approx([90, 70])]
    assert len(joined) == 3
    assert lost.containers[0].lines[0].get_xdata() == pytest.approx([20, 20, 20])
    assert legend(fig) == ["c23", "c40", "never seen in training"]
