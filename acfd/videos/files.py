"""What data sets other than FaceForensics++ have in common: files without masks, by person. To the
extraction such a set looks as a FaceForensics++ tree does; a quality that is not there as files is
compressed from the stored ones (`recipe`)."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from acfd.media.video import IMAGES
from acfd.videos import compress
from acfd.videos.ffpp import REAL, SHARES, SPLITS, Clip, TreeError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,119}")


@dataclass(frozen=True)
class FileClip(Clip):
    """A clip that is one file; group: what it must share its split with, if not with people."""

    file: str  # below the set's folder, or absolute
    group: str = ""


@dataclass(frozen=True)
class FileSet:
    """Real and forged files at `root`; subclasses say which by `listed`. A quality lies in
    <folder>/<quality>/, laid out as the set itself is, or is made of `base`."""

    root: Path
    base: str = ""  # the quality whose folder holds what is stored; "": there is no such folder
    test_only: bool = False  # to be scored, not trained on
    seed: int = 0  # of the split, where the set brings none

    method: ClassVar[str]  # what its forgeries are called

    @property
    def folder(self) -> Path:
        """Where the files' names start: at root, or beside it if it is a table."""
        return Path(self.root).parent if Path(self.root).suffix == ".csv" else Path(self.root)

    @property
    def stored(self) -> Path:
        return self.folder / self.base

    def listed(self) -> list[FileClip]:
        """Every file; split is "" where the set does not say. Raises TreeError if it is no set."""
        raise NotImplementedError

    def passed_over(self) -> list[tuple[str, str]]:
        """(file, method) of what lies among the set's files and is no video or image."""
        return []

    def clips(self, methods: Iterable[str]) -> list[FileClip]:
        """Every clip: by split, first the real ones, in the order of their names; a set has one
        method, which is taken. One that names no validation or test videos is divided: people who
        are joined by a forgery stay together. Raises TreeError for two files of one name, for too
        few people to divide, and for a person in two splits."""
        found = self.listed()
        if self.test_only:
            found = [replace(clip, split="test") for clip in found]
        splits = {clip.split for clip in found}
        if "" in splits and splits - {"", "train"}:
            name = next(clip.file for clip in found if not clip.split)
            raise TreeError(f"{self.root}: some files have a split and some none, as {name}")
        self._check(found)
        test = [clip for clip in found if clip.split == "test"]
        rest = [clip for clip in found if clip.split != "test"]
        if splits <= {"", "train"}:
            found = divide(rest, SHARES, self.seed)
        elif splits == {"train", "test"}:
            val = SHARES["val"]
            found = test + divide(rest, {"train": 1 - val, "val": val}, self.seed)
        return sorted(found, key=lambda c: (SPLITS.index(c.split), c.label, c.video))

    def _check(self, clips: list[FileClip]) -> None:
        named: dict[str, FileClip] = {}
        seen: dict[str, FileClip] = {}
        for clip in clips:
            if (other := named.setdefault(str(clip), clip)).file != clip.file:
                raise TreeError(f"{clip.file}: the same name as {other.file}; rename one of them")
            for person in {clip.target, clip.source} - {""}:
                other = seen.setdefault(person, clip)
                if (other.split or "train") != (clip.split or "train"):
                    raise TreeError(
                        f"{self.root}: {person} is in two splits, {other.split} ({other.file}) and "
                        f"{clip.split} ({clip.file}), which makes every test score too good"
                    )

    def video_path(self, clip: FileClip, quality: str) -> Path:
        """The file of this quality, or the one that it is made of. An image may have another
        ending there."""
        folder = self.folder / quality
        if quality == self.base or not folder.is_dir():
            return self.stored / clip.file
        if Path(clip.file).is_absolute():
            raise TreeError(f"{clip.file}: an absolute path, which cannot be found below {folder}")
        path = folder / clip.file
        others = (path.with_suffix(e) for e in sorted(IMAGES) if path.suffix.lower() in IMAGES)
        return next((p for p in (path, *others) if p.is_file()), path)

    def mask_path(self, clip: FileClip) -> None:
        """None: what was forged in which pixel is not known."""

    def recipe(self, quality: str) -> str | None:
        """How a quality is made of the stored files; None: it is there."""
        return None if (self.folder / quality).is_dir() else compress.recipe(quality)


def divide(clips: list[FileClip], shares: dict[str, float], seed: int) -> list[FileClip]:
    """The clips with their splits, in about these shares of the clips. People who are joined by a
    forgery or a group, directly or by others, stay together. Units with forgeries and those that
    are only real are dealt apart, if there are enough of either, so that every split has both.
    Raises TreeError for fewer units than splits."""
    joined = [(c.target, other or c.target) for c in clips for other in (c.source, c.group)]
    names, at = np.unique(np.array(joined, str), return_inverse=True)
    a, b = at.reshape(-1, 2).T
    graph = coo_array((np.ones(len(a)), (a, b)), shape=(len(names), len(names)))
    part = connected_components(graph, directed=False)[1]
    first = names[np.unique(part, return_index=True)[1]]  # by which a unit is called
    unit = dict(zip(names.tolist(), first[part].tolist()))
    forged = {unit[clip.target] for clip in clips if clip.label}
    sizes = Counter(unit[clip.target] for clip in clips)
    kinds = [{u: n for u, n in sizes.items() if (u in forged) == kind} for kind in (True, False)]
    if any(len(kind) < len(shares) for kind in kinds):
        kinds = [sizes]
    dealt = {u: split for kind in kinds for u, split in _deal(kind, shares, seed).items()}
    return [replace(clip, split=dealt[unit[clip.target]]) for clip in clips]


def _deal(sizes: dict[str, int], shares: dict[str, float], seed: int) -> dict[str, str]:
    """Unit -> split: the largest unit to the largest share, one of the smallest to each of the
    others, then each to the split that lacks most; units of one size in an order from the seed."""
    if len(sizes) < len(shares):
        raise TreeError(
            f"the set has {len(sizes)} group(s) of people that no forgery joins, {len(shares)} are "
            "needed; name the splits yourself (a column `split`, or folders train, val and test), "
            "or set data.splits to test to score it only"
        )

    drawn = {unit: hashlib.sha256(f"{seed} {unit}".encode()).digest() for unit in sizes}
    ranked = sorted(sizes, key=lambda unit: (-sizes[unit], drawn[unit]))
    splits = sorted(shares, key=shares.get, reverse=True)
    last = len(ranked) - len(splits) + 1
    total, given, dealt = sum(sizes.values()), Counter(), {}
    for n, unit in enumerate([ranked[0], *ranked[last:], *ranked[1:last]]):
        split = max(splits, key=lambda s: shares[s] * total - given[s])
        dealt[unit] = splits[n] if n < len(splits) else split
        given[dealt[unit]] += sizes[unit]
    return dealt


def name_of(file: str) -> str:
    """A shard's name: the file's without its ending, or made of its whole path where that has
    folders or signs that no shard's name may have."""
    stem = str(Path(file).with_suffix(""))
    if _NAME.fullmatch(stem):
        return stem
    plain = re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-")[-100:].strip("-")
    return f"{plain or 'file'}-{hashlib.sha256(os.fsencode(file)).hexdigest()[:8]}"


def clip_of(
    method: str, file: str, *, name: str = "", split: str = "", target: str = "", source: str = ""
) -> FileClip:
    """The clip of a file, called after it or after `name`. Where nobody is known, its name is the
    person; a forgery whose source is not known is one of its target."""
    video = name_of(name or file)
    target = target or video
    source = "" if method == REAL else source or target
    return FileClip(method, video, target, source, split, file)
