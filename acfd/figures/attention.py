"""Attention: maps beside masks, and where features lie."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from acfd.figures import FORGED, HEAT, MASKED, QUIET, REAL, bare, legend_below, panels, subplots
from acfd.results.maps import spaced


def cases(lines: Sequence[dict], labels: Sequence[str], columns: Sequence[str]) -> Figure:
    """A grid: a line a method, its groups side by side (best | worst), each a face and its maps.
    lines: for each label a dict of group title -> (face H x W x 3 uint8, mask H x W of 0 and 1,
    maps: sequence of h x w in 0 ... 1, title). columns: what the face and the maps are."""
    groups = list(dict.fromkeys(g for line in lines for g in line))
    n = len(columns)
    size = (1.28 * n * len(groups) + 0.9, 1.48 * len(lines) + 0.75)
    fig, axes = subplots(len(lines), n * len(groups), size, layout="compressed")
    bare(axes, labels)
    for k, group in enumerate(groups):
        block = axes[:, k * n : (k + 1) * n]
        for ax, column in zip(block[0], [f"{group}\n{columns[0]}", *columns[1:]]):
            ax.set_title(column, fontsize=9)
        for line, line_axes in zip(lines, block):
            if group in line:
                face, mask, maps, title = line[group]
                on_face(line_axes, face, mask, maps)
                line_axes[0].set_xlabel(title, fontsize=8, loc="left")
    attention_scale(fig, axes)
    return fig


def averages(maps: dict[str, dict[str, np.ndarray]], labels: dict[str, str]) -> Figure:
    """Mean mask and maps by method. maps: from attention.averages; labels: its inner keys -> words,
    in the order of the rows."""
    size = (1.5 * len(maps) + 1.3, 1.55 * len(labels) + 0.4)
    fig, axes = subplots(len(labels), len(maps), size, layout="compressed")
    bare(axes, list(labels.values()))
    for column, (method, of) in zip(axes.T, maps.items()):
        for ax, name in zip(column, labels):
            ax.imshow(of[name], cmap=HEAT, vmin=0, vmax=1, interpolation="none")
        column[0].set_title("real" if method == "original" else method, fontsize=10)
    attention_scale(fig, axes)
    return fig


def real_beside_forged(table: pd.DataFrame, names: dict[tuple[str, str], str]) -> Figure:
    """M on forged regions, elsewhere and on real faces, a panel a (compression, branch); beside
    them how many times as high it is on forged regions as on real faces, with intervals. table: of
    maps.real_beside_forged, with title; names: (compression, branch) -> words."""
    titles = list(dict.fromkeys(table["title"]))
    size = (2.6 * (len(names) + 1) + 2.2, 1.6 + 0.42 * len(titles))
    fig, axes = subplots(1, len(names) + 1, size, sharey=True)
    series = [("forged", FORGED, "o", "forged region"), ("real", REAL, "s", "real faces")]
    series += [("elsewhere", "black", "|", "rest of forged faces")]
    last = axes[0, -1]
    for k, ((compression, branch), name) in enumerate(names.items()):
        part = table[(table["compression"] == compression) & (table["branch"] == branch)]
        y = [titles.index(title) for title in part["title"]]
        ax = axes[0, k]
        for column, colour, marker, label in series:
            style = {"color": colour, "ls": "", "ms": 15 if marker == "|" else 7, "mew": 2}
            ax.plot(part[column], y, marker=marker, label=label, **style)
        ax.set(title=name, xlabel="mean of M", xlim=(-0.03, 1.03))
        at = np.array(y) + (k - (len(names) - 1) / 2) * 0.22
        ends = np.abs(part[["ratio_lo", "ratio_hi"]].to_numpy().T - part["ratio"].to_numpy())
        style = {"fmt": "o^D"[k], "color": "black", "mfc": ["black", "white", QUIET][k], "ms": 5}
        last.errorbar(part["ratio"], at, xerr=ends, capsize=2, lw=1.2, label=name, **style)
    last.axvline(1, color=QUIET, lw=1, ls=":")
    last.set(title="forged region / real faces", xlabel="times", xscale="log")
    for ax in axes[0]:
        ax.set_ylim(len(titles) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
    axes[0, 0].set_yticks(range(len(titles)), titles)
    legend_below(fig, 3)
    return fig


def norms(stored: pd.DataFrame, radii: tuple[float, float], names: dict[str, str]) -> Figure:
    """|C| of real faces and of each manipulation's, a row a branch, a column a state, with r- and
    r+. stored: one run's lines of scores.features.store; names: "high", "low" -> words."""
    states = stored["state"].unique()
    fig, axes = subplots(len(names), len(states), (9.5, 4.9), sharex=True)
    top = max(stored["norm"].max(), *radii) * 1.05
    for line, (quality, name) in zip(axes, names.items()):
        for ax, state in zip(line, states):
            part = stored[(stored["quality"] == quality) & (stored["state"] == state)]
            bins = np.linspace(0, top, 56)
            for (label, method), of in part.groupby(["label", "method"]):
                style = {"histtype": "step", "lw": 1.4, "label": method}
                if not label:
                    style |= {"histtype": "stepfilled", "color": REAL, "alpha": 0.45}
                    style |= {"label": "real"}
                ax.hist(of["norm"], bins, weights=np.full(len(of), 100 / len(of)), **style)
            for radius, sign, dash in zip(radii, ("$r^-$", "$r^+$"), ("--", ":")):
                ax.axvline(radius, color="black", lw=1.4, ls=dash, label=sign)
            ax.set(title=f"{name}, {state} training", xlim=(0, top))
    for ax in axes[-1]:
        ax.set_xlabel("norm of the feature, |C|")
    fig.supylabel("percent of the class", fontsize=10)
    legend_below(fig)
    return fig


