import pytest
from conftest import PAIRS

from acfd import videos
from acfd.videos.ffpp import REAL, Clip, Tree, TreeError, draw_splits, write_splits

TWO = ("Deepfakes", "FaceSwap")
SOME = Clip(REAL, "000", "000", "", "train")


@pytest.fixture
def tree(tmp_path):
    write_splits(tmp_path, PAIRS)
    return Tree(tmp_path)


def test_paths_are_those_of_the_download_script(tree, tmp_path):
    fake = Clip("FaceSwap", "000_003", "000", "003", "train")
    real, forged = "original_sequences/youtube", "manipulated_sequences/FaceSwap"
    assert tree.video_path(SOME, "c23") == tmp_path / real / "c23/videos/000.mp4"
    assert tree.video_path(fake, "c40") == tmp_path / forged / "c40/videos/000_003.mp4"
    assert tree.mask_path(fake) == tmp_path / forged / "masks/videos/000_003.mp4"
    assert tree.mask_path(SOME) is None
    assert (SOME.label, fake.label) == (0, 1)
    # raw and c0 are one
    for there, taken in ((None, "raw"), ("c0", "c0"), ("raw", "raw")):
        if there:
            (tmp_path / real / there).mkdir(parents=True)
        assert tree.video_path(SOME, "raw").parts[-3] == taken


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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "val.json: expected a list of pairs of ids"),
        ("[" * 9999 + "]" * 9999, "val.json: expected a list of pairs of ids"),
        ('{"a": 1}', "val.json: expected a list of pairs of ids"),
        ('[["000"]]', "val.json: expected a list of pairs of ids"),
        ("[[0, 3]]", "val.json: expected a list of pairs of ids"),
        ('[["../0", "003"]]', "val.json: expected a list of pairs of ids"),
        ('[["008", "003"], ["009", "008"]]', "val.json: video 008 is named twice"),
        ('[["008", "008"]]', "val.json: video 008 is named twice"),
        ('[["004", "009"]]', "test.json: video 004 is named twice"),
        (None, r"val.json: no such file; .*dataset/splits .* ondyari/FaceForensics.*data.splits"),
    ],
)
def test_bad_splits_are_errors_that_name_file_and_entry(tree, tmp_path, content, said):
    path = tmp_path / "splits" / "val.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(TreeError, match=said):
        tree.splits()


# A drawn split


def write_forged(root, names, method="Deepfakes", quality="c23"):
    folder = root / "manipulated_sequences" / method / quality / "videos"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.mp4").touch()


def test_the_params_choose_where_splits_come_from(make_params, tmp_path):
    def made(splits):
        data = {"source": "ffpp", "root": str(tmp_path), "splits": splits}
        return videos.tree(make_params(data=data))

    assert made(None) == Tree(tmp_path)
    assert made("seeded:7") == Tree(tmp_path, seed=7)
    with pytest.raises(TreeError, match=r"seeded:x/train.json: no such file; .*seeded:0 draws"):
        made("seeded:x").splits()
    write_splits(tmp_path / "official", PAIRS)
    assert made(str(tmp_path / "official" / "splits")).splits() == PAIRS
    write_splits(tmp_path, {"test": PAIRS["test"]})
    assert made("test").splits() == {"test": PAIRS["test"]}  # the others are not needed


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
    assert [len(of) for of in draw_splits(pairs[:4], 5).values()] == [1, 1, 2]
    with pytest.raises(TreeError, match=r"3 pairs of forged videos .* at least 4"):
        draw_splits(pairs[:3], 5)


def test_what_is_no_pair_is_not_drawn(tmp_path):
    names = ["000_003", "01_02__meeting_serious__YVGY8LOK", "000_003_copy", "999", "000_003 (1)"]
    names += ["..000_001", "000_..", "\uff0f_001", "a\\b_c", "-rf_000", "000_-"]
    write_forged(tmp_path, names)
    write_forged(tmp_path, ["01_02"], "DeepFakeDetection")
    assert Tree(tmp_path, seed=0).pairs() == [("000", "003")]
    write_forged(tmp_path, ["003_007"], "FaceSwap")
    with pytest.raises(TreeError, match=r"003_007.mp4: video 003 is in the pairs 000_003 and 003_"):
        Tree(tmp_path, seed=0).splits()
