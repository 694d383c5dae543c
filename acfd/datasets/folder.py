"""Your own videos and images: a folder, or a table.

    <root>/real/...  <root>/fake/...                        or
    <root>/train/real/...  <root>/train/fake/...  <root>/test/real/...

with videos and images at any depth, or root is a file, <folder>/<name>.csv, with the columns

    path     below the table's folder, or absolute
    label    real or fake, 0 or 1
    split    train, val or test (may be missing: the set is divided)
    target   who is seen, source: whose face went in (may be missing: each file is its own person)

Files of one name in real/ and fake/ count as one person: a forgery is often named as its original.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from acfd.datasets.base import FileClip, FileSet, check_unique, clip_of
from acfd.ffpp import REAL, SPLITS, TreeError
from acfd.video import IMAGES, VIDEOS

FORGED = "Forged"
LABELS = {"real": REAL, "fake": FORGED}
_SAID = LABELS | {"0": REAL, "1": FORGED, "original": REAL, "forged": FORGED}


class Folder(FileSet):
    """Real and forged files in folders that say so."""

    method = FORGED

    def listed(self) -> list[FileClip]:
        clips = []
        for path, folder, split, method in self._files():
            if path.suffix.lower() in VIDEOS | IMAGES:
                file = str(path.relative_to(self.stored))
                called = str(Path(split) / path.relative_to(folder))
                clips.append(clip_of(method, file, name=called, split=split))
        if not clips:
            raise TreeError(
                f"{self.stored}: no videos or images in its folders real and fake (or train/real, "
                "train/fake and so on); sort them into these, or set data.root to a .csv file with "
                "columns path and label"
            )
        check_unique(clips)
        return clips

    def passed_over(self) -> list[tuple[str, str, str]]:
        return [
            (
                *(str(path.relative_to(self.stored)), method),
                f"{path}: passed over: {path.suffix or 'a name without ending'} is no known video "
                "or image; convert it, or move it away",
            )
            for path, _, _, method in self._files()
            if path.suffix.lower() not in VIDEOS | IMAGES
        ]

    def _files(self) -> Iterator[tuple[Path, Path, str, str]]:
        """Every file that is not hidden: where it is, below which folder, its split, its method."""
        for split in ("", *SPLITS):
            for name, method in LABELS.items():
                folder = self.stored / split / name
                for path in sorted(folder.rglob("*")):
                    if path.is_file() and not path.name.startswith("."):
                        yield path, folder, split, method


class Table(FileSet):
    """Real and forged files that a .csv file names."""

    method = FORGED

    @property
    def folder(self) -> Path:
        return Path(self.root).parent

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
        clips = [self._clip(n, row) for n, row in enumerate(table.to_dict("records"), 2)]
        if not clips:
            raise TreeError(f"{path}: it names no files")
        check_unique(clips)
        return clips

    def _clip(self, line: int, row: dict[str, str]) -> FileClip:
        row = {key: value.strip() for key, value in row.items()}
        split = row.get("split", "")
        label = row["label"].lower()
        if (
            label not in _SAID
            or split not in ("", *SPLITS)
            or row["path"] in ("", ".")
            or "\0" in row["path"]
        ):
            raise TreeError(
                f"{self.root}, line {line}: found {row}; expected a path, a label real or fake (0 "
                "or 1) and a split train, val, test or none"
            )
        people = {name: row.get(name, "") for name in ("target", "source")}
        return clip_of(_SAID[label], row["path"], split=split, **people)
