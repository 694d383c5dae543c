"""What more than one notebook plots. Functions take tables and arrays, load nothing, and return a
matplotlib Figure; `save` writes it so that the same figure always gives the same bytes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from acfd.paths import Paths, atomic
from acfd.tables import mark, rising, row_title

# Okabe and Ito's colour-blind-safe palette, without the yellow, which is too faint for lines
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
REAL, FORGED, QUIET = "#0072B2", "#D55E00", "#777777"
HEAT = "inferno"
MASKED = "#009E73"  # outline of what is forged, on faces
STYLE = {
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "legend.fontsize": 9,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "image.composite_image": False,  # with no interpolation: an SVG no larger than its pixels
}


def use_style() -> None:
    """The study's style, for this session."""
    plt.rcParams.update(STYLE)


def save(fig: Figure, paths: Paths, name: str, *, vector: bool = True) -> list[Path]:
    """Write <figures>/<name>.png (150 dots an inch) and .svg, without dates; returns the paths.

    vector: False for photographs, of which an SVG is only a larger PNG.
    """
    written = []
    fig.draw_without_rendering()
    fig.set_layout_engine("none")  # each drawing would move the axes by another hair's breadth
    formats = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    for ending, metadata in list(formats.items())[: 1 + vector]:
        path = paths.figures / f"{name}.{ending}"
        with atomic(path) as temporary, plt.rc_context(STYLE | {"svg.hashsalt": "acfd"}):
            fig.savefig(temporary, format=ending, dpi=150, metadata=metadata)
        written.append(path)
    return written


def saved(paths: Paths, name: str, shows: str):
    """A figure that `save` wrote, to display in a notebook; shows: in words, for those who cannot
    see it. A preset that has no such figure gets a line that says so."""
    from IPython.display import Image, Markdown

    path = paths.figures / f"{name}.png"
    if not path.is_file():
        return Markdown(f"*{path}: not in this preset.*")
    # as HTML, since nbconvert shows no words beside a plain picture
    code = base64.b64encode(path.read_bytes()).decode("ascii")
    return Image(url=f"data:image/png;base64,{code}", alt=shows)


def subplots(
    rows: int, columns: int, size: tuple[float, float], **more
) -> tuple[Figure, np.ndarray]:
    """A figure and its rows x columns axes. Closed, so that a notebook shows it only once, when a
    cell returns it."""
    with plt.rc_context(STYLE):
        fig, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, **more)
    plt.close(fig)
    return fig, axes


# Column, the paper's number beside it if any, title. The paper prints ACC; with one forgery for a
# real video each, as in its Table 2, that is the balanced one.
TABLE2 = [("balanced_acc", "paper_acc", "Balanced accuracy"), ("auc", "paper_auc", "AUC")]


def forest(table: pd.DataFrame, panels: Sequence[tuple[str, str | None, str]] = TABLE2) -> Figure:
    """Measures of every row with their intervals, and the paper's numbers; a panel a measure.

    table: from table2.table2, or the lines of one method of table1.table1. panels: as TABLE2;
    with "acc", a dashed line is the accuracy of saying "forged" always.
    """
    first = table[table["compression"] == table["compression"].iloc[0]]
    size = (1.5 + 4 * len(panels), 1.5 + 0.5 * len(first))
    fig, axes = subplots(1, len(panels), size, sharex=True, sharey=True)
    printed = [paper for _, paper, _ in panels if paper and first[paper].notna().any()]
    for ax, (measure, paper, title) in zip(axes[0], panels):
        dots(ax, table, measure)
        ax.set(title=title)
        if measure == "acc":
            always = 100 * first["always_forged"].iloc[0]
            ax.axvline(always, color="black", lw=1, ls="--", label="always “forged”")
        if paper in printed:
            style = {"marker": "D", "mfc": "none", "mec": "black", "ms": 7, "ls": ""}
            values = first[paper].to_numpy(dtype=float)
            ax.plot(values, range(len(first)), **style, label="paper (ACC, AUC)")
    row_names(axes[0, 0], first)
    legend_below(fig)
    return fig


