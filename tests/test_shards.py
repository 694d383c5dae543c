import os
import pickle

import numpy as np
import pytest
from conftest import write_faces

from acfd.faces import shards
from acfd.faces.shards import (
    INDEX_COLUMNS,
    PairTable,
    ShardError,
    encode_png,
    read_shard,
    shard_name,
    write_index,
    write_shard,
)
from acfd.paths import BrokenError
from acfd.videos.ffpp import Clip

FAKE = Clip("Deepfakes", "000_001", "000", "001", "train")
REAL = Clip("original", "000", "000", "", "train")


def pictures(seed, size=33):
    rng = np.random.default_rng(seed)
    high, low = rng.integers(0, 256, (2, size, size, 3), np.uint8)
    return high, low, rng.random((size, size)) > 0.5


def rows(clip, frames=(0, 4, 9)):
    for n in frames:
        high, low, mask = pictures(n + 100 * clip.label)
        yield {
            "frame": n,
            "box": [1.0, 2.0, 34.0, 35.0 + n],
            "landmarks": [float(v) for v in range(10)],
            "high": encode_png(high),
            "low": encode_png(low),
            "mask": encode_png(mask.astype(np.uint8) * 255),
        }


def build(folder, clips=(REAL, FAKE)):
    made = [(clip, list(rows(clip))) for clip in clips]
    return write_faces(folder, made, {"left_out": [[5, "why"]]}).folder


def test_what_is_written_is_read(tmp_path):
    table = PairTable(build(tmp_path))
    key, said, made = read_shard(tmp_path / shard_name(FAKE))
    assert (key, said) == ("made", {"left_out": [[5, "why"]]})
    assert made.to_pylist() == [shards.about(FAKE) | row for row in rows(FAKE)]
    assert read_shard(tmp_path / "none.arrow") is None
    assert len(table) == 6 and list(table.index.columns) == list(INDEX_COLUMNS)
    pair = table.read(4)
    high, low, mask = pictures(104)
    assert np.array_equal(pair["high"], high)
    assert np.array_equal(pair["low"], low)
    assert pair["mask"].dtype == np.uint8 and np.array_equal(pair["mask"], mask)
    assert (pair["method"], pair["video"], pair["source"]) == ("Deepfakes", "000_001", "001")
    assert (pair["frame"], pair["label"], pair["split"]) == (4, 1, "train")
    assert pair["box"].tolist() == [1, 2, 34, 39]
    assert pair["landmarks"].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert np.array_equal(table.landmarks(4), pair["landmarks"])
    assert np.array_equal(table.read(1)["high"], pictures(4)[0])  # back to the other shard


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_a_cut_shard_is_no_shard(tmp_path, kept):
    path = build(tmp_path) / shard_name(FAKE)
    data = path.read_bytes()
    path.write_bytes(data[: kept if kept >= 1 else int(kept * len(data))])
    assert read_shard(path) is None
    table = PairTable(tmp_path)
    table.read(0)
    with pytest.raises(ShardError, match=r"000_001.arrow: not a readable shard .* `acfd faces`"):
        table.read(4)


def test_faces_without_masks_are_known_and_refused_where_they_are_needed(tmp_path):
    table = PairTable(build(tmp_path))
    assert table.masked.tolist() == [True] * 6
    table.demand_masks(np.arange(6), "loss.at")
    write_index(tmp_path, table.index.assign(masked=[True] * 3 + [False, True, False]))
    table = PairTable(tmp_path)
    assert table.masked.tolist() == [True] * 3 + [False, True, False]
    table.demand_masks(np.array([0, 1, 4]), "loss.at")
    with pytest.raises(ShardError, match=r"loss.at needs a mask .* 1 faces of Deepfakes \(e.g. D"):
        table.demand_masks(np.array([4, 5]), "loss.at")


def test_what_is_not_as_indexed_is_named(tmp_path):
    with pytest.raises(ShardError, match=r"index.parquet: no such file; make the faces first"):
        PairTable(tmp_path)
    build(tmp_path)
    write_shard(tmp_path / shard_name(FAKE), FAKE, list(rows(FAKE, (0, 5))), "k2", {})
    table = PairTable(tmp_path)
    for i in (4, 5):  # another frame in that row; no such row
        with pytest.raises(ShardError, match=r"row \d: it does not hold frame \d of 000_001"):
            table.read(i)
    bad = [row | {"low": b"x" * 60} for row in rows(FAKE)]
    write_shard(tmp_path / shard_name(FAKE), FAKE, bad, "k", {})
    with pytest.raises(ShardError, match=r"000_001.arrow, row 1: not a readable PNG"):
        PairTable(tmp_path).read(4)


def test_an_index_that_was_cut_short_is_named(toy_faces, tmp_path):
    data = (toy_faces.folder / "index.parquet").read_bytes()
    (tmp_path / "index.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(BrokenError, match=r"index.parquet: broken, .*`acfd faces` writes it anew"):
        len(PairTable(tmp_path))


def test_many_open_shards_need_no_descriptors(tmp_path):
    """A process may have about a thousand, FaceForensics++ has five thousand videos."""
    clips = [Clip("original", f"{n:03d}", f"{n:03d}", "", "train") for n in range(200)]
    table = PairTable(build(tmp_path, clips))
    before = len(os.listdir("/proc/self/fd"))
    for i in range(len(table)):
        assert table.read(i)["frame"] == (0, 4, 9)[i % 3]
    assert len(pickle.dumps(table)) < 500 + 20 * len(clips)  # for loader processes: nothing open
    assert pickle.loads(pickle.dumps(table)).read(4)["frame"] == 4
    assert len(os.listdir("/proc/self/fd")) - before < 5
