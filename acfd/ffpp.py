"""The FaceForensics++ tree: where a clip's videos and its mask lie, who is in which split.

    <root>/original_sequences/youtube/<compression>/videos/000.mp4
    <root>/manipulated_sequences/<method>/<compression>/videos/000_003.mp4
    <root>/manipulated_sequences/<method>/masks/videos/000_003.mp4
    <root>/splits/train.json  val.json  test.json      [["000", "003"], ...]

A forged video is named TARGET_SOURCE: the person whose video it is, then whose face went in. A pair
[a, b] of a split stands for the real videos a and b and the forged ones a_b and b_a of each method.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pandas as pd

from acfd.params import Method, Params
from acfd.paths import atomic
from acfd.video import VideoError, VideoInfo, probe

REAL = "original"
METHODS: tuple[str, ...] = get_args(Method)
SPLITS = ("train", "val", "test")
_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?")
_COMPRESSION = re.compile(r"raw|c[0-9]{1,2}")


class TreeError(ValueError):
    """The tree or its split files are not as FaceForensics++ has them."""


@dataclass(frozen=True)
class Clip:
    """One video of the tree, at whatever compression."""

    method: str  # REAL or one of METHODS
    video: str  # "000", forged: "000_003"
    target: str  # the person whose video it is
    source: str  # the person whose face went in; "" if real
    split: str

    @property
    def label(self) -> int:
        """0 real, 1 forged."""
        return int(self.method != REAL)

    def __str__(self) -> str:
        return f"{self.method}/{self.video}"


@dataclass(frozen=True)
class Tree:
    """A FaceForensics++ tree; its split files are in splits_dir (None: <root>/splits)."""

    root: Path
    splits_dir: Path | None = None

    def video_path(self, clip: Clip, compression: str) -> Path:
        """Where a clip lies (raw and c0 are two names of one compression)."""
        if not _COMPRESSION.fullmatch(compression):
            raise TreeError(f"no compression {compression!r}; expected raw, c0, c23, c40 or alike")
        parent = self._folder(clip.method)
        if compression in ("raw", "c0"):
            other = {"raw": "c0", "c0": "raw"}[compression]
            if not (parent / compression).is_dir() and (parent / other).is_dir():
                compression = other
        return parent / compression / "videos" / f"{clip.video}.mp4"

    def mask_path(self, clip: Clip) -> Path | None:
        """Where the mask video lies; None for a real clip, nothing of which is forged."""
        if clip.method == REAL:
            return None
        return self._folder(clip.method) / "masks" / "videos" / f"{clip.video}.mp4"

    def _folder(self, method: str) -> Path:
        if method == REAL:
            return Path(self.root) / "original_sequences" / "youtube"
        return Path(self.root) / "manipulated_sequences" / method

    def splits(self) -> dict[str, list[tuple[str, str]]]:
        """Pairs of ids by split, in the order of the files.

        Raises TreeError for a missing or malformed file, and for an id that is named twice: one
        person in two splits would make every test score too good.
        """
        folder = Path(self.splits_dir or Path(self.root) / "splits")
        found: dict[str, list[tuple[str, str]]] = {}
        seen: dict[str, str] = {}
        for split in SPLITS:
            path = folder / f"{split}.json"
            found[split] = _read_pairs(path)
            for name in (n for pair in found[split] for n in pair):
                if name in seen:
                    raise TreeError(
                        f"{path}: video {name} is named twice (also in {seen[name]}.json); "
                        "every id belongs to one pair of one split"
                    )
                seen[name] = split
        return found

    def clips(self, methods: Iterable[str]) -> list[Clip]:
        """Every clip that the splits name: by split, first the real ones, then method by method."""
        methods = list(methods)
        unknown = [m for m in methods if m not in METHODS]
        if unknown:
            raise TreeError(f"unknown methods {unknown}; there are: {', '.join(METHODS)}")
        clips = []
        for split, pairs in self.splits().items():
            clips += [Clip(REAL, one, one, "", split) for pair in pairs for one in pair]
            for method in methods:
                for a, b in pairs:
                    clips += [Clip(method, f"{t}_{s}", t, s, split) for t, s in ((a, b), (b, a))]
        return clips

    def index(self, methods: Iterable[str], high: str, low: str) -> pd.DataFrame:
        """One row a clip: who, split, label, frames, width, height, fps, bytes_high, bytes_low.

        A video that is missing or unreadable has zeros there; `check` says what is wrong with it.
        """
        rows = []
        for clip in self.clips(methods):
            paths = [self.video_path(clip, c) for c in (high, low)]
            info = _try_probe(paths[0])
            sound = info if isinstance(info, VideoInfo) else None
            rows.append(
                {
                    "method": clip.method,
                    "video": clip.video,
                    "target": clip.target,
                    "source": clip.source,
                    "split": clip.split,
                    "label": clip.label,
                    "frames": sound.frames if sound else 0,
                    "width": sound.width if sound else 0,
                    "height": sound.height if sound else 0,
                    "fps": sound.fps if sound else 0.0,
                    "bytes_high": _bytes(paths[0]),
                    "bytes_low": _bytes(paths[1]),
                }
            )
        return pd.DataFrame(rows)


def write_splits(root: Path, splits: Mapping[str, Sequence[Sequence[str]]]) -> None:
    """Write <root>/splits/<split>.json in the official format."""
    for split, pairs in splits.items():
        with atomic(Path(root) / "splits" / f"{split}.json") as path:
            path.write_text(json.dumps([list(pair) for pair in pairs]) + "\n")


def check(tree: Tree, methods: Iterable[str], high: str, low: str) -> pd.DataFrame:
    """What is wrong with a tree, one row a problem: video, method, what. No rows: it is sound.

    Every file is read through, none is decoded. Raises TreeError for bad split files.
    """
    problems = []
    for clip in tree.clips(methods):
        paths = {high: tree.video_path(clip, high), low: tree.video_path(clip, low)}
        if mask := tree.mask_path(clip):
            paths["mask"] = mask
        problems += [(clip.video, clip.method, what) for what in _problems(clip, paths)]
    return pd.DataFrame(problems, columns=["video", "method", "what"], dtype=object)


def _problems(clip: Clip, paths: dict[str, Path]) -> list[str]:
    if not any(path.exists() for path in paths.values()):
        return [
            f"{clip.split}.json names it, but none of its files is there ({', '.join(paths)}): "
            f"{next(iter(paths.values()))}"
        ]
    found = {what: _try_probe(path) for what, path in paths.items()}
    said = [f"{what} cannot be used: {r}" for what, r in found.items() if isinstance(r, VideoError)]
    infos = {what: r for what, r in found.items() if isinstance(r, VideoInfo)}
    for what, info in infos.items():
        if info.frames < info.promised:
            said.append(
                f"{what} is cut short: {info.frames} frames of {info.promised}: {info.path}"
            )
    for field, of in (("frames", lambda i: i.frames), ("sizes", lambda i: f"{i.width}x{i.height}")):
        if len({of(info) for info in infos.values()}) > 1:
            said.append(f"{field} differ: {', '.join(f'{w} {of(i)}' for w, i in infos.items())}")
    return said


def _try_probe(path: Path) -> VideoInfo | VideoError:
    try:
        return probe(path)
    except VideoError as error:
        return error


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _read_pairs(path: Path) -> list[tuple[str, str]]:
    try:
        raw = json.loads(path.read_text())
    except FileNotFoundError:
        raise TreeError(
            f"{path}: no such file; the splits of FaceForensics++ are train.json, val.json and "
            "test.json of its repository (set data.splits to their folder)"
        ) from None
    except ValueError as error:
        raise TreeError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(raw, list):
        raise TreeError(f"{path}: expected a list of pairs of ids, found {type(raw).__name__}")
    for pair in raw:
        # ids become file names, so nothing that could lead out of a folder may pass
        if not (
            isinstance(pair, list)
            and len(pair) == 2
            and all(isinstance(name, str) and _ID.fullmatch(name) for name in pair)
        ):
            raise TreeError(
                f"{path}: found {pair!r} where a pair of ids is expected, two strings of letters, "
                'digits, _ and - such as ["000", "003"]'
            )
    return [(a, b) for a, b in raw]


def tree(params: Params) -> Tree:
    """The tree that params.data names."""
    splits = params.data.splits
    return Tree(Path(params.data.root), None if splits is None else Path(splits))
