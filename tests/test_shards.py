import os
import pickle

import numpy as np
import pytest
from conftest import write_faces

from acfd.faces.shards import PairTable, ShardError, encode_png, read_shard, shard_name, write_shard
from acfd.paths import BrokenError
from acfd.videos.ffpp import Clip

FAKE = Clip("Deepfakes", "000_001", "000", "001", "train")
REAL = Clip("original", "000", "000", "", "train")


def rows(frames=(0, 4, 9)):
    png, grey = (encode_png(np.zeros(shape, np.uint8)) for shape in ((33, 33, 3), (33, 33)))
    said = {"landmarks": [1.0] * 10, "high": png, "low": png, "mask": grey}
    return [said | {"frame": n, "box": [1.0, 2.0, 34.0, 35.0]} for n in frames]


def build(folder, clips=(REAL, FAKE)):
    return write_faces(folder, [(clip, rows()) for clip in clips]).folder


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


def test_what_is_not_as_indexed_is_named(tmp_path):
    with pytest.raises(ShardError, match=r"index.parquet: no such file; make the faces first"):
        PairTable(tmp_path)
    build(tmp_path)
    write_shard(tmp_path / shard_name(FAKE), FAKE, rows((0, 5)), "k2", {})
    table = PairTable(tmp_path)
    for i in (4, 5):  # another frame in that row; no such row
        with pytest.raises(ShardError, match=r"row \d: it does not hold frame \d of 000_001"):
            table.read(i)
    bad = [row | {"low": b"x" * 60} for row in rows()]
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
