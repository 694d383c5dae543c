"""Copies: faces of the test split, cut from degraded copies of their videos.

A shard a video, as in acfd.faces.shards, with a row a (family, level, frame). Every video is
decoded once and every level is made of it, so all systems share what that costs. A face's box is
the stored one.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from functools import partial
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from acfd import sources
from acfd.faces import shards
from acfd.faces.crops import choose_frames, resize
from acfd.faces.parallel import spread
from acfd.faces.shards import PairTable
from acfd.media import degrade
from acfd.media.degrade import NONE
from acfd.media.video import probe, read_frames
from acfd.params import Params, digest
from acfd.paths import Paths, atomic, full_disk
from acfd.sections import Robustness
from acfd.videos.ffpp import REAL, Clip, Tree

if TYPE_CHECKING:
    from acfd.videos import FileSet

RAW = "raw"
CLIP = ["method", "video", "target", "source", "split"]
INDEX_COLUMNS = [*CLIP, "label", "frame", "family", "level", "shard", "row"]
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
    """Copies that cannot be made or read; the message says of what, and what to do."""


def make(
    params: Params, tree: Tree | FileSet, paths: Paths, *, progress: bool = True
) -> pd.DataFrame:
    """Make the copies that params.robustness asks for, as params.compute says.

    Writes below paths.copies a shard a video, index.parquet, and made.json: the compression that
    the copies were made of ("raw" if every clip has it, else data.high) and which families had to
    be left out. Rows of a shard that were made of the same file, boxes and settings are kept, so a
    run that was interrupted goes on, and of a new level only its own rows are made.
    """
    r, out = params.robustness, paths.copies
    table = PairTable(paths.faces)
    chosen = choose(table.index, params.data.methods, r)
    known = {(clip.method, clip.video): clip for clip in tree.clips(params.data.methods)}
    groups = chosen.groupby(["label", "method", "video"], sort=True)
    clips = {known[at[1:]]: group for at, group in groups}
    made_of = RAW
    if not all(tree.video_path(clip, RAW).is_file() for clip in clips):
        made_of = params.data.high
    lacking = {f: why for f, why in degrade.missing().items() if getattr(r.levels, f)}
    wanted = [step for step in steps(r) if step[0] not in lacking]
    (out / shards.INDEX).unlink(missing_ok=True)  # until all is done, an index would be wrong
    _remove_stale(out, {shards.shard_name(clip) for clip in clips})
    items = []
    for clip, group in clips.items():
        read = [table.read(i) for i in group.index]
        boxes = {int(pair["frame"]): pair["box"].tolist() for pair in read}
        items.append((clip, tree.video_path(clip, made_of), boxes))
    task = partial(_make_clip, wanted, r.window, params.faces.size, out)
    done = {}
    with tqdm(total=len(items), desc="copies", unit="video", disable=not progress) as bar:
        for clip, order in spread(task, items, params.compute):
            done[clip] = order
            bar.update()
    rows = []
    for clip in clips:  # whichever process was done first
        said = [getattr(clip, c) for c in (*CLIP, "label")]
        name = shards.shard_name(clip)
        for row, (family, level, frame) in enumerate(done[clip]):
            rows.append((*said, frame, family, level, name, row))
    index = pd.DataFrame(rows, columns=INDEX_COLUMNS)
    index = index.astype({"label": "int8", "frame": "int32", "row": "int32"})
    with atomic(out / NOTE) as path:
        path.write_text(json.dumps({"made_of": made_of, "left_out": lacking}, indent=1) + "\n")
    shards.write_index(out, index)
    return index


def steps(r: Robustness) -> list[Step]:
    """Every (family, level) in order, the untouched frame first."""
    return [(NONE, 0.0)] + [(f, float(level)) for f, levels in r.levels for level in levels]


def choose(index: pd.DataFrame, methods: list[str], r: Robustness) -> pd.DataFrame:
    """The rows of a PairTable's index that are tested: every real test video and, for each person,
    r.forgeries forged ones, of each method in turn (0: of all); r.frames of each, evenly spaced.
    """
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
    """A face as acfd.faces cuts it, of a frame that may have been made smaller since.

    box: x0, y0, x1, y1 in pixels of the video, which was `width` wide.
    """
    factor = frame.shape[1] / width
    # rounding may not lead outside of a face as high as the frame
    side = min(max(1, round((box[2] - box[0]) * factor)), *frame.shape[:2])
    x, y = (round(v * factor) for v in box[:2])
    x, y = min(x, frame.shape[1] - side), min(y, frame.shape[0] - side)
    return resize(frame[y : y + side, x : x + side], size)


def window(frame: int, count: int, length: int) -> range:
    """`length` consecutive frames of `count`, `frame` in their middle; fewer if there are fewer."""
    start = max(0, min(frame - length // 2, count - length))
    return range(start, min(count, start + length))


def _make_clip(
    wanted: list[Step], length: int, size: int, out: Path, item: tuple[Clip, Path, dict]
) -> tuple[Clip, list[tuple[str, float, int]]]:
    """One video to its shard, on one thread; returns (family, level, frame) of its rows.

    item: the clip, its file, and frame number -> box of the faces that are tested.
    """
    clip, path, boxes = item
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with path.open("rb") as file:
            source = file_digest(file, "sha256").hexdigest()
        key = digest([sources.made_by("copies"), source, str(clip), boxes, length, size])
        shard = out / shards.shard_name(clip)
        crops = _stored(shard, key)
        order = [(family, level, frame) for family, level in wanted for frame in boxes]
        if list(crops) != order:
            for frame, box in boxes.items():
                lacking = [step for step in wanted if (*step, frame) not in crops]
                for step, face in _faces(path, clip, frame, box, lacking, length, size):
                    crops[*step, frame] = shards.encode_png(face)
            write_shard(shard, key, {at: crops[at] for at in order})
        return clip, order
    except Exception as error:
        error.add_note(f"while making degraded copies of {clip}: {path}")
        raise
    finally:
        cv2.setNumThreads(threads)


def _faces(
    path: Path, clip: Clip, frame: int, box: list, wanted: list[Step], length: int, size: int
) -> Iterator[tuple[Step, np.ndarray]]:
    """One frame's face at every level wanted; the frames around it are read once."""
    if not wanted:
        return
    info = probe(path)
    near = window(frame, info.frames, length)
    # read anew for each tested frame: all windows of a long video may be too much for the memory
    frames = [picture for _, picture in read_frames(path, near)]
    at = frame - near.start
    noise = [zlib.crc32(str(clip).encode()), frame]
    for family, level in wanted:
        done = [frames[at]]
        if family != NONE:
            fps = info.fps or 25.0
            done = degrade.degrade(frames, family, level, wanted=[at], fps=fps, seed=noise)
        yield (family, level), cut(done[0], box, frames[at].shape[1], size)


