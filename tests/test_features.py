"""Features: each quality through its own branch, distances by hand, a file that needs no model."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_model
from torch import nn
from trained import changed, study_at, write_about

from acfd.method.model import Output
from acfd.method.system import System
from acfd.paths import Paths
from acfd.results import method
from acfd.runs.run import make_system
from acfd.scores.features import extract, paired, store


def test_distances_by_hand():
    """Three people on a line at 0, 10 and 30; at low quality each has moved up by 1, 2 and 25."""
    high = np.array([[0.0, 0.0], [10.0, 0.0], [30.0, 0.0]])
    low = np.add(high, [[0.0, 1.0], [0.0, 2.0], [0.0, 25.0]])
    found = paired(high, low, np.array(["a", "b", "c"]))
    for quality in ("high", "low"):
        np.testing.assert_allclose(found[quality]["own"], [1, 2, 25])
    expected = [np.hypot(10, 1), np.hypot(10, 2), np.hypot(30, 25)]
    others = np.sort([expected[0], np.hypot(30, 1)])
    assert found["low"]["other"][0] == pytest.approx(others.mean())  # median of two
    assert found["low"]["nearer"].tolist() == [0, 0, 0]
    near = low.copy()
    near[2] = [11.0, 0.0]  # its nearest high-quality feature is now b's, then a's, then its own
    assert paired(high, near, np.array(["a", "b", "c"]))["low"]["nearer"][2] == 1.0


def test_own_frames_are_no_strangers_and_some_people_are_needed():
    """Two faces of a and one of b: a's other frame is neither its own nor another person's."""
    high = np.array([[0.0, 0.0], [1.0, 0.0], [9.0, 0.0]])
    low = np.add(high, [0.5, 0.0])
    found = paired(high, low, np.array(["a", "a", "b"]))
    assert found["low"]["other"].tolist() == [8.5, 7.5, 9.0]  # of b's twin: the median of 9.5, 8.5
    x = np.zeros((3, 2))
    with pytest.raises(ValueError, match="all 3 faces are of one person"):
        paired(x, x, np.array(list("aaa")))


class Mean(nn.Module):
    """A branch whose feature is the mean of the picture's channels, times a factor."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, images):
        feature = images.mean((2, 3)) * self.factor
        return Output(feature[:, :2], feature, None, None)


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.high, self.low = Mean(1.0), Mean(10.0)


def test_each_branch_sees_its_own_quality(toy_faces, small_params):
    rows = np.array([3, 0])
    found = extract(System(small_params, Two()), toy_faces, rows, small_params)
    for quality, factor in (("high", 1), ("low", 10)):
        pictures = np.stack([toy_faces.read(i)[quality] for i in rows])
        expected = factor * (pictures.mean((1, 2)) / 127.5 - 1)
        np.testing.assert_allclose(found[quality], expected, rtol=1e-4, atol=1e-4)


@pytest.fixture
def paths(tmp_path, toy_faces, small_params) -> Paths:
    """A run of Meso-4 whose last layers were moved by training."""
    paths = study_at(tmp_path, toy_faces.folder, "pocket")
    net = make_system(small_params, "meso4", 0).net
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.5)
    save_model(net, str(write_about(small_params, paths, "meso4") / "model.safetensors"))
    return paths


def test_stored_is_enough_for_every_figure(paths, toy_faces, small_params):
    p = changed(small_params, attention={"frames": 1})
    store(p, "meso4", 0, paths, progress=False)
    stored = pd.read_parquet(paths.features("meso4", 0))
    assert len(stored) == 8 * 2 * 2 and set(stored["split"]) == {"test"}  # 4 real, 4 forged videos
    net = make_system(p, "meso4", 0).deployed.eval()
    first = stored[(stored["state"] == "before") & (stored["quality"] == "low")].iloc[0]
    index = toy_faces.index
    at = index[(index["video"] == first["video"]) & (index["frame"] == first["frame"])].index[0]
    picture = torch.from_numpy(toy_faces.read(at)["low"].transpose(2, 0, 1).copy())
    with torch.inference_mode():
        expected = net(picture[None].float() / 127.5 - 1).feature.norm().item()
    assert first["norm"] == pytest.approx(expected, rel=1e-4)
    after = stored[(stored["state"] == "after") & (stored["quality"] == "low")].iloc[0]
    assert after["norm"] != pytest.approx(first["norm"], rel=1e-2)
    together = method.together(stored)
    assert together["state"].tolist() == ["before", "after"]
    low = stored[(stored["state"] == "after") & (stored["quality"] == "low")]
    assert together["ratio"][1] == pytest.approx((low["own"] / low["other"]).median())
    assert together["nearest"][1] == pytest.approx((low["nearer"] == 0).mean())
