"""Plots of tables, of learning curves and of scores that more than one notebook shows."""

from textwrap import wrap

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from acfd import figures
from acfd.figures import COLOURS, FORGED, QUIET, REAL, dots, legend_below, panels, subplots
from acfd.results.method import NO_DIS
from acfd.results.table import ALL, at_low, mark, rising

# Column, the paper's number beside it if any, title. The paper prints ACC; with one forgery for a
# real video each, as in its Table 2, that is the balanced one.
TABLE1 = [
    ("acc", "paper_acc", "Accuracy, natural prior"),
    ("balanced_acc", None, "Balanced accuracy"),
    ("auc", "paper_auc", "AUC"),
]
TABLE2 = [("balanced_acc", "paper_acc", "Balanced accuracy"), ("auc", "paper_auc", "AUC")]


def forest(table: pd.DataFrame) -> Figure:
    """Measures of every row with their intervals, and the paper's numbers; a panel a measure.
    table: from table2.table2 or table1.table1, of which all manipulations are shown; there a dashed
    line is the accuracy of saying "forged" always."""
    panels = TABLE2
    if "method" in table:
        table, panels = table[table["method"] == ALL], TABLE1
    first = at_low(table)
    size = (1.5 + 4 * len(panels), 1.5 + 0.5 * len(first))
    fig, axes = subplots(1, len(panels), size, sharex=True, sharey=True)
    printed = [paper for _, paper, _ in panels if paper and first[paper].notna().any()]
    for ax, (measure, paper, title) in zip(axes[0], panels):
        by_compression(ax, table, measure)
        ax.set(title=title)
        if measure == "acc":
            always = 100 * first["always_forged"].iloc[0]
            ax.axvline(always, color="black", lw=1, ls="--", label="always “forged”")
        if paper in printed:
            style = {"marker": "D", "mfc": "none", "mec": "black", "ms": 7, "ls": ""}
            values = first[paper].to_numpy(dtype=float)
            ax.plot(values, range(len(first)), **style, label="paper (ACC, AUC)")
    figures.row_names(axes[0, 0], first)
    legend_below(fig)
    return fig


def by_compression(ax, table: pd.DataFrame, measure: str) -> None:
    """A measure of every row, a height a row, with its interval; a colour a compression."""
    groups = list(enumerate(table.groupby("compression", sort=False)))
    for i, (compression, part) in reversed(groups):  # the high quality first
        y = np.arange(len(part)) + ((len(groups) - 1) / 2 - i) * 0.28
        style = {"fmt": "os"[i], "color": [FORGED, REAL][i], "markersize": 6 - i}
        dots(ax, part, measure, y, label=compression, **style)
    ax.axvline(50, color=QUIET, lw=1, ls=":")
    ax.set(xlabel="percent")


def learning_curves(history: pd.DataFrame, titles: dict[str, str]) -> Figure:
    """Validation AUC against optimiser steps (`table.histories`), a panel a row (titles: row ->
    title), the others grey behind it; a dagger marks what still rises. The line is the mean over
    seeds, the band goes from the lowest to the highest. A row that was validated once has none."""
    gained = rising(history)
    names = {row: titles[row] + mark(gained[row]) for row in titles if np.isfinite(gained[row])}
    shown = history[history["row"].isin(names)].assign(auc=100 * history["val_auc"])
    means = shown.pivot_table(index="step", columns="row", values="auc")
    means = means.interpolate("index", limit_area="inside")
    fig, axes = panels(max(len(names), 1), 4, (3, 2.1), sharex=True, sharey=True)
    for ax, (row, name) in zip(axes.flat, names.items()):
        ax.plot(means, color="#cccccc", lw=1)
        style = {"color": REAL, "marker": "o", "markersize": 5, "errorbar": ("pi", 100)}
        sns.lineplot(shown[shown["row"] == row], x="step", y="auc", ax=ax, **style)
        ax.axhline(50, color=QUIET, lw=1, ls=":")
        ax.set_title("\n".join(wrap(name, 36)), fontsize=9)
        ax.set(xlabel="", ylabel="")
    ends = shown.groupby("row")["step"].max()
    if ends.max() > 4 * ends.min():
        axes[0, 0].set_xscale("log")
        axes[0, 0].xaxis.set_major_formatter("{x:g}")
    for ax in axes.flat[max(len(names) - 4, 0) : len(names)]:  # below some there is no other panel
        ax.tick_params(labelbottom=True)
    fig.supxlabel("optimiser steps", fontsize=10)
    fig.supylabel("validation AUC, percent", fontsize=10)
    return fig


