"""The check before hours of work: every problem once, what brings it, nothing for a sound tree."""

import numpy as np
import pytest
from conftest import by_name

from acfd.media.video import write_video
from acfd.videos.check import CheckError, report, stored, survey
from acfd.videos.ffpp import REAL, Tree, TreeError, write_splits


@pytest.fixture(scope="module")
def sound(make_tree, tmp_path_factory) -> Tree:
    return make_tree(tmp_path_factory.mktemp("sound"), size=(65, 49))


def check(tree, **options):
    return survey(tree, ["Deepfakes"], "c23", "c40", progress=False, **options)


def said(found):
    """(kind, what) of every clip with a problem, each of which has one."""
    rows = {f"{r.method}/{r.video}": (r.kind, r.what) for r in found.problems.itertuples()}
    assert len(rows) == len(found.problems)
    return rows


def test_a_sound_tree_has_no_problems_and_a_full_index(sound):
    found = check(sound, wanted=6)
    assert found.problems.empty and found.notes == []
    assert found.sound == found.clips == sound.clips(["Deepfakes"])
    found.demand()
    index = found.index()
    assert len(index) == 12
    assert (index["frames"] == 6).all()
    assert ((index["width"] == 65) & (index["height"] == 49) & (index["fps"] == 25)).all()
    assert (index["bytes_low"] < index["bytes_high"]).all()
    assert (index["label"] == (index["method"] != REAL)).all()
    assert stored(sound, found.sound, ("raw", "c23", "c40")) == ["c23", "c40"]
    folders = found.folders.set_index(["part", "what"])
    assert len(folders) == 2 + 3 and (folders["expected"] == 6).all()  # forged ones have masks
    assert folders.loc[(REAL, "c40"), "bytes"] == index[index["label"] == 0]["bytes_low"].sum()
    assert (folders["missing"] == 0).all()


def test_every_problem_is_a_row(mine):
    """What tests/test_lookalike.py has not, in one tree."""
    name = by_name(mine)
    for quality in ("c23", "c40"):
        mine.video_path(name["original/004"], quality).unlink()
    path = mine.video_path(name["Deepfakes/001_000"], "c40")
    write_video(path, [np.zeros((49, 65, 3), np.uint8)] * 6, 30.0, crf=40)

    found = check(mine, wanted=6)
    rows = said(found)
    assert rows["original/004"] == ("missing", "no c23, c40")
    kind, what = rows["Deepfakes/001_000"]
    assert kind == "rate" and "c23 25, c40 30" in what
    assert len(rows) == 2
    index = found.index().set_index("video")
    assert index.loc["004", ["frames", "bytes_high"]].tolist() == [0, 0]
    assert [str(c) for c in found.clips if c not in found.sound] == ["original/004"]


def test_a_split_that_is_left_without_a_method_is_demanded(mine):
    for clip in mine.clips(["Deepfakes"]):
        if clip.split == "val" and clip.label:
            mine.video_path(clip, "c23").unlink()
    with pytest.raises(CheckError, match="not one usable video of Deepfakes in val; `acfd check`"):
        check(mine).demand()


def test_forgeries_without_a_mask_are_counted_and_sound(mine):
    mine.mask_path(by_name(mine)["Deepfakes/000_001"]).unlink()
    found = check(mine)
    assert found.problems.empty and found.sound == found.clips
    said = report(found)
    assert "Deepfakes: 1 of 6 forged videos have no mask" in said
    assert f"{mine.root} -d Deepfakes -t masks" in said
    assert found.folders.set_index("what").loc["mask", ["expected", "there"]].tolist() == [6, 5]


# The root, and the command


def test_a_wrong_root_is_named_and_so_are_splits(mine, tmp_path):
    for wrong in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(TreeError, match=rf"data.root {wrong}: no folder orig.* Set data.root"):
            check(Tree(wrong))
    write_splits(mine.root, {"train": [], "val": [], "test": []})
    with pytest.raises(TreeError, match="name no video"):
        check(mine)
