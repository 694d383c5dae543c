"""Every clip of a data set to a shard of aligned crops, on one machine or on many. A shard is
written whole or not at all, under a key of what it was made of, so any number of processes, jobs
and machines may work on one folder, and a run that was stopped goes on where it was."""

import re
import sys
import time
from functools import partial
from pathlib import Path

import av
import cv2
import pandas as pd
from tqdm import tqdm

from acfd import sources as code
from acfd.faces import crops, shards
from acfd.faces.crops import ClipError, ClipResult
from acfd.faces.parallel import one_thread, spread
from acfd.media import centerface
from acfd.media.timing import Timing
from acfd.media.video import IMAGES, VideoError
from acfd.params import Params, digest
from acfd.paths import atomic, digest_of
from acfd.sections import Faces
from acfd.videos import FileSet
from acfd.videos.compress import at_hand
from acfd.videos.ffpp import Clip, Tree, TreeError, mask_there

LEFT_OUT = "left_out.csv"


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
    kept; shards of clips that the splits no longer name are removed. shard: (i, n), i from 1 to n:
    only every n-th clip, from the i-th on, for one of n jobs, which neither writes the two files
    nor removes anything; an extraction without it, when all jobs are done, does.

    Raises TreeError for an empty set or bad splits, WheelError without the detector's weights,
    OSError for a full disk, SpreadError if processes die again and again, and FacesError if some
    split ends up without a single face. A clip that cannot be used is left out: left_out says why.
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
    if shard is None:
        shards.remove_stale(out, clips)
    else:
        i, n = shard
        clips = clips[i - 1 :: n]

    task = partial(extract_clip, tree, faces=params.faces, high=high, low=low, out=out)
    results: dict[Clip, ClipResult] = {}
    timing = Timing()
    pairs = 0
    every = 0.5 if sys.stderr.isatty() else 30.0  # seconds; a log file needs no more lines
    shown = {"desc": "faces", "unit": "video", "mininterval": every, "disable": not progress}
    bar = tqdm(spread(task, clips, params.compute), total=len(clips), **shown)
    for done in bar:
        results[done.clip] = done
        timing.add(done.timing)
        pairs += len(done.frames)
        bar.set_postfix(pairs=pairs, MiB_a_process=timing.memory, refresh=False)

    ordered = [results[clip] for clip in clips]  # whichever process was done first
    index = _index(ordered)
    left_out = pd.DataFrame(
        [(r.clip.method, r.clip.video, frame, why) for r in ordered for frame, why in r.left_out],
        columns=["method", "video", "frame", "why"],
        dtype=object,
    )
    if shard is None:
        with atomic(out / LEFT_OUT) as path:
            left_out.to_csv(path, index=False, lineterminator="\n", errors="backslashreplace")
        _check(ordered, out)
        shards.write_index(out, index)
    timing.memory = max(timing.memory, peak_memory())
    timing.wall = time.perf_counter() - start
    return index, left_out, timing


def unmasked(index: pd.DataFrame) -> str:
    """How many forged videos of an index have no mask, in words; "" if all of them have one."""
    if "masked" not in index:
        return ""
    of = index[index["label"] == 1].groupby("method", sort=False)
    said = [f"{m} {v[~v['masked']]['video'].nunique()} of {v['video'].nunique()}" for m, v in of]
    return f"forged videos without a mask, whose largest face was followed: {', '.join(said)}"