def dots(ax, table: pd.DataFrame, measure: str) -> None:
    """A measure of every row, a height a row, with its interval; a colour a compression."""
    groups = list(table.groupby("compression", sort=False))
    for i, (compression, part) in enumerate(groups):
        y = np.arange(len(part)) + (i - (len(groups) - 1) / 2) * 0.28
        middle, ends = percent(part, measure)
        style = {"fmt": "os"[i % 2], "color": [FORGED, REAL][i % 2], "markersize": 6 - i}
        ax.errorbar(middle, y, xerr=ends, capsize=3, lw=1.5, label=compression, **style)
    ax.axvline(50, color=QUIET, lw=1, ls=":")
    ax.set(xlabel="percent", ylim=(len(part) - 0.5, -0.5))
    ax.grid(axis="y", visible=False)


def legend_below(fig: Figure, columns: int = 4) -> None:
    """One legend for all axes: each label once, below them."""
    drawn = [ax.get_legend_handles_labels() for ax in fig.axes]
    handles = {label: h for group in reversed(drawn) for h, label in zip(*group)}
    order = dict.fromkeys(label for _, labels in drawn for label in labels)
    handles = [handles[label] for label in order]
    columns = min(columns, len(handles))
    fig.legend(handles, order, loc="outside lower center", ncols=columns)


def percent(table: pd.DataFrame, measure: str) -> tuple[np.ndarray, np.ndarray]:
    """A measure's values, n, and how far its interval goes below and above, 2 x n; in percent."""
    middle = 100 * table[measure].to_numpy(dtype=float)
    ends = 100 * table[[f"{measure}_lo", f"{measure}_hi"]].to_numpy(dtype=float).T
    return middle, np.abs(ends - middle)


def row_names(ax, lines: pd.DataFrame) -> None:
    """The titles of a table's lines, one a row, before the axes."""
    names = [row_title(line).replace(" (collapsed", "\n(collapsed") for _, line in lines.iterrows()]
    ax.set_yticks(range(len(names)), names)


def learning_curves(history: pd.DataFrame, titles: dict[str, str]) -> Figure:
    """Validation AUC against optimiser steps, a colour a row; a dagger marks what still rises.

    history: from tables.histories; titles: row -> title. The line is the mean over seeds, the band
    goes from the lowest to the highest. A row that was validated once has no curve.
    """
    gained = rising(history)
    rows = [row for row in titles if np.isfinite(gained[row])]
    history = history[history["row"].isin(rows)]
    names = {row: titles[row] + mark(gained[row]) for row in rows}
    shown = history.assign(title=history["row"].map(names), auc=100 * history["val_auc"])
    fig, axes = subplots(1, 1, (9.5, 4.8))
    style = {"hue_order": list(names.values()), "palette": palette(len(rows))}
    marks = {"style": "title", "style_order": style["hue_order"], "dashes": False, "markers": True}
    data = {"data": shown, "x": "step", "y": "auc", "hue": "title", "ax": axes[0, 0]}
    if rows:
        sns.lineplot(**data, **style, **marks, markersize=6, errorbar=("pi", 100))
    ax = axes[0, 0]
    ends = history.groupby("row")["step"].max()
    if ends.max() > 4 * ends.min():
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
    ax.axhline(50, color=QUIET, lw=1, ls=":")
    ax.set(xlabel="optimiser steps", ylabel="validation AUC, percent")
    if rows:
        sns.move_legend(ax, "center left", bbox_to_anchor=(1.01, 0.5), title=None)
    return fig


