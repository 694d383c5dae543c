"""CustomPooling CNN: its layers, its statistics by hand, its dropout."""

import pytest
import torch

from acfd.baselines.classifier import Dropout
from acfd.baselines.rahmouni import StatsBranch, statistics


def test_statistics_by_hand():
    maps = torch.tensor([[[[0.0, 1.0], [2.0, 5.0]], [[3.0, 3.0], [3.0, 3.0]]]])
    # means, variances of the pixels themselves, minima, maxima
    expected = torch.tensor([[2.0, 3.0, 3.5, 0.0, 0.0, 3.0, 5.0, 3.0]])
    assert torch.equal(statistics(maps), expected)
    assert statistics(maps.bfloat16()).dtype == torch.float32


def test_layers_are_the_published_ones():
    net = StatsBranch(0)
    shapes = [tuple(p.shape) for name, p in net.named_parameters() if "weight" in name]
    assert shapes == [(32, 3, 3, 3), (64, 32, 3, 3), (1024, 256), (2, 1024)]
    biases = torch.cat([p for name, p in net.named_parameters() if "bias" in name])
    assert biases.min() >= 0.3 and biases.max() <= 0.7
    assert net.hidden.weight.abs().max() <= 2 * (2 / 256) ** 0.5
    net.eval()
    for side in (32, 51):
        out = net(torch.rand(2, 3, side, side) * 2 - 1)
        assert out.logits.shape == (2, 2) and out.feature.shape == (2, 1024)
        assert out.attention is None and out.mid is None


def test_dropout():
    """That a run goes on from its count: test_baselines.py."""
    x = torch.ones(64, 100)
    a = Dropout(0.25, seed=3)
    first, second = a(x), a(x)
    assert not torch.equal(first, second)
    assert first.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (first == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    for other in (Dropout(0.25, seed=4), Dropout(0.25, seed=3, stream=1)):
        assert not torch.equal(other(x), first)
    assert a.eval()(x) is x and int(a.step) == 2
