"""Shards: one Arrow file a video, one row a pair (the same face at both compressions, its mask).

Pictures are PNG, so that nothing is compressed with loss again. The same rows give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from acfd.paths import atomic, full_disk
from acfd.videos.ffpp import Clip

SUFFIX = ".arrow"
INDEX = "index.parquet"
INDEX_COLUMNS = (
    *("method", "video", "target", "source", "split", "label", "frame"),
    *("shard", "row"),
)
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("method", "video", "target", "source", "split")),
        ("label", pa.int8()),  # 0 real, 1 forged
        ("frame", pa.int32()),  # number in the video, from 0
        ("box", pa.list_(pa.float32(), 4)),  # x0, y0, x1, y1 in pixels of the video
        ("landmarks", pa.list_(pa.float32(), 10)),  # x, y of eyes, nose, mouth corners in the crop
        ("high", pa.binary()),  # PNG, size x size RGB
        ("low", pa.binary()),
        ("mask", pa.binary()),  # PNG, size x size, 0 or 255
    ]
)


class ShardError(ValueError):
    """A faces folder that cannot be read; the message names the file."""


def shard_name(clip: Clip) -> str:
    """A clip's shard, relative to the faces folder."""
    return f"{clip.method}/{clip.video}{SUFFIX}"


def encode_png(picture: np.ndarray) -> bytes:
    """H x W x 3 RGB or H x W grey, uint8, to PNG."""
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ValueError(f"no PNG could be made of a picture of shape {picture.shape}")
    return data.tobytes()


def decode_png(data: Any, grey: bool = False) -> np.ndarray:
    """PNG to H x W x 3 RGB (grey: H x W), uint8. Raises ValueError if it is damaged."""
    raw = np.frombuffer(data, np.uint8)
    picture = cv2.imdecode(raw, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise ValueError(f"not a readable PNG ({len(raw)} bytes)")
    return picture


def write_shard(
    path: Path, clip: Clip, rows: Sequence[Mapping[str, Any]], key: str, said: Mapping[str, Any]
) -> None:
    """Write a clip's rows (frame, box, landmarks, high, low, mask), whole or not at all.

    key and said (JSON-like: the params, what was left out) go to the metadata of the schema.
    Raises OSError with the free space in the message if the disk is full.
    """
    columns: dict[str, list] = {name: [row[name] for row in rows] for name in SCHEMA.names[6:]}
    for name in SCHEMA.names[:6]:
        columns[name] = [getattr(clip, name)] * len(rows)
    texts = {k: json.dumps(v, sort_keys=True) for k, v in said.items()}
    schema = SCHEMA.with_metadata({"key": key} | texts)
    arrays = [pa.array(columns[field.name], field.type) for field in schema]
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(batch)
    with full_disk(path), atomic(path) as temporary:
        temporary.write_bytes(sink.getvalue())


def read_header(path: Path) -> tuple[str, dict[str, Any], list[int]] | None:
    """(key, what write_shard was given as `said`, frame numbers); None: no whole shard there."""
    try:
        with pa.memory_map(str(path)) as file:
            reader = pa.ipc.open_file(file)
            metadata = {k.decode(): v.decode() for k, v in (reader.schema.metadata or {}).items()}
            key = metadata.pop("key")
            if not reader.schema.equals(SCHEMA):
                return None
            frames = reader.get_batch(0).column("frame").to_pylist()
            return key, {k: json.loads(v) for k, v in metadata.items()}, frames
    except (FileNotFoundError, KeyError, ValueError, OSError):
        return None  # cut short by a power failure, or not ours: it is made again


def write_index(folder: Path, index: pd.DataFrame) -> None:
    """Write <folder>/index.parquet; the same rows give the same bytes."""
    path = Path(folder) / INDEX
    with full_disk(path), atomic(path) as temporary:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pandas(index, preserve_index=False), sink)
        temporary.write_bytes(sink.getvalue())


