"""Shards: one Arrow file a video, a row a picture or a pair, and one index of a folder of them.
Pictures are PNG, so that nothing is compressed with loss again. The same rows give the same bytes.
"""

import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa

from acfd.paths import atomic, read_frame
from acfd.videos.ffpp import Clip

SUFFIX = ".arrow"
INDEX = "index.parquet"
CLIP = ("method", "video", "target", "source", "split", "label")
INDEX_COLUMNS = (*CLIP, "frame", "shard", "row")
# A pair: the same face at both compressions, and its mask
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in CLIP[:5]),
        ("label", pa.int8()),  # 0 real, 1 forged
        ("frame", pa.int32()),  # number in the video, from 0
        ("box", pa.list_(pa.float32(), 4)),  # x0, y0, x1, y1 in pixels of the video
        ("landmarks", pa.list_(pa.float32(), 10)),  # x, y of eyes, nose, mouth corners in the crop
        ("high", pa.binary()),  # PNG, size x size RGB
        ("low", pa.binary()),
        ("mask", pa.binary()),  # PNG, size x size, 0 or 255
    ]
)
_ABANDONED = 3600  # seconds after which a half-written file is one of a run that was killed


class ShardError(ValueError):
    """A folder of shards that cannot be read; the message names the file."""


def shard_name(clip: Clip) -> str:
    """A clip's shard, relative to its folder."""
    return f"{clip.method}/{clip.video}{SUFFIX}"


def about(clip: Clip) -> dict[str, Any]:
    """What a row of an index says of its clip."""
    return {name: getattr(clip, name) for name in CLIP}


