"""Table 1: what every row reaches by manipulation, at what cost, and what it loses to compression
and to a manipulation that it never saw."""

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from acfd import figures
from acfd.figures import COLOURS, FORGED, QUIET, REAL, dots, legend_below, plots, subplots
from acfd.results.table import ALL, at_low, overall

MARKERS = "osD^vP*X<>"  # 10, and 7 colours: the first 70 rows look all different


def by_method(table: pd.DataFrame) -> Figure:
    """AUC of every row, a panel a manipulation. table: from table1.table1, as in `cost`."""
    groups = list(table[table["method"] != ALL].groupby("method", sort=False))
    size = (max(7, 2 + 2.7 * len(groups)), 1.5 + 0.42 * table["row"].nunique())
    fig, axes = subplots(1, len(groups), size, sharex=True, sharey=True)
    for ax, (method, part) in zip(axes[0], groups):
        plots.by_compression(ax, part, "auc")
        ax.set(title=method, xlabel="AUC, percent")
    figures.row_names(axes[0, 0], at_low(part))
    legend_below(fig)
    return fig


def cost(table: pd.DataFrame) -> Figure:
    """AUC at low quality against what a row costs to use and to train, on logarithmic scales."""
    low = overall(table)
    fig, axes = subplots(1, 2, (9.5, 4.6), sharey=True)
    # what takes less than a second would have no place on the scale
    panels = [
        (low["images_per_second"], "faces judged per second"),
        (low["train_seconds"].clip(lower=1), "seconds of training"),
    ]
    middle, ends = figures.percent(low, "auc")
    for ax, (values, label) in zip(axes[0], panels):
        looks = zip(low["title"], values, middle, ends.T, cycle(COLOURS), cycle(MARKERS))
        for title, value, y, yerr, colour, marker in looks:
            style = {"color": colour, "fmt": marker, "capsize": 3, "lw": 1.2, "ms": 7}
            ax.errorbar(value, y, yerr=yerr[:, None], label=title, **style)
        ax.axhline(50, color=QUIET, lw=1, ls=":")
        ax.set(xscale="log", xlabel=label)
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
    axes[0, 0].set_ylabel(f"AUC at {low['compression'].iloc[0]}, percent")
    legend_below(fig, columns=3)
    return fig


def compression(drops: pd.DataFrame) -> Figure:
    """AUC at high and at low quality, joined, and beside it what is lost between them (table1.py).
    Hollow: a quality that the row never saw in training."""
    rows = np.arange(len(drops))
    fig, axes = subplots(1, 2, (10.5, 1.6 + 0.6 * len(drops)), sharey=True, width_ratios=[3, 2])
    ends, lost = axes[0]
    heights = {"high": rows - 0.15, "low": rows + 0.15}
    values = [100 * drops[f"auc_{name}"] for name in heights]
    ends.plot(values, list(heights.values()), color=QUIET, lw=2.2, zorder=1)
    for (name, y), marker, colour in zip(heights.items(), "so", (REAL, FORGED)):
        quality = drops[name].iloc[0]
        seen = drops["trained_on"].str.split(" \\+ ").map(lambda of, quality=quality: quality in of)
        style = {"color": colour, "ms": 8, "mew": 1.6}
        for there, face in ((seen, colour), (~seen, "white")):
            at = np.where(there, y, np.nan)
            dots(ends, drops, f"auc_{name}", at, fmt=marker, mfc=face, **style)
        ends.plot([], [], marker, label=quality, **style)
    ends.plot([], [], "o", mfc="white", mec="black", ms=8, label="never seen in training")
    dots(lost, drops, "drop_auc", fmt="o", color="black")
    lost.axvline(0, color=QUIET, lw=1, ls=":")
    high, low = drops[["high", "low"]].iloc[0]
    ends.set(title=f"AUC, {high} to {low}", xlabel="percent")
    lost.set(title="Lost to compression", xlabel="points of AUC")
    figures.row_names(ends, drops)
    legend_below(fig)
    return fig


def left_out(table: pd.DataFrame) -> Figure:
    """AUC on a manipulation that a row never saw, and that of the row that did (`table1.left_out`,
    not empty); a panel a quality."""
    groups = list(table.groupby("compression", sort=False))
    size = (2 + 3.6 * len(groups), 1.6 + 0.6 * len(groups[0][1]))
    fig, axes = subplots(1, len(groups), size, sharex=True, sharey=True)
    for ax, (quality, part) in zip(axes[0], groups):
        rows = np.arange(len(part))
        dots(ax, part, "auc", rows + 0.14, fmt="o", color=FORGED, label="never saw it")
        dots(ax, part, "seen_auc", rows - 0.14, fmt="s", color=REAL, label="trained on it")
        ax.axvline(50, color=QUIET, lw=1, ls=":")
        ax.set(title=quality, xlabel="AUC, percent")
    figures.row_names(axes[0, 0], part.assign(title=part["title"] + "\non " + part["method"]))
    legend_below(fig)
    return fig
