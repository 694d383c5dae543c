"""The sets that are files without masks: Celeb-DF-v2, DFDC, and a folder or a table of your own. To
the extraction such a set looks as a FaceForensics++ tree does; a quality that is not there as files
is compressed from the stored ones (`recipe`)."""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from acfd.media.video import IMAGES, VIDEOS
from acfd.videos import compress
from acfd.videos.ffpp import REAL, SHARES, SPLITS, Clip, TreeError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,119}")
# A folder of Celeb-DF-v2: its label in the list of test videos, and who is in a file by its name
FOLDERS = {
    "Celeb-real": ("1", r"(id\d+)_\d+()", "id0_0000.mp4"),
    "YouTube-real": ("1", r".+", "00170.mp4"),
    "Celeb-synthesis": ("0", r"(id\d+)_(id\d+)_\d+", "id0_id1_0000.mp4"),
}
PARTS = 10  # so many parts of DFDC can be dealt to splits whole
LABELS = {"real": REAL, "fake": "Forged"}
_SAID = LABELS | {"0": REAL, "1": "Forged", "original": REAL, "forged": "Forged"}


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
        """Every clip: by split, first the real ones, by name; a set has one method, which is taken.
        One that names no validation or test videos is divided: people joined by a forgery stay
        together. Raises TreeError for two files of one name, too few people to divide, a person in
        two splits, and a set with nothing to test on."""
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
        elif "test" not in splits:
            raise TreeError(
                f"{self.root}: none of its files is of test; name some, take all splits away to "
                "have the set divided, or set data.splits to test to score all of it"
            )
        return sorted(found, key=lambda c: (SPLITS.index(c.split), c.label, c.video))

    def _check(self, clips: list[FileClip]) -> None:
        named, seen = {}, {}
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
        """The file of this quality, or what it is made of; an image may have another ending."""
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


class CelebDF(FileSet):
    """Celeb-DF-v2 (Li et al., CVPR 2020) as downloaded. A name says who is in a video: id0_id1_0000
    is id0's with the face of id1; of YouTube-real each video is a person of its own. Scored only,
    it is its list of test videos ("1 YouTube-real/00170.mp4"; 1 is real there), else all of it,
    divided by groups of people who forge each other, since the list shares nearly all its people
    with the other videos."""

    method = "CelebDF"

    def listed(self) -> list[FileClip]:
        if self.test_only:
            return [self._clip(file) for file in self._official()]
        files = [f"{d}/{p.name}" for d in FOLDERS for p in (self.stored / d).glob("*.mp4")]
        if not files:
            folders = ", ".join(FOLDERS)
            raise TreeError(f"{self.stored}: no videos in {folders}; set data.root to their folder")
        return [self._clip(file) for file in files]

    def _official(self) -> Iterator[str]:
        path = self.folder / "List_of_testing_videos.txt"
        try:
            lines = path.read_text().splitlines()
        except FileNotFoundError:
            raise TreeError(f"{path}: no such file; it comes with Celeb-DF-v2") from None
        for number, line in enumerate(lines, 1):
            label, _, file = line.strip().partition(" ")
            if label and label != FOLDERS.get(file.partition("/")[0], ("",))[0]:
                raise TreeError(
                    f"{path}, line {number}: found {line!r}; expected 1 and a file of Celeb-real "
                    "or YouTube-real, or 0 and one of Celeb-synthesis"
                )
            if label:
                yield file

    def _clip(self, file: str) -> FileClip:
        folder, _, name = file.partition("/")
        (label, pattern, example), video = FOLDERS[folder], name.removesuffix(".mp4")
        if not (who := re.fullmatch(pattern, video)):
            raise TreeError(f"{file}: its name does not say who it is; expected one as {example}")
        target, source = who.groups() or (f"youtube-{video}", "")
        return FileClip(REAL if label == "1" else self.method, video, target, source, "", file)


