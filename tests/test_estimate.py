"""Disk and hours: the arithmetic over what was measured, against a run of the real thing."""

import pytest

from acfd.faces import extract
from acfd.stages import estimate
from acfd.videos.check import survey
from acfd.videos.ffpp import Tree


@pytest.fixture(scope="module")
def tree(make_tree, tmp_path_factory) -> Tree:
    return make_tree(tmp_path_factory.mktemp("estimate"), methods=("Deepfakes",), frames=8)


@pytest.fixture(scope="module")
def found(tree):
    return survey(tree, ["Deepfakes"], "c23", "c40", wanted=8, decode=0, progress=False)


def test_disk_and_seconds_are_those_of_the_extraction(
    tree, found, make_params, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    p = make_params(faces={"frames": 8, "size": 64})
    about = estimate.extraction(p, found)
    assert list(tmp_path.iterdir()) == []
    _, _, timing = extract.extract(p, tree, tmp_path / "faces", progress=False)
    written = sum(f.stat().st_size for f in (tmp_path / "faces").rglob("*.arrow"))
    assert (about.videos, about.pairs, about.jobs, about.measured) == (12, 96, 1, 3)
    assert about.bytes == pytest.approx(written, rel=0.3)
    assert 0.1 < about.seconds / timing.wall < 10  # of a busy machine, so the order alone
    assert about.problem == "" and "96 pairs of 12 videos" in str(about)


def test_a_full_disk_is_said_before(found, make_params, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    about = estimate.extraction(make_params(), found)
    small = type(about)(**vars(about) | {"free": 10})
    assert "make room" in small.problem


def test_nothing_to_measure(found, make_params):
    none = type(found)(**vars(found) | {"clips": []})
    assert estimate.extraction(make_params(), none) is None