METHOD = [  # column, title, which radius is drawn if any
    ("norm_real", "|C| of real faces", "radius_real"),
    ("norm_forged", "|C| of forged faces", "radius_fake"),
    ("ratio", "distance of a face's two qualities / to other faces", None),
    ("hinge_real", "hinges met, real faces, percent", None),
    ("hinge_forged", "hinges met, forged faces, percent", None),
    ("critic", "loss of the order critic", None),
    ("attention_inside", "M on the forged region", None),
    ("attention_outside", "M on the rest of forged faces", None),
    ("attention_real", "M on real faces", None),
]


def method(course: pd.DataFrame, ends: pd.DataFrame) -> Figure:
    """What Eq. 2, 5 and 6 ask for, over the steps: a panel each of METHOD, a line a row, a colour
    each that asks the same of |C|. course, ends: from results.method's `smoothed` and `ends`, whose
    radii are dashed."""
    hinges = ["hinge_real", "hinge_forged"]
    asks = course["row"].map(ends.set_index("row")["asks"])
    course = course.assign(**100 * course[hinges], asks=asks)
    course = course.groupby(["row", "asks", "step"], sort=False).mean(numeric_only=True)
    style = {"hue": "asks", "hue_order": sorted(asks.unique()), "units": "row", "estimator": None}
    fig, axes = subplots(3, 3, (12, 8.4))
    for ax, (column, title, radius) in zip(axes.flat, METHOD):
        sns.lineplot(course, x="step", y=column, ax=ax, lw=1.4, legend=ax is axes[0, 0], **style)
        for n, value in enumerate(sorted(ends[radius].unique(), reverse=True) if radius else ()):
            sign = {"radius_real": "$r^-$", "radius_fake": "$r^+$"}[radius]
            ax.axhline(value, color="black", lw=1.2, ls="--")
            at = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
            at |= {"va": "top" if n else "bottom", "ha": "right"}  # neighbours: on either side
            ax.annotate(f"{sign} = {value:g}", (1, value), (-2, -2 if n else 2), **at)
        ax.set_title(title, fontsize=9.5)
        ax.set(xlabel="", ylabel="")
        if column in hinges:
            ax.set_ylim(-4, 104)
        if column.startswith("attention"):
            ax.set_ylim(-0.03, 1.03)
    axes[0, 2].axhline(1, color="black", lw=1.2, ls="--")
    axes[0, 0].get_legend().remove()
    for ax in axes[-1]:
        ax.set_xlabel("training step (running means)")
    legend_below(fig, 3)
    return fig


def emptied(runs: pd.DataFrame) -> Figure:
    """AUC of each run, by the norm of its real features and by how many real faces share one score;
    a colour a row with L_Dis, grey for those without. runs: from results.method.emptied."""
    shown = runs.assign(auc=100 * runs["auc"], tied=100 * runs["tied"])
    kinds = sorted(runs["kind"].unique(), key=lambda kind: (kind == NO_DIS, kind))
    # the paper's row as in the figures of robustness, whose first colour is ours
    colours = dict(zip(kinds, COLOURS[1:])) | {NO_DIS: QUIET}
    fig, axes = subplots(1, 2, (10, 4.4), sharey=True)
    said = {"norm_real": "|C| of real faces, end of training"}
    said |= {"tied": "real test faces with one and the same score, percent"}
    for ax, (x, label) in zip(axes[0], said.items()):
        of = {"hue": "kind", "style": "kind", "hue_order": kinds, "style_order": kinds}
        sns.scatterplot(shown, x=x, y="auc", ax=ax, s=60, alpha=0.85, palette=colours, **of)
        ax.axhline(50, color=QUIET, lw=1, ls=":")
        ax.set(xlabel=label, ylabel=f"AUC on {runs['method'].iloc[0]} at low quality, percent")
        ax.get_legend().remove()
    legend_below(fig, 2)
    return fig


