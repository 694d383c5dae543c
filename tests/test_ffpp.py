import json

import numpy as np
import pytest
from conftest import PAIRS, write_clip

from acfd.ffpp import METHODS, REAL, Clip, Tree, TreeError, check, write_splits
from acfd.params import Data

TWO = ("Deepfakes", "FaceSwap")


@pytest.fixture
def tree(tmp_path):
    write_splits(tmp_path, PAIRS)
    return Tree(tmp_path)


def test_methods_are_those_of_the_params():
    for method in METHODS:
        values = {"source": "ffpp", "root": "x", "splits": None, "high": "c23", "low": "c40"}
        assert Data(methods=[method], **values).methods == [method]
    assert len(METHODS) == 6


def test_paths_are_those_of_the_download_script(tree, tmp_path):
    real = Clip(REAL, "000", "000", "", "train")
    fake = Clip("FaceSwap", "000_003", "000", "003", "train")
    assert tree.video_path(real, "c23") == (
        tmp_path / "original_sequences/youtube/c23/videos/000.mp4"
    )
    assert tree.video_path(fake, "c40") == (
        tmp_path / "manipulated_sequences/FaceSwap/c40/videos/000_003.mp4"
    )
    assert tree.mask_path(fake) == (
        tmp_path / "manipulated_sequences/FaceSwap/masks/videos/000_003.mp4"
    )
    assert tree.mask_path(real) is None
    assert (real.label, fake.label) == (0, 1)


def test_raw_and_c0_are_one(tree, tmp_path):
    real = Clip(REAL, "000", "000", "", "train")
    assert "/raw/" in str(tree.video_path(real, "raw"))
    (tmp_path / "original_sequences/youtube/c0").mkdir(parents=True)
    assert "/c0/" in str(tree.video_path(real, "raw"))
    (tmp_path / "original_sequences/youtube/raw").mkdir(parents=True)
    assert "/raw/" in str(tree.video_path(real, "raw"))


def test_a_compression_cannot_lead_out_of_the_tree(tree):
    with pytest.raises(TreeError, match=r"no compression '../../c23'"):
        tree.video_path(Clip(REAL, "000", "000", "", "train"), "../../c23")


def test_a_pair_is_two_real_clips_and_two_forged_ones_a_method(tree):
    clips = tree.clips(TWO)
    assert len(clips) == 3 * (2 + 2 * 2)
    train = [c for c in clips if c.split == "train"]
    assert [str(c) for c in train] == [
        *("original/000", "original/001"),
        *("Deepfakes/000_001", "Deepfakes/001_000", "FaceSwap/000_001", "FaceSwap/001_000"),
    ]
    assert (train[3].target, train[3].source) == ("001", "000")
    assert [c.split for c in clips] == ["train"] * 6 + ["val"] * 6 + ["test"] * 6


def test_splits_of_another_folder(tmp_path):
    write_splits(tmp_path / "official", PAIRS)
    folder = tmp_path / "official" / "splits"
    assert Tree(tmp_path / "videos", folder).splits() == PAIRS


def test_unknown_method_is_named(tree):
    with pytest.raises(TreeError, match=r"unknown methods \['DeepFakes'\]"):
        tree.clips(["DeepFakes"])


def test_missing_split_file_is_named(tmp_path):
    with pytest.raises(TreeError, match=r"train.json: no such file; .*data.splits"):
        Tree(tmp_path).splits()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not valid JSON"),
        ('{"a": 1}', "expected a list of pairs of ids, found dict"),
        ('[["000"]]', "where a pair of ids is expected"),
        ("[[0, 3]]", r"found \[0, 3\] where a pair"),
        ('[["../../etc", "003"]]', "where a pair of ids is expected"),
        ('[["000", "a/b"]]', "where a pair of ids is expected"),
        ('[["000", ""]]', "where a pair of ids is expected"),
        ('[["000", "003\\n"]]', "where a pair of ids is expected"),
        ('[["000", "003"], ["004", "000"]]', "video 000 is named twice"),
        ('[["000", "000"]]', "video 000 is named twice"),
        ('[["004", "009"]]', r"test.json: video 004 is named twice \(also in train.json\)|twice"),
    ],
)
def test_bad_splits_are_errors_that_name_file_and_entry(tree, tmp_path, content, said):
    (tmp_path / "splits" / "val.json").write_text(content)
    with pytest.raises(TreeError, match=rf"(val|test).json: .*({said})"):
        tree.splits()


def test_names_of_letters_are_ids_too(tmp_path):
    write_splits(tmp_path, {"train": [("ab-1", "c_d")], "val": [], "test": []})
    assert json.loads((tmp_path / "splits/train.json").read_text()) == [["ab-1", "c_d"]]
    assert [c.video for c in Tree(tmp_path).clips(["Deepfakes"])][-1] == "c_d_ab-1"


def test_a_sound_tree_has_no_problems_and_a_full_index(make_tree, tmp_path):
    tree = make_tree(tmp_path, size=(65, 49))
    assert check(tree, ["Deepfakes"], "c23", "c40").empty
    index = tree.index(["Deepfakes"], "c23", "c40")
    assert len(index) == 12
    assert (index["frames"] == 6).all()
    assert ((index["width"] == 65) & (index["height"] == 49) & (index["fps"] == 25)).all()
    assert (index["bytes_low"] < index["bytes_high"]).all()
    assert (index["label"] == (index["method"] != REAL)).all()


def test_every_problem_is_a_row(make_tree, tmp_path):
    tree = make_tree(tmp_path, size=(64, 48))
    by_name = {str(c): c for c in tree.clips(["Deepfakes"])}
    tree.video_path(by_name["original/000"], "c40").unlink()
    tree.mask_path(by_name["Deepfakes/000_001"]).unlink()
    path = tree.video_path(by_name["original/001"], "c23")
    path.write_bytes(path.read_bytes()[:300])
    short = [np.zeros((48, 64, 3), np.uint8)] * 4
    write_clip(tree, by_name["original/002"], short, compressions={"c40": 40})
    large = [np.zeros((96, 128, 3), np.uint8)] * 6
    write_clip(tree, by_name["original/003"], large, compressions={"c40": 40})
    for path in [tree.video_path(by_name["original/004"], c) for c in ("c23", "c40")]:
        path.unlink()
    tree.video_path(by_name["original/005"], "c23").write_bytes(b"")

    found = check(tree, ["Deepfakes"], "c23", "c40")
    assert list(found.columns) == ["video", "method", "what"]
    said = {f"{row.method}/{row.video}": row.what for row in found.itertuples()}
    assert len(found) == len(said) == 7
    assert "c40 cannot be used" in said["original/000"]
    assert "no such video file" in said["original/000"]
    assert "mask cannot be used" in said["Deepfakes/000_001"]
    assert "not a readable video" in said["original/001"]
    assert said["original/002"] == "frames differ: c23 6, c40 4"
    assert said["original/003"] == "sizes differ: c23 64x48, c40 128x96"
    assert "test.json names it, but none of its files is there" in said["original/004"]
    assert "empty (0 bytes)" in said["original/005"]
    index = tree.index(["Deepfakes"], "c23", "c40").set_index("video")
    assert index.loc["004", ["frames", "bytes_high"]].tolist() == [0, 0]
