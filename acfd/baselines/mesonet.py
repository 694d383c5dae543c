"""Meso-4 and MesoInception-4: Afchar et al., WIFS 2018 (MesoNet). Layers, initial values, loss and
the range of the images are those of the authors' Keras code, and training starts from the weights
that they published where model.weights names their .h5 file. Their nets see 256 px: model.input."""

import math
import re
from pathlib import Path

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from timm.layers.pool2d_same import MaxPool2dSame
from torch import Tensor, nn

from acfd.baselines.classifier import ClassifierSystem, Dropout, scaled
from acfd.method.backbone import WeightsError
from acfd.method.model import OneBranch, Output

CHANNELS, FEATURES = 16, 16  # after the last block, of the hidden layer
POOLS = (2, 2, 2, 4)


class MesoBranch(nn.Module):
    """Four blocks of convolution, batch norm and max pool, two dense layers. B x 3 x S x S in [-1,
    1], scaled to `side` -> Output; feature: the hidden layer, B x 16. first: the convolutions of
    the first two blocks, each with the number of its output channels. The authors' net ends in one
    unit z whose sigmoid is the probability of *real* (their folders in alphabetical order); the
    logits are [z, 0], of which softmax makes sigmoid(-z), the probability of forged."""

    def __init__(self, first: list[tuple[nn.Module, int]], side: int, seed: int):
        super().__init__()
        self.side = side
        blocks, inputs = [], first[-1][1]
        last = [(_convolution(n, CHANNELS, 5), CHANNELS) for n in (inputs, CHANNELS)]
        for (layer, channels), pool in zip(first + last, POOLS, strict=True):
            # Keras's constants; its momentum 0.99 is PyTorch's 0.01
            norm = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
            # padded as TensorFlow does
            blocks.append(nn.Sequential(layer, norm, MaxPool2dSame(pool, pool)))
        self.blocks = nn.Sequential(*blocks)
        self.dropout1 = Dropout(0.5, seed, stream=1)
        self.hidden = nn.Linear(CHANNELS * math.ceil(side / math.prod(POOLS)) ** 2, FEATURES)
        self.dropout2 = Dropout(0.5, seed, stream=2)
        self.fc = nn.Linear(FEATURES, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):  # as Keras does unless told otherwise
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Output:
        x = scaled((images + 1) / 2, self.side)  # [0, 1] is the authors' range
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


def _convolution(inputs: int, outputs: int, window: int, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (window // 2)
    conv = nn.Conv2d(inputs, outputs, window, padding=padding, dilation=dilation)
    return nn.Sequential(conv, nn.ReLU())


def meso4(side: int, seed: int) -> MesoBranch:
    """Four plain convolutions. side: of the images that it sees, pixels."""
    return MesoBranch([(_convolution(3, 8, 3), 8), (_convolution(8, 8, 5), 8)], side, seed)


def mesoinception4(side: int, seed: int) -> MesoBranch:
    """The first two convolutions replaced by inception modules."""
    first, second = Inception(3, 1, 4, 4, 2), Inception(11, 2, 4, 4, 2)
    return MesoBranch([(first, 11), (second, 12)], side, seed)


class MesoSystem(ClassifierSystem):
    """L_Cls is the mean squared error of the probability, which the authors chose."""

    build = None

    @classmethod
    def network(cls, params, weights, seed):
        """weights: the authors', if it is a path that ends in .h5; random for any other, which is
        of the rows' Xceptions."""
        branch = cls.build(params.model.input or params.faces.size, seed)
        if weights and weights.endswith(".h5"):
            load_keras(branch, Path(weights))
        return OneBranch(branch)

    def terms(self, outputs, batch):
        label = batch["label"].float()
        return {"cls": torch.stack([F.mse_loss(o.score, label) for o in outputs]).mean()}


class Meso4System(MesoSystem):
    build = staticmethod(meso4)


class MesoInception4System(MesoSystem):
    """The variant that FaceForensics++ measured, and so Table 1."""

    build = staticmethod(mesoinception4)


# Kind of layer -> Keras's name of it, and of its variables, which are our PARTS in this order
KERAS = {
    nn.Conv2d: ("conv2d", ("kernel", "bias")),
    nn.Linear: ("dense", ("kernel", "bias")),
    nn.BatchNorm2d: ("batch_normalization", ("gamma", "beta", "moving_mean", "moving_variance")),
}
PARTS = ("weight", "bias", "running_mean", "running_var")


def load_keras(branch: MesoBranch, path: Path) -> None:
    """Fill a branch with the authors' weights: a Keras 2 weight file (HDF5, of `save_weights` or
    `save`). Layers of a kind are taken in the order in which Keras numbered them, which is that of
    their making; the order of a file is another where ways are parallel. Raises WeightsError for
    what is no such file, or does not fit the branch, which is then left as it was."""
    layers, filled = _read(path), []
    for kind, (keras, variables) in KERAS.items():
        modules = [m for m in branch.modules() if isinstance(m, kind)]
        alike = (re.fullmatch(rf"{keras}(?:_(\d+))?", name) for name in layers)
        # the first may be without a number
        names = [m[0] for m in sorted(filter(None, alike), key=lambda m: int(m[1] or 0))]
        if len(names) != len(modules):
            raise WeightsError(
                f"{path}: {len(names)} {keras} layers ({', '.join(names) or 'none'}), expected "
                f"{len(modules)}; is it the other of Meso-4 and MesoInception-4?"
            )
        for name, module in zip(names, modules, strict=True):
            if set(layers[name]) != set(variables):
                raise WeightsError(
                    f"{path}: {name} has {', '.join(sorted(layers[name]))}, expected "
                    f"{', '.join(variables)}"
                )
            for variable, part in zip(variables, PARTS):
                found, tensor = layers[name][variable], getattr(module, part)
                values = _ordered(found, module is branch.hidden)
                if values.shape != tensor.shape:
                    raise WeightsError(
                        f"{path}: {name}/{variable} has the shape {found.shape}, which does not "
                        f"fit a net for {branch.side} px (model.input); the published ones see 256"
                    )
                filled.append((tensor, values))
    with torch.no_grad():
        for tensor, values in filled:
            tensor.copy_(torch.from_numpy(values))


def _ordered(values: np.ndarray, after_flatten: bool) -> np.ndarray:
    """Keras's axes in PyTorch's order: it has height, width, in, out; or in, out."""
    if values.ndim == 2 and after_flatten and len(values) % CHANNELS == 0:
        # Keras flattens height, width, channels; PyTorch channels, height, width
        values = values.reshape(-1, CHANNELS, values.shape[1])
        return values.transpose(2, 1, 0).reshape(len(values.T), -1)
    return values.transpose(3, 2, 0, 1) if values.ndim == 4 else values.T


def _read(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """layer -> variable -> values. Nothing in an HDF5 file is executed when it is read."""
    found: dict[str, dict[str, np.ndarray]] = {}

    def visit(name: str, item):
        if isinstance(item, h5py.Dataset):
            layer, _, variable = name.partition("/")
            variable = variable.rpartition("/")[2].split(":")[0]
            found.setdefault(layer, {})[variable] = np.array(item, np.float32)

    try:
        with h5py.File(path, "r") as file:
            # `save` has the weights beside the optimiser's state
            file.get("model_weights", file).visititems(visit)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"model.weights: {path} is not a Keras weight file of a MesoNet ({error}); give the "
            ".h5 file that its authors published, or auto to start from random weights"
        ) from None
    return found
