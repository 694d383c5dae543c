"""Faces: decode both compressions and the mask in step, follow one face, crop all three alike."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from hashlib import file_digest
from pathlib import Path

import av
import cv2
import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from acfd import detector, shards
from acfd.ffpp import METHODS, REAL, Clip, Tree, TreeError
from acfd.params import Faces, Params, digest
from acfd.paths import atomic
from acfd.track import cover, follow, largest, square
from acfd.video import VideoError, probe, read_frames

LEFT_OUT = "left_out.csv"
# What a shard holds depends on this file too: count up when the same params would give other rows.
_RECIPE = 2


class FacesError(ValueError):
    """No use can be made of what was extracted; the message says what was found and where."""


class ClipError(ValueError):
    """One clip that cannot be used; it becomes a row of left_out.csv."""


@dataclass
class Timing:
    """Seconds by stage, summed over clips (and so over processes), and what they were spent on."""

    hash: float = 0.0  # telling whether a finished shard still holds
    decode: float = 0.0  # all three videos
    detect: float = 0.0
    crop: float = 0.0  # with PNG encoding
    write: float = 0.0
    wall: float = 0.0  # of the whole extraction, not summed
    clips: int = 0  # done now, not found done
    frames: int = 0  # chosen, in those

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, name, getattr(self, name) + time.perf_counter() - start)

    def add(self, other: Timing) -> None:
        for f in fields(self):
            setattr(self, f.name, getattr(self, f.name) + getattr(other, f.name))


@dataclass
class ClipResult:
    """What became of one clip: the frames of its shard's rows; what was left out (frame, why)."""

    clip: Clip
    frames: list[int] = field(default_factory=list)
    left_out: list[tuple[int | str, str]] = field(default_factory=list)
    timing: Timing = field(default_factory=Timing)


def extract(
    params: Params, tree: Tree, out: Path, *, progress: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame, Timing]:
    """Extract every clip of the tree's splits into shards below `out`, on compute.jobs processes.

    Writes <out>/index.parquet (a row a pair) and <out>/left_out.csv (method, video, frame or "",
    why), and returns both and the seconds spent. Shards whose sources and params are unchanged are
    kept, so that a run that was interrupted goes on where it stopped; shards of clips that the
    splits no longer name are removed.

    Raises TreeError for an empty tree or bad splits, DetectorError without the detector's weights,
    OSError for a full disk, and FacesError if some split ends up without a single face. A clip that
    cannot be used is none of these: it is left out, and left_out says why.
    """
    start = time.perf_counter()
    out = Path(out)
    detector.weights_path()
    high, low = params.data.high, params.data.low
    clips = tree.clips(params.data.methods)
    if not any(tree.video_path(clip, high).is_file() for clip in clips):
        raise TreeError(
            f"{tree.root}: none of the {len(clips)} videos that the splits name is there in {high} "
            f"(expected e.g. {tree.video_path(clips[0], high) if clips else 'any pair of ids'}); "
            "make or download the data set, or set data.root"
        )
    with shards.full_disk(out / shards.INDEX):
        out.mkdir(parents=True, exist_ok=True)
    (out / shards.INDEX).unlink(missing_ok=True)  # until all is done, an index would be wrong
    _remove_stale(out, {shards.shard_name(clip) for clip in clips})

    task = joblib.delayed(extract_clip)
    results: dict[Clip, ClipResult] = {}
    timing = Timing()
    with tqdm(total=len(clips), desc="faces", unit="video", disable=not progress) as bar:
        parallel = joblib.Parallel(
            n_jobs=params.compute.jobs, return_as="generator_unordered", batch_size=1
        )
        for done in parallel(task(tree, c, params.faces, high, low, out) for c in clips):
            results[done.clip] = done
            timing.add(done.timing)
            bar.update()
            bar.set_postfix(pairs=sum(len(r.frames) for r in results.values()), refresh=False)

    ordered = [results[clip] for clip in clips]  # whichever process was done first
    index = _index(ordered)
    left_out = pd.DataFrame(
        [(r.clip.method, r.clip.video, frame, why) for r in ordered for frame, why in r.left_out],
        columns=["method", "video", "frame", "why"],
        dtype=object,
    )
    with shards.full_disk(out / LEFT_OUT), atomic(out / LEFT_OUT) as path:
        left_out.to_csv(path, index=False, lineterminator="\n")
    _check_splits(clips, index, left_out, out)
    shards.write_index(out, index)
    timing.wall = time.perf_counter() - start
    return index, left_out, timing


def extract_clip(
    tree: Tree, clip: Clip, faces: Faces, high: str, low: str, out: Path
) -> ClipResult:
    """One clip to its shard, on one thread; if a shard of the same key is there, what that holds.

    A clip of which nothing can be used gets a shard without rows, so that it is not tried again
    until its files change.
    """
    result = ClipResult(clip)
    paths = {high: tree.video_path(clip, high), low: tree.video_path(clip, low)}
    if mask := tree.mask_path(clip):
        paths["mask"] = mask
    said = {"params": faces.model_dump() | {"high": high, "low": low}}
    shard = Path(out) / shards.shard_name(clip)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with result.timing.stage("hash"):
            key = _key(clip, said, paths)
            found = shards.read_header(shard)
        if found and found[0] == key:
            result.frames = found[2]
            result.left_out = [(frame, why) for frame, why in found[1]["left_out"]]
            return result
        rows: list[dict] = []
        try:
            for row in _rows(paths, faces, result):
                rows.append(row)
            if not rows:
                result.left_out.append(("", "no frame of the video gives a face"))
        except (VideoError, ClipError, av.FFmpegError, cv2.error) as error:
            rows = []  # a damaged video is used whole or not at all
            result.left_out = [("", " ".join(str(error).split()))]
        result.frames = [row["frame"] for row in rows]
        result.timing.clips = 1
        with result.timing.stage("write"):
            shards.write_shard(shard, clip, rows, key, said | {"left_out": result.left_out})
        return result
    except Exception as error:
        error.add_note(f"while extracting the faces of {clip}")
        raise
    finally:
        cv2.setNumThreads(threads)


