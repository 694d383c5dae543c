"""Faces: every clip of a data set to a shard of aligned crops, on one machine or on many.

A clip's shard is made by one function, whoever calls it; it is written whole or not at all, under a
key of what it was made of. So any number of processes, jobs and machines may work on one folder,
and a run that was stopped goes on where it was.
"""

from __future__ import annotations

import resource
import sys
import time
import warnings
from functools import partial
from hashlib import file_digest
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from acfd import sources as code
from acfd.faces import crops, shards
from acfd.faces.crops import ClipError, ClipResult
from acfd.faces.crops import choose_frames as choose_frames  # what others ask this module for
from acfd.faces.parallel import spread
from acfd.media import centerface
from acfd.media.timing import Timing
from acfd.media.video import IMAGES, VideoError
from acfd.params import SHRUNK, Params, digest
from acfd.paths import atomic, full_disk
from acfd.sections import Faces
from acfd.videos import FileSet
from acfd.videos.compress import at_hand
from acfd.videos.ffpp import Clip, Tree, TreeError, mask_there

LEFT_OUT = "left_out.csv"
_ABANDONED = 3600  # seconds after which a half-written file is one of a run that was killed


class FacesError(ValueError):
    """No use can be made of what was extracted; the message says what was found and where."""


def extract(
    params: Params,
    tree: Tree | FileSet,
    out: Path,
    *,
    progress: bool = True,
    shard: tuple[int, int] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, Timing]:
    """Extract every clip of the set's splits into shards below `out`, as params.compute says.

    Writes <out>/index.parquet (a row a pair) and <out>/left_out.csv (method, video, frame or "",
    why), and returns both and the seconds spent. Shards whose sources and params are unchanged are
    kept; shards of clips that the splits no longer name are removed.

    shard: (i, n), i from 1 to n: only every n-th clip, from the i-th on, for one of n jobs. It
    neither writes the two files nor removes anything; an extraction without it, when all jobs are
    done, finds their shards and does.

    Raises TreeError for an empty set or bad splits, DetectorError without the detector's weights,
    OSError for a full disk, SpreadError if processes die again and again, and FacesError if some
    split ends up without a single face. A clip that cannot be used is none of these: it is left
    out, and left_out says why.
    """
    start = time.perf_counter()
    out = Path(out)
    centerface.weights_path()
    high, low = params.data.high, params.data.low
    clips = tree.clips(params.data.methods)
    if not any(tree.video_path(clip, high).is_file() for clip in clips):
        raise TreeError(
            f"{tree.root}: none of the {len(clips)} videos that the splits name is there in {high} "
            f"(expected e.g. {tree.video_path(clips[0], high) if clips else 'any pair of ids'}); "
            "make or download the data set, or set data.root"
        )
    with full_disk(out / shards.INDEX):
        out.mkdir(parents=True, exist_ok=True)
    if shard is None:
        _remove_stale(out, {shards.shard_name(clip) for clip in clips})
    else:
        clips = _part(clips, *shard)

    task = partial(_extract, tree, params.faces, high, low, out)
    results: dict[Clip, ClipResult] = {}
    timing = Timing()
    pairs = 0
    every = 0.5 if sys.stderr.isatty() else 30.0  # seconds; a log file needs no more lines
    with tqdm(
        total=len(clips), desc="faces", unit="video", mininterval=every, disable=not progress
    ) as bar:
        for done in spread(task, clips, params.compute):
            results[done.clip] = done
            timing.add(done.timing)
            pairs += len(done.frames)
            bar.set_postfix(pairs=pairs, MiB_a_process=timing.memory, refresh=False)
            bar.update()

    ordered = [results[clip] for clip in clips]  # whichever process was done first
    index = _index(ordered)
    left_out = pd.DataFrame(
        [(r.clip.method, r.clip.video, frame, why) for r in ordered for frame, why in r.left_out],
        columns=["method", "video", "frame", "why"],
        dtype=object,
    )
    if shard is None:
        with full_disk(out / LEFT_OUT), atomic(out / LEFT_OUT) as path:
            left_out.to_csv(path, index=False, lineterminator="\n", errors="backslashreplace")
        _check_splits(clips, index, left_out, out)
        _check_shards(ordered, out)
        shards.write_index(out, index)
        if note := shrunk(out, index, params.faces.size):
            warnings.warn(note, stacklevel=2)
    timing.memory = max(timing.memory, peak_memory())
    timing.wall = time.perf_counter() - start
    return index, left_out, timing


def shrunk(out: Path, index: pd.DataFrame, size: int) -> str:
    """What to say if crops are resized so far that it erases what compression would have; "" if
    not. It looks at a few hundred rows of the index."""
    table = shards.PairTable(out)
    some = np.linspace(0, len(index) - 1, min(len(index), 300)).astype(int)
    sides = np.array([table.box(int(i))[2] - table.box(int(i))[0] for i in some])
    share = float((sides * SHRUNK > size).mean())
    if share <= 0.05:
        return ""
    return (
        f"{share:.0%} of the crops are shrunk by more than a quarter (their median side in the "
        f"video is {np.median(sides):.0f} pixels, faces.size is {size}): compression and what it "
        f"leaves of a forgery are resized away; raise faces.size, the paper has 299"
    )


def _extract(tree: Tree | FileSet, faces: Faces, high: str, low: str, out: Path, clip: Clip):
    return extract_clip(tree, clip, faces, high, low, out)


