from pathlib import Path

import pytest
from conftest import PAIRS

from acfd.videos import ffpp
from acfd.videos.ffpp import (
    REAL,
    Clip,
    Tree,
    TreeError,
    download,
    draw_splits,
    mask_there,
    write_splits,
)

TWO = ("Deepfakes", "FaceSwap")


@pytest.fixture
def tree(tmp_path):
    write_splits(tmp_path, PAIRS)
    return Tree(tmp_path)


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
    assert download("Deepfakes", "c0") == "-d Deepfakes -c raw -t videos"
    assert download("NeuralTextures", "mask") == "-d NeuralTextures -t masks"
    assert download("FaceShifter", "mask") == ""  # it has none


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
    with pytest.raises(TreeError, match=r"unknown methods \['DeepFakes'\]"):
        tree.clips(["DeepFakes"])
    with pytest.raises(TreeError, match=r"names DeepFakeDetection, .*There are: Deepfakes, .*Shif"):
        tree.clips(["Deepfakes", "DeepFakeDetection"])


def test_missing_split_file_is_named(tmp_path):
    said = r"train.json: no such file; .*dataset/splits of .* ondyari/FaceForensics.*data.splits"
    with pytest.raises(TreeError, match=said):
        Tree(tmp_path).splits()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not valid JSON"),
        ("[" * 9999 + "]" * 9999, "not valid JSON"),
        ('{"a": 1}', "expected a list of pairs of ids, found dict"),
        ('[["000"]]', "where a pair of ids is expected"),
        ("[[0, 3]]", r"found \[0, 3\] where a pair"),
        ('[["000", "003"], ["004", "000"]]', "video 000 is named twice"),
        ('[["000", "000"]]', "video 000 is named twice"),
        ('[["004", "009"]]', r"test.json: video 004 is named twice \(also in train.json\)|twice"),
    ],
)
def test_bad_splits_are_errors_that_name_file_and_entry(tree, tmp_path, content, said):
    (tmp_path / "splits" / "val.json").write_text(content)
    with pytest.raises(TreeError, match=rf"(val|test).json: .*({said})"):
        tree.splits()


# A drawn split


def write_forged(root, names, method="Deepfakes", quality="c23"):
    folder = root / "manipulated_sequences" / method / quality / "videos"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.mp4").touch()


def test_the_params_choose_where_splits_come_from(make_params, tmp_path):
    def made(splits):
        return ffpp.tree(
            make_params(data={"source": "ffpp", "root": str(tmp_path), "splits": splits})
        )

    assert made(None) == Tree(tmp_path)
    assert made("official") == Tree(tmp_path, Path("official"))
    assert made("seeded:7") == Tree(tmp_path, seed=7)
    with pytest.raises(TreeError, match=r"seeded:x/train.json: no such file; .*seeded:0 draws"):
        made("seeded:x").splits()


def test_a_drawn_split_has_the_official_shares_and_every_pair_once(tmp_path):
    pairs = [(f"{2 * i:03d}", f"{2 * i + 1:03d}") for i in range(50)]
    write_forged(tmp_path, [f"{a}_{b}" for a, b in pairs] + [f"{b}_{a}" for a, b in pairs[:20]])
    write_forged(tmp_path, [f"{b}_{a}" for a, b in pairs], "FaceSwap", "c40")
    tree = Tree(tmp_path, seed=1)
    splits = tree.splits()
    assert {split: len(of) for split, of in splits.items()} == {"train": 36, "val": 7, "test": 7}
    assert sorted(p for of in splits.values() for p in of) == pairs
    assert tree.splits() == splits
    assert Tree(tmp_path, seed=2).splits() != splits
    clips = tree.clips(TWO)
    assert len(clips) == 50 * (2 + 2 * 2)
    where = {}
    for clip in clips:
        for person in filter(None, (clip.target, clip.source)):
            assert where.setdefault(person, clip.split) == clip.split


def test_a_split_is_drawn_by_names_not_by_order():
    pairs = [(f"{i}a", f"{i}b") for i in range(9)]
    assert draw_splits(pairs[::-1], 5) == draw_splits(pairs, 5)
    assert {s: len(p) for s, p in draw_splits(pairs[:4], 5).items()} == {
        "train": 1,
        "val": 1,
        "test": 2,
    }
    with pytest.raises(TreeError, match=r"3 pairs of forged videos .* at least 4"):
        draw_splits(pairs[:3], 5)


def test_what_is_no_pair_is_not_drawn(tmp_path):
    names = ["000_003", "01_02__meeting_serious__YVGY8LOK", "000_003_copy", "999", "000_003 (1)"]
    write_forged(tmp_path, names)
    write_forged(tmp_path, ["01_02"], "DeepFakeDetection")
    assert Tree(tmp_path, seed=0).pairs() == [("000", "003")]
    write_forged(tmp_path, ["003_007"], "FaceSwap")
    with pytest.raises(TreeError, match=r"003_007.mp4: video 003 is in the pairs 000_003 and 003_"):
        Tree(tmp_path, seed=0).splits()


# What the official download has


@pytest.mark.parametrize("method", ["FaceShifter", "Deepfakes"])
def test_a_mask_is_there_if_the_tree_has_masks_of_the_method(tree, tmp_path, method):
    clip = Clip(method, "000_001", "000", "001", "train")
    assert mask_there(tree, clip) is None
    folder = tmp_path / "manipulated_sequences" / method / "masks" / "videos"
    folder.mkdir(parents=True)
    assert mask_there(tree, clip) == folder / "000_001.mp4"


def test_splits_of_another_folder_and_a_test_split_alone(tmp_path, make_params):
    write_splits(tmp_path / "official", PAIRS)
    folder = tmp_path / "official" / "splits"
    assert Tree(tmp_path / "videos", folder).splits() == PAIRS
    for name in ("train.json", "val.json"):
        (folder / name).unlink()
    data = {"source": "ffpp", "root": str(tmp_path / "official"), "splits": "test"}
    assert ffpp.tree(make_params(data=data)).splits() == {"test": PAIRS["test"]}
