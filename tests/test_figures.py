import numpy as np
import pandas as pd
import pytest

from acfd import figures

RNG = np.random.default_rng(0)
FACES = RNG.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
MASKS = np.zeros((3, 32, 32), np.uint8)
MASKS[1:, 8:24, 8:24] = 1
MAPS = RNG.random((3, 4, 4))


def table(rows=("a", "b"), compressions=("c40", "c23")):
    lines = [
        {"row": r, "title": r.upper(), "compression": c, "seeds": "0 1"}
        | {"collapsed": int(r == "b"), "auc": 0.9, "auc_lo": 0.8, "auc_hi": 0.95}
        | {"balanced_acc": 0.8, "balanced_acc_lo": 0.7, "balanced_acc_hi": 0.9}
        | {"paper_acc": 95.0 if r == "a" else np.nan, "paper_auc": np.nan}
        for c in compressions
        for r in rows
    ]
    return pd.DataFrame(lines)


def history(rows=("plain", "both"), seeds=(0, 1)):
    lines = [
        {
            "row": r,
            "seed": s,
            "epoch": e,
            "step": 10 * e,
            "val_loss": 1 / e,
            "val_auc": 0.5 + 0.1 * e,
        }
        | {"attention_inside": 0.6 if r == "both" else np.nan}
        | {"attention_outside": 0.1 if r == "both" else np.nan}
        for r in rows
        for s in seeds
        for e in range(1, 4 + s)
    ]
    return pd.DataFrame(lines)


def samples(titles=("one", "two")):
    label = np.tile([0, 1], 20)
    score = np.clip(0.3 + 0.4 * label + np.random.default_rng(1).normal(0, 0.2, 40), 0, 1)
    return pd.concat(pd.DataFrame({"title": t, "label": label, "score": score}) for t in titles)


STEPS = pd.DataFrame(
    {"run": ["x", "x", "y", "y"], "step": [0, 1] * 2, "inside": 0.5, "outside": 0.1}
)
RADII = pd.DataFrame({"radius_real": [5.0, 6.0], "radius_fake": [75.0, 75.0]})


def watched() -> pd.DataFrame:
    columns = {name: 0.5 for name, *_ in figures.METHOD}
    parts = [{"row": r, "title": r, "seed": 0, "step": n} | columns for r in "ab" for n in range(5)]
    return pd.DataFrame(parts)


MADE = {
    "forest": lambda: figures.forest(table()),
    "forest, one compression": lambda: figures.forest(table(compressions=("c40",))),
    "curves": lambda: figures.training_curves(history()),
    "curves, one seed": lambda: figures.training_curves(history(seeds=(0,))),
    "learning curves": lambda: figures.learning_curves(history(), {"plain": "P", "both": "B"}),
    "method": lambda: figures.method(watched(), RADII),
    "collapse": lambda: figures.collapse(STEPS),
    "attention": lambda: figures.attention_maps(
        FACES, MASKS, {"high": MAPS, "low": 1 - MAPS}, "abc"
    ),
    "montage": lambda: figures.montage([FACES, FACES], ["real", "forged"], ["raw", "c23", "c40"]),
    "histograms": lambda: figures.score_histograms(samples()),
    "histogram": lambda: figures.score_histograms(samples(("one",)).drop(columns="title")),
    "roc": lambda: figures.roc(samples()),
}


@pytest.mark.parametrize("name", MADE)
def test_drawn_and_saved_twice_is_the_same(saves_alike, name):
    saves_alike(MADE[name])


def test_forest_shows_the_table():
    ax = figures.forest(table()).axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["A", "B\n(collapsed in 1 of 2 seeds)"]
    middles = [line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 2]
    assert any(np.allclose(x, 80) for x in middles)
    paper = next(line for line in ax.lines if line.get_marker() == "D")
    assert paper.get_xdata()[0] == 95 and np.isnan(paper.get_xdata()[1])
    no_paper = figures.forest(table(rows=("b",)))
    assert "paper" not in " ".join(t.get_text() for t in no_paper.legends[0].get_texts())


def test_curves_stop_where_a_seed_stops_and_skip_rows_without_attention():
    loss, _, attention = figures.training_curves(history()).axes
    thick = [line for line in loss.lines if line.get_lw() > 1]
    assert [len(line.get_xdata()) for line in thick] == [3, 3]
    colours = {line.get_color() for line in attention.lines}
    assert colours == {figures.COLOURS[1]}  # the first row has no map, and keeps its own colour


def test_learning_curves_are_over_steps_with_a_dagger_and_none_of_one_point():
    once = history(("once",)).query("epoch == 1")
    rows = pd.concat([history(("steep",)), history(("flat",)).assign(val_auc=0.7), once])
    titles = {"steep": "Steep", "flat": "Flat", "once": "Once"}
    ax = figures.learning_curves(rows, titles).axes[0]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["Steep †", "Flat"]
    steep = next(line for line in ax.lines if len(line.get_xdata()) > 2)
    np.testing.assert_allclose(steep.get_xydata()[:3], [[10, 60], [20, 70], [30, 80]])
    assert ax.get_xscale() == "linear"
    long = history(("long",)).assign(step=lambda of: 100 * of["epoch"])
    both = figures.learning_curves(pd.concat([rows, long]), titles | {"long": "Long"})
    assert both.axes[0].get_xscale() == "log"


def test_what_the_method_reaches_stands_beside_its_radii():
    axes = figures.method(watched(), RADII).axes
    assert [t.get_text() for t in axes[0].texts] == ["$r^-$ = 5", "$r^-$ = 6"]
    assert [t.get_text() for t in axes[1].texts] == ["$r^+$ = 75"]
    met = axes[3].lines[0]
    assert met.get_ydata().tolist() == [50] * 5  # percent


def test_attention_is_drawn_over_the_whole_face():
    values = np.linspace(0, 1, 48).reshape(3, 4, 4)
    fig = figures.attention_maps(FACES, MASKS, {"low": values}, ["a", "b", "c"])
    overlay = fig.axes[3].images[1]
    assert overlay.get_extent() == [-0.5, 31.5, 31.5, -0.5]
    assert (overlay.get_array() == values[0]).all() and overlay.get_clim() == (0, 1)