class PairTable:
    """Random access to the rows of a faces folder.

    Shards are memory-mapped when first read. Only the folder's name is pickled, and nothing that
    is open is written to, so loader workers may be spawned or forked.
    """

    def __init__(self, faces_dir: Path | str):
        """Raises ShardError if there is no index: the faces were not extracted to the end."""
        self.folder = Path(faces_dir)
        self._batches: dict[str, pa.RecordBatch] = {}
        if not (self.folder / INDEX).is_file():
            raise ShardError(
                f"{self.folder / INDEX}: no such file; extract the faces first (`acfd faces` or "
                "`dvc repro faces`)"
            )

    @cached_property
    def index(self) -> pd.DataFrame:
        """A row a pair: method, video, target, source, split, label, frame, shard, row; and
        masked, if some forgery has no mask."""
        return pd.read_parquet(self.folder / INDEX)

    @cached_property
    def masked(self) -> np.ndarray:
        """A bool a row: is it known which pixels were forged? False where a forgery has no mask,
        which then reads as zeros; true for every real face."""
        if "masked" not in self.index:
            return np.ones(len(self), bool)
        return self.index["masked"].to_numpy(bool)

    def demand_masks(self, rows: np.ndarray, why: str) -> None:
        """Raises ShardError if a forgery among these rows has no mask. why: what needs them."""
        if len(lacking := np.asarray(rows)[~self.masked[rows]]):
            of = self.index.iloc[lacking]
            counts = of["method"].value_counts(sort=False)
            raise ShardError(
                f"{self.folder}: {why} needs a mask of each forgery; there is none of "
                f"{', '.join(f'{n} faces of {method}' for method, n in counts.items())} (e.g. "
                f"{of['method'].iloc[0]}/{of['video'].iloc[0]}). Bring them (`acfd check` says "
                "how) and run `acfd faces` again, leave these methods out, or do without"
            )

    def __len__(self) -> int:
        return len(self.index)

    def __getstate__(self) -> dict:
        return {"folder": self.folder, "_batches": {}}

    def read(self, i: int) -> dict[str, Any]:
        """Pair i: high, low (H x W x 3 uint8 RGB), mask (H x W uint8, 0 or 1), box, index fields.

        landmarks: 5 x 2, x and y in pixels of the crop (left eye as seen, right eye, nose, left and
        right mouth corner).

        Raises ShardError if the shard is missing, damaged or not the one that was indexed.
        """
        said = {name: self._columns[name][i] for name in INDEX_COLUMNS}
        where = f"{self.folder / said['shard']}, row {said['row']}"
        row = int(said["row"])
        batch = self._batch(said["shard"])
        if row >= batch.num_rows or batch.column("frame")[row].as_py() != said["frame"]:
            raise ShardError(
                f"{where}: it does not hold frame {said['frame']} of {said['video']}, as the "
                "index says; run `acfd faces` again"
            )
        try:
            pictures = {
                name: decode_png(batch.column(name)[row].as_buffer(), grey=name == "mask")
                for name in ("high", "low", "mask")
            }
        except ValueError as error:
            raise ShardError(f"{where}: {error}; delete the file, run `acfd faces`") from None
        pictures["mask"] = (pictures["mask"] > 127).astype(np.uint8)
        return pictures | said | {"box": self.box(i), "landmarks": self.landmarks(i)}

    def box(self, i: int) -> np.ndarray:
        """x0, y0, x1, y1 of pair i's crop in pixels of the video, without reading its pictures."""
        return self._numbers(i, "box")

    def landmarks(self, i: int) -> np.ndarray:
        """Landmarks of pair i alone, 5 x 2, without reading its pictures."""
        return self._numbers(i, "landmarks").reshape(5, 2)

    def _numbers(self, i: int, name: str) -> np.ndarray:
        column = self._batch(self._columns["shard"][i]).column(name)
        return np.array(column[int(self._columns["row"][i])].as_py(), np.float32)

    @cached_property
    def _columns(self) -> dict[str, list]:
        # plain lists: a row out of a DataFrame costs more than decoding its pictures
        return {name: self.index[name].tolist() for name in INDEX_COLUMNS}

    def _batch(self, shard: str) -> pa.RecordBatch:
        if shard in self._batches:
            return self._batches[shard]
        path = self.folder / shard
        if Path(shard).is_absolute() or ".." in Path(shard).parts:
            raise ShardError(
                f"{self.folder / INDEX}: names the shard {shard}, expected one in {self.folder}; "
                "run `acfd faces` again"
            )
        try:
            options = pa.ipc.IpcReadOptions(use_threads=False)
            batch = pa.ipc.open_file(pa.memory_map(str(path)), options=options).get_batch(0)
        except (OSError, ValueError) as error:
            raise ShardError(
                f"{path}: not a readable shard ({error}); delete it and run `acfd faces` again"
            ) from None
        self._batches[shard] = batch  # mapped, not read: it takes neither memory nor descriptor
        return batch
