"""What videos, whose frames are read here, and pairs of faces look like."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from acfd.figures import COLOURS, montage, subplots
from acfd.media import video
from acfd.videos import ffpp
from acfd.videos.ffpp import Clip, Tree


def first_frame(path: Path) -> np.ndarray:
    """H x W x 3 uint8 RGB."""
    return next(picture for _, picture in video.read_frames(path, [0]))


def forgeries(tree: Tree, clips: Sequence[Clip], compressions: Sequence[str]) -> Figure:
    """The first frame of clips, a column each and a row a compression, and their masks; a clip
    without a mask video has a black one."""
    grid = [[first_frame(tree.video_path(c, q)) for c in clips] for q in compressions]
    masks = [ffpp.mask_there(tree, c) for c in clips]
    black = 0 * grid[0][0][..., 0]
    grid.append([first_frame(mask)[..., 0] / 255 if mask else black for mask in masks])
    return montage(grid, [*compressions, "mask"], [named(c.method) for c in clips])


def variety(tree: Tree, clips: Sequence[Clip], compression: str) -> Figure:
    """A row a forgery method; each column another pair of people, up to six."""
    of = {m: [c for c in clips if c.method == m] for m in dict.fromkeys(c.method for c in clips)}
    # every other clip swaps the same two people the other way round
    step = 5 if min(map(len, of.values())) > 10 else 1
    some = {m: of[::step] for m, of in of.items()}
    columns = min(6, *map(len, some.values()))
    grid = [
        [first_frame(tree.video_path(c, compression)) for c in s[:columns]] for s in some.values()
    ]
    return montage(grid, list(some), [""] * columns)


def sizes(index: pd.DataFrame, high: str, low: str) -> Figure:
    """Bytes a frame by method, a panel a compression. index: that of the videos."""
    fig, axes = subplots(1, 2, (10, 3), sharey=True)
    known = index[index["frames"] > 0]
    for ax, name, column in zip(axes[0], (high, low), ("bytes_high", "bytes_low")):
        shown = known.assign(size=known[column] / known["frames"])
        sns.boxplot(shown, x="size", y="method", ax=ax, color=COLOURS[5])
        ax.set(title=name, xlabel="bytes a frame", ylabel="")
    return fig


def pairs(shown: Sequence[dict], methods: Sequence[str], high: str, low: str) -> Figure:
    """Faces (as PairTable.read has them; methods: of each) at both qualities, their difference,
    five times amplified around grey, and the mask. high, low: the compressions."""
    apart = [x["low"].astype(float) - x["high"] for x in shown]
    rows = {
        high: [x["high"] for x in shown],
        low: [x["low"] for x in shown],
        "difference × 5": [np.clip(0.5 + 5 * x / 255, 0, 1) for x in apart],
        "mask": [x["mask"].astype(float) for x in shown],
    }
    return montage(list(rows.values()), list(rows), [named(m) for m in methods])


def named(method: str) -> str:
    """A method as a title."""
    return "real" if method == ffpp.REAL else method
