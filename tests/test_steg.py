"""Steganalysis features by hand and by a slow count, and the SVM that is fitted on them."""

import json
from itertools import product
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score
from trained import changed, study_at

from acfd.baselines import steg
from acfd.params import Params
from acfd.runs import run
from acfd.runs.distributed import make_fabric
from acfd.runs.run import make_system
from acfd.scores import score


@pytest.fixture
def study(small_params, toy_faces, tmp_path):
    """Makes (params, paths) of a study whose faces are the toy ones, in a folder of its own."""

    def make(name, qualities=("low",), **augment):
        raw = changed(small_params, augment=augment).model_dump()
        raw["rows"]["steg"]["set"]["train"] = {"qualities": list(qualities)}
        return Params(**raw), study_at(tmp_path / name, toy_faces.folder)

    return make


def as_images(pictures):
    """B x H x W x 3 uint8 to what a network is given."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def slow(picture, quantiser):
    """The 162 of one uint8 picture, pattern by pattern, in plain Python."""
    x = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(int)
    found = []
    for lines in (x, x.T):
        counts = dict.fromkeys(product((-1, 0, 1), repeat=4), 0)
        for line in lines:
            fours = zip(line, line[1:], line[2:], line[3:])
            residuals = [int(a - 3 * b + 3 * c - d) for a, b, c, d in fours]
            s = [max(-1, min(1, round(r / quantiser))) for r in residuals]
            for i in range(len(s) - 3):
                counts[tuple(s[i : i + 4])] += 1
        found += [n / sum(counts.values()) for n in counts.values()]
    return found


@pytest.mark.parametrize("quantiser", [1, 2, 4])
def test_features_are_those_counted_slowly(quantiser):
    rng = np.random.default_rng(1)
    # smooth pictures, so that all three symbols are there
    noise = rng.integers(0, 256, (2, 24, 24, 3), np.uint8)
    pictures = np.stack([cv2.blur(x, (9, 9)) for x in noise])
    found = steg.features(as_images(pictures), quantiser)
    assert found.shape == (2, 162)
    np.testing.assert_allclose(found, [slow(p, quantiser) for p in pictures], atol=1e-6)
    assert (found > 0).sum() > 100


@pytest.mark.parametrize("side", [128, 151])
def test_only_the_centre_of_a_large_face_counts(side):
    x = torch.rand(1, 3, side, side) * 2 - 1
    start = (side - 128) // 2
    centre = x[:, :, start : start + 128, start : start + 128]
    assert torch.equal(steg.features(x, 1), steg.features(centre, 1))


@pytest.mark.parametrize("qualities", [("low",), ("high", "low")])
def test_it_fits_scores_and_repeats(study, qualities):
    p, paths = study("a", qualities)
    seen = []
    folder = run.run(p, "steg", 0, paths, progress=False, callbacks=(seen.append,))
    assert len(seen) == 1 and seen[0].stopped == "fitted"
    history, steps = (pd.read_csv(folder / f"{n}.csv") for n in ("history", "steps"))
    said = json.loads((folder / "run.json").read_text())
    state = load_file(folder / "model.safetensors")
    assert said["kept_epoch"] == said["epochs"] == 1 and said["parameters"] == 2 * 163
    assert said["val_loss"] == history["val_loss"][0] and not said["collapsed"]

    # quantiser and C: the first of the best
    assert len(steps) == 15 and {"epoch", "step", "loss", "cls"} <= set(steps)
    chosen = steps.loc[steps["val_auc"].idxmax()]
    assert int(state["low.quantiser"]) == chosen["quantiser"]
    assert history["val_auc"][0] == pytest.approx(chosen["val_auc"], abs=1e-9)
    assert history["train_loss"][0] == chosen["loss"] and history["train_cls"][0] == chosen["cls"]

    scores = score.score(p, "steg", 0, paths, progress=False)
    low = scores[(scores["compression"] == "c40") & (scores["split"] == "val")]
    assert roc_auc_score(low["label"], low["score"]) == pytest.approx(chosen["val_auc"], abs=1e-9)
    each = np.where(low["label"] == 1, -np.log(low["score"]), -np.log1p(-low["score"]))
    mean = np.mean([each[low["label"] == k].mean() for k in (0, 1)])
    assert mean == pytest.approx(said["val_loss"], rel=1e-4)

    loaded, _ = run.load_run(folder, p)
    assert all(torch.equal(state[k], v) for k, v in loaded.net.state_dict().items())
    pd.testing.assert_frame_equal(scores, score.score(p, "steg", 0, paths, progress=False))
    _, other = study("b", qualities)
    again = load_file(run.run(p, "steg", 0, other, progress=False) / "model.safetensors")
    assert all(torch.equal(state[k], again[k]) for k in state)


def test_what_cannot_be_fitted_is_said(study, tmp_path):
    fabric = make_fabric(study("a")[0].compute)

    def fit(p, forged):
        system = make_system(p, "steg", 0)
        batches = SimpleNamespace(rows=[np.arange(8), forged])
        data = SimpleNamespace(table=None)
        return system.fit(data, batches, None, p.for_row("steg"), 0, tmp_path, fabric)

    with pytest.raises(ValueError, match=r"augment\.blend is 0\.5.*as they are stored"):
        fit(study("b", blend=0.5)[0], np.arange(8, 16))
    with pytest.raises(ValueError, match="too few faces for the SVM: 8 real and 3 forged"):
        fit(study("c")[0], np.array([8, 9, 10]))


def test_several_processes_are_refused(study, monkeypatch):
    """Each would fit the whole; it is said before any face is read."""
    p, paths = study("a")
    fabric = make_fabric(p.compute)
    fake = SimpleNamespace(global_rank=1, world_size=2, device=fabric.device)
    monkeypatch.setattr(run, "make_fabric", lambda _: fake)
    with pytest.raises(run.TrainingError, match="steg is not trained by gradients"):
        run.run(p, "steg", 0, paths, progress=False)
