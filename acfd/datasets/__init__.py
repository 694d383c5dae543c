"""The data sets that can be studied: FaceForensics++ (and SynthFF, its miniature) and others.

Whatever the set, extraction asks it for `clips`, `video_path` and `mask_path`, and the shards that
come out are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from acfd import ffpp
from acfd.datasets.base import FileClip, FileSet
from acfd.datasets.celebdf import CelebDF
from acfd.datasets.dfdc import DFDC
from acfd.datasets.folder import Folder, Table
from acfd.params import Params

__all__ = ["FILE_SETS", "FileClip", "FileSet", "tree"]

# data.source -> the set at a root
FILE_SETS: dict[str, Callable[..., FileSet]] = {
    "celebdf": CelebDF,
    "dfdc": DFDC,
    "folder": lambda root, **said: (Table if root.suffix == ".csv" else Folder)(root, **said),
}


def tree(params: Params) -> ffpp.Tree | FileSet:
    """The data set that params.data names.

    Raises QualityError for a quality that it does not have and that cannot be made.
    """
    data = params.data
    if data.source not in FILE_SETS:
        return ffpp.tree(params)
    root = Path(data.root)
    folder = root.parent if root.suffix == ".csv" else root
    _, _, seed = (data.splits or "").partition(":")  # seeded:N
    files = FILE_SETS[data.source](
        root,
        base=data.high if (folder / data.high).is_dir() else "",
        test_only=data.splits == "test",
        seed=int(seed or 0),
    )
    for quality in (data.high, data.low):
        files.recipe(quality)  # before hours of work
    return files
