"""Robustness: a curve a system over the levels of a degradation, and the areas under them."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from acfd.figures import COLOURS, QUIET, dots, legend_below, montage, panels, percent, subplots
from acfd.media.degrade import FAMILIES, label
from acfd.results.curves import ALL
from acfd.results.markdown import title_of
from acfd.results.table import REAL

# A system's colour and marker, by its place among the rows. Those after the last are grey, in
# curves without intervals, and their differences by family are in the table alone: more colours
# cannot be told apart.
LOOKS = list(zip(COLOURS, "osD^vP*"))
PANELS = [("auc", "AUC"), ("balanced_acc", "Balanced accuracy")]


def copies(store) -> Figure:
    """One real person and a forgery of each kind, at the strongest level of every family. store:
    scores.copies.Copies."""
    index = store.index
    strongest = index.drop_duplicates("family", keep="last")
    steps = list(zip(strongest["family"], strongest["level"]))
    people = index.drop_duplicates("method").sort_values("label")
    grid = []
    for who in people.itertuples():
        of = index[(index["method"] == who.method) & (index["video"] == who.video)]
        at = {(r.family, r.level): r.Index for r in of[::-1].itertuples()}
        grid.append([store[at[step]].transpose(1, 2, 0) for step in steps])
    names = ["real" if m == REAL else m for m in people["method"]]
    fig = montage(grid, names, [label(*step) for step in steps])
    for ax in fig.axes:  # eleven of an inch each: "Chroma subsampling" has to fit
        ax.title.set_size(6.5)
        ax.yaxis.label.set_size(7.5)
    return fig


def family(curves: pd.DataFrame, name: str) -> Figure:
    """AUC and balanced accuracy of every system over one family's levels, mild to strong; bars are
    intervals. Systems stand a little beside each other so that each can be seen."""
    part = curves[curves["family"] == name]
    fig, axes = subplots(1, len(PANELS), (11, 4.3), sharex=True, sharey=True)
    for ax, (measure, title) in zip(axes[0], PANELS):
        _lines(ax, part, measure, 0.3)
        ax.set(title=title, xlabel=FAMILIES[name].unit)
    axes[0, 0].set_ylabel("percent")
    legend_below(fig, 3)
    fig.suptitle(FAMILIES[name].title, fontsize=12)
    return fig


def overview(curves: pd.DataFrame, measure: str = "auc") -> Figure:
    """One measure over every family, a panel each, without intervals."""
    groups = list(curves.groupby("family", sort=False))
    fig, axes = panels(len(groups), 5, (2.6, 2.5), (0.4, 0.8), sharey=True)
    for ax, (name, part) in zip(axes.flat, groups):
        _lines(ax, part, measure, 0, bars=False)
        ax.set_title(FAMILIES[name].title, fontsize=10)
        ax.set_xlabel(FAMILIES[name].unit, fontsize=9)
        ax.tick_params("x", labelsize=7.5)
    for ax in axes[:, 0]:
        ax.set_ylabel(f"{dict(PANELS)[measure]}, percent")
    legend_below(fig, 3)
    return fig


def areas(table: pd.DataFrame, measure: str = "auc") -> Figure:
    """The area under each system's curves (`curves.areas`), and the paired difference to the
    reference by family of those that have a colour."""
    every = table[table["family"] == ALL].reset_index(drop=True)
    reference = every["reference"].iloc[0]
    title = title_of(every, reference)
    names = table["family"].unique()
    looks = dict(zip(every["row"], LOOKS))
    fig, axes = subplots(1, 2, (11.5, max(3.2, 1.6 + 0.42 * len(names))), width_ratios=[1, 1.6])
    area, gap = axes[0]
    for i, row in enumerate(every["row"]):
        colour, marker = looks.get(row, (QUIET, "o"))
        dots(area, every.iloc[[i]], measure, [i], color=colour, marker=marker)
    area.set(title="Area, mean over families", xlabel=f"{dict(PANELS)[measure]}, percent")
    area.set_yticks(every.index, every["title"])
    area.set_ylim(len(every) - 0.5, -0.5)
    area.axvline(50, color=QUIET, lw=1, ls=":")
    others = [row for row in looks if row != reference]
    for k, row in enumerate(others):
        part = table[table["row"] == row]
        at = np.arange(len(names)) + (k - (len(others) - 1) / 2) * 0.7 / len(others)
        colour, marker = looks[row]
        style = {"color": colour, "marker": marker, "ms": 4.5, "ls": "", "capsize": 0, "lw": 1.4}
        dots(gap, part, f"diff_{measure}", at, label=part["title"].iloc[0], **style)
    gap.axvline(0, color="black", lw=1)
    gap.axhspan(-0.5, 0.5, color="#f2f2f2", zorder=0)
    rest = "; grey rows: see the table" if len(every) > len(LOOKS) else ""
    gap.set(title=f"Area, difference to “{title}”", xlabel="points" + rest)
    words = ["all families" if n == ALL else FAMILIES[n].title for n in names]
    gap.set_yticks(range(len(names)), words)
    legend_below(fig, 3)
    return fig


def _lines(ax, part: pd.DataFrame, measure: str, spread: float, bars: bool = True) -> None:
    rows = [of for _, of in part.groupby("row", sort=False)]
    named, rest = rows[: len(LOOKS)], rows[len(LOOKS) :]
    for k, line in enumerate(rest):
        word = f"{len(rest)} more" if k == 0 else None
        ax.plot(line["position"], percent(line, measure)[0], color=QUIET, lw=0.8, label=word)
    for k, (line, (colour, marker)) in enumerate(zip(named, LOOKS)):
        x = line["position"].to_numpy() + (k - (len(named) - 1) / 2) * spread / len(named)
        middle, ends = percent(line, measure)
        style = {"color": colour, "marker": marker, "ms": 4.5, "lw": 1.6}
        ax.plot(x, middle, **style, label=line["title"].iloc[0])
        if bars:
            ax.errorbar(x, middle, yerr=ends, ls="", color=colour, lw=0.9, alpha=0.45)
    levels = ["none" if np.isnan(level) else f"{level:g}" for level in rows[0]["level"]]
    ax.set_xticks(range(len(levels)), levels)
    ax.axhline(50, color=QUIET, lw=1, ls=":")
    ax.grid(axis="x", visible=False)
