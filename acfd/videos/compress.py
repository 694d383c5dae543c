"""Qualities that a data set does not store, made by compressing what it does store.

The name says how: `raw` is the file as it is stored, `c23` is H.264 at CRF 23 as FaceForensics++
has it, `jpeg30` is every frame on its own as JPEG of quality 30 (of 1 to 100).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from acfd.media.degrade import CODECS, degrade
from acfd.media.timing import Timing
from acfd.media.video import VideoError, probe, read_frames, write_video
from acfd.paths import full_disk

AS_STORED = "raw"
_NAME = re.compile(r"(c|jpeg)(\d{1,3})")
_FPS = 25.0  # where a file does not say, as an image


class QualityError(ValueError):
    """A name that says no way to compress."""


def recipe(quality: str) -> str | None:
    """How a quality is made, in words that belong to a shard's key; None: as stored.

    Raises QualityError for a name that is not raw, c0 to c51, or jpeg1 to jpeg100.
    """
    if quality == AS_STORED:
        return None
    kind, n = _read(quality)
    if kind == "c":
        return f"libx264, crf {n}, yuv444p, medium"
    return f"JPEG of every frame, quality {n}"


def _read(quality: str) -> tuple[str, int]:
    match = _NAME.fullmatch(quality)
    kind, n = (match[1], int(match[2])) if match else ("", 0)
    lowest, highest = {"c": (0, 51), "jpeg": (1, 100)}.get(kind, (1, 0))
    if not lowest <= n <= highest:
        raise QualityError(
            f"no quality {quality!r}; expected raw (as stored), c0 to c51 (H.264 at that CRF) or "
            "jpeg1 to jpeg100 (JPEG of that quality), or a folder of that name with the same files"
        )
    return kind, n


def make(source: Path, target: Path, quality: str) -> None:
    """Write `source` (a video or an image) to `target` (.mp4) at a quality that is not raw.

    The same source gives the same bytes. Raises VideoError, which names the source, if it cannot be
    read to its end, and OSError if the disk is full.
    """
    kind, n = _read(quality)
    info = probe(source)
    fps = info.fps or _FPS
    if not info.frames:
        raise VideoError(f"{source}: it holds no frames; download or make it again")
    frames = _frames(source)
    with full_disk(target):
        if kind == "c":
            write_video(target, frames, fps, crf=n, **CODECS["h264"])
        else:  # the decoded JPEGs, without further loss
            pictures = (degrade([frame], "jpeg", n)[0] for frame in frames)
            how = {"codec": "libx264rgb", "crf": 0, "pix_fmt": "rgb24", "preset": "ultrafast"}
            write_video(target, pictures, fps, **how)


def _frames(source: Path) -> Iterator[np.ndarray]:
    size = None
    for number, frame in read_frames(source):
        size = size or frame.shape
        if frame.shape != size:
            raise VideoError(
                f"{source}: frame {number} is {frame.shape[1]}x{frame.shape[0]}, the first was "
                f"{size[1]}x{size[0]}; no video of one size can be made of it"
            )
        yield frame


@contextmanager
def at_hand(
    paths: Mapping[str, Path], made: Mapping[str, str], timing: Timing
) -> Iterator[dict[str, Path]]:
    """`paths` (quality -> file), where the qualities in `made` are compressed into files that are
    gone when the block ends: a whole set at every quality would take more disk than its shards."""
    if not made:
        yield dict(paths)
        return
    with tempfile.TemporaryDirectory(prefix="acfd-") as folder:
        ready = dict(paths)
        for quality in made:
            ready[quality] = Path(folder, f"{quality}.mp4")
            with timing.stage("compress"):
                make(paths[quality], ready[quality], quality)
        yield ready
