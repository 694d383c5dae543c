"""The sets that are files without masks: Celeb-DF-v2, DFDC, and a folder or a table of your own."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd

from acfd.media.video import IMAGES, VIDEOS
from acfd.videos.ffpp import REAL, SPLITS, TreeError
from acfd.videos.files import FileClip, FileSet, clip_of

# A folder of Celeb-DF-v2: its label in the list of test videos, and who is in a file by its name
FOLDERS = {
    "Celeb-real": ("1", r"(id\d+)_\d+()", "id0_0000.mp4"),
    "YouTube-real": ("1", r".+", "00170.mp4"),
    "Celeb-synthesis": ("0", r"(id\d+)_(id\d+)_\d+", "id0_id1_0000.mp4"),
}
LIST = "List_of_testing_videos.txt"
METADATA = "metadata.json"
PARTS = 10  # so many parts of DFDC can be dealt to splits whole
FORGED = "Forged"
LABELS = {"real": REAL, "fake": FORGED}
_SAID = LABELS | {"0": REAL, "1": FORGED, "original": REAL, "forged": FORGED}


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
        path = self.folder / LIST
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
        label, pattern, example = FOLDERS[folder]
        video = name.removesuffix(".mp4")
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
        depths = (METADATA, f"*/{METADATA}", f"*/*/{METADATA}")
        found = [path for depth in depths for path in sorted(self.stored.glob(depth))]
        if clips := [clip for path in found for clip in self._part(path, len(found) >= PARTS)]:
            return clips
        raise TreeError(
            f"{self.stored}: no {METADATA} in it or in its folders that names a video; set "
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

    method = FORGED

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

    method = FORGED

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
