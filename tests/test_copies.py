"""Copies: the right faces at every level, from one source, made once."""

import cv2
import numpy as np
import pytest
from conftest import contents, write_faces

from acfd.faces import crops
from acfd.faces.shards import PairTable, ShardError, encode_png
from acfd.media import degrade
from acfd.media.video import read_frames, write_video
from acfd.paths import Paths
from acfd.scores import copies
from acfd.scores.copies import Copies, CopiesError
from acfd.videos.ffpp import Tree, write_splits

METHODS = ["Deepfakes", "FaceSwap"]
BOX = [12.0, 4.0, 60.0, 52.0]
SOME = {"h264": [40], "jpeg": [50], "scale": [0.5], "noise": [10.0]}


@pytest.fixture(scope="module")
def params(make_params):
    def of(levels=None, **changes):
        every = {f: [] for f in degrade.FAMILIES} | (SOME if levels is None else levels)
        r = {"levels": every, "frames": 1, "forgeries": 1, "window": 5} | changes
        methods = {"methods": METHODS}
        small = {"faces": {"size": 32}, "synthff": {"size": 64}}
        return make_params(data=methods, robustness=r, train=methods, **small)

    return of


@pytest.fixture
def study(tmp_path) -> tuple[Tree, Paths]:
    """Two pairs of test people, raw, c23 and c40; five frames of 72 x 64, two with a face."""
    tree, paths = Tree(tmp_path / "tree"), Paths("pocket", tmp_path)
    people = [("000", "001"), ("002", "003")]
    write_splits(tree.root, {"train": [], "val": [], "test": people})
    made = []
    for n, clip in enumerate(tree.clips(METHODS)):
        rng = np.random.default_rng(n)
        picture = cv2.GaussianBlur(rng.integers(0, 256, (64, 72, 3), np.uint8), (0, 0), 2)
        write_video(tree.video_path(clip, "raw"), [np.roll(picture, k, 1) for k in range(5)], 25.0,
                    codec="libx264rgb", crf=0, pix_fmt="rgb24", preset="ultrafast")  # fmt: skip
        frames = [frame for _, frame in read_frames(tree.video_path(clip, "raw"))]
        for name, crf in (("c23", 23), ("c40", 40)):
            write_video(tree.video_path(clip, name), frames, 25.0, crf=crf)
        blank = encode_png(np.zeros((32, 32, 3), np.uint8))
        pair = {"box": BOX, "landmarks": [0.0] * 10, "high": blank, "low": blank, "mask": blank}
        made.append((clip, [pair | {"frame": f} for f in (1, 3)]))
    write_faces(paths.faces, made)
    return tree, paths


def make(params, study):
    return copies.make(params, *study, progress=False)


def crop(store: Copies, video: str, family: str, level: float) -> np.ndarray:
    of = store.index
    at = of[(of["video"] == video) & (of["family"] == family) & (of["level"] == level)]
    assert len(at) == 1
    return store[at.index[0]].transpose(1, 2, 0)


def test_every_person_real_and_forged_at_every_level(params, study):
    store = make(params(), study)
    levels = [("none", 0.0), ("h264", 40.0), ("jpeg", 50.0), ("scale", 0.5), ("noise", 10.0)]
    for (family, level), part in store.index.groupby(["family", "level"]):
        assert (family, level) in levels
        assert part["label"].tolist() == [0] * 4 + [1] * 4
        forged = part[part["label"] == 1]
        assert forged["method"].value_counts().to_dict() == dict.fromkeys(METHODS, 2)
        assert set(forged["target"]) == {"000", "001", "002", "003"}
    assert len(store) == 8 * len(levels) == len(store.index)
    assert store[0].shape == (3, 32, 32) and store.note == {"made_of": "raw", "left_out": {}}
    store = make(params(frames=2, forgeries=0, levels={"blur": [2.0]}), study)
    assert len(store) == (4 + 4 * 2) * 2 * 2 and set(store.index["frame"]) == {1, 3}


def test_crf_40_of_the_whole_clip_is_c40(params, study):
    """Curves must pass through the numbers of the main study."""
    store = make(params(), study)
    c40 = dict(read_frames(study[0].root / "original_sequences/youtube/c40/videos/000.mp4"))[3]
    np.testing.assert_array_equal(
        crop(store, "000", "h264", 40.0), crops.resize(c40[4:52, 12:60], 32)
    )
    whole = crop(store, "000", "h264", 40.0)
    short = make(params(window=2), study)
    assert (crop(short, "000", "h264", 40.0) != whole).any(), "a piece is coded otherwise"


