"""MesoNet: the published layers, Keras's pooling, and weights in the authors' format, checked
against the net written once more in numpy in Keras's order of axes."""

import math

import h5py
import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from acfd.baselines.mesonet import load_keras, meso4, mesoinception4
from acfd.method.backbone import WeightsError
from acfd.params import Params
from acfd.runs.run import make_system

MESO4 = [(3, 3, 3, 8), (5, 5, 8, 8), (5, 5, 8, 16), (5, 5, 16, 16)]
INCEPTION = [
    *[(1, 1, 3, 1), (1, 1, 3, 4), (3, 3, 4, 4), (1, 1, 3, 4), (3, 3, 4, 4)],
    *[(1, 1, 3, 2), (3, 3, 2, 2)],
    *[(1, 1, 11, 2), (1, 1, 11, 4), (3, 3, 4, 4), (1, 1, 11, 4), (3, 3, 4, 4)],
    *[(1, 1, 11, 2), (3, 3, 2, 2)],
    *[(5, 5, 12, 16), (5, 5, 16, 16)],
]
NETS = {
    "meso4": (meso4, MESO4, (8, 8, 16, 16)),
    "mesoinception4": (mesoinception4, INCEPTION, (11, 12, 16, 16)),
}


def keras_weights(name, side=64, first=1):
    """layer -> variable -> values, of the shapes that Keras has; numbered from `first` on."""
    rng = np.random.default_rng(0)
    _, convolutions, norms = NETS[name]
    layers = {}

    def draw(*shape, scale=1.0, mean=0.0):
        return rng.normal(mean, scale, shape).astype(np.float32)

    for n, shape in enumerate(convolutions):
        scale = 1.5 / np.sqrt(np.prod(shape[:3]))
        layers[f"conv2d_{first + n}"] = {
            "kernel": draw(*shape, scale=scale),
            "bias": draw(shape[3], scale=0.1),
        }
    for n, width in enumerate(norms):
        layers[f"batch_normalization_{first + n}"] = {
            "gamma": draw(width, mean=1, scale=0.3),
            "beta": draw(width, scale=0.3),
            "moving_mean": draw(width, mean=0.3, scale=0.1),
            "moving_variance": rng.uniform(0.01, 0.5, width).astype(np.float32),
        }
    flat = 16 * math.ceil(side / 32) ** 2
    for n, shape in enumerate([(flat, 16), (16, 1)]):
        layers[f"dense_{first + n}"] = {
            "kernel": draw(*shape, scale=1 / np.sqrt(shape[0])),
            "bias": draw(shape[1], scale=0.1),
        }
    return layers


def write_h5(path, layers, top="", outer=True):
    """The layout of Keras 2: a group a layer, in it a group of the same name, datasets named :0."""
    with h5py.File(path, "w") as file:
        root = file.create_group(top) if top else file
        root.attrs["layer_names"] = [n.encode() for n in layers]
        for name, variables in layers.items():
            group = root.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{v}:0".encode() for v in variables]
            for variable, values in variables.items():
                within = f"{name}/{variable}:0" if outer else f"{variable}:0"
                group.create_dataset(within, data=values)
        for name in ("input_1", "max_pooling2d_1", "flatten_1", "dropout_1", "leaky_re_lu_1"):
            root.create_group(name)  # layers without weights are empty groups
    return path


