"""The check before hours of work: every problem once, what brings it, nothing for a sound tree."""

import shutil

import lookalike
import numpy as np
import pytest
from conftest import remux, write_clip

from acfd import cli
from acfd.media.video import VideoError, header, probe, write_video
from acfd.videos.check import CheckError, report, stored, survey
from acfd.videos.ffpp import REAL, Tree, TreeError, write_splits


@pytest.fixture(scope="module")
def sound(make_tree, tmp_path_factory) -> Tree:
    return make_tree(tmp_path_factory.mktemp("sound"), size=(65, 49))


@pytest.fixture
def mine(sound, tmp_path) -> Tree:
    """A copy of the sound tree to do harm to."""
    return Tree(shutil.copytree(sound.root, tmp_path / "videos"))


def check(tree, **options):
    return survey(tree, ["Deepfakes"], "c23", "c40", progress=False, **options)


def clips(tree):
    return {str(clip): clip for clip in tree.clips(["Deepfakes"])}


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
    assert folders["expected"].to_dict() == {
        **{(REAL, q): 6 for q in ("c23", "c40")},
        **{("Deepfakes", q): 6 for q in ("c23", "c40", "mask")},
    }
    assert folders.loc[(REAL, "c40"), "bytes"] == index[index["label"] == 0]["bytes_low"].sum()
    assert (folders["missing"] == 0).all()


def test_every_problem_is_a_row(mine):
    """What tests/test_lookalike.py has not, in one tree."""
    name = clips(mine)
    mine.video_path(name["Deepfakes/000_001"], "c40").unlink()
    black = np.zeros((49, 65, 3), np.uint8)
    write_clip(mine, name["original/002"], [black] * 4, compressions={"c40": 40})
    for quality in ("c23", "c40"):
        mine.video_path(name["original/004"], quality).unlink()
    path = mine.video_path(name["Deepfakes/001_000"], "c40")
    write_video(path, [black] * 6, 30.0, crf=40)

    found = check(mine, wanted=6)
    rows = said(found)
    assert rows["Deepfakes/000_001"] == ("missing", "no c40")
    assert rows["original/002"][0] == "frames"
    assert "c23 6, c40 4: only the first 4 can be used" in rows["original/002"][1]
    assert rows["original/004"] == ("missing", "no c23, c40")
    kind, what = rows["Deepfakes/001_000"]
    assert kind == "rate" and "c23 25, c40 30" in what
    assert len(rows) == 4
    index = found.index().set_index("video")
    assert index.loc["004", ["frames", "bytes_high"]].tolist() == [0, 0]
    assert {str(c) for c in found.clips} - {str(c) for c in found.sound} == {
        *("original/004", "Deepfakes/000_001"),
    }
    # fewer frames than the other file has are no problem as long as they are enough
    found = check(mine, wanted=4)
    assert "original/002" not in said(found)
    assert any("original/002: frames differ" in note for note in found.notes)


def test_a_split_that_is_left_without_a_method_is_demanded(mine):
    for clip in mine.clips(["Deepfakes"]):
        if clip.split == "val" and clip.label:
            mine.video_path(clip, "c23").unlink()
    with pytest.raises(CheckError, match="not one usable video of Deepfakes in val; `acfd check`"):
        check(mine).demand()


def test_forgeries_without_a_mask_are_counted_and_sound(mine):
    mine.mask_path(clips(mine)["Deepfakes/000_001"]).unlink()
    found = check(mine)
    assert found.problems.empty and found.sound == found.clips
    said = report(found)
    assert "Deepfakes: 1 of 6 forged videos have no mask" in said
    assert f"{mine.root} -d Deepfakes -t masks" in said
    assert found.folders.set_index("what").loc["mask", ["expected", "there"]].tolist() == [6, 5]


# One file


@pytest.mark.parametrize("share", [0.1, 0.99])
@pytest.mark.parametrize("first", [False, True])
def test_a_file_that_was_cut_off_is_found_by_its_boxes(mine, first, share):
    path = mine.video_path(clips(mine)["original/000"], "c23")
    if first:
        lookalike.header_first(path)
        assert header(path).frames == 6
    lookalike.cut(path, share)
    with pytest.raises(VideoError, match=r"000.mp4: (the file is cut short|not a readable video)"):
        header(path)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\0" * 4000, b"\0\0\0\x08ftyp" * 3])
def test_what_is_no_video_is_an_error_that_names_it(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(VideoError, match=r"a\.mp4: "):
        header(tmp_path / "a.mp4")


def test_a_header_says_what_reading_through_would(mine, tmp_path):
    path = mine.video_path(clips(mine)["original/000"], "c23")
    assert header(path) == probe(path)
    remux(path, tmp_path / "a.mkv")
    found = header(tmp_path / "a.mkv")
    assert (found.frames, found.width, found.promised) == (6, 65, 0)  # no number is promised


# The root, and the command


def test_a_wrong_root_is_named_and_so_are_splits(mine, tmp_path):
    for wrong in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(TreeError, match=rf"data.root {wrong}: no folder orig.* Set data.root"):
            check(Tree(wrong))
    write_splits(mine.root, {"train": [], "val": [], "test": []})
    with pytest.raises(TreeError, match="name no video"):
        check(mine)
    shutil.rmtree(mine.root / "splits")
    with pytest.raises(TreeError, match=r"no such file; the official .* seeded:0 draws"):
        check(mine)


def test_the_command_on_the_ffpp_preset_with_no_root_and_on_a_sound_tree(
    sound, make_params, write_params, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    write_params(make_params(data={"root": "/path/to/FaceForensics++", "source": "ffpp"}))
    assert cli.main(["check"]) == 1
    said = capsys.readouterr().err
    assert "data.root /path/to/FaceForensics++" in said and "docs/faceforensics.md" in said
    write_params(make_params(data={"root": str(sound.root), "source": "ffpp"}))
    assert cli.main(["check"]) == 0
    assert "12 of 12 clips can be used, 0 problems" in capsys.readouterr().out
