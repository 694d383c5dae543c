import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import by_name, contents, write_clip, write_params

from acfd import cli
from acfd.faces.crops import choose_frames
from acfd.faces.extract import FacesError, extract, extract_clip, unmasked
from acfd.faces.shards import PairTable, ShardError
from acfd.media.centerface import FaceDetector
from acfd.media.track import follow, largest, square
from acfd.media.video import read_frames
from acfd.videos.ffpp import Tree, TreeError, write_splits

ONE = {"train": [("000", "001")]}  # one pair: two real clips and two forged ones


def said(left_out):
    """left_out as {(clip, frame): why}, each once."""
    rows = {(f"{r.method}/{r.video}", r.frame): r.why for r in left_out.itertuples()}
    assert len(rows) == len(left_out)
    return rows


def run(params, tree, out, **options):
    index, left_out, _ = extract(params, tree, out, progress=False, **options)
    written = pd.read_csv(out / "left_out.csv", dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(written, left_out.astype(str), check_dtype=False)
    pd.testing.assert_frame_equal(pd.read_parquet(out / "index.parquet"), index)
    return index, left_out


# The rules, one by one


@pytest.mark.parametrize(
    ("count", "wanted", "choice", "expected"),
    [
        (16, 4, "first", [0, 1, 2, 3]),
        (16, 4, "even", [2, 6, 10, 14]),
        (5, 4, "even", [0, 1, 3, 4]),
        (3, 270, "even", [0, 1, 2]),
        (0, 4, "even", []),
    ],
)
def test_choice_of_frames(count, wanted, choice, expected):
    assert choose_frames(count, wanted, choice) == expected


@pytest.mark.parametrize(
    ("box", "width", "height", "expected"),
    [
        ((100, 80, 140, 120), 320, 240, (94, 74, 146, 126)),  # 40 x 1.3 = 52
        ((100, 80, 120, 120), 320, 240, (84, 74, 136, 126)),  # its longer side counts
        ((290, 210, 320, 240), 320, 240, (281, 201, 320, 240)),  # shifted in
        ((10, 20, 210, 240), 321, 241, (0, 0, 241, 241)),  # shrunk to the frame
        ((0, 0, 2, 1), 320, 240, (0, 0, 3, 3)),
    ],
)
def test_square_box(box, width, height, expected):
    assert square(np.array(box, np.float32), 1.3, width, height) == expected


BOXES = np.array([[0, 0, 30, 30], [60, 0, 100, 40], [200, 0, 220, 20]], np.float32)


def test_the_largest_face_is_followed_and_never_a_bystander():
    assert largest(BOXES).tolist() == [60, 0, 100, 40]
    box, why = follow(np.array([5, 3, 36, 33], np.float32), BOXES)
    assert (box.tolist(), why) == ([0, 0, 30, 30], "")
    moved, _ = follow(np.array([14, 0, 44, 30], np.float32), BOXES)  # half its box away
    assert moved.tolist() == [0, 0, 30, 30]
    track = np.array([120, 60, 150, 90], np.float32)
    kept, why = follow(track, BOXES)
    assert kept is track and why == "3 face(s) found, none where the one that is followed was"
    larger = np.array([190, 0, 260, 70], np.float32)  # than what is now in its place
    assert follow(larger, BOXES)[1]


# Whole trees


@pytest.fixture(scope="module")
def sound(make_tree, tmp_path_factory):
    return make_tree(tmp_path_factory.mktemp("sound"))


def test_pairs_are_aligned_and_cut_where_the_face_is(sound, make_params, tmp_path):
    params = make_params()
    index, left_out = run(params, sound, tmp_path / "faces")
    assert left_out.empty
    assert len(index) == 12 * 4
    assert index.groupby("split")["video"].nunique().to_dict() == {"train": 4, "val": 4, "test": 4}
    table = PairTable(tmp_path / "faces")
    named = by_name(sound)
    find = FaceDetector(0.5, 128)
    for i in range(0, len(index), 5):
        pair = table.read(i)
        clip = named[f"{pair['method']}/{pair['video']}"]
        for name in ("label", "target", "source", "split"):
            assert pair[name] == getattr(clip, name)
        x0, y0, x1, y1 = pair["box"].astype(int)
        assert x1 - x0 == y1 - y0
        for name, compression in (("high", "c23"), ("low", "c40")):
            path = sound.video_path(clip, compression)
            ((_, frame),) = read_frames(path, [pair["frame"]])
            expected = cv2.resize(frame[y0:y1, x0:x1], (48, 48), interpolation=cv2.INTER_AREA)
            assert np.array_equal(pair[name], expected)
        ((_, frame),) = read_frames(sound.video_path(clip, "c23"), [pair["frame"]])
        face = find.detect(frame)[0]
        side = (face[2:4] - face[:2]).max()
        assert abs((x1 - x0) - 1.3 * side) <= 1 or x1 - x0 == 128
        marks = face[5:].reshape(5, 2)
        assert np.allclose(pair["landmarks"], (marks - (x0, y0)) * 48 / (x1 - x0), atol=1e-3)
        (left, right, nose, *mouth) = pair["landmarks"]
        assert 0 < left[0] < nose[0] < right[0] < 48 and left[1] < nose[1] < mouth[0][1] < 48
        if clip.label:
            ((_, grey),) = read_frames(sound.mask_path(clip), [pair["frame"]])
            expected = cv2.resize(grey[y0:y1, x0:x1, 0], (48, 48), interpolation=cv2.INTER_AREA)
            assert np.mean(pair["mask"] != (expected / 255 > 0.1)) < 0.01
            assert 0.1 < pair["mask"].mean() < 0.6
            assert pair["mask"][20:28, 20:28].all()
        else:
            assert not pair["mask"].any()


def test_other_params_and_changed_files_are_extracted_again(mine, make_params, tmp_path):
    out = tmp_path / "faces"
    run(make_params(), mine, out)
    before = contents(out)
    touched = mine.video_path(by_name(mine)["original/000"], "c40")
    os.utime(touched)  # a checkout's new time stamps are no change
    assert extract(make_params(), mine, out, progress=False)[2].clips == 0
    shutil.copy(mine.video_path(by_name(mine)["original/001"], "c40"), touched)
    _, _, timing = extract(make_params(), mine, out, progress=False)
    assert timing.clips == 1
    changed = {name for name, data in contents(out).items() if data != before[name]}
    assert changed == {"original/000.arrow"}
    params = make_params(faces={"size": 56})
    run(params, mine, out)
    assert PairTable(out).read(0)["high"].shape == (56, 56, 3)
    # an index is gone before a shard changes, and not otherwise
    for margin, there in ((params.faces.margin, True), (1.5, False)):
        faces = params.faces.model_copy(update={"margin": margin})
        extract_clip(mine, by_name(mine)["original/000"], faces, "c23", "c40", out)
        assert (out / "index.parquet").exists() == there


def test_shards_of_clips_that_are_gone_are_removed(mine, make_params, tmp_path):
    out = tmp_path / "faces"
    run(make_params(), mine, out)
    killed = out / "original" / ".000xyz.tmp.arrow"  # half-written by a run that was killed
    at_work = out / "original" / ".001xyz.tmp.arrow"  # or by one that is still at work
    for path, age in ((killed, 7200), (at_work, 60)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    (out / "notes.txt").write_text("not ours")
    write_splits(mine.root, {"train": [("000", "001")], "val": [("002", "003")], "test": []})
    index, _ = run(make_params(), mine, out)
    assert set(index["split"]) == {"train", "val"}
    names = set(contents(out))
    assert len(names) == 8 + 2 + 2 and "notes.txt" in names
    assert at_work.exists() and not killed.exists()
    assert not any("004" in name for name in names)


# In parts, and at once


def test_parts_of_an_array_of_jobs_make_what_one_run_makes(mine, make_params, tmp_path):
    params, out = make_params(), tmp_path / "faces"
    run(params, mine, tmp_path / "one")
    foreign = out / "Deepfakes" / "of_another_part.arrow"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"not of this part, but not to be removed by it")
    taken = []
    for part in (2, 1, 3):
        index, _, timing = extract(params, mine, out, progress=False, shard=(part, 3))
        assert timing.clips == 4 and timing.frames == 16 and foreign.exists()
        spent = [timing.hash, timing.decode, timing.detect, timing.crop, timing.write]
        assert min(spent) > 0 and sum(spent) <= timing.wall
        taken += list(index.groupby(["method", "video"]).groups)
        names = set(contents(out))
        assert "index.parquet" not in names and "left_out.csv" not in names
        assert len(names) == len(taken) + 1
    assert len(set(taken)) == 12
    _, _, timing = extract(params, mine, out, progress=False)
    assert timing.clips == 0
    assert contents(out) == contents(tmp_path / "one")


def test_two_extractions_at_once_make_what_one_makes(make_tree, make_params, tmp_path):
    tree, params = make_tree(tmp_path / "videos", pairs=ONE), make_params()
    both = [start(tmp_path, params) for _ in range(2)]
    for process in both:
        _, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
    extract(params, tree, tmp_path / "one", progress=False)
    assert contents(tmp_path / "faces") == contents(tmp_path / "one")


def test_an_extraction_with_other_params_on_the_same_folder_is_found_out(
    mine, make_params, tmp_path
):
    """It takes away a shard that this one has made already."""

    class Meddled(Tree):
        def mask_path(self, clip):
            if str(clip) == "Deepfakes/005_004":  # the last one
                (tmp_path / "faces" / "original" / "000.arrow").unlink()
            return super().mask_path(clip)

    with pytest.raises(FacesError, match=r"000.arrow: it was changed or removed since"):
        extract(make_params(), Meddled(mine.root), tmp_path / "faces", progress=False)
    assert not (tmp_path / "faces" / "index.parquet").exists()


def test_the_command_takes_a_part(sound, make_params, tmp_path, monkeypatch, capsys):
    write_params(make_params(data={"root": str(sound.root)}), tmp_path)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["faces", "--shard", "1/6"]) == 0
    assert "part 1 of 6: 8 pairs" in capsys.readouterr().out
    assert len(list((tmp_path / "data" / "pocket" / "faces").glob("*/*.arrow"))) == 2
    for wrong in ("7/6", "a/b"):
        with pytest.raises(SystemExit):
            cli.main(["faces", "--shard", wrong])
        assert "expected I/N" in capsys.readouterr().err


