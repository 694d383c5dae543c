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
_RANGES, _JUDGED = 64, 300  # faces, at two compressions, to read ranges from and to try it on
_BATCH = 8


def add(
    params: Params, paths: Paths, row: str, seed: int, folder: Path, *, worst: float = WORST
) -> dict[str, Any]:
    """Write model-int8.onnx beside the model.onnx that `export.export` left in `folder`, if it
    loses at most `worst` of the AUC; returns what model.json says of it.

    It is tried on faces of the test split at both compressions. Rounding moves single scores by
    far more than it costs in AUC, so it has temperatures of its own, from the validation split.
    Raises ShardError without faces.
    """
    p = params.for_row(row)
    table = PairTable(paths.faces)
    methods = p.score.methods or p.train.methods

    def faces(split: str, most: int) -> pd.DataFrame:
        """Rows of a score file without scores, and their crops."""
        rows = subset(table, split, methods)[0]
        rows = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)]
        pairs = [table.read(int(i)) for i in rows]
        index = table.index.loc[rows]
        parts = [("high", p.data.high), ("low", p.data.low)]
        return pd.concat(
            [index.assign(compression=c, crop=[x[q] for x in pairs]) for q, c in parts],
            ignore_index=True,
        )

    def scores(of: pd.DataFrame, name: str) -> np.ndarray:
        odds, _ = in_batches(Onnx(folder / name), np.stack(of["crop"]), _BATCH)
        return calibrate.sigmoid(odds)

    quantise(folder / "model.onnx", np.stack(faces("train", _RANGES)["crop"]), folder / FILE)
    test, val = faces("test", _JUDGED), faces("val", _JUDGED)
    before, after = (scores(test, name) for name in ("model.onnx", FILE))
    frames = calibrate.samples(val.assign(score=scores(val, FILE)))
    found = {
        "faces": len(test),
        "auc_float32": metrics.auc(test["label"], before),
        "auc_int8": metrics.auc(test["label"], after),
        "mean_difference": float(np.abs(before - after).mean()),
        "calibration": calibrate.temperatures(frames),
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