class DFDC(FileSet):
    """The Deepfake Detection Challenge data set (Dolhansky et al., 2020) as downloaded: parts (root
    may be one) whose metadata.json says {"aa.mp4": {"label": "FAKE", "split": "train", "original":
    "bb.mp4"}, ...}; in the released test set is_fake, 1 or 0, in place of label, and no original.
    Who is seen is not published: a forgery counts as the person of its original. Parts hardly share
    actors, so where there are PARTS or more, a part stays together."""

    method = "DFDC"

    def listed(self) -> list[FileClip]:
        above = ("", "*/", "*/*/")
        found = [path for at in above for path in sorted(self.stored.glob(f"{at}metadata.json"))]
        if clips := [clip for path in found for clip in self._part(path, len(found) >= PARTS)]:
            return clips
        raise TreeError(
            f"{self.stored}: no metadata.json in it or in its folders that names a video; set "
            "data.root to the folder that holds the parts of DFDC"
        )

    def _part(self, path: Path, whole: bool) -> Iterator[FileClip]:
        try:
            entries = [(name, dict(e)) for name, e in json.loads(path.read_text()).items()]
        except (ValueError, TypeError, AttributeError) as error:
            raise TreeError(f"{path}: not the metadata of a part of DFDC: {error}") from None
        labels = {"REAL": REAL, "FAKE": self.method, "0": REAL, "1": self.method}
        for name, entry in entries:
            label = str(entry.get("label", entry.get("is_fake", ""))).upper()
            split = {"validation": "val"}.get(entry.get("split", ""), entry.get("split", ""))
            if label not in labels or split not in ("", *SPLITS):
                raise TreeError(
                    f"{path}: {name} has {entry}; expected a label REAL or FAKE, or is_fake, and a "
                    "split train, validation or test"
                )
            folder = path.parent.relative_to(self.stored)
            who = {"split": split, "target": Path(entry.get("original") or name).stem}
            clip = clip_of(labels[label], str(folder / name), name=Path(name).name, **who)
            yield replace(clip, group=f"part {folder}" if whole else "")


class Folder(FileSet):
    """Your own videos and images, at any depth below <root>/real and <root>/fake, or <root>/train/
    real and so on. Files of one name in real/ and fake/ count as one person: a forgery is often
    named as its original."""

    method = LABELS["fake"]

    def listed(self) -> list[FileClip]:
        found = [of for of in self._files() if _known(of["file"])]
        if not found:
            raise TreeError(
                f"{self.stored}: no videos or images in its folders real and fake (or train/real "
                "and so on); sort them so, or set data.root to a .csv file with path and label"
            )
        return [clip_of(**of) for of in found]

    def passed_over(self) -> list[tuple[str, str]]:
        return [(of["file"], of["method"]) for of in self._files() if not _known(of["file"])]

    def _files(self) -> Iterator[dict[str, str]]:
        """Every file that is not hidden, as `clip_of` takes it."""
        for split in ("", *SPLITS):
            for label, method in LABELS.items():
                folder = self.stored / split / label
                for path in sorted(folder.rglob("*")):
                    if not path.is_dir() and not path.name.startswith("."):
                        name = str(split / path.relative_to(folder))
                        file = str(path.relative_to(self.stored))
                        yield {"method": method, "file": file, "name": name, "split": split}


def _known(file: str) -> bool:
    return Path(file).suffix.lower() in VIDEOS | IMAGES


class Table(FileSet):
    """Your own videos and images in a table, root: columns path (below its folder, or absolute) and
    label (real or fake, 0 or 1); if known split (train, val, test), target (who is seen) and source
    (whose face went in)."""

    method = LABELS["fake"]

    def listed(self) -> list[FileClip]:
        path = Path(self.root)
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        except FileNotFoundError:
            raise TreeError(f"{path}: no such file; set data.root to your table") from None
        except ValueError as error:
            raise TreeError(f"{path}: not a readable table: {error}") from None
        if missing := {"path", "label"} - set(table.columns):
            raise TreeError(
                f"{path}: no column {' and '.join(sorted(missing))}; found {list(table.columns)}"
            )
        if table.empty:
            raise TreeError(f"{path}: it names no files")
        if not isinstance(table.index, pd.RangeIndex):
            raise TreeError(f"{path}: lines have more fields than {list(table.columns)}")
        named = table["path"].str.strip().map(os.path.normpath)
        if len(twice := table["path"][named.duplicated()]):
            raise TreeError(f"{path}, line {twice.index[0] + 2}: {twice.iloc[0]} is named again")
        return [self._clip(n, row) for n, row in enumerate(table.to_dict("records"), 2)]

    def _clip(self, line: int, row: dict[str, str]) -> FileClip:
        row = {key: value.strip() for key, value in row.items()}
        file, label, split = row["path"], row["label"].lower(), row.get("split", "")
        wrong = label not in _SAID or split not in ("", *SPLITS)
        if wrong or file in ("", ".") or "\0" in file:
            raise TreeError(
                f"{self.root}, line {line}: found {row}; expected a path, a label real or fake (0 "
                "or 1) and a split train, val, test or none"
            )
        people = {name: row.get(name, "") for name in ("target", "source")}
        return clip_of(_SAID[label], file, split=split, **people)