def _key(shard: Path) -> str:
    """What a shard was made of; "" if it is not there or not ours."""
    try:
        with pa.memory_map(str(shard)) as file:
            metadata = pa.ipc.open_file(file).schema.metadata or {}
    except (FileNotFoundError, ValueError, OSError):
        return ""
    return metadata.get(b"key", b"").decode()


def _stored(shard: Path, key: str) -> dict[tuple, bytes]:
    """Rows of a shard that was made with this key; none if it was not."""
    if _key(shard) != key:
        return {}
    with pa.memory_map(str(shard)) as file:
        columns = pa.ipc.open_file(file).get_batch(0).to_pydict()
    at = zip(columns["family"], columns["level"], columns["frame"])
    return dict(zip(at, columns["crop"]))


def write_shard(shard: Path, key: str, crops: dict[tuple, bytes]) -> None:
    """Write a video's copies, (family, level, frame) -> PNG, whole or not at all; key: what of."""
    schema = SCHEMA.with_metadata({"key": key})
    columns = [*zip(*crops), list(crops.values())]
    arrays = [pa.array(c, field.type) for c, field in zip(columns, schema)]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    with full_disk(shard), atomic(shard) as temporary:
        temporary.write_bytes(sink.getvalue())


def _remove_stale(out: Path, wanted: set[str]) -> None:
    for path in out.glob(f"*/*{shards.SUFFIX}"):
        if f"{path.parent.name}/{path.name}" not in wanted:
            path.unlink()


class Copies:
    """Random access to the copies of a folder; item i is the crop, 3 x S x S uint8 RGB.

    A map-style data set as torch's loaders take it, without torch for those who only look.
    """

    def __init__(self, folder: Path):
        """Raises CopiesError if there is no index: the copies were not made to the end."""
        self.folder = Path(folder)
        if not (self.folder / shards.INDEX).is_file():
            raise CopiesError(
                f"{self.folder / shards.INDEX}: no such file; make the copies first (`acfd copies` "
                "or `dvc repro`)"
            )
        self.index = pd.read_parquet(self.folder / shards.INDEX)
        self.note = json.loads((self.folder / NOTE).read_text())

    def keys(self) -> list[str]:
        """What each shard was made of, in order."""
        return [_key(self.folder / shard) for shard in self.index["shard"].unique()]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> np.ndarray:
        at = self.index.iloc[i]
        path = self.folder / at["shard"]
        try:
            with pa.memory_map(str(path)) as file:
                batch = pa.ipc.open_file(file).get_batch(0)
                picture = shards.decode_png(batch.column("crop")[int(at["row"])].as_buffer())
        except (OSError, ValueError, IndexError) as error:
            raise CopiesError(
                f"{path}, row {at['row']}: {error}; delete the file and run `acfd copies` again"
            ) from None
        return np.ascontiguousarray(picture.transpose(2, 0, 1))