# What can be wrong with a clip: it is left out, with its reason, and the others are there


def test_videos_that_cannot_be_used_do_not_stop_the_others(mine, make_params, tmp_path):
    """tests/test_lookalike.py has what else can be wrong."""
    name = by_name(mine)
    away = mine.video_path(name["original/000"], "c40")
    away.rename(tmp_path / "away.mp4")
    index, left_out = run(make_params(), mine, tmp_path / "faces")
    why = said(left_out)
    assert "c40/videos/000.mp4: no such video file" in why["original/000", ""]
    assert len(why) == 1 and len(index) == 11 * 4
    # nothing was changed, so nothing is tried again, and the reasons are still there
    again = extract(make_params(), mine, tmp_path / "faces", progress=False)
    pd.testing.assert_frame_equal(again[1], left_out)
    assert again[2].clips == 0
    (tmp_path / "away.mp4").rename(away)  # what comes back is taken up
    index, left_out = run(make_params(), mine, tmp_path / "faces")
    assert len(index) == 12 * 4 and left_out.empty


def test_forgeries_without_masks_are_said_to_be_so(mine, make_params, tmp_path):
    """FaceShifter comes without; then the largest face is followed, as in a real video."""
    forged = mine.root / "manipulated_sequences"
    without = shutil.ignore_patterns("masks")
    shutil.copytree(forged / "Deepfakes", forged / "FaceShifter", ignore=without)
    params = make_params(data={"methods": ["Deepfakes", "FaceShifter"]})
    index, left_out = run(params, mine, tmp_path / "faces")
    assert left_out.empty and len(index) == 18 * 4
    assert (index["masked"] == (index["method"] != "FaceShifter")).all()
    table = PairTable(tmp_path / "faces")
    for i in range(0, len(index), 3):
        pair = table.read(i)
        assert pair["mask"].any() == (pair["method"] == "Deepfakes")
    # of the other methods masks may not have been downloaded, all or some
    (forged / "Deepfakes" / "masks" / "videos" / "004_005.mp4").unlink()
    index, left_out = run(params, mine, tmp_path / "faces")
    assert left_out.empty and len(index) == 18 * 4
    assert index[~index["masked"] & (index["method"] == "Deepfakes")]["video"].unique() == "004_005"
    assert "Deepfakes 1 of 6, FaceShifter 6 of 6" in unmasked(index)
    table = PairTable(tmp_path / "faces")
    pairs = [table.read(i) for i in index.index[index["method"] == "Deepfakes"]]
    assert all(pair["mask"].any() == (pair["video"] != "004_005") for pair in pairs)
    with pytest.raises(ShardError, match=r"4 faces of Deepfakes \(e.g. Deepfakes/004_005\)"):
        table.demand_masks(index.index[index["method"] == "Deepfakes"], "row x: loss.at 1")
    shutil.rmtree(forged / "Deepfakes" / "masks")
    index, left_out = run(make_params(), mine, tmp_path / "faces")
    assert left_out.empty and len(index) == 12 * 4
    assert (index["masked"] == (index["label"] == 0)).all()