def extract_clip(
    tree: Tree | FileSet, clip: Clip, faces: Faces, high: str, low: str, out: Path
) -> ClipResult:
    """One clip to its shard, on one thread; if a shard of the same key is there, what that holds. A
    clip of which nothing can be used gets a shard without rows, so that it is not tried again until
    its files change. The index is removed before a shard is changed: it would be wrong."""
    mask = mask_there(tree, clip)
    result = ClipResult(clip, masked=not clip.label or mask is not None)
    paths = {high: tree.video_path(clip, high), low: tree.video_path(clip, low)}
    made = {quality: how for quality in paths if (how := tree.recipe(quality))}
    said = {"params": faces.model_dump() | {"high": high, "low": low}}
    said |= {"made": made} if made else {}
    shard = Path(out) / shards.shard_name(clip)
    with one_thread(f"extracting the faces of {clip}"):
        with result.timing.stage("hash"):
            result.key = _key(clip, said, paths | ({"mask": mask} if mask else {}))
            found = shards.read_shard(shard)
        if found and found[0] == result.key:
            result.frames = found[2].column("frame").to_pylist()
            result.left_out = [(frame, why) for frame, why in found[1]["left_out"]]
        else:
            (Path(out) / shards.INDEX).unlink(missing_ok=True)
            rows = _rows(paths, mask, made, faces, result)
            said["left_out"] = result.left_out
            with result.timing.stage("write"):
                shards.write_shard(shard, clip, rows, result.key, said)
    result.timing.memory = peak_memory()
    return result


def _rows(paths: dict, mask: Path | None, made: dict, faces: Faces, result: ClipResult) -> list:
    """The rows of a clip's shard; none, and result.left_out says why, if it cannot be used.

    paths: of the high quality and the low one; made: how those that are to be made are."""
    if next(iter(paths.values())).suffix.lower() in IMAGES:
        faces = faces.model_copy(update={"frames": 1})
    try:
        with at_hand(paths, made, result.timing) as ready:
            rows = list(crops.rows(ready | ({"mask": mask} if mask else {}), faces, result))
        if not rows:
            result.left_out.append(("", "no frame of the video gives a face"))
    except (VideoError, ClipError, av.FFmpegError, cv2.error) as error:
        rows = []  # a damaged video is used whole or not at all
        result.left_out = [("", " ".join(str(error).split()))]
    result.frames = [row["frame"] for row in rows]
    result.timing.clips = 1
    return rows


def peak_memory() -> int:
    """MiB that this process has taken at most; 0 where the system does not say."""
    # not getrusage: its peak is inherited from the process that started this one
    status = Path("/proc/self/status")
    peak = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.is_file() else None
    return int(peak[1]) >> 10 if peak else 0


def _key(clip: Clip, said: dict, paths: dict[str, Path]) -> str:
    """Names exactly what a shard was made of: the clip, the params and the files' contents."""
    contents: dict[Path, str] = {}
    for path in set(paths.values()):  # both qualities may be made of one file
        try:
            contents[path] = digest_of(path)
        except OSError as error:  # reading the video will say the same, with its name
            contents[path] = f"unreadable: {error.strerror}"
    identity = [clip.method, clip.video, clip.target, clip.source, clip.split]
    sources = {name: contents[path] for name, path in paths.items()}
    return digest([code.made_by("faces"), identity, said, sources])


def _index(results: list[ClipResult]) -> pd.DataFrame:
    """A row a pair. The column masked is there only if for some forgery it is not known what was
    forged."""
    videos = [
        shards.about(r.clip)
        | {"frame": r.frames, "shard": shards.shard_name(r.clip), "row": range(len(r.frames))}
        | {"masked": r.masked}
        for r in results
        if r.frames
    ]
    optional = [] if all(r.masked for r in results) else ["masked"]
    index = pd.DataFrame(videos, columns=[*shards.INDEX_COLUMNS, *optional])
    index = index.explode(["frame", "row"], ignore_index=True)
    return index.astype({"label": "int8", "frame": "int32", "row": "int32"})


def _check(results: list[ClipResult], out: Path) -> None:
    """Raises FacesError for a split without a face, and for a shard that is another one's: another
    extraction with other params may have been at work on the same folder."""
    for split in dict.fromkeys(r.clip.split for r in results):
        of = [r for r in results if r.clip.split == split]
        if not any(r.frames for r in of):
            raise FacesError(
                f"{split}: none of its {len(of)} videos gave a face (e.g. {of[-1].left_out[-1][1]})"
                f"; {out / LEFT_OUT} says why for each"
            )
    for result in results:
        path = out / shards.shard_name(result.clip)
        found = shards.read_shard(path)
        if found is None or found[0] != result.key:
            raise FacesError(
                f"{path}: it was changed or removed since it was made; does another extraction "
                "with other params write to this folder? End it, and run this one again"
            )