def palette(n: int) -> list:
    """n colours that differ: the study's, or as many as it takes around the circle of hues."""
    return COLOURS[:n] if n <= len(COLOURS) else sns.color_palette("husl", n)


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
    """What Eq. 2, 5 and 6 ask for, over the steps: a panel each of METHOD, a colour a row.

    course: from tables.method.smoothed; ends: from tables.method.ends, whose radii are dashed.
    """
    columns = ["hinge_real", "hinge_forged"]
    course = course.assign(**100 * course[columns])
    titles = list(dict.fromkeys(course["title"]))
    colours = dict(zip(titles, palette(len(titles))))
    fig, axes = subplots(3, 3, (12, 8.4))
    for ax, (column, title, radius) in zip(axes.flat, METHOD):
        style = {"hue": "title", "palette": colours, "legend": column == "norm_real", "lw": 1.4}
        sns.lineplot(course, x="step", y=column, **style, errorbar=None, ax=ax)
        for value in dict.fromkeys(ends[radius]) if radius else ():
            sign = {"radius_real": "$r^-$", "radius_fake": "$r^+$"}[radius]
            ax.axhline(value, color="black", lw=1.2, ls="--")
            at = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
            ax.annotate(f"{sign} = {value:g}", (1, value), (-2, 3), ha="right", **at)
        ax.set_title(title, fontsize=9.5)
        ax.set(xlabel="", ylabel="")
        if column.startswith("hinge"):
            ax.set_ylim(-4, 104)
        if column.startswith("attention"):
            ax.set_ylim(-0.03, 1.03)
    axes[0, 2].axhline(1, color="black", lw=1.2, ls="--")
    axes[0, 0].get_legend().remove()
    for ax in axes[-1]:
        ax.set_xlabel("training step (running means)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=3)
    return fig


def training_curves(history: pd.DataFrame) -> Figure:
    """Validation loss, validation AUC and mean attention by step; a colour a row.

    history: the history.csv of the runs, one after another, with the columns row (its title) and
    seed. Seeds are thin lines; the thick one is their mean, as far as all of them went.
    """
    fig, axes = subplots(1, 3, (12, 4.2))
    panels = [
        ("Validation loss", {"val_loss": "-"}),
        ("Validation AUC", {"val_auc": "-"}),
        ("Mean attention", {"attention_inside": "-", "attention_outside": "--"}),
    ]
    for colour, (title, runs) in zip(cycle(COLOURS), history.groupby("row", sort=False)):
        for ax, (_, columns) in zip(axes[0], panels):
            for column, dash in columns.items():
                seeds = runs.pivot_table(index="step", columns="seed", values=column)
                if seeds.empty:
                    continue
                if seeds.shape[1] > 1:
                    ax.plot(seeds, color=colour, ls=dash, lw=0.7, alpha=0.55)
                mean = seeds.dropna().mean(axis=1)
                marker = "o" if len(mean) <= 12 else None
                ax.plot(mean, color=colour, ls=dash, marker=marker, ms=3.5, label=title)
    for ax, (title, _) in zip(axes[0], panels):
        ax.set(title=title, xlabel="step")
        ax.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    axes[0, 1].axhline(0.5, color=QUIET, lw=1, ls=":")
    axes[0, 2].set_ylim(-0.03, 1.03)
    keys = [plt.Line2D([], [], color="black", ls=d) for d in ("-", "--")]
    axes[0, 2].legend(keys, ["inside the mask", "outside"], loc="best")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels)))
    return fig


def collapse(steps: pd.DataFrame) -> Figure:
    """Mean attention inside and outside the mask by training step, a panel a configuration.

    steps: columns run (the panel's title, such as "Eq. 5 as printed"), step, inside, outside.
    """
    runs = list(steps.groupby("run", sort=False))
    columns = min(len(runs), 4)
    lines = -(-len(runs) // columns)
    size = (4.2 * columns, 3.6) if lines == 1 else (3.2 * columns, 2.4 * lines + 0.3)
    fig, axes = subplots(lines, columns, size, sharey=True)
    for ax in axes.flat[len(runs) :]:
        ax.set_axis_off()
    for ax, (title, run) in zip(axes.flat, runs):
        ax.plot(run["step"], run["inside"], color=FORGED, label="inside the mask")
        ax.plot(run["step"], run["outside"], color=REAL, ls="--", label="outside")
        ax.set_title(title, fontsize=11 if lines == 1 else 8.5)
        ax.set(xlabel="step", ylim=(-0.03, 1.03))
    for ax in axes[:, 0]:
        ax.set_ylabel("mean attention")
    axes[0, 0].legend(loc="upper right")
    return fig


def attention_maps(
    faces: np.ndarray, masks: np.ndarray, maps: dict[str, np.ndarray], titles: Sequence[str]
) -> Figure:
    """A column a face: the face with its mask's outline, then one row of attention a branch.

    faces: N x H x W x 3 uint8 (low quality); masks: N x H x W of 0 and 1; maps: row label ->
    N x h x w in 0 ... 1, drawn over the face; titles: N, above the columns.
    """
    n = len(faces)
    size = (1.7 * n + 0.9, 1.7 * (1 + len(maps)) + 0.35)
    fig, axes = subplots(1 + len(maps), n, size, layout="compressed")
    for i in range(n):
        on_face(axes[:, i], faces[i], masks[i], [values[i] for values in maps.values()])
        axes[0, i].set_title(titles[i], fontsize=9)
    bare(axes, ["face, mask", *maps])
    if maps:
        attention_scale(fig, axes)
    return fig


def on_face(axes: Sequence, face: np.ndarray, mask: np.ndarray, maps: Sequence[np.ndarray]) -> None:
    """A face on the first axes, each map over the grey face on the next; the mask's outline on all.

    face: H x W x 3 uint8; mask: H x W of 0 and 1; maps: h x w in 0 ... 1 each.
    """
    height, width = mask.shape
    axes[0].imshow(face, interpolation="none")
    for ax, values in zip(axes[1:], maps, strict=True):
        ax.imshow(face.mean(-1), cmap="gray", vmin=0, vmax=255, interpolation="none")
        style = {"cmap": HEAT, "vmin": 0, "vmax": 1, "alpha": 0.65, "interpolation": "none"}
        ax.imshow(values, extent=(-0.5, width - 0.5, height - 0.5, -0.5), **style)
    for ax in axes[: 1 + len(maps)]:
        if mask.any() and not mask.all():
            ax.contour(mask, [0.5], colors=["white"], linewidths=2.0)
            ax.contour(mask, [0.5], colors=[MASKED], linewidths=1.1)


def attention_scale(fig: Figure, axes: np.ndarray) -> None:
    scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(0, 1), HEAT)
    fig.colorbar(scale, ax=axes, label="attention", shrink=0.8, aspect=30, pad=0.01)