def choose_frames(count: int, wanted: int, choice: str) -> list[int]:
    """Which of `count` frames to take: the first `wanted`, or evenly spaced ones.

    Evenly spaced means the middle of each of `wanted` equal parts. All if there are fewer.
    """
    if wanted >= count:
        return list(range(count))
    if choice == "first":
        return list(range(wanted))
    return [int((i + 0.5) * count / wanted) for i in range(wanted)]


def _rows(paths: dict[str, Path], faces: Faces, result: ClipResult) -> Iterator[dict]:
    """The rows of one clip; what is left out, and the seconds, go to `result`."""
    chosen = _choose(paths, faces, result)
    names = list(paths)  # high, low and perhaps the mask
    forged = len(names) > 2
    readers = [read_frames(path, chosen) for path in paths.values()]
    find = detector.detector(faces.min_score, faces.detect_size)
    track: np.ndarray | None = None
    for frame in chosen:
        with result.timing.stage("decode"):
            pictures = [next(reader)[1] for reader in readers]
        for name, picture in zip(names, pictures):
            if picture.shape != pictures[0].shape:
                raise ClipError(
                    f"{paths[name]}: frames are {_size(picture)}, those of {names[0]} are "
                    f"{_size(pictures[0])}; one box cannot cut both, make or download them again"
                )
        with result.timing.stage("detect"):
            found = find.detect(pictures[0])
        boxes = found[:, :4]
        grey = cv2.cvtColor(pictures[2], cv2.COLOR_RGB2GRAY) if forged else None
        if not len(boxes):
            why = f"no face scores above {faces.min_score}"
        elif track is not None:
            track, why = follow(track, boxes)
        elif forged:
            track, why = cover(boxes, grey > 255 * faces.mask_threshold)
        else:
            track, why = largest(boxes), ""
        if why:
            result.left_out.append((frame, why))
            continue
        with result.timing.stage("crop"):
            height, width = pictures[0].shape[:2]
            x0, y0, x1, y1 = square(track, faces.margin, width, height)
            crops = [_resize(p[y0:y1, x0:x1], faces.size) for p in pictures[:2]]
            mask = np.zeros((faces.size, faces.size), bool)
            if forged:
                cut = _resize(grey[y0:y1, x0:x1], faces.size, enlarge=cv2.INTER_LINEAR)
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


def _choose(paths: dict[str, Path], faces: Faces, result: ClipResult) -> list[int]:
    """The frames to take, out of those that all videos of the clip have."""
    with result.timing.stage("decode"):
        infos = {name: probe(path) for name, path in paths.items()}
    for info in infos.values():
        if info.frames < info.promised:
            raise ClipError(
                f"{info.path}: the video is cut short or damaged: {info.frames} frames of "
                f"{info.promised} can be read; download or make it again"
            )
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


def _resize(picture: np.ndarray, size: int, enlarge: int = cv2.INTER_CUBIC) -> np.ndarray:
    """A square picture at size x size. Masks are enlarged linearly: cubic would ring at edges."""
    side = picture.shape[0]
    if side == size:
        return picture
    how = cv2.INTER_AREA if side > size else enlarge
    return cv2.resize(picture, (size, size), interpolation=how)


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"


def _key(clip: Clip, said: dict, paths: dict[str, Path]) -> str:
    """Names exactly what a shard was made of: the clip, the params and the files' contents."""
    sources = {}
    for name, path in paths.items():
        try:
            with path.open("rb") as file:
                sources[name] = f"{path.stat().st_size} {file_digest(file, 'sha256').hexdigest()}"
        except OSError as error:  # reading the video will say the same, with its name
            sources[name] = f"unreadable: {error.strerror}"
    identity = [clip.method, clip.video, clip.target, clip.source, clip.split]
    return digest([_RECIPE, detector.SHA256, identity, said, sources])


def _index(results: list[ClipResult]) -> pd.DataFrame:
    rows = [
        (c.method, c.video, c.target, c.source, c.split, c.label, frame, shards.shard_name(c), row)
        for c, frames in ((r.clip, r.frames) for r in results)
        for row, frame in enumerate(frames)
    ]
    index = pd.DataFrame(rows, columns=list(shards.INDEX_COLUMNS))
    return index.astype({"label": "int8", "frame": "int32", "row": "int32"})


def _check_splits(
    clips: list[Clip], index: pd.DataFrame, left_out: pd.DataFrame, out: Path
) -> None:
    for split in dict.fromkeys(clip.split for clip in clips):
        if not (index["split"] == split).any():
            videos = sum(clip.split == split for clip in clips)
            names = {(c.method, c.video) for c in clips if c.split == split}
            why = next(
                row.why for row in reversed(list(left_out.itertuples())) if row[1:3] in names
            )
            raise FacesError(
                f"{split}: none of its {videos} videos gave a face (e.g. {why}); "
                f"{out / LEFT_OUT} says why for each"
            )


def _remove_stale(out: Path, wanted: set[str]) -> None:
    """Shards of clips that are gone, and half-written files of a run that was killed."""
    for method in (REAL, *METHODS):
        for path in (out / method).glob(f"*{shards.SUFFIX}"):
            if f"{method}/{path.name}" not in wanted:
                path.unlink()
