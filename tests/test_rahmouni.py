"""CustomPooling CNN: its statistics by hand, its dropout, and a training that can be cut short."""

import numpy as np
import pandas as pd
import pytest
import torch
from trained import assert_same, result

from acfd import baselines, evaluate, runs
from acfd.baselines.layers import Dropout
from acfd.baselines.rahmouni import StatsBranch, statistics
from acfd.params import Params
from acfd.paths import Paths


@pytest.fixture
def study(small_params, toy_faces, tmp_path):
    """Makes (params, paths) of a study whose faces are the toy ones, in a folder of its own."""

    def make(name, **train):
        paths = Paths("toy", tmp_path / name)
        paths.data.mkdir(parents=True)
        paths.faces.symlink_to(toy_faces.folder)
        raw = small_params.model_dump()
        raw["train"] |= train
        raw["rows"]["meso4"]["set"]["train"] |= train  # which has epochs of its own
        raw["compute"] |= {"checkpoint_steps": 1}
        return Params(**raw), paths

    return make


def test_statistics_by_hand():
    maps = torch.tensor([[[[0.0, 1.0], [2.0, 5.0]], [[3.0, 3.0], [3.0, 3.0]]]])
    # means, variances of the pixels themselves, minima, maxima
    expected = torch.tensor([[2.0, 3.0, 3.5, 0.0, 0.0, 3.0, 5.0, 3.0]])
    assert torch.equal(statistics(maps), expected)
    assert statistics(maps.bfloat16()).dtype == torch.float32


def test_layers_are_the_published_ones():
    net = StatsBranch(0)
    shapes = {name: tuple(p.shape) for name, p in net.named_parameters() if "weight" in name}
    assert shapes == {
        "conv1.weight": (32, 3, 3, 3),
        "conv2.weight": (64, 32, 3, 3),
        "hidden.weight": (1024, 256),
        "fc.weight": (2, 1024),
    }
    biases = torch.cat([p for name, p in net.named_parameters() if "bias" in name])
    assert biases.min() >= 0.3 and biases.max() <= 0.7
    assert net.hidden.weight.abs().max() <= 2 * (2 / 256) ** 0.5
    net.eval()
    for side in (32, 51):
        out = net(torch.rand(2, 3, side, side) * 2 - 1)
        assert out.logits.shape == (2, 2) and out.feature.shape == (2, 1024)
        assert out.attention is None and out.mid is None


def test_statistics_do_not_know_where_a_pixel_is():
    """Rolling a picture that is flat at its rim moves what is in it, and changes nothing."""
    net = StatsBranch(0).eval()
    image = torch.zeros(1, 3, 32, 32)
    image[:, :, 10:18, 9:20] = torch.rand(3, 8, 11) * 2 - 1
    a, b = net(image), net(image.roll((3, -2), dims=(2, 3)))
    assert torch.allclose(a.logits, b.logits, atol=1e-5)
    assert not torch.allclose(a.logits, net(image / 2).logits, atol=1e-3)


def test_dropout_repeats_from_its_count():
    x = torch.ones(64, 100)
    a, b = Dropout(0.25, seed=3), Dropout(0.25, seed=3)
    first, second = a(x), a(x)
    assert torch.equal(b(x), first) and not torch.equal(first, second)
    torch.manual_seed(99)  # the global generator has no say, and is left alone
    before = torch.get_rng_state()
    assert torch.equal(b(x), second) and torch.equal(torch.get_rng_state(), before)
    assert first.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (first == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)

    resumed = Dropout(0.25, seed=3)
    resumed.load_state_dict(a.state_dict())
    assert torch.equal(resumed(x), a(x)) and int(a.step) == 3
    for other in (Dropout(0.25, seed=4), Dropout(0.25, seed=3, stream=1)):
        assert not torch.equal(other(x), first)
    assert a.eval()(x) is x and int(a.step) == 3
    with pytest.raises(ValueError, match="found 1"):
        Dropout(1, seed=0)


def test_dropout_does_not_drop_the_gradient():
    x = torch.ones(50, requires_grad=True)
    out = Dropout(0.5, seed=0)(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach()) and {0.0, 2.0} == set(x.grad.tolist())


def test_it_trains_scores_and_repeats(study):
    p, paths = study("a", steps=2)
    folder = runs.run(p, "rahmouni", 0, paths, progress=False)
    history, steps, state = result(folder)
    assert np.isfinite(history[["train_loss", "val_loss", "val_auc"]]).all(axis=None)
    assert int(state["low.dropout.step"]) == len(steps)
    scores = evaluate.score(p, "rahmouni", 0, paths, progress=False)
    assert scores["score"].between(0, 1).all() and (scores[["tp", "fp", "fn", "tn"]] == 0).all(None)

    loaded, _ = runs.load_run(folder, p)
    again = evaluate.score(p, "rahmouni", 0, paths, progress=False)
    assert all(torch.equal(state[k], v) for k, v in loaded.net.state_dict().items())
    pd.testing.assert_frame_equal(scores, again)

    _, other = study("b", steps=2)
    assert_same(result(folder), result(runs.run(p, "rahmouni", 0, other, progress=False)))
    changed = result(runs.run(p, "rahmouni", 1, other, progress=False))
    assert changed[0]["train_loss"][0] != history["train_loss"][0]


def test_it_learns_what_can_be_learnt(study):
    p, paths = study("a", steps=20, epoch_steps=5, batch=8, lr=0.001)
    folder = runs.run(p, "rahmouni", 0, paths, progress=False)
    assert pd.read_csv(folder / "history.csv")["val_auc"].max() > 0.9


class Killed(BaseException):
    """As abrupt for a run as a process's end: nothing catches it, nothing is put away."""


@pytest.mark.parametrize("row", ["rahmouni", "meso4"])
def test_a_run_cut_short_ends_as_a_whole_one(study, monkeypatch, row):
    """Cut after the third of four steps, in the middle of the second epoch."""
    p, whole = study("whole", steps=4)
    expected = result(runs.run(p, row, 0, whole, progress=False))
    assert len(expected[1]) == 4

    _, paths = study("cut")
    seen, system = [], baselines.find(row)
    original = system.terms

    def cut(self, outputs, batch):
        seen.append(1)
        if len(seen) == 4:
            raise Killed
        return original(self, outputs, batch)

    monkeypatch.setattr(system, "terms", cut)
    with pytest.raises(Killed):
        runs.run(p, row, 0, paths, progress=False)
    assert not (paths.run(row, 0) / "run.json").exists()
    monkeypatch.undo()
    torch.manual_seed(12345)  # a new process starts with another global generator
    assert_same(expected, result(runs.run(p, row, 0, paths, progress=False)))