def test_the_box_follows_a_frame_that_was_made_smaller():
    frame = np.random.default_rng(0).integers(0, 256, (480, 854, 3), np.uint8)
    box = [100.0, 0.0, 580.0, 480.0]
    np.testing.assert_array_equal(
        copies.cut(frame, box, 854, 96), crops.resize(frame[:, 100:580], 96)
    )
    (half,) = degrade.degrade([frame], "scale", 0.5, wanted=[0], fps=25.0, seed=[0])
    assert half.shape == (240, 428, 3)  # sides are even: 428 / 854 of 480 lines would be 241
    np.testing.assert_array_equal(copies.cut(half, box, 854, 96), crops.resize(half[:, 50:290], 96))
    edge = copies.cut(frame[:50, :50], [61.0, 61.0, 100.0, 100.0], 100, 40)
    assert edge.shape == (40, 40, 3)  # rounding may not lead outside


def test_only_what_is_new_is_made(params, study, monkeypatch):
    make(params(), study)
    calls, folder = [], study[1].copies
    was = degrade.degrade

    def counted(frames, family, level, **said):
        calls.append((family, level))
        return was(frames, family, level, **said)

    monkeypatch.setattr(degrade, "degrade", counted)
    before = contents(folder)
    make(params(), study)
    assert not calls and contents(folder) == before
    more = SOME | {"jpeg": [50, 30]}
    make(params(levels=more), study)
    assert calls == [("jpeg", 30.0)] * 8
    resumed = contents(folder)
    for path in folder.rglob("*.arrow"):
        path.unlink()
    make(params(levels=more), study)
    assert contents(folder) == resumed, "what is made in two goes differs from what is made in one"
    make(params(), study)
    assert contents(folder) == before


def test_another_video_is_degraded_anew_and_a_stale_shard_goes(params, study):
    tree, paths = study
    old = crop(make(params(), study), "001", "jpeg", 50.0)
    stale = paths.copies / "original" / "999.arrow"
    stale.write_bytes(b"")
    path = tree.root / "original_sequences/youtube/raw/videos/001.mp4"
    frames = [255 - frame for _, frame in read_frames(path)]
    write_video(path, frames, 25.0, codec="libx264rgb", crf=0, pix_fmt="rgb24")
    assert (crop(make(params(), study), "001", "jpeg", 50.0) != old).any()
    assert not stale.exists()


def test_one_clip_without_raw_and_all_are_made_of_the_high_quality(params, study):
    """Real and forged made of different sources could be told apart by that alone."""
    (study[0].root / "manipulated_sequences/FaceSwap/raw/videos/001_000.mp4").unlink()
    store = make(params(), study)
    assert store.note["made_of"] == "c23"
    c23 = dict(read_frames(study[0].root / "original_sequences/youtube/c23/videos/000.mp4"))[3]
    expected = crops.resize(c23[4:52, 12:60], 32)
    np.testing.assert_array_equal(crop(store, "000", "none", 0.0), expected)


def test_a_codec_that_is_not_there_is_left_out_and_noted(params, study, monkeypatch):
    codecs = degrade.CODECS | {"h264": degrade.CODECS["h264"] | {"codec": "libnone"}}
    monkeypatch.setattr(degrade, "CODECS", codecs)
    store = make(params(), study)
    assert "h264" not in set(store.index["family"]) and len(store) == 8 * 4
    assert "libnone" in store.note["left_out"]["h264"]


def test_errors_name_the_file(params, study):
    with pytest.raises(ShardError, match=r"index\.parquet: no such file; make the copies first"):
        Copies(study[1].copies)
    store = make(params(), study)
    (study[1].copies / store.index["shard"][0]).write_bytes(b"not Arrow")
    with pytest.raises(ShardError, match=r"000\.arrow: not a readable shard .* `acfd copies`"):
        store[0]
    path = study[0].root / "original_sequences/youtube/raw/videos/002.mp4"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"002\.mp4") as caught:
        make(params(), study)
    assert "original/002" in "".join(caught.value.__notes__)
    index = PairTable(study[1].faces).index
    only_real = index[index["label"] == 0]
    with pytest.raises(CopiesError, match="of one class"):
        copies.choose(only_real, METHODS, params().robustness)
