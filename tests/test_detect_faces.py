"""Faces of a clip: told apart, followed, cut exactly as in training."""

import cv2
import numpy as np
import pytest

from acfd.detector.faces import Finder, Timing, Tracker, detail
from acfd.faces import crops as training
from acfd.faces import shards
from acfd.faces.crops import ClipResult
from acfd.media.centerface import FaceDetector
from acfd.media.video import read_frames, write_video
from acfd.sections import Faces
from acfd.videos.ffpp import REAL, Clip


def box(x, y, side=40.0):
    return np.array([x, y, x + side, y + side], np.float32)


def test_faces_keep_their_numbers_whatever_their_order():
    tracker = Tracker()
    assert tracker.update(0.0, np.stack([box(0, 0), box(200, 0)])) == [0, 1]
    assert tracker.update(0.1, np.stack([box(205, 3), box(4, 0)])) == [1, 0]
    assert tracker.update(0.2, np.stack([box(208, 3)])) == [1]
    assert tracker.update(0.3, np.stack([box(6, 0), box(400, 0), box(208, 3)])) == [0, 2, 1]
    assert tracker.update(0.4, np.zeros((0, 4), np.float32)) == []
    # the nearest box goes on, and another at the same place is new
    tracker = Tracker()
    tracker.update(0.0, np.stack([box(0, 0)]))
    assert tracker.update(0.1, np.stack([box(15, 0), box(2, 0)])) == [1, 0]
    assert tracker.update(0.2, np.stack([box(2, 0, 100)])) == [2]  # much larger


def test_a_face_that_was_long_away_is_forgotten_but_not_between_rare_frames():
    tracker = Tracker()
    nobody = np.zeros((0, 4), np.float32)
    tracker.update(0.0, np.stack([box(0, 0)]))
    for n in range(40):
        tracker.update(0.1 * n, nobody)
    assert tracker.update(4.1, np.stack([box(0, 0)])) == [1]
    # a minute apart, and once turned away
    tracker.update(60.0, nobody)
    assert tracker.update(120.0, np.stack([box(0, 0)])) == [1]


@pytest.fixture(scope="module")
def pan(portraits):
    """A portrait that moves 4 pixels to the right a frame: 9 frames of 320 x 400."""
    frames = []
    for n in range(9):
        frame = np.full((320, 400, 3), 110, np.uint8)
        frame[:, 20 + 4 * n : 340 + 4 * n] = portraits[0]
        frames.append(frame)
    return frames


def finder(every=0.0, size=64, detect_size=320) -> Finder:
    return Finder(1.3, size, FaceDetector(0.5, detect_size), every, Timing())


def timed(frames, rate=25.0):
    return [(n, n / rate, frame) for n, frame in enumerate(frames)]


def test_between_two_searches_boxes_lie_on_a_line(pan):
    found = list(finder(every=0.16).cut(timed(pan)))
    assert [s.frame for s in found] == list(range(9))
    assert {s.face for s in found} == {0}
    searched = [s.frame for s in found if not np.isnan(s.confidence)]
    assert searched == [0, 4, 8]
    for a, b in ((0, 4), (4, 8)):
        for n in range(a, b + 1):
            share = (n - a) / (b - a)
            expected = (1 - share) * found[a].box + share * found[b].box
            assert found[n].box == pytest.approx(expected, abs=1e-3)
    # and there is the face: searching every frame finds it at the same place
    every = list(finder().cut(timed(pan)))
    assert not any(np.isnan(s.confidence) for s in every)
    for s, e in zip(found, every, strict=True):
        assert np.abs(s.box - e.box).max() < 0.06 * e.side


def test_the_last_frame_is_searched_and_a_face_that_left_is_not_made_up(pan):
    empty = np.full_like(pan[0], 110)
    found = list(finder(every=10.0).cut(timed([*pan[:3], empty])))
    assert [s.frame for s in found] == [0]
    found = list(finder(every=10.0).cut(timed(pan[:4])))
    assert [s.frame for s in found] == [0, 1, 2, 3]
    assert list(finder().cut([])) == list(finder().cut(timed([empty] * 3))) == []


@pytest.mark.parametrize("detect_size", [160, 480])  # of frames of 320
def test_crops_are_those_of_training_to_the_bit(portraits, tmp_path, detect_size):
    """The same clip through extraction and through detection, at one size of search."""
    frames = [np.roll(portraits[1], 3 * n, axis=1) for n in range(4)]
    paths = {name: tmp_path / f"{name}.mp4" for name in ("c23", "c40")}
    for path, crf in zip(paths.values(), (23, 40)):
        write_video(path, frames, 25.0, crf=crf, preset="ultrafast")
    p = Faces(
        frames=4, choice="even", size=48, margin=1.3, mask_threshold=0.1, min_score=0.5,
        detect_size=detect_size,
    )  # fmt: skip
    result = ClipResult(Clip(REAL, "000", "000", "", "train"))
    expected = list(training.rows(paths, p, result))
    assert len(expected) == 4
    find = finder(size=p.size, detect_size=p.detect_size)
    cut = list(find.cut((n, n / 25, f) for n, f in read_frames(paths["c23"])))
    for row, seen in zip(expected, cut, strict=True):
        assert list(seen.square) == row["box"]
        assert np.array_equal(seen.crop, shards.decode_png(row["high"]))


def test_detail_is_nothing_for_a_flat_crop_and_falls_with_blur(portraits):
    assert detail(np.full((32, 32, 3), 90, np.uint8)) == 0
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = 100
    # |100 - 2 * 0 + 100|, at every pixel, also by reflection at the border
    assert detail(stripes) == pytest.approx(200)
    crop = portraits[0][80:240, 80:240]
    assert detail(cv2.GaussianBlur(crop, (0, 0), 2)) < 0.5 * detail(crop)