# Which face


def test_a_face_that_disappears_is_not_replaced_by_a_bystander(
    portraits, make_tree, make_params, tmp_path
):
    """One at the left, in the frames 0, 1 and 4; a smaller one at the right in all five."""
    tree = make_tree(tmp_path / "videos", pairs=ONE, frames=5)
    frames = np.full((5, 128, 384, 3), 110, np.uint8)
    frames[:, 10:120, 270:380] = cv2.resize(portraits[1], (110, 110), None, 0, 0, cv2.INTER_AREA)
    frames[[0, 1, 4], :, :128] = cv2.resize(portraits[0], (128, 128), None, 0, 0, cv2.INTER_AREA)
    write_clip(tree, by_name(tree)["original/000"], frames)
    params = make_params(faces={"frames": 5, "detect_size": 384})
    index, left_out = run(params, tree, tmp_path / "faces")
    lost = "1 face(s) found, none where the one that is followed was"
    assert said(left_out) == {("original/000", n): lost for n in (2, 3)}
    rows = np.flatnonzero(index["video"] == "000")
    assert index["frame"][rows].tolist() == [0, 1, 4]
    assert all(PairTable(tmp_path / "faces").box(i)[[0, 2]].mean() < 100 for i in rows)


# What is wrong with everything: an error


