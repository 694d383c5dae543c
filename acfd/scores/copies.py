"""Copies: faces of the test split, cut from degraded copies of their videos.

A shard a video, as in acfd.faces.shards, with a row a (family, level, frame). Every video is
decoded once and every level is made of it, so all systems share what that costs. A face's box is
the stored one.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from acfd import sources
from acfd.faces import shards
from acfd.faces.crops import choose_frames, resize
from acfd.faces.parallel import one_thread, spread
from acfd.faces.shards import PairTable, Shards
from acfd.media import degrade
from acfd.media.degrade import NONE
from acfd.media.video import probe, read_frames
from acfd.params import Params, digest
from acfd.paths import Paths, atomic, digest_of
from acfd.sections import Robustness
from acfd.videos.ffpp import REAL, Clip, Tree

if TYPE_CHECKING:
    from acfd.videos import FileSet

RAW = "raw"
INDEX_COLUMNS = [*shards.CLIP, "frame", "family", "level", "shard", "row"]
SCHEMA = pa.schema(
    [
        ("family", pa.string()),
        ("level", pa.float64()),
        ("frame", pa.int32()),
        ("crop", pa.binary()),  # PNG, size x size RGB
    ]
)
NOTE = "made.json"

Step = tuple[str, float]  # family, level


class CopiesError(ValueError):
    """Copies that cannot be made; the message says of what, and what to do."""


def make(params: Params, tree: Tree | FileSet, paths: Paths, *, progress: bool = True) -> Copies:
    """Make the copies that params.robustness asks for, as params.compute says. Writes below
    paths.copies a shard a video, index.parquet, and made.json: the compression that the copies were
    made of ("raw" if every clip has it, else data.high) and which families had to be left out. Rows
    of a shard that were made of the same file, boxes and settings are kept."""
    r, out = params.robustness, paths.copies
    table = PairTable(paths.faces)
    chosen = choose(table.index, params.methods, r)
    known = {(clip.method, clip.video): clip for clip in tree.clips(params.methods)}
    groups = chosen.groupby(["label", "method", "video"], sort=True)
    clips = {known[at[1:]]: group for at, group in groups}
    raw = all(tree.video_path(clip, RAW).is_file() for clip in clips)
    made_of = RAW if raw else params.data.high
    lacking = {f: why for f, why in degrade.missing().items() if getattr(r.levels, f)}
    wanted = [(NONE, 0.0)]
    wanted += [(f, float(level)) for f, levels in r.levels if f not in lacking for level in levels]
    (out / shards.INDEX).unlink(missing_ok=True)  # until all is done, an index would be wrong
    shards.remove_stale(out, clips)
    items = []
    for clip, group in clips.items():
        boxes = {int(frame): table.box(i).tolist() for i, frame in group["frame"].items()}
        items.append((clip, tree.video_path(clip, made_of), boxes))
    task = partial(_make_clip, wanted, r.window, params.faces.size, out)
    done = spread(task, items, params.compute)
    bar = tqdm(done, total=len(items), desc="copies", unit="video", disable=not progress)
    made = dict(bar)
    rows = []
    for clip in clips:  # whichever process was done first
        said = shards.about(clip) | {"shard": shards.shard_name(clip)}
        rows += [said | at | {"row": row} for row, at in enumerate(made[clip])]
    index = pd.DataFrame(rows)[INDEX_COLUMNS]
    with atomic(out / NOTE) as path:
        path.write_text(json.dumps({"made_of": made_of, "left_out": lacking}, indent=1) + "\n")
    shards.write_index(out, index.astype({"label": "int8", "frame": "int32", "row": "int32"}))
    return Copies(out)


def choose(index: pd.DataFrame, methods: list[str], r: Robustness) -> pd.DataFrame:
    """The rows of a PairTable's index that are tested: every real test video and, for each person,
    r.forgeries forged ones, of each method in turn (0: of all); r.frames of each, evenly spaced."""
    test = index[index["split"] == "test"]
    people = sorted(set(test["target"]))
    kept = test["method"] == REAL
    for n, person in enumerate(people):
        turn = [methods[(n * r.forgeries + k) % len(methods)] for k in range(r.forgeries)]
        kept |= (test["target"] == person) & test["method"].isin(turn or methods)
    videos = test[kept].groupby(["method", "video"], sort=False)
    chosen = pd.concat([v.iloc[choose_frames(len(v), r.frames, "even")] for _, v in videos])
    if chosen["label"].nunique() < 2:
        raise CopiesError(
            f"the test split has only {len(chosen)} faces of one class among {', '.join(methods)}; "
            "real and forged ones are needed: see left_out.csv in the faces folder"
        )
    return chosen


def cut(frame: np.ndarray, box: list[float], width: int, size: int) -> np.ndarray:
    """A face as acfd.faces cuts it, of a frame that may have been made smaller since. box: x0, y0,
    x1, y1 in pixels of the video, which was `width` wide."""
    factor = frame.shape[1] / width
    # rounding may not lead outside of a face as high as the frame
    side = min(max(1, round((box[2] - box[0]) * factor)), *frame.shape[:2])
    x, y = (round(v * factor) for v in box[:2])
    x, y = min(x, frame.shape[1] - side), min(y, frame.shape[0] - side)
    return resize(frame[y : y + side, x : x + side], size)


def _make_clip(
    wanted: list[Step], length: int, size: int, out: Path, item: tuple[Clip, Path, dict]
) -> tuple[Clip, list[dict]]:
    """One video to its shard, on one thread; returns family, level and frame of its rows. item: the
    clip, its file, and frame number -> box of the faces that are tested."""
    clip, path, boxes = item
    with one_thread(f"making degraded copies of {clip}: {path}"):
        key = digest([sources.made_by("copies"), digest_of(path), str(clip), boxes, length, size])
        shard = out / shards.shard_name(clip)
        found = shards.read_shard(shard, SCHEMA)
        rows = found[2].to_pylist() if found and found[0] == key else []
        crops = {(row["family"], row["level"], row["frame"]): row["crop"] for row in rows}
        order = [(*step, frame) for step in wanted for frame in boxes]
        if list(crops) != order:
            for frame, box in boxes.items():
                if lacking := [step for step in wanted if (*step, frame) not in crops]:
                    for step, face in _faces(path, clip, frame, box, lacking, length, size):
                        crops[*step, frame] = shards.encode_png(face)
            rows = [dict(zip(SCHEMA.names, (*at, crops[at]))) for at in order]
            shards.write(shard, SCHEMA, rows, key)
    return clip, [dict(zip(SCHEMA.names, at)) for at in order]


def _faces(
    path: Path, clip: Clip, frame: int, box: list, wanted: list[Step], length: int, size: int
) -> Iterator[tuple[Step, np.ndarray]]:
    """One frame's face at every level wanted, of which there are some. The frame is in the middle
    of `length` frames, fewer if the video has fewer, that are read once."""
    info = probe(path)
    start = max(0, min(frame - length // 2, info.frames - length))
    # read anew for each tested frame: all windows of a long video may be too much for the memory
    near = range(start, min(info.frames, start + length))
    frames, at = [picture for _, picture in read_frames(path, near)], frame - start
    noise = [zlib.crc32(str(clip).encode()), frame]
    for family, level in wanted:
        done = [frames[at]]
        if family != NONE:
            fps = info.fps or 25.0
            done = degrade.degrade(frames, family, level, wanted=[at], fps=fps, seed=noise)
        yield (family, level), cut(done[0], box, frames[at].shape[1], size)


class Copies(Shards):
    """The copies of a folder; item i is the crop, 3 x S x S uint8 RGB. A map-style data set as
    torch's loaders take it, without torch for those who only look."""

    command = "copies"

    @cached_property
    def note(self) -> dict:
        """made_of, left_out: see `make`."""
        return json.loads((self.folder / NOTE).read_text())

    def __getitem__(self, i: int) -> np.ndarray:
        return np.ascontiguousarray(self._picture(i, "crop").transpose(2, 0, 1))