def embedding(parts: dict[str, pd.DataFrame], names: dict[str, str], most: int = 60) -> Figure:
    """Paired features in their plane: a line joins the two qualities of one face. parts: title ->
    one run's lines of scores.features.store in one state; names: "high", "low" -> words; most:
    faces drawn a panel, evenly chosen, half of them real."""
    fig, axes = panels(len(parts), 2, (4.9, 4.2), (0, 0.5))
    for ax, (title, part) in zip(axes.flat, parts.items()):
        high, low = (part[part["quality"] == q].reset_index(drop=True) for q in names)
        label = high["label"].to_numpy()
        of_each = [np.flatnonzero(label == value) for value in (0, 1)]
        shown = np.concatenate([of[spaced(len(of), most // 2)] for of in of_each])
        ends = np.stack([table.loc[shown, ["x", "y"]] for table in (high, low)])
        ax.plot(*ends.transpose(2, 0, 1), color=QUIET, lw=0.7, alpha=0.6, zorder=1)
        for value, word, colour in ((0, "real", REAL), (1, "forged", FORGED)):
            of = label[shown] == value
            for at, name, face in zip(ends, names.values(), (colour, "white")):
                style = {"s": 22, "facecolor": face, "edgecolor": colour, "lw": 1.1}
                style |= {"alpha": 0.6, "zorder": 3 - value}  # real faces lie close together
                ax.scatter(*at[of].T, **style, label=f"{word}, {name}")
        ax.set(title=title, xticks=[], yticks=[], xlabel="component 1", ylabel="component 2")
        ax.set_aspect("equal", adjustable="datalim")
    legend_below(fig)
    return fig


def attention_maps(
    faces: np.ndarray, masks: np.ndarray, maps: dict[str, Sequence], titles: Sequence[str]
) -> Figure:
    """A column a face: the face (N x H x W x 3 uint8, low quality) with its mask's outline (N x H x
    W of 0 and 1), then one row of attention a branch: row label -> N x h x w in 0 ... 1."""
    size = (1.7 * len(faces) + 0.9, 1.7 * (1 + len(maps)) + 0.35)
    fig, axes = subplots(1 + len(maps), len(faces), size, layout="compressed")
    for column, title, face, mask, *of_face in zip(axes.T, titles, faces, masks, *maps.values()):
        on_face(column, face, mask, of_face)
        column[0].set_title(title, fontsize=9)
    bare(axes, ["face, mask", *maps])
    attention_scale(fig, axes)
    return fig


def on_face(axes: Sequence, face: np.ndarray, mask: np.ndarray, maps: Sequence[np.ndarray]) -> None:
    """A face (H x W x 3 uint8) on the first axes, each map (h x w in 0 ... 1) over the grey face on
    the next; the outline of the mask (H x W of 0 and 1) on all."""
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
