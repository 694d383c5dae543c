"""What data sets other than FaceForensics++ have in common: files without masks, by person.

Such a set looks to the extraction as a FaceForensics++ tree does: `clips`, `video_path`,
`mask_path`, `root`. What it adds is `recipe`: a quality that is not there as files is compressed
from the stored ones.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import joblib
import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from acfd.datasets import compress
from acfd.datasets.headers import header
from acfd.ffpp import REAL, SPLITS, Clip, TreeError
from acfd.video import IMAGES, VideoError, VideoInfo, probe

SHARES = {"train": 0.72, "val": 0.14, "test": 0.14}  # as the official split of FaceForensics++
_MP4 = (".mp4", ".m4v", ".mov", ".3gp")  # whose boxes say how long the file must be
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,119}")


@dataclass(frozen=True)
class FileClip(Clip):
    """A clip that is one file."""

    file: str  # below the set's folder, or absolute


@dataclass(frozen=True)
class FileSet:
    """Real and forged files at `root`. Subclasses say which by `listed`.

    A quality lies in <folder>/<quality>/, laid out as the set itself is; where there is no such
    folder it is made by compressing what `base` has.
    """

    root: Path
    base: str = ""  # the quality whose folder holds what is stored; "": there is no such folder
    test_only: bool = False  # to be scored, not trained on
    seed: int = 0  # of the split, where the set brings none

    method: ClassVar[str]  # what its forgeries are called

    @property
    def folder(self) -> Path:
        """Where the files' names start."""
        return Path(self.root)

    @property
    def stored(self) -> Path:
        return self.folder / self.base

    def listed(self) -> list[FileClip]:
        """Every file; split is "" where the set does not say. Raises TreeError if it is no set."""
        raise NotImplementedError

    def clips(self, methods: Iterable[str]) -> list[FileClip]:
        """Every clip: by split, first the real ones; in the order of their names.

        A set that names no validation or test videos is divided: people who are joined by a forgery
        stay together. Raises TreeError for an unknown method, for too few people to divide, and for
        a person in two splits.
        """
        if unknown := [m for m in methods if m != self.method]:
            raise TreeError(f"unknown methods {unknown}; {self.root} has only {self.method}")
        found = self.listed()
        splits = {clip.split for clip in found}
        if self.test_only:
            found = [replace(clip, split="test") for clip in found]
        elif splits <= {"", "train"}:
            found = divide(found, self._joined(found), SHARES, self.seed)
        elif "" in splits:
            name = next(clip.file for clip in found if not clip.split)
            raise TreeError(f"{self.root}: some files have a split and some none, as {name}")
        _check_people(found, self.root)
        if splits == {"train", "test"} and not self.test_only:
            shares = {"train": 1 - SHARES["val"], "val": SHARES["val"]}
            rest = [clip for clip in found if clip.split == "train"]
            found = [clip for clip in found if clip.split == "test"]
            found += divide(rest, self._joined(rest), shares, self.seed)
        return sorted(found, key=lambda c: (SPLITS.index(c.split), c.label, c.video))

    def _joined(self, clips: list[FileClip]) -> list[tuple[str, str]]:
        """Names that must come into the same split, two and two; every clip's target is in it."""
        return [(clip.target, clip.source or clip.target) for clip in clips]

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
        return None

    def recipe(self, quality: str) -> str | None:
        """How a quality is made of the stored files; None: it is there."""
        return None if (self.folder / quality).is_dir() else compress.recipe(quality)

    def passed_over(self) -> list[tuple[str, str, str]]:
        """(file, method, why) of what lies among the set's files and is not taken."""
        return []

    def look(
        self, methods: Iterable[str], high: str, low: str, *, jobs: int = 1
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """What is wrong, and what is there, in one pass over the files, on `jobs` processes.

        The first has one row a problem: video, method, what. The second has one row a clip: who,
        split, label, frames, width, height, fps, bytes_high, bytes_low; a file that is missing or
        unreadable has zeros there, a quality that is made has 0 bytes.

        Raises TreeError if it is no such set, QualityError for a quality that cannot be had.
        """
        made = {quality: self.recipe(quality) is not None for quality in (high, low)}
        clips = self.clips(methods)
        paths = [{q: self.video_path(clip, q) for q in (high, low)} for clip in clips]
        files = list(dict.fromkeys(path for of in paths for path in of.values()))
        parallel = joblib.Parallel(n_jobs=jobs)
        found = dict(zip(files, parallel(joblib.delayed(_look)(file) for file in files)))
        rows, problems = [], []
        for clip, of in zip(clips, paths):
            row = {name: getattr(clip, name) for name in ("method", "video", "target", "source")}
            row |= {"split": clip.split, "label": clip.label}
            info = found[of[high]]
            for name in ("frames", "width", "height", "fps"):
                row[name] = getattr(info, name) if isinstance(info, VideoInfo) else 0
            for name, quality in (("bytes_high", high), ("bytes_low", low)):
                there = not made[quality] and of[quality].is_file()
                row[name] = of[quality].stat().st_size if there else 0
            rows.append(row)
            for path in dict.fromkeys(of.values()):
                info = found[path]
                if isinstance(info, VideoError):
                    problems.append((clip.video, clip.method, str(info)))
                elif info.frames < info.promised:
                    what = f"{path}: cut short: {info.frames} frames of {info.promised}"
                    problems.append((clip.video, clip.method, what))
        problems += self.passed_over()
        return (
            pd.DataFrame(problems, columns=["video", "method", "what"], dtype=object),
            pd.DataFrame(rows).astype({"fps": float}),
        )

    def index(self, methods: Iterable[str], high: str, low: str) -> pd.DataFrame:
        """What is there, as `look` says it."""
        return self.look(methods, high, low)[1]

    def check(self, methods: Iterable[str], high: str, low: str, *, jobs: int = 1) -> pd.DataFrame:
        """What is wrong, as `look` says it."""
        return self.look(methods, high, low, jobs=jobs)[0]


def divide(
    clips: list[FileClip], joined: list[tuple[str, str]], shares: dict[str, float], seed: int
) -> list[FileClip]:
    """The clips with their splits, in about these shares of the clips.

    Names that are joined, directly or by others, are one unit, which stays together. Units that
    have forgeries are dealt on their own, and so are those that are only real, if there are enough
    of either, so that every split has both. Raises TreeError for fewer units than splits.
    """
    unit = components(joined)
    forged = {unit[clip.target] for clip in clips if clip.label}
    sizes = Counter(unit[clip.target] for clip in clips)
    kinds = [
        Counter({u: n for u, n in sizes.items() if (u in forged) == kind}) for kind in (True, False)
    ]
    if any(len(kind) < len(shares) for kind in kinds):
        kinds = [sizes]
    dealt = {u: split for kind in kinds for u, split in _deal(kind, shares, seed).items()}
    return [replace(clip, split=dealt[unit[clip.target]]) for clip in clips]


def _deal(sizes: Counter, shares: dict[str, float], seed: int) -> dict[str, str]:
    """Unit -> split: the largest unit to the largest share, one of the smallest to each of the
    others, then each to the split that lacks most; units of one size in an order from the seed."""
    if len(sizes) < len(shares):
        raise TreeError(
            f"the set has {len(sizes)} group(s) of people that no forgery joins, {len(shares)} "
            f"are needed for {', '.join(shares)}; name the splits yourself (a column `split`, or "
            "folders train, val and test), or set data.splits to test to score it only"
        )

    def rank(unit):
        return -sizes[unit], hashlib.sha256(f"{seed} {unit}".encode()).digest()

    ranked = sorted(sizes, key=rank)
    splits = sorted(shares, key=lambda s: -shares[s])
    last = len(ranked) - len(splits) + 1
    dealt = dict(zip([ranked[0], *ranked[last:]], splits))
    given = Counter()
    for unit, split in dealt.items():
        given[split] += sizes[unit]
    total = sizes.total()
    for unit in ranked[1:last]:
        split = max(splits, key=lambda s: shares[s] * total - given[s])
        dealt[unit] = split
        given[split] += sizes[unit]
    return dealt


def components(joined: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each name -> the first name, in order of the alphabet, of those that it is joined with."""
    names, at = np.unique(np.array(list(joined), str), return_inverse=True)
    a, b = at.reshape(-1, 2).T
    graph = coo_array((np.ones(len(a)), (a, b)), shape=(len(names), len(names)))
    part = connected_components(graph, directed=False)[1]
    first = dict(zip(part[::-1], names[::-1]))
    return {str(name): str(first[n]) for name, n in zip(names, part)}


def _check_people(clips: list[FileClip], root: Path) -> None:
    seen: dict[str, FileClip] = {}
    for clip in clips:
        for person in {clip.target, clip.source} - {""}:
            if (other := seen.setdefault(person, clip)).split != clip.split:
                raise TreeError(
                    f"{root}: {person} is in two splits, {other.split} ({other.file}) and "
                    f"{clip.split} ({clip.file}); a person that is trained on would make every "
                    "test score too good"
                )


def name_of(file: str) -> str:
    """A file's name without its ending, as the name of a shard; made of its whole path where that
    has folders or signs that no shard's name may have."""
    stem = str(Path(file).with_suffix(""))
    if _NAME.fullmatch(stem):
        return stem
    plain = re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-")[-100:].strip("-")
    return f"{plain or 'file'}-{hashlib.sha256(os.fsencode(file)).hexdigest()[:8]}"


def clip_of(
    method: str, file: str, *, name: str = "", split: str = "", target: str = "", source: str = ""
) -> FileClip:
    """The clip of a file, called after it or after `name`.

    Where nobody is known, its name is the person; a forgery whose source is not known is one of
    its target, since scores are resampled by people.
    """
    video = name_of(name or file)
    target = target or video
    source = "" if method == REAL else source or target
    return FileClip(method, video, target, source, split, file)


def check_unique(clips: list[FileClip]) -> None:
    """Raises TreeError for two files of one name, as a.png and a.jpg."""
    seen: dict[tuple[str, str], str] = {}
    for clip in clips:
        other = seen.setdefault((clip.method, clip.video), clip.file)
        if other != clip.file:
            raise TreeError(f"{clip.file}: the same name as {other}; rename one of the two")


def _look(path: Path) -> VideoInfo | VideoError:
    """What an MP4's header promises, if the file is whole; any other file is read through."""
    try:
        return header(path) if path.suffix.lower() in _MP4 else probe(path)
    except VideoError as error:
        return error