class InNumpy:
    """Both nets in Keras's order of axes (images, rows, columns, channels), in float64."""

    def __init__(self, layers):
        self.of = {
            kind: [layers[n] for n in layers if n.startswith(kind)]
            for kind in ("conv2d", "batch_normalization", "dense")
        }

    def conv(self, x, n, dilation=1):
        """Same padding, ReLU."""
        kernel, bias = self.of["conv2d"][n]["kernel"].astype(float), self.of["conv2d"][n]["bias"]
        spread = np.zeros(((kernel.shape[0] - 1) * dilation + 1,) * 2 + kernel.shape[2:])
        spread[::dilation, ::dilation] = kernel
        pad = spread.shape[0] // 2
        padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        windows = sliding_window_view(padded, spread.shape[:2], axis=(1, 2))
        return np.maximum(np.einsum("bhwcij,ijco->bhwo", windows, spread, optimize=True) + bias, 0)

    def norm_and_pool(self, x, n, window):
        v = self.of["batch_normalization"][n]
        x = (x - v["moving_mean"]) / np.sqrt(v["moving_variance"] + 1e-3) * v["gamma"] + v["beta"]
        b, h, w, c = x.shape
        return x.reshape(b, h // window, window, w // window, window, c).max(axis=(2, 4))

    def inception(self, x, n):
        ways = [self.conv(x, n)]
        ways += [self.conv(self.conv(x, n + k), n + k + 1, (k + 1) // 2) for k in (1, 3, 5)]
        return np.concatenate(ways, axis=3)

    def real(self, x):
        """Probability of real for images in [0, 1], and the hidden layer."""
        first = [self.conv] * 4
        at = [0, 1, 2, 3]
        if len(self.of["conv2d"]) > 4:
            first, at = [self.inception] * 2 + [self.conv] * 2, [0, 7, 14, 15]
        for n, window in enumerate((2, 2, 2, 4)):
            x = self.norm_and_pool(first[n](x, at[n]), n, window)
        hidden, last = self.of["dense"]
        x = x.reshape(len(x), -1) @ hidden["kernel"] + hidden["bias"]
        x = np.where(x > 0, x, 0.1 * x)
        return 1 / (1 + np.exp(-(x @ last["kernel"] + last["bias"])[:, 0])), x


@pytest.mark.parametrize("name", NETS)
def test_published_weights_say_the_same_as_in_numpy(name, tmp_path):
    """One net from a file, numbered as in a session that had made another model before."""
    layers = keras_weights(name, first=8)
    net = NETS[name][0](64, seed=0).eval()
    load_keras(net, write_h5(tmp_path / "weights.h5", layers))
    images = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3)) / 255
    real, hidden = InNumpy(layers).real(images)
    assert np.ptp(real) > 0.01  # the images differ, or this would compare nothing
    out = net(torch.from_numpy(images).float().permute(0, 3, 1, 2) * 2 - 1)
    np.testing.assert_allclose(out.score.detach(), 1 - real, atol=1e-5)
    np.testing.assert_allclose(out.feature.detach(), hidden, atol=1e-4)
    assert out.feature.shape == (3, 16) and out.attention is None and out.mid is None


def test_every_kind_of_file_is_read_alike(tmp_path):
    layers = keras_weights("mesoinception4")
    unnumbered = {n.removesuffix("_1"): v for n, v in layers.items()}
    backwards = dict(reversed(layers.items()))  # 10 before 2, as a file has them, does not matter
    files = [
        write_h5(tmp_path / "plain.h5", layers),
        write_h5(tmp_path / "unnumbered.h5", unnumbered),
        write_h5(tmp_path / "backwards.h5", backwards),
        write_h5(tmp_path / "flat.h5", unnumbered, outer=False),
        write_h5(tmp_path / "saved.h5", layers, top="model_weights"),
    ]
    with h5py.File(files[-1], "a") as file:
        file.create_dataset("optimizer_weights/adam/conv2d_1/kernel/m:0", data=np.zeros(3))
    states = []
    for file in files:
        net = mesoinception4(64, seed=len(states))
        load_keras(net, file)
        states.append(net.state_dict())
    for state in states[1:]:
        assert all(torch.equal(states[0][k], state[k]) for k in state)


def test_a_row_starts_from_the_file_that_it_names(small_params, tmp_path):
    file = write_h5(tmp_path / "weights.h5", keras_weights("meso4"))
    raw = small_params.model_dump()
    raw["rows"]["meso4"]["set"]["model"] |= {"weights": str(file)}
    p = Params(**raw)
    net = meso4(p.faces.size, seed=1)
    load_keras(net, file)
    state = make_system(p, "meso4", 0).deployed.state_dict()
    assert all(torch.equal(state[k], v) for k, v in net.state_dict().items())
    file.unlink()
    assert make_system(p, "meso4", 0, weights=None)  # for a state that is loaded next: no file
    says = r"model\.weights: .*weights\.h5 is not a Keras weight file of a MesoNet.*auto to start"
    with pytest.raises(WeightsError, match=says):
        make_system(p, "meso4", 0)
    file.write_text("no")
    with pytest.raises(WeightsError, match=says):
        make_system(p, "meso4", 0)


def test_an_xceptions_file_is_none_of_a_mesonets(small_params):
    raw = small_params.model_dump()
    raw["model"]["weights"] = "xception.safetensors"
    states = (make_system(of, "meso4", 0).net.state_dict() for of in (small_params, Params(**raw)))
    auto, named = states
    assert all(torch.equal(auto[k], v) for k, v in named.items())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda w: w.pop("conv2d_2"), r"3 conv2d layers \(conv2d_1, conv2d_3, conv2d_4\), exp.* 4"),
        (lambda w: w["dense_2"].pop("bias"), r"dense_2 has kernel, expected kernel, bias"),
        (
            lambda w: w["dense_1"].update(kernel=np.zeros((1024, 16))),
            r"dense_1/kernel has the shape \(1024, 16\), which .* for 64 px \(model\.input\)",
        ),
        (
            lambda w: w.update(keras_weights("mesoinception4")),
            r"w\.h5: 16 conv2d layers .* the other of Meso-4",
        ),
    ],
)
def test_wrong_weights_are_named_and_change_nothing(change, says, tmp_path):
    net = meso4(64, seed=0)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    change(layers := keras_weights("meso4"))
    with pytest.raises(WeightsError, match=says):
        load_keras(net, write_h5(tmp_path / "w.h5", layers))
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_odd_sides_follow_keras_and_crops_of_another_side_are_scaled():
    for side, cells in ((299, 10), (48, 2)):
        net = meso4(side, seed=0).eval()
        assert net.hidden.in_features == 16 * cells**2
        assert net(torch.zeros(1, 3, side, side)).logits.shape == (1, 2)
    net = meso4(64, seed=0).eval()
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    scaled = torch.nn.functional.interpolate(x, (64, 64), mode="bilinear", align_corners=False)
    assert torch.allclose(net(x).logits, net(scaled).logits, atol=1e-6)


def test_loss_is_the_squared_error_of_the_probability(small_params):
    system = make_system(small_params, "meso4", 0)
    system.net.eval()
    batch = {"low": torch.rand(4, 3, 48, 48) * 2 - 1, "label": torch.tensor([0, 1, 1, 0])}
    outputs = system.net(*system.inputs(batch))
    probability = torch.sigmoid(outputs[0].logits[:, 1] - outputs[0].logits[:, 0])
    expected = ((probability - torch.tensor([0.0, 1, 1, 0])) ** 2).mean()
    found = system.loss(system.terms(outputs, batch))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
