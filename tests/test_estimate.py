"""Disk and hours: the arithmetic over what was measured, against a run of the real thing."""

import numpy as np
import pytest

from acfd import faces
from acfd.datasets import estimate
from acfd.datasets.check import survey
from acfd.ffpp import Tree


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
    _, _, timing = faces.extract(p, tree, tmp_path / "faces", progress=False)
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


@pytest.mark.parametrize(
    ("train", "pairs"),
    [
        ({"steps": 20, "epoch_steps": 5, "batch": 2}, 4 * 10),
        ({"steps": 0, "epochs": 3, "epoch_steps": 0}, 3 * 2 * 2 * 4),
    ],
)
def test_training_counts_epochs_and_pairs_and_measures_like_rows_once(
    found, make_params, train, pairs
):
    """4 frames of 2 real and 2 forged training videos; what is measured must be positive."""
    p = make_params(
        faces={"frames": 4},
        train={"batch": 2, "val_pairs": 4} | train,
        study={"seeds": [0, 1]},
        rows={
            name: make_params().rows[name].model_dump() | {"set": {"train": {"qualities": ["low"]}}}
            for name in ("meso4", "steg")
        },
        compute={"accelerator": "cpu", "workers": 0},
    )
    two = p.study.model_copy(update={"rows": ["meso4", "steg"]})
    p = p.model_copy(update={"study": two})
    table = estimate.training(p, found, steps=1, progress=False).set_index("row")
    assert table["runs"].tolist() == [2, 2]
    assert table["pairs"].tolist() == [pairs, pairs]
    assert table.loc["meso4", "seconds"] > 0
    epochs = p.train.most_epochs()
    work = 2 * (pairs + estimate.FORWARD * 4 * epochs)
    assert table.loc["meso4", "hours"] == pytest.approx(work * table.loc["meso4", "seconds"] / 3600)
    assert np.isnan(table.loc["steg", "hours"])  # it is not trained by steps


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 seconds"),
        (89, "89 seconds"),
        (600, "10 minutes"),
        (2 * 3600, "2.0 hours"),
        (9e5, "10.4 days"),
    ],
)
def test_durations(seconds, words):
    assert estimate.duration(seconds) == words