def test_an_empty_tree_is_an_error(make_params, tmp_path):
    write_splits(tmp_path / "empty", ONE | {"val": [], "test": []})
    with pytest.raises(TreeError, match=r"none of the 4 videos that the splits name is there"):
        extract(make_params(), Tree(tmp_path / "empty"), tmp_path / "f", progress=False)
    with pytest.raises(TreeError, match=r"train.json: no such file"):
        extract(make_params(), Tree(tmp_path / "nowhere"), tmp_path / "f", progress=False)
    assert not (tmp_path / "f").exists()


def test_a_split_without_any_face_is_an_error_and_no_index_is_left(mine, make_params, tmp_path):
    out = tmp_path / "faces"
    run(make_params(), mine, out)
    blank = [np.full((128, 128, 3), 90, np.uint8)] * 6
    for clip in mine.clips(["Deepfakes"]):
        if clip.split == "val":
            write_clip(mine, clip, blank)
    with pytest.raises(FacesError, match=r"val: none of its 4 videos gave a face \(e.g. no frame"):
        extract(make_params(), mine, out, progress=False)
    assert not (out / "index.parquet").exists()
    left_out = pd.read_csv(out / "left_out.csv")
    assert set(left_out["video"]) == {"002", "003", "002_003", "003_002"}


SCRIPT = """
from pathlib import Path
from acfd import params
from acfd.faces import extract
from acfd.videos import ffpp
p = params.Params.model_validate_json(Path("params.json").read_text())
extract.extract(p, ffpp.Tree(Path("videos")), Path("faces"), progress=False)
"""


def start(folder, params, **options):
    """A process that extracts <folder>/videos to <folder>/faces, in a session of its own."""
    (folder / "params.json").write_text(params.model_dump_json())
    options |= {"cwd": folder, "start_new_session": True, "text": True, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", SCRIPT], **options)


def test_killed_in_the_middle_it_goes_on_and_ends_the_same(make_tree, make_params, tmp_path):
    tree = make_tree(tmp_path / "videos", frames=8)
    params = make_params(faces={"frames": 8, "detect_size": 320}, compute={"jobs": 2})
    process = start(tmp_path, params)
    out = tmp_path / "faces"
    deadline = time.monotonic() + 400
    while len(done := list(out.glob("*/[!.]*.arrow"))) < 2 and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)  # workers too, like a machine that goes down
    process.wait()
    process.stderr.close()
    kept = {p: p.stat().st_mtime_ns for p in out.glob("*/[!.]*.arrow")}
    assert len(done) >= 2 and len(kept) < 12
    assert not (out / "index.parquet").exists()

    _, _, timing = extract(params, tree, out, progress=False)
    assert timing.clips == 12 - len(kept)
    assert all(path.stat().st_mtime_ns == then for path, then in kept.items())
    alone = make_params(faces={"frames": 8, "detect_size": 320})  # one process
    extract(alone, tree, tmp_path / "unkilled", progress=False)
    assert contents(out) == contents(tmp_path / "unkilled")


def test_a_full_disk_stops_everything_and_a_rerun_goes_on(make_tree, make_params, tmp_path):
    """A real limit on file sizes, which the largest shard breaks."""
    tree = make_tree(tmp_path / "videos", pairs=ONE)
    params = make_params(compute={"jobs": 2})
    extract(params, tree, tmp_path / "free", progress=False)
    sizes = {n: len(d) for n, d in contents(tmp_path / "free").items() if n.endswith(".arrow")}
    limit = max(sizes.values()) - 1
    limited = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
    process = start(tmp_path, params, preexec_fn=limited)
    _, stderr = process.communicate(timeout=400)
    assert process.returncode == 1
    assert "no room to write it (File too large)" in stderr
    assert "MiB are free on the disk of" in stderr and "run again" in stderr
    left = contents(tmp_path / "faces")  # a temporary file too, of a process that was stopped at it
    kept = {n for n in left if n.endswith(".arrow") and "/." not in n}
    assert "index.parquet" not in left
    assert set(kept) < set(sizes)
    index, _, timing = extract(params, tree, tmp_path / "faces", progress=False)
    assert timing.clips == 4 - len(kept) and len(index) == 16
    assert contents(tmp_path / "faces") == contents(tmp_path / "free")
