"""A run's ONNX file in 8-bit integers, and what that costs in accuracy.

Weights and activations are quantised after training, the range of every activation read from real
crops (ONNX Runtime's static quantisation, a scale a channel). Xception's depthwise convolutions,
its first layer and its classifier stay in float32: they are a tenth of the work and lose most of
the accuracy. Weights have 7 bits, since CPUs without VNNI add pairs of products in 16.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from acfd import metrics
from acfd.deploy import calibrate
from acfd.detect.backends import FILES, Onnx, in_batches
from acfd.params import Params
from acfd.paths import Paths, atomic
from acfd.runs import subset
from acfd.shards import PairTable

FILE = FILES["int8"]
WORST = 0.01  # AUC that may be lost
_RANGES = 64  # faces, at two compressions, to read ranges from
_FACES, _VIDEOS = 300, 40  # at least so many to try it on, in whole videos, half of them real
_BATCH = 8


def add(
    params: Params, paths: Paths, row: str, seed: int, folder: Path, *, worst: float = WORST
) -> dict[str, Any]:
    """Write model-int8.onnx beside the model.onnx that `export.export` left in `folder`, if it
    loses at most `worst` of the AUC; returns what model.json says of it.

    It is tried on whole videos of the validation split at both compressions; what it costs on the
    test split is told and decides nothing. Rounding moves single scores by far more than it costs
    in AUC, so it has temperatures of its own, for frames and for videos, from the same validation
    videos. Raises ShardError without faces.
    """
    p = params.for_row(row)
    table = PairTable(paths.faces)
    methods = p.score.methods or p.train.methods
    names = {"high": p.data.high, "low": p.data.low}

    rows = calibrate.spread(subset(table, "train", methods)[0], _RANGES)
    pairs = [table.read(int(i)) for i in rows]
    quantise(folder / "model.onnx", np.stack([x[q] for q in names for x in pairs]), folder / FILE)
    networks = {"float32": Onnx(folder / "model.onnx"), "int8": Onnx(folder / FILE)}

    def tried(split: str) -> dict[str, pd.DataFrame]:
        """A score file of some videos of a split, by each network."""
        chosen = whole_videos(table.index.loc[subset(table, split, methods)[0]])
        found = {name: [] for name in networks}
        for _, video in chosen.groupby(["method", "video"], sort=False):
            pairs = [table.read(int(i)) for i in video.index]  # hundreds are memory for nothing
            for quality, compression in names.items():
                crops = np.stack([x[quality] for x in pairs])
                for name, network in networks.items():
                    score = calibrate.sigmoid(in_batches(network, crops, _BATCH)[0])
                    found[name].append(video.assign(compression=compression, score=score))
        return {name: pd.concat(parts, ignore_index=True) for name, parts in found.items()}

    val, test = tried("val"), tried("test")
    found = _compared(val) | {
        "test": _compared(test),
        "calibration": calibrate.temperatures(calibrate.samples(val["int8"])),
    }
    found["kept"] = found["auc_float32"] - found["auc_int8"] <= worst
    if not found["kept"]:
        (folder / FILE).unlink()
    return found


def whole_videos(index: pd.DataFrame) -> pd.DataFrame:
    """The rows of some videos of an index, every frame of them: evenly spaced ones, as many real
    as forged if there are, _VIDEOS or more, until they have _FACES faces."""
    frames = index.groupby(["method", "video"]).size().mean()
    wanted = max(_VIDEOS, int(np.ceil(_FACES / frames)))
    chosen = []
    for _, of in index.groupby("label"):
        videos = list(dict.fromkeys(zip(of["method"], of["video"])))
        chosen += calibrate.spread(videos, -(-wanted // 2))
    kept = set(chosen)
    return index[[at in kept for at in zip(index["method"], index["video"])]]


def _compared(scores: dict[str, pd.DataFrame]) -> dict[str, float]:
    label = scores["int8"]["label"]
    before, after = (scores[name]["score"] for name in ("float32", "int8"))
    return {
        "faces": len(label),
        "auc_float32": metrics.auc(label, before),
        "auc_int8": metrics.auc(label, after),
        "mean_difference": float(np.abs(before - after).mean()),
    }


def quantise(model: Path, crops: np.ndarray, target: Path) -> Path:
    """Write `model` (an ONNX file of `export`) as `target` in int8.

    crops: N x S x S x 3 uint8 that set the ranges of activations.
    """
    import onnx
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Crops(q.CalibrationDataReader):
        def __init__(self):
            self.at = 0

        def get_next(self):
            part = crops[self.at : self.at + _BATCH]
            self.at += _BATCH
            return {"faces": part} if len(part) else None

    with TemporaryDirectory(prefix="acfd") as folder, atomic(target) as temporary:
        ready = Path(folder) / "ready.onnx"
        quant_pre_process(str(model), str(ready), skip_symbolic_shape=True)
        convolutions = [n for n in onnx.load(ready).graph.node if n.op_type == "Conv"]
        kept = [n.name for n in convolutions if _groups(n) > 1] + [convolutions[0].name]
        q.quantize_static(
            str(ready),
            str(temporary),
            Crops(),
            quant_format=q.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=q.QuantType.QUInt8,
            weight_type=q.QuantType.QInt8,
            nodes_to_exclude=kept,
            op_types_to_quantize=["Conv"],
        )
    return target


def _groups(node) -> int:
    return next((a.i for a in node.attribute if a.name == "group"), 1)
