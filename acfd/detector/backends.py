"""What runs the network: PyTorch, OpenVINO or ONNX Runtime, the same function of the same crops."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acfd.detector.files import DeployError

FILES = {"openvino": "model.xml", "onnx": "model.onnx"}
WEIGHTS = "model.bin"  # of OpenVINO, beside its .xml


@dataclass(frozen=True)
class Backend:
    """Crops (N x S x S x 3 RGB uint8) -> log-odds of forged (N) and attention maps (N x s x s in
    [0, 1], or None for a network without them)."""

    name: str
    run: Callable[[np.ndarray], Iterable[np.ndarray]]  # N or N x 1, and perhaps N x 1 x s x s

    def __call__(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        logit, *maps = (np.array(x, np.float32) for x in self.run(crops))
        return logit.reshape(-1), maps[0][:, 0] if maps else None


class Torch(Backend):
    """The network itself, eagerly; judge: from `export.judge_of`."""

    def __init__(self, judge, device: str = "cpu"):
        import torch

        judge = judge.to(device).eval()

        @torch.inference_mode()
        def run(crops):
            return [x.float().cpu().numpy() for x in judge(torch.from_numpy(crops).to(device))]

        super().__init__("torch", run)


def of_files(folder: Path, name: str = "auto") -> Backend:
    """The backend of that name, on every core, for a folder that `acfd export` wrote; auto:
    OpenVINO, which is the fastest with PyTorch's scores (benchmarks/results/detect-cpu.json).

    Raises DeployError if its files are not there.
    """
    name = "openvino" if name == "auto" else name
    needed = {"openvino": (FILES["openvino"], WEIGHTS), "onnx": (FILES["onnx"],)}
    there = [n for n in needed if all((folder / file).is_file() for file in needed[n])]
    if name not in there:
        raise DeployError(
            f"{folder}: no files for the backend {name}; there are: {', '.join(there) or 'none'}. "
            "Set detect.backend to auto, or write them with `acfd export`"
        )
    path = str(folder / FILES[name])
    if name == "openvino":
        from acfd.media.inference import core

        # float32 whatever the CPU knows besides
        options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        model = core().compile_model(path, "CPU", options)
        return Backend(name, lambda crops: model(crops).to_tuple())
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Backend(name, lambda crops: session.run(None, {"faces": crops}))


def in_batches(backend: Backend, crops: np.ndarray, batch: int):
    """(log-odds N, maps N x s x s or None) of N >= 1 crops, `batch` at a time, the last batch
    filled up with its last crop: a score does not depend on how many others came with it."""
    n = len(crops)
    crops = np.concatenate([crops, np.repeat(crops[-1:], -n % batch, axis=0)])
    odds, maps = zip(*(backend(crops[i : i + batch]) for i in range(0, n, batch)))
    return np.concatenate(odds)[:n], None if maps[0] is None else np.concatenate(maps)[:n]
