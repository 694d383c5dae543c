"""The data sets that can be studied: FaceForensics++ (and SynthFF, its miniature) and others. Any
is asked by extraction for `clips`, `video_path`, `mask_path` and `recipe`."""

import re
from dataclasses import replace
from pathlib import Path

from acfd.params import Params
from acfd.videos.ffpp import Tree
from acfd.videos.sets import DFDC, CelebDF, FileClip, FileSet, Folder, Table

__all__ = ["FileClip", "FileSet", "tree"]


def tree(params: Params) -> Tree | FileSet:
    """The data set that params.data names. Raises QualityError for a quality that it does not have
    and that cannot be made."""
    data = params.data
    root, test_only = Path(data.root), data.splits == "test"
    seeded = re.fullmatch(r"seeded:([0-9]{1,9})", data.splits or "")
    kinds = {"celebdf": CelebDF, "dfdc": DFDC, "folder": Table if root.suffix == ".csv" else Folder}
    if data.source not in kinds:
        if seeded:
            return Tree(root, seed=int(seeded[1]))
        folder = None if test_only or not data.splits else Path(data.splits)
        return Tree(root, folder, test_only=test_only)
    seed = int(seeded[1]) if seeded else 0
    files = kinds[data.source](root, test_only=test_only, seed=seed)
    if (files.folder / data.high).is_dir():
        files = replace(files, base=data.high)
    for quality in (data.high, data.low):
        files.recipe(quality)  # before hours of work
    return files
