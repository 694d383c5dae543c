"""Celeb-DF-v2 (Li et al., CVPR 2020): 590 + 300 real videos, 5639 forged ones, as downloaded.

    <root>/Celeb-real/id0_0000.mp4             person id0
    <root>/YouTube-real/00170.mp4              nobody known, each video a person of its own
    <root>/Celeb-synthesis/id0_id1_0000.mp4    video 0000 of id0 with the face of id1
    <root>/List_of_testing_videos.txt          "1 YouTube-real/00170.mp4": 1 is real there

The 518 videos of the list are the official test set. It shares nearly all its people with the other
videos, so it is taken with data.splits: test alone, to score a detector that was trained elsewhere.
Else the whole set is divided by groups of people who forge each other; the list shows four of them.
"""

from __future__ import annotations

import re

from acfd.datasets.base import FileClip, FileSet
from acfd.ffpp import REAL, TreeError

FOLDERS = {"Celeb-real": 1, "YouTube-real": 1, "Celeb-synthesis": 0}  # and their label in the list
LIST = "List_of_testing_videos.txt"
_FORGED = re.compile(r"(id\d+)_(id\d+)_\d+")
_REAL = re.compile(r"(id\d+)_\d+")


class CelebDF(FileSet):
    """Celeb-DF-v2; what a forgery is called is CelebDF."""

    method = "CelebDF"

    def listed(self) -> list[FileClip]:
        if self.test_only:
            return [_clip(file) for file in self._official()]
        files = [f"{d}/{p.name}" for d in FOLDERS for p in (self.stored / d).glob("*.mp4")]
        if not files:
            raise TreeError(
                f"{self.stored}: no videos in {', '.join(FOLDERS)}; set data.root to the folder of "
                "Celeb-DF-v2 that holds them"
            )
        return [_clip(file) for file in files]

    def _official(self) -> list[str]:
        path = self.folder / LIST
        try:
            lines = path.read_text().splitlines()
        except FileNotFoundError:
            raise TreeError(f"{path}: no such file; it comes with Celeb-DF-v2") from None
        files = []
        for number, line in enumerate(lines, 1):
            label, _, file = line.strip().partition(" ")
            if not label:
                continue
            if label != str(FOLDERS.get(file.partition("/")[0])):
                raise TreeError(
                    f"{path}, line {number}: found {line!r}; expected 1 and a file of Celeb-real "
                    "or YouTube-real, or 0 and one of Celeb-synthesis"
                )
            files.append(file)
        return files


def _clip(file: str) -> FileClip:
    folder, _, name = file.partition("/")
    video = name.removesuffix(".mp4")
    if folder == "YouTube-real":
        return FileClip(REAL, video, f"youtube-{video}", "", "", file)
    match = (_FORGED if folder == "Celeb-synthesis" else _REAL).fullmatch(video)
    if not match:
        expected = "id0_id1_0000.mp4" if folder == "Celeb-synthesis" else "id0_0000.mp4"
        raise TreeError(f"{file}: its name does not say who it is; expected one as {expected}")
    if folder == "Celeb-real":
        return FileClip(REAL, video, match[1], "", "", file)
    return FileClip(CelebDF.method, video, match[1], match[2], "", file)
