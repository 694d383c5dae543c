"""What more than one notebook plots. Functions take tables and arrays, load nothing, and return a
matplotlib Figure; `save` writes it so that the same figure always gives the same bytes."""

import base64
from collections.abc import Sequence

import cv2
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from acfd.paths import Paths, atomic
from acfd.results.table import row_title

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


def save(fig: Figure, paths: Paths, name: str, *, vector: bool = True):
    """Write <figures>/<name>.png (150 dots an inch) and .svg, without dates. vector: False for
    photographs, of which an SVG is only a larger PNG."""
    fig.draw_without_rendering()
    fig.set_layout_engine("none")  # each drawing would move the axes by another hair's breadth
    formats = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    for ending, metadata in list(formats.items())[: 1 + vector]:
        path = paths.figures / f"{name}.{ending}"
        with atomic(path) as temporary, plt.rc_context(STYLE | {"svg.hashsalt": "acfd"}):
            fig.savefig(temporary, format=ending, dpi=150, metadata=metadata)


def saved(paths: Paths, name: str, shows: str):
    """A figure that `save` wrote, to display in a notebook; shows: in words, for those who cannot
    see it. A preset that has no such figure gets a line that says so."""
    from IPython.display import Image, Markdown

    path = paths.figures / f"{name}.png"
    if not path.is_file():
        return Markdown(f"*{path}: not in this preset.*")
    # as HTML, since nbconvert shows no words beside a plain picture; as WebP, lossless where that
    # is the smaller: a page of many pictures is less than half as large
    picture, quality = cv2.imread(str(path)), cv2.IMWRITE_WEBP_QUALITY
    packed = (cv2.imencode(".webp", picture, [quality, q])[1] for q in (101, 90))
    code = base64.b64encode(min(packed, key=len)).decode("ascii")
    return Image(url=f"data:image/webp;base64,{code}", alt=shows)


def subplots(
    rows: int, columns: int, size: tuple[float, float], **more
) -> tuple[Figure, np.ndarray]:
    """A figure and its rows x columns axes. Closed, so that a notebook shows it only once, when a
    cell returns it."""
    with plt.rc_context(STYLE):
        fig, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, **more)
    plt.close(fig)
    return fig, axes


def panels(
    n: int, columns: int, size: tuple[float, float], more: tuple[float, float] = (0, 0), **shared
) -> tuple[Figure, np.ndarray]:
    """A figure of n panels, `columns` beside each other at most, and its rows x columns axes, of
    which those after the n-th are hidden. size: width and height of a panel, more: of what stands
    around them; inches."""
    columns = min(columns, n)
    rows = -(-n // columns)
    whole = (size[0] * columns + more[0], size[1] * rows + more[1])
    fig, axes = subplots(rows, columns, whole, **shared)
    for ax in axes.flat[n:]:
        ax.set_axis_off()
    return fig, axes


def legend_below(fig: Figure, columns: int = 4) -> None:
    """One legend for all axes: each label once, below them."""
    handles = {}
    for ax in fig.axes:
        for handle, label in zip(*ax.get_legend_handles_labels()):
            handles.setdefault(label, handle)
    columns = min(columns, len(handles))
    fig.legend(handles.values(), handles, loc="outside lower center", ncols=columns)


def percent(table: pd.DataFrame, measure: str) -> tuple[np.ndarray, np.ndarray]:
    """A measure's values, n, and how far its interval goes below and above, 2 x n; in percent."""
    middle = 100 * table[measure].to_numpy(dtype=float)
    ends = 100 * table[[f"{measure}_lo", f"{measure}_hi"]].to_numpy(dtype=float).T
    return middle, np.abs(ends - middle)


def dots(ax, table: pd.DataFrame, measure: str, y: Sequence[float] | None = None, **style) -> None:
    """A measure of each line of a table as a dot with its interval, in percent, at heights y (or
    0, 1, ...). The first line is on top."""
    middle, ends = percent(table, measure)
    y = np.arange(len(table)) if y is None else y
    ax.errorbar(middle, y, xerr=ends, **{"capsize": 3, "lw": 1.5} | style)
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)


def row_names(ax, lines: pd.DataFrame) -> None:
    """The titles of a table's lines, one a row, before the axes."""
    names = [row_title(line).replace(" (collapsed", "\n(collapsed") for _, line in lines.iterrows()]
    ax.set_yticks(range(len(names)), names)


def palette(n: int) -> list:
    """n colours that differ: the study's, or as many as it takes around the circle of hues."""
    return COLOURS[:n] if n <= len(COLOURS) else sns.color_palette("husl", n)


def montage(images: Sequence[Sequence], rows: Sequence[str], columns: Sequence[str]) -> Figure:
    """A grid of images (H x W x 3 uint8, or H x W in 0 ... 1): images[row][column], labelled."""
    height, width = np.shape(images[0][0])[:2]
    side = min(1.7, 11 / len(columns))  # inches: the whole is no wider than a screen
    size = (side * len(columns) + 0.3, (side * height / width + 0.02) * len(rows) + 0.25)
    fig, axes = subplots(len(rows), len(columns), size, layout="compressed")
    for line, line_axes in zip(images, axes):
        for image, ax in zip(line, line_axes):
            ax.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="none")
    for ax, title in zip(axes[0], columns):
        ax.set_title(title)
    bare(axes, rows)
    return fig


def bare(axes: np.ndarray, labels: Sequence[str] = ()) -> None:
    """Axes that hold pictures: no ticks, frame or grid; a label before each row."""
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set_visible(False)
    for ax, label in zip(axes[:, 0], labels):
        ax.set_ylabel(label)
