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

from acfd import metrics
from acfd.params import Params
from acfd.paths import Paths, atomic

FILE = "model-int8.onnx"
WORST = 0.01  # AUC that may be lost
_RANGES, _JUDGED = 128, 600  # faces that ranges are read from, and that it is tried on
_BATCH = 8


def add(
    params: Params, paths: Paths, row: str, seed: int, folder: Path, *, worst: float = WORST
) -> dict[str, Any]:
    """Write model-int8.onnx beside the model.onnx that `export.export` left in `folder`, if it
    loses at most `worst` of the AUC; returns what model.json says of it.

    It is tried on faces of the test split at both compressions. Raises ShardError without faces.
    """
    from acfd.detect.backends import Onnx, in_batches
    from acfd.runs import subset
    from acfd.shards import PairTable

    p = params.for_row(row)
    table = PairTable(paths.faces)

    def faces(split: str, most: int) -> tuple[np.ndarray, np.ndarray]:
        rows, labels = subset(table, split, p.score.methods or p.train.methods)
        some = np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)
        pairs = [table.read(int(i)) for i in rows[some]]
        crops = [pair[quality] for quality in ("high", "low") for pair in pairs]
        return np.stack(crops), np.tile(labels[some], 2)

    quantise(folder / "model.onnx", faces("train", _RANGES // 2)[0], folder / FILE)
    crops, labels = faces("test", _JUDGED // 2)
    odds = [in_batches(Onnx(folder / f), crops, _BATCH)[0] for f in ("model.onnx", FILE)]
    found = {
        "faces": len(crops),
        "auc_float32": metrics.auc(labels, odds[0]),
        "auc_int8": metrics.auc(labels, odds[1]),
        "mean_difference": float(np.abs(_score(odds[0]) - _score(odds[1])).mean()),
    }
    found["kept"] = found["auc_float32"] - found["auc_int8"] <= worst
    if not found["kept"]:
        (folder / FILE).unlink()
    return found


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


def _score(odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-odds.astype(np.float64)))
