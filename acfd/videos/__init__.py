"""The data sets that can be studied: FaceForensics++ (and SynthFF, its miniature) and others.

Whatever the set, extraction asks it for `clips`, `video_path` and `mask_path`, and the shards that
come out are the same.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from acfd.params import Params
from acfd.videos import ffpp
from acfd.videos.files import FileClip, FileSet
from acfd.videos.sets import DFDC, CelebDF, Folder, Table

__all__ = ["FileClip", "FileSet", "tree"]


def tree(params: Params) -> ffpp.Tree | FileSet:
    """The data set that params.data names.

    Raises QualityError for a quality that it does not have and that cannot be made.
    """
    data = params.data
    root = Path(data.root)
    kinds = {"celebdf": CelebDF, "dfdc": DFDC, "folder": Table if root.suffix == ".csv" else Folder}
    if data.source not in kinds:
        return ffpp.tree(params)
    seed = (data.splits or "").partition(":")[2]  # seeded:N
    files = kinds[data.source](root, test_only=data.splits == "test", seed=int(seed or 0))
    if (files.folder / data.high).is_dir():
        files = replace(files, base=data.high)
    for quality in (data.high, data.low):
        files.recipe(quality)  # before hours of work
    return files