def encode_png(picture: np.ndarray) -> bytes:
    """H x W x 3 RGB or H x W grey, uint8, to PNG."""
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def decode_png(data: Any, grey: bool = False) -> np.ndarray:
    """PNG to H x W x 3 RGB (grey: H x W), uint8. Raises ValueError if it is damaged."""
    raw = np.frombuffer(data, np.uint8)
    picture = cv2.imdecode(raw, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise ValueError(f"not a readable PNG ({len(raw)} bytes)")
    return picture


def write_shard(
    path: Path, clip: Clip, rows: Iterable[Mapping[str, Any]], key: str, said: Mapping[str, Any]
) -> None:
    """Write a clip's rows (frame, box, landmarks, high, low, mask), as `write` does."""
    write(path, SCHEMA, [about(clip) | row for row in rows], key, said)


def write(
    path: Path,
    schema: pa.Schema,
    rows: list[dict[str, Any]],
    key: str,
    said: Mapping[str, Any] | None = None,
) -> None:
    """Write a shard, whole or not at all. key (what it was made of) and said (JSON-like: the
    params, what was left out) go to the metadata of the schema."""
    texts = {k: json.dumps(v, sort_keys=True) for k, v in (said or {}).items()}
    batch = pa.RecordBatch.from_pylist(rows, schema.with_metadata({"key": key} | texts))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    with atomic(path) as temporary:
        temporary.write_bytes(sink.getvalue())


def read_shard(
    path: Path, schema: pa.Schema = SCHEMA
) -> tuple[str, dict[str, Any], pa.RecordBatch] | None:
    """(key, said, rows) as `write` was given them; None: no whole shard of this kind is there."""
    try:
        batch = _mapped(path)
        said = {k.decode(): v.decode() for k, v in (batch.schema.metadata or {}).items()}
        key = said.pop("key")
        if batch.schema.equals(schema):
            return key, {k: json.loads(v) for k, v in said.items()}, batch
    except (KeyError, ValueError, OSError):
        pass  # cut short by a power failure, or not ours: it is made again
    return None


def _mapped(path: Path) -> pa.RecordBatch:
    """A shard's rows, mapped, not read: they take neither memory nor a descriptor."""
    options = pa.ipc.IpcReadOptions(use_threads=False)
    return pa.ipc.open_file(pa.memory_map(str(path)), options=options).get_batch(0)


def write_index(folder: Path, index: pd.DataFrame) -> None:
    """Write <folder>/index.parquet; the same rows give the same bytes."""
    with atomic(Path(folder) / INDEX) as temporary:
        temporary.write_bytes(index.to_parquet(index=False))


def remove_stale(folder: Path, clips: Iterable[Clip]) -> None:
    """Remove shards of other clips than these, and half-written files of a run that was killed; a
    young one may be of another process that is at work."""
    wanted = {folder / shard_name(clip) for clip in clips}
    for path in set(folder.glob(f"*/*{SUFFIX}")) - wanted:
        if not path.name.startswith("."):
            (folder / INDEX).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        else:
            with suppress(FileNotFoundError):  # its process has just been done with it
                if time.time() - path.stat().st_mtime > _ABANDONED:
                    path.unlink()


class Shards:
    """Random access to the rows of a folder of shards, which are memory-mapped when first read.
    Only the folder's name is pickled, so loader workers may be spawned or forked."""

    command: ClassVar[str]  # that makes the folder

    def __init__(self, folder: Path | str):
        """Raises ShardError if there is no index: the shards were not made to the end."""
        self.folder = Path(folder)
        self._batches: dict[str, pa.RecordBatch] = {}
        if not (self.folder / INDEX).is_file():
            raise ShardError(
                f"{self.folder / INDEX}: no such file; make the {self.command} first "
                f"(`acfd {self.command}` or `dvc repro`)"
            )

    @cached_property
    def index(self) -> pd.DataFrame:
        """A row an item: INDEX_COLUMNS and more."""
        return read_frame(self.folder / INDEX, f"`acfd {self.command}` writes it anew")

    def __len__(self) -> int:
        return len(self.index)

    def __getstate__(self) -> dict:
        return {"folder": self.folder, "_batches": {}}

    @cached_property
    def _columns(self) -> dict[str, list]:
        # plain lists: a row out of a DataFrame costs more than decoding its pictures
        return {name: self.index[name].tolist() for name in INDEX_COLUMNS}

    def _at(self, i: int) -> tuple[pa.RecordBatch, int]:
        """The shard that item i is in, and its row there."""
        at = ("shard", "row", "frame", "video")
        shard, row, frame, video = (self._columns[name][i] for name in at)
        batch = self._batch(shard)
        if row >= batch.num_rows or batch.column("frame")[row].as_py() != frame:
            raise self._broken(f"{shard}, row {row}", f"it does not hold frame {frame} of {video}")
        return batch, row

    def _picture(self, i: int, name: str, grey: bool = False) -> np.ndarray:
        batch, row = self._at(i)
        try:
            return decode_png(batch.column(name)[row].as_buffer(), grey)
        except ValueError as error:
            raise self._broken(f"{self._columns['shard'][i]}, row {row}", error) from None

    def _batch(self, shard: str) -> pa.RecordBatch:
        if shard in self._batches:
            return self._batches[shard]
        if Path(shard).is_absolute() or ".." in Path(shard).parts:
            raise self._broken(INDEX, f"names the shard {shard}, expected one in {self.folder}")
        try:
            self._batches[shard] = _mapped(self.folder / shard)
        except (OSError, ValueError) as error:
            raise self._broken(shard, f"not a readable shard ({error})") from None
        return self._batches[shard]

    def _broken(self, where: str, said: str | Exception) -> ShardError:
        do = f"delete the file and run `acfd {self.command}` again"
        return ShardError(f"{self.folder / where}: {said}; {do}")


class PairTable(Shards):
    """The pairs of a faces folder."""

    command = "faces"

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

    def read(self, i: int) -> dict[str, Any]:
        """Pair i: high, low (H x W x 3 uint8 RGB), mask (H x W uint8, 0 or 1), box, landmarks,
        index fields. Raises ShardError if the shard is missing, damaged or not the one that was
        indexed."""
        pictures = {name: self._picture(i, name) for name in ("high", "low")}
        pictures["mask"] = (self._picture(i, "mask", grey=True) > 127).astype(np.uint8)
        said = {name: self._columns[name][i] for name in INDEX_COLUMNS}
        return pictures | said | {"box": self.box(i), "landmarks": self.landmarks(i)}

    def box(self, i: int) -> np.ndarray:
        """x0, y0, x1, y1 of pair i's crop in pixels of the video, without reading its pictures."""
        return self._numbers(i, "box")

    def landmarks(self, i: int) -> np.ndarray:
        """Landmarks of pair i, 5 x 2, x and y in pixels of the crop: left eye as seen, right eye,
        nose, left and right mouth corner. Its pictures are not read."""
        return self._numbers(i, "landmarks").reshape(5, 2)

    def _numbers(self, i: int, name: str) -> np.ndarray:
        batch, row = self._at(i)
        return np.array(batch.column(name)[row].as_py(), np.float32)