def training_curves(history: pd.DataFrame) -> Figure:
    """Validation loss, validation AUC and mean attention by step, of one run's history.csv."""
    shown = {
        "Validation loss": ["val_loss"],
        "Validation AUC": ["val_auc"],
        "Mean attention": ["attention_inside", "attention_outside"],
    }
    fig, axes = subplots(1, 3, (12, 4.2))
    for ax, (title, columns) in zip(axes[0], shown.items()):
        for column, dash in zip(columns, ("-", "--")):
            word = column.removeprefix("attention_")
            ax.plot(history["step"], history[column], ls=dash, marker="o", ms=3.5, label=word)
        ax.set(title=title, xlabel="step")
    axes[0, 1].axhline(0.5, color=QUIET, lw=1, ls=":")
    axes[0, 2].set_ylim(-0.03, 1.03)
    axes[0, 2].legend(title="of the mask")
    return fig


def collapse(steps: pd.DataFrame, checks: pd.DataFrame) -> Figure:
    """Mean attention inside and outside the mask by training step, a panel a configuration: lines
    are M_H in training, dots M_L of validation faces, which is deployed; of all seeds. steps,
    checks: from maps.course."""
    runs = steps["run"].unique()
    fig, axes = panels(len(runs), 4, (3.4, 2.6), (0, 0.7), sharey=True)
    for ax, title in zip(axes.flat, runs):
        for where, colour, dash in (("inside", FORGED, "-"), ("outside", REAL, "--")):
            for _, run in steps[steps["run"] == title].groupby("seed"):
                name = f"$M_H$ {where} the mask, training batches"
                ax.plot(run["step"], run[where], color=colour, ls=dash, lw=1.2, label=name)
            part, name = checks[checks["run"] == title], f"$M_L$ {where}, validation"
            ax.plot(part["step"], part[where], "o", color=colour, ms=5, label=name)
        ax.set_title(title, fontsize=9)
        ax.set(xlabel="step", ylim=(-0.03, 1.03))
    legend_below(fig)
    return fig


def real_and_forged(ax: Axes, samples: pd.DataFrame, column: str, bins: np.ndarray) -> None:
    """Histograms of a column of `samples` (which has label) by class, in percent of the class."""
    for label, name, colour in ((0, "real", REAL), (1, "forged", FORGED)):
        values = samples.loc[samples["label"] == label, column]
        share = np.full(len(values), 100 / max(1, len(values)))
        style = {"histtype": "stepfilled", "alpha": 0.45, "color": colour}
        ax.hist(values, bins, weights=share, **style, label=name)
        ax.hist(values, bins, weights=share, histtype="step", color=colour, lw=1.2)


def score_histograms(samples: pd.DataFrame) -> Figure:
    """How real and forged frames score, a panel a title. samples: columns title, label, score."""
    groups = list(samples.groupby("title", sort=False))
    fig, axes = panels(len(groups), 3, (3.6, 2.5), (0.5, 0.7), sharex=True)
    for ax, (title, group) in zip(axes.flat, groups):
        real_and_forged(ax, group, "score", np.linspace(0, 1, 26))
        ax.axvline(0.5, color="black", lw=1, ls=":")
        ax.set_title(title)
    for ax in axes[-1]:
        ax.set_xlabel("score (probability of forged)")
    fig.supylabel("percent of the class", fontsize=10)
    legend_below(fig)
    return fig


def roc(samples: pd.DataFrame) -> Figure:
    """ROC curves up to a false positive rate of 30 percent, a line a title: the mean true positive
    rate over seeds. samples: columns title, seed, label, score; both classes needed."""
    fig, axes = subplots(1, 1, (6, 5.6))
    ax, at = axes[0, 0], np.linspace(0, 1, 401)
    groups = samples.groupby("title", sort=False)
    for colour, (title, group) in zip(figures.palette(groups.ngroups), groups):
        curves = [roc_curve(run["label"], run["score"])[:2] for _, run in group.groupby("seed")]
        mean = np.mean([np.interp(at, fpr, tpr) for fpr, tpr in curves], axis=0)
        ax.plot(100 * at, 100 * mean, color=colour, label=title)
    ax.plot([0, 100], [0, 100], color=QUIET, lw=1, ls=":")
    ax.set(xlabel="false positive rate, percent", ylabel="true positive rate, percent")
    ax.set(xlim=(0, 30), ylim=(0, 101))
    legend_below(fig, 2)
    return fig
