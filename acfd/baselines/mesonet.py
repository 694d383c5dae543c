"""Meso-4 and MesoInception-4: Afchar et al., WIFS 2018 (MesoNet).

Layers, initial values, loss and the range of the images are those of the authors' Keras code, and
training starts from the weights that they published where model.weights names their .h5 file.
Their nets see 256 px: model.input 256.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acfd.baselines.layers import Dropout, SameMaxPool
from acfd.method.backbone import WeightsError
from acfd.method.model import OneBranch, Output
from acfd.method.system import ClassifierSystem

FEATURES = 16
SHRINK = 32  # of the four max pools together: 2 x 2 x 2 x 4
Layers = Mapping[str, Mapping[str, np.ndarray]]  # layer -> variable -> values, by Keras's names


class MesoBranch(nn.Module):
    """Four blocks of convolution, batch norm and max pool, two dense layers.

    forward: B x 3 x S x S in [-1, 1] -> Output; feature: the hidden layer, B x 16. Crops whose
    side is not `side` are scaled to it.

    The authors' net ends in one unit whose sigmoid is the probability of *real* (their classes
    are folders in alphabetical order, so forged is 0 and real is 1). `fc` is that unit z, and the
    logits are [z, 0]: softmax makes sigmoid(-z) of it, the probability of forged.
    """

    def __init__(self, blocks: nn.Sequential, channels: int, side: int, seed: int):
        super().__init__()
        self.side = side
        self.blocks = blocks
        self.dropout1 = Dropout(0.5, seed, stream=1)
        self.hidden = nn.Linear(channels * math.ceil(side / SHRINK) ** 2, FEATURES)
        self.dropout2 = Dropout(0.5, seed, stream=2)
        self.fc = nn.Linear(FEATURES, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):  # as Keras does unless told otherwise
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Output:
        x = (images + 1) / 2  # the authors' range
        if x.shape[-1] != self.side:
            size = (self.side, self.side)
            x = F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)
        x = self.dropout1(self.blocks(x).flatten(1))
        feature = F.leaky_relu(self.hidden(x), 0.1)
        z = self.fc(self.dropout2(feature))
        return Output(torch.cat([z, torch.zeros_like(z)], dim=1), feature, None, None)


class Inception(nn.Module):
    """Four parallel ways, three of them through a 3 x 3 at dilation 1, 2 and 3; a ReLU after
    every convolution. a, b, c, d: their channels, stacked in this order."""

    def __init__(self, inputs: int, a: int, b: int, c: int, d: int):
        super().__init__()
        ways = [_convolution(inputs, a, 1)]
        for dilation, n in ((1, b), (2, c), (3, d)):
            wide = _convolution(n, n, 3, dilation)
            ways.append(nn.Sequential(_convolution(inputs, n, 1), wide))
        self.ways = nn.ModuleList(ways)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([way(x) for way in self.ways], dim=1)


def meso4(side: int, seed: int) -> MesoBranch:
    """Four plain convolutions. side: of the images that it sees, pixels."""
    blocks = [
        _block(_convolution(3, 8, 3), 8, 2),
        _block(_convolution(8, 8, 5), 8, 2),
        _block(_convolution(8, 16, 5), 16, 2),
        _block(_convolution(16, 16, 5), 16, 4),
    ]
    return MesoBranch(nn.Sequential(*blocks), 16, side, seed)


def mesoinception4(side: int, seed: int) -> MesoBranch:
    """The first two convolutions replaced by inception modules."""
    blocks = [
        _block(Inception(3, 1, 4, 4, 2), 11, 2),
        _block(Inception(11, 2, 4, 4, 2), 12, 2),
        _block(_convolution(12, 16, 5), 16, 2),
        _block(_convolution(16, 16, 5), 16, 4),
    ]
    return MesoBranch(nn.Sequential(*blocks), 16, side, seed)


def _convolution(inputs: int, outputs: int, window: int, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (window // 2)
    conv = nn.Conv2d(inputs, outputs, window, padding=padding, dilation=dilation)
    return nn.Sequential(conv, nn.ReLU())


def _block(layer: nn.Module, channels: int, pool: int) -> nn.Sequential:
    # Keras's constants; its momentum 0.99 is PyTorch's 0.01
    norm = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
    return nn.Sequential(layer, norm, SameMaxPool(pool))


class MesoSystem(ClassifierSystem):
    """L_Cls is the mean squared error of the probability, which the authors chose."""

    build = None

    @classmethod
    def network(cls, params, weights, seed):
        net = OneBranch(cls.build(params.model.input or params.faces.size, seed))
        if weights and Path(weights).suffix in (".h5", ".hdf5"):
            load_keras(net, weights)
        return net

    def terms(self, outputs, batch):
        label = batch["label"].float()
        return {"cls": torch.stack([F.mse_loss(o.score, label) for o in outputs]).mean()}


class Meso4System(MesoSystem):
    build = staticmethod(meso4)


class MesoInception4System(MesoSystem):
    """The variant that FaceForensics++ measured, and so Table 1."""

    build = staticmethod(mesoinception4)


# Keras's name of a kind of layer -> its variables
VARIABLES = {
    "conv2d": ("kernel", "bias"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "dense": ("kernel", "bias"),
}


def load_keras(net: nn.Module, source: Path | str | Layers) -> None:
    """Fill a net (a MesoBranch, or one in a OneBranch) with the authors' weights.

    source: a Keras 2 weight file (HDF5, of `save_weights` or `save`), or what one holds: layer ->
    variable -> array. Layers of a kind are taken in the order in which Keras numbered them, which
    is that of their making; the order of a file is another where ways are parallel.

    Raises WeightsError for a file that is no such file, and for layers or variables that are
    missing, unknown or of another shape; the net is then left as it was.
    """
    layers, where = (source, "weights") if isinstance(source, Mapping) else _read(Path(source))
    branch = net.low if isinstance(net, OneBranch) else net
    own = {
        "conv2d": [m for m in branch.modules() if isinstance(m, nn.Conv2d)],
        "batch_normalization": [m for m in branch.modules() if isinstance(m, nn.BatchNorm2d)],
        "dense": [branch.hidden, branch.fc],
    }
    unknown = [name for name in layers if _kind(name) not in own]
    if unknown:
        raise WeightsError(f"{where}: unknown layers {', '.join(unknown)}; not a MesoNet's weights")
    filled = []
    for kind, modules in own.items():
        names = sorted((n for n in layers if _kind(n) == kind), key=_number)
        if len(names) != len(modules):
            raise WeightsError(
                f"{where}: {len(names)} {kind} layers ({', '.join(names) or 'none'}), expected "
                f"{len(modules)}; is it the other of Meso-4 and MesoInception-4?"
            )
        for name, module in zip(names, modules, strict=True):
            filled += _tensors(module, layers[name], kind, f"{where}: {name}", branch)
    with torch.no_grad():
        for tensor, values in filled:
            tensor.copy_(values)


def _tensors(module, layer, kind: str, where: str, branch: MesoBranch):
    """Pairs of a tensor of the net and what goes into it."""
    if set(layer) != set(VARIABLES[kind]):
        raise WeightsError(
            f"{where} has {', '.join(sorted(layer)) or 'nothing'}, expected "
            f"{', '.join(VARIABLES[kind])}"
        )
    own = [module.weight, module.bias]
    if kind == "batch_normalization":
        own += [module.running_mean, module.running_var]
    for variable, tensor in zip(VARIABLES[kind], own, strict=True):
        values = torch.from_numpy(np.array(layer[variable], np.float32))
        expected = tuple(tensor.shape)
        if variable == "kernel":  # Keras: height, width, in, out; or in, out
            expected = (*expected[2:], *expected[1::-1])
        if tuple(values.shape) != expected:
            hint = ""
            if module is branch.hidden:
                hint = f"; the net was made for {branch.side} px, the published ones are for 256"
            raise WeightsError(
                f"{where}/{variable} is {_times(values.shape)}, expected {_times(expected)}{hint}"
            )
        if variable == "kernel":
            values = _kernel(values, module is branch.hidden)
        yield tensor, values


def _kernel(values: Tensor, after_flatten: bool) -> Tensor:
    if values.ndim == 4:
        return values.permute(3, 2, 0, 1)
    if not after_flatten:
        return values.T
    # Keras flattens height, width, channels; PyTorch channels, height, width
    channels = 16
    side = math.isqrt(values.shape[0] // channels)
    return values.reshape(side, side, channels, -1).permute(3, 2, 0, 1).flatten(1)


def _read(path: Path) -> tuple[dict[str, dict[str, np.ndarray]], str]:
    """layer -> variable -> values. Nothing in an HDF5 file is executed when it is read."""
    import h5py

    if not path.is_file():
        raise WeightsError(f"{path}: no such file; give a Keras weight file of a MesoNet")
    found: dict[str, dict[str, np.ndarray]] = {}

    def visit(name: str, item):
        if isinstance(item, h5py.Dataset):
            layer, _, variable = name.partition("/")
            variable = variable.rpartition("/")[2].split(":")[0]
            found.setdefault(layer, {})[variable] = item[()]

    try:
        with h5py.File(path, "r") as file:
            # `save` has the weights beside the optimiser's state
            file.get("model_weights", file).visititems(visit)
    except OSError as error:
        raise WeightsError(f"{path}: not an HDF5 file ({error})") from None
    return found, str(path)


def _kind(layer: str) -> str:
    return re.sub(r"_\d+$", "", layer)


def _number(layer: str) -> int:
    """conv2d_12 -> 12; the first may be without a number."""
    return int(re.search(r"\d*$", layer.removeprefix("conv2d"))[0] or 0)


def _times(shape) -> str:
    return " x ".join(map(str, shape))