def montage(images: Sequence[Sequence], rows: Sequence[str], columns: Sequence[str]) -> Figure:
    """A grid of images (H x W x 3 uint8, or H x W in 0 ... 1): images[row][column], labelled."""
    height, width = np.shape(images[0][0])[:2]
    size = (1.7 * len(columns) + 0.3, (1.7 * height / width + 0.02) * len(rows) + 0.25)
    fig, axes = subplots(len(rows), len(columns), size, layout="compressed")
    for line, line_axes in zip(images, axes):
        for image, ax in zip(line, line_axes):
            ax.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="none")
    for ax, title in zip(axes[0], columns):
        ax.set_title(title)
    bare(axes, rows)
    return fig


def real_and_forged(ax: Axes, samples: pd.DataFrame, column: str, bins: np.ndarray) -> None:
    """Histograms of a column of `samples` (which has label) by class, in percent of the class."""
    for label, name, colour in ((0, "real", REAL), (1, "forged", FORGED)):
        values = samples.loc[samples["label"] == label, column]
        share = np.full(len(values), 100 / max(1, len(values)))
        style = {"histtype": "stepfilled", "alpha": 0.45, "color": colour}
        ax.hist(values, bins, weights=share, **style, label=name)
        ax.hist(values, bins, weights=share, histtype="step", color=colour, lw=1.2)


def score_histograms(samples: pd.DataFrame, threshold: float = 0.5) -> Figure:
    """How real and forged frames score, a panel a title.

    samples: columns title (or one panel without it), label, score.
    """
    groups = list(samples.groupby("title", sort=False)) if "title" in samples else [("", samples)]
    columns = min(3, len(groups))
    lines = -(-len(groups) // columns)
    size = (3.6 * columns + 0.5, 2.5 * lines + 0.7)
    fig, axes = subplots(lines, columns, size, sharex=True)
    bins = np.linspace(0, 1, 26)
    for ax, (title, group) in zip(axes.flat, groups):
        real_and_forged(ax, group, "score", bins)
        ax.axvline(threshold, color="black", lw=1, ls=":")
        ax.set_title(title)
    for ax in axes.flat[len(groups) :]:
        ax.set_axis_off()
    fig.supxlabel("score (probability of forged)", fontsize=10)
    fig.supylabel("percent of the class", fontsize=10)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper right", ncols=2)
    return fig


def roc(samples: pd.DataFrame) -> Figure:
    """ROC curves, a line a title. samples: columns title, label, score; both classes needed."""
    fig, axes = subplots(1, 1, (4.8, 4.8))
    ax = axes[0, 0]
    for colour, (title, group) in zip(cycle(COLOURS), samples.groupby("title", sort=False)):
        fpr, tpr, _ = roc_curve(group["label"], group["score"])
        ax.plot(100 * fpr, 100 * tpr, color=colour, label=title)
    ax.plot([0, 100], [0, 100], color=QUIET, lw=1, ls=":")
    ax.set(xlabel="real taken for forged, percent", ylabel="forged found, percent", aspect="equal")
    ax.set(xlim=(-2, 102), ylim=(-2, 102))
    ax.legend(loc="lower right")
    return fig


def bare(axes: np.ndarray, labels: Sequence[str] = ()) -> None:
    """Axes that hold pictures: no ticks, frame or grid; a label before each row."""
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set_visible(False)
    for ax, label in zip(axes[:, 0], labels):
        ax.set_ylabel(label)