def extract_clip(
    tree: Tree | FileSet, clip: Clip, faces: Faces, high: str, low: str, out: Path
) -> ClipResult:
    """One clip to its shard, on one thread; if a shard of the same key is there, what that holds.

    A clip of which nothing can be used gets a shard without rows, so that it is not tried again
    until its files change. An index that is there is removed before a shard is changed: until all
    is done, it would be wrong.
    """
    mask = mask_there(tree, clip)
    result = ClipResult(clip, masked=not clip.label or mask is not None)
    paths = {high: tree.video_path(clip, high), low: tree.video_path(clip, low)}
    recipes = {q: tree.recipe(q) for q in paths} if isinstance(tree, FileSet) else {}
    made = {quality: how for quality, how in recipes.items() if how}
    said = {"params": faces.model_dump() | {"high": high, "low": low}}
    said |= {"made": made} if made else {}
    shard = Path(out) / shards.shard_name(clip)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with result.timing.stage("hash"):
            result.key = _key(clip, said, paths | ({"mask": mask} if mask else {}))
            found = shards.read_header(shard)
        if found and found[0] == result.key:
            result.frames = found[2]
            result.left_out = [(frame, why) for frame, why in found[1]["left_out"]]
            return result
        (Path(out) / shards.INDEX).unlink(missing_ok=True)
        if paths[high].suffix.lower() in IMAGES:
            faces = faces.model_copy(update={"frames": 1})
        rows: list[dict] = []
        try:
            with at_hand(paths, made, result.timing) as ready:
                ready |= {"mask": mask} if mask else {}
                for row in crops.rows(ready, faces, result):
                    rows.append(row)
            if not rows:
                result.left_out.append(("", "no frame of the video gives a face"))
        except (VideoError, ClipError, av.FFmpegError, cv2.error) as error:
            rows = []  # a damaged video is used whole or not at all
            result.left_out = [("", " ".join(str(error).split()))]
        result.frames = [row["frame"] for row in rows]
        result.timing.clips = 1
        with result.timing.stage("write"):
            shards.write_shard(shard, clip, rows, result.key, said | {"left_out": result.left_out})
        return result
    except Exception as error:
        error.add_note(f"while extracting the faces of {clip}")
        raise
    finally:
        cv2.setNumThreads(threads)
        result.timing.memory = peak_memory()


def peak_memory() -> int:
    """MiB that this process has taken at most."""
    try:
        # not getrusage: its peak is inherited from the process that started this one
        status = Path("/proc/self/status").read_text().splitlines()
        return int(next(line.split()[1] for line in status if line.startswith("VmHWM"))) >> 10
    except (OSError, StopIteration):
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit


def _part(clips: list[Clip], i: int, n: int) -> list[Clip]:
    if not 1 <= i <= n:
        raise FacesError(f"shard {i}/{n}: expected i/n with i from 1 to n")
    return clips[i - 1 :: n]


def _key(clip: Clip, said: dict, paths: dict[str, Path]) -> str:
    """Names exactly what a shard was made of: the clip, the params and the files' contents."""
    sources: dict[str, str] = {}
    known: dict[Path, str] = {}  # both qualities may be made of one file
    for name, path in paths.items():
        if path not in known:
            try:
                with path.open("rb") as file:
                    size, content = path.stat().st_size, file_digest(file, "sha256").hexdigest()
                known[path] = f"{size} {content}"
            except OSError as error:  # reading the video will say the same, with its name
                known[path] = f"unreadable: {error.strerror}"
        sources[name] = known[path]
    identity = [clip.method, clip.video, clip.target, clip.source, clip.split]
    return digest([code.made_by("faces"), identity, said, sources])


def _index(results: list[ClipResult]) -> pd.DataFrame:
    """A row a pair. The column masked is there only if for some forgery it is not known what was
    forged."""
    per_clip = {
        "shard": [shards.shard_name(r.clip) for r in results],
        "masked": [r.masked for r in results],
    } | {name: [getattr(r.clip, name) for r in results] for name in shards.INDEX_COLUMNS[:6]}
    counts = [len(r.frames) for r in results]
    columns = {
        name: [value for value, n in zip(values, counts) for _ in range(n)]
        for name, values in per_clip.items()
    }
    columns["frame"] = [frame for r in results for frame in r.frames]
    columns["row"] = [row for n in counts for row in range(n)]
    optional = [] if all(per_clip["masked"]) else ["masked"]
    index = pd.DataFrame({name: columns[name] for name in (*shards.INDEX_COLUMNS, *optional)})
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


def _check_shards(results: list[ClipResult], out: Path) -> None:
    """Another extraction with other params may have been at work on the same folder."""
    for result in results:
        found = shards.read_header(out / shards.shard_name(result.clip))
        if found is None or found[0] != result.key:
            raise FacesError(
                f"{out / shards.shard_name(result.clip)}: it was changed or removed since it was "
                "made; does another extraction with other params write to this folder? End it, "
                "and run this one again"
            )


def _remove_stale(out: Path, wanted: set[str]) -> None:
    """Shards of clips that are gone, and half-written files of a run that was killed.

    A young half-written file may be one of another process that is at work.
    """
    for path in out.glob(f"*/*{shards.SUFFIX}"):
        if path.name.startswith("."):
            if not _is_abandoned(path):
                continue
        elif f"{path.parent.name}/{path.name}" in wanted:
            continue
        else:
            (out / shards.INDEX).unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _ABANDONED
    except FileNotFoundError:  # its process has just been done with it
        return False
