"""Qualities that a data set does not store, made by compressing what it does store: `raw` is the
file as it is, `c23` H.264 at CRF 23 as in FaceForensics++, `jpeg30` every frame on its own as JPEG
of quality 30 (of 1 to 100)."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from acfd.media.timing import Timing
from acfd.media.video import LOSSLESS, VideoError, probe, read_frames, still, write_video

AS_STORED = "raw"
_KINDS = {
    "c": (range(52), "libx264, crf {}, yuv444p, medium"),
    "jpeg": (range(1, 101), "JPEG of every frame, quality {}"),
}
_SIDE = 16384  # pixels, at most, that x264 takes
_FPS = 25.0  # where a file does not say, as an image


class QualityError(ValueError):
    """A name that says no way to compress."""


def recipe(quality: str) -> str | None:
    """How a quality is made, in words that belong to a shard's key; None: as stored. Raises
    QualityError for a name that is not raw, c0 to c51, or jpeg1 to jpeg100."""
    if quality == AS_STORED:
        return None
    kind, n = _read(quality)
    return _KINDS[kind][1].format(n)


def _read(quality: str) -> tuple[str, int]:
    match = re.fullmatch(r"(c|jpeg)(\d{1,3})", quality)
    if match and int(match[2]) in _KINDS[match[1]][0]:
        return match[1], int(match[2])
    raise QualityError(
        f"no quality {quality!r}; expected raw (as stored), c0 to c51 (H.264 at that CRF) or "
        "jpeg1 to jpeg100 (JPEG of that quality), or a folder of that name with the same files"
    )


def make(source: Path, target: Path, quality: str) -> None:
    """Write `source` (a video or an image) to `target` (.mp4) at a quality that is not raw. The
    same source gives the same bytes. Raises VideoError if it cannot be read to its end or its
    frames are not of one size, and OSError if the disk is full."""
    kind, n = _read(quality)
    info = probe(source)
    if max(info.width, info.height) > _SIDE:
        size = f"{info.width}x{info.height}"
        raise VideoError(f"{source}: {size}; H.264 has at most {_SIDE} a side: scale it down")
    fps, frames = info.fps or _FPS, _of_one_size(source)
    if kind == "c":
        write_video(target, frames, fps, crf=n)
    else:  # the decoded JPEGs, without further loss
        write_video(target, (still(frame, ".jpg", n) for frame in frames), fps, **LOSSLESS)


def _of_one_size(source: Path) -> Iterator[np.ndarray]:
    first = None
    for n, frame in read_frames(source):
        first, (h, w, _) = first or frame.shape, frame.shape
        if frame.shape != first:
            was = f"{first[1]}x{first[0]}"
            raise VideoError(f"{source}: frame {n} is {w}x{h}, those before {was}; make them alike")
        yield frame


@contextmanager
def at_hand(
    paths: Mapping[str, Path], made: Mapping[str, str], timing: Timing
) -> Iterator[dict[str, Path]]:
    """`paths` (quality -> file), where the qualities in `made` are compressed into files that are
    gone when the block ends: a whole set at every quality would take more disk than its shards."""
    with tempfile.TemporaryDirectory(prefix="acfd-") as folder:
        ready = {quality: Path(folder, f"{quality}.mp4") for quality in made}
        for quality, target in ready.items():
            with timing.stage("compress"):
                make(paths[quality], target, quality)
        yield {**paths, **ready}
