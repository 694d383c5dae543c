"""Table 1: what every row reaches by manipulation, and what it loses to compression and to a
manipulation that it never saw."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from acfd import figures
from acfd.figures import FORGED, QUIET, REAL, dots, legend_below, plots, subplots
from acfd.results.table import ALL, at_low


def by_method(table: pd.DataFrame) -> Figure:
    """AUC of every row, a panel a manipulation. table: from table1.table1."""
    groups = list(table[table["method"] != ALL].groupby("method", sort=False))
    size = (max(7, 2 + 2.7 * len(groups)), 1.5 + 0.42 * table["row"].nunique())
    fig, axes = subplots(1, len(groups), size, sharex=True, sharey=True)
    for ax, (method, part) in zip(axes[0], groups):
        plots.by_compression(ax, part, "auc")
        ax.set(title=method, xlabel="AUC, percent")
    figures.row_names(axes[0, 0], at_low(part))
    legend_below(fig)
    return fig


def compression(drops: pd.DataFrame) -> Figure:
    """AUC at high and at low quality, joined, and beside it what is lost between them (table1.py).
    Hollow: a quality that the network which judges never saw in training."""
    rows = np.arange(len(drops))
    fig, axes = subplots(1, 2, (10.5, 1.6 + 0.6 * len(drops)), sharey=True, width_ratios=[3, 2])
    ends, lost = axes[0]
    heights = {"high": rows - 0.15, "low": rows + 0.15}
    values = [100 * drops[f"auc_{name}"] for name in heights]
    ends.plot(values, list(heights.values()), color=QUIET, lw=2.2, zorder=1)
    for (name, y), marker, colour in zip(heights.items(), "so", (REAL, FORGED)):
        quality = drops[name].iloc[0]
        deployed = drops["trained_on"].str.partition(" (")[0]  # not what the other branch saw
        seen = deployed.str.split(" + ", regex=False).map(lambda of, q=quality: q in of)
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
