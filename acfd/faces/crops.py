"""Crops of one clip: decode both qualities and the mask in step, follow one face, cut all alike."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from acfd.faces import shards
from acfd.media.centerface import FaceDetector
from acfd.media.timing import Timing
from acfd.media.track import cover, follow, largest, square
from acfd.media.video import probe, read_frames
from acfd.sections import Faces
from acfd.videos.ffpp import Clip


class ClipError(ValueError):
    """One clip that cannot be used; it becomes a row of left_out.csv."""


@dataclass
class ClipResult:
    """What became of one clip: the frames of its shard's rows; what was left out (frame, why)."""

    clip: Clip
    key: str = ""
    masked: bool = True  # is it known what was forged? Nothing is, in a real clip
    frames: list[int] = field(default_factory=list)
    left_out: list[tuple[int | str, str]] = field(default_factory=list)
    timing: Timing = field(default_factory=Timing)


def rows(paths: dict[str, Path], faces: Faces, result: ClipResult) -> Iterator[dict]:
    """The rows of one clip, as `shards.write_shard` takes them. paths: of the high quality, the low
    one and perhaps the mask, in this order. What is left out, and the seconds, go to `result`.
    Raises VideoError, ClipError, av.FFmpegError or cv2.error for a clip that cannot be used."""
    chosen = _choose(paths, faces, result)
    names = list(paths)
    masked = len(names) > 2
    readers = [read_frames(path, chosen) for path in paths.values()]
    find = _detector(threading.get_ident(), faces.min_score, faces.detect_size)
    track: np.ndarray | None = None
    for frame in chosen:
        with result.timing.stage("decode"):
            pictures = [next(reader)[1] for reader in readers]
        height, width = pictures[0].shape[:2]
        for name, picture in zip(names, pictures):
            if picture.shape != pictures[0].shape:
                raise ClipError(
                    f"{paths[name]}: frames are {picture.shape[1]}x{picture.shape[0]}, those of "
                    f"{names[0]} are {width}x{height}; one box cannot cut both, make or download "
                    "them again"
                )
        with result.timing.stage("detect"):
            found = find.detect(pictures[0])
        boxes = found[:, :4]
        grey = cv2.cvtColor(pictures[2], cv2.COLOR_RGB2GRAY) if masked else None
        if not len(boxes):
            why = f"no face scores above {faces.min_score}"
        elif track is not None:
            track, why = follow(track, boxes)
        elif masked:
            track, why = cover(boxes, grey > 255 * faces.mask_threshold)
        else:
            track, why = largest(boxes), ""
        if why:
            result.left_out.append((frame, why))
            continue
        with result.timing.stage("crop"):
            x0, y0, x1, y1 = square(track, faces.margin, width, height)
            crops = [resize(p[y0:y1, x0:x1], faces.size) for p in pictures[:2]]
            mask = np.zeros((faces.size, faces.size), bool)
            if masked:
                cut = resize(grey[y0:y1, x0:x1], faces.size, enlarge=cv2.INTER_LINEAR)
                mask = cut > 255 * faces.mask_threshold
                if not mask.any():
                    # its label would say forged, its pixels would not
                    result.left_out.append((frame, "the mask is empty in the face's box"))
                    continue
            marks = found[(boxes == track).all(axis=1).argmax(), 5:].reshape(5, 2)
            marks = (marks - (x0, y0)) * (faces.size / (x1 - x0))
            yield {
                "frame": frame,
                "box": [float(v) for v in (x0, y0, x1, y1)],
                "landmarks": marks.ravel().tolist(),
                "high": shards.encode_png(crops[0]),
                "low": shards.encode_png(crops[1]),
                "mask": shards.encode_png(mask.astype(np.uint8) * 255),
            }


def choose_frames(count: int, wanted: int, choice: str) -> list[int]:
    """Which of `count` frames to take: the first `wanted`, or the middle of each of `wanted` equal
    parts. All if there are fewer."""
    if wanted >= count:
        return list(range(count))
    if choice == "first":
        return list(range(wanted))
    return [int((i + 0.5) * count / wanted) for i in range(wanted)]


@cache
def _detector(thread: int, min_score: float, detect_size: int) -> FaceDetector:
    """One a thread, for all the videos that it works on; two threads must not share one."""
    return FaceDetector(min_score, detect_size)


def _choose(paths: dict[str, Path], faces: Faces, result: ClipResult) -> list[int]:
    """The frames to take, out of those that all videos of the clip have."""
    with result.timing.stage("decode"):
        infos = {name: probe(path) for name, path in paths.items()}
    counts = {name: info.frames for name, info in infos.items()}
    common = min(counts.values())
    if max(counts.values()) > common:
        (first, n), *rest = counts.items()
        others = ", ".join(f"{name} {m}" for name, m in rest)
        note = f"{first} has {n} frames, {others}: only the first {common} used"
        result.left_out.append(("", note))
    elif common < faces.frames:
        note = f"the video has {common} frames, faces.frames asks for {faces.frames}: all used"
        result.left_out.append(("", note))
    chosen = choose_frames(common, faces.frames, faces.choice)
    result.timing.frames = len(chosen)
    return chosen


def resize(picture: np.ndarray, size: int, enlarge: int = cv2.INTER_CUBIC) -> np.ndarray:
    """A square picture at size x size. Masks are enlarged linearly: cubic would ring at edges."""
    side = picture.shape[0]
    if side == size:
        return picture
    how = cv2.INTER_AREA if side > size else enlarge
    return cv2.resize(picture, (size, size), interpolation=how)
