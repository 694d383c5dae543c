"""What runs the network: PyTorch, OpenVINO or ONNX Runtime, the same function of the same crops.

Every backend takes crops (N x S x S x 3 RGB uint8) and gives the log-odds of forged (N) and the
attention maps (N x s x s in [0, 1], or None for a network without them). Crops go through in
batches of one size, so that a face's score does not depend on how many others came with it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

FILES = {"openvino": "model.xml", "onnx": "model.onnx"}
# all that a backend needs
OF_BACKEND = {name: [file] for name, file in FILES.items()}
OF_BACKEND["openvino"].append("model.bin")


class BackendError(RuntimeError):
    """A backend that is not installed, or for which no file was written."""


class Backend(Protocol):
    name: str

    def __call__(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]: ...


class OpenVINO:
    """An OpenVINO IR or ONNX file on the CPU, in float32 whatever the CPU knows besides."""

    name = "openvino"

    def __init__(self, path: Path, threads: int = 0):
        """threads: 0 for every core."""
        import openvino as ov

        options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        self._model = ov.Core().compile_model(str(path), "CPU", options)

    def __call__(self, crops):
        found = self._model(crops)
        return _split([found[i] for i in range(len(self._model.outputs))])


class Onnx:
    """An ONNX file by ONNX Runtime, on the CPU."""

    name = "onnx"

    def __init__(self, path: Path, threads: int = 0):
        try:
            import onnxruntime
        except ImportError:
            raise BackendError(
                "detect.backend onnx: the package onnxruntime is not installed; install it, or "
                "set detect.backend to auto"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or (os.cpu_count() or 1)
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, crops):
        return _split(self._session.run(None, {"faces": crops}))


class Torch:
    """The network itself, eagerly; on a GPU where there is one."""

    name = "torch"

    def __init__(self, judge: Callable, device: str = "cpu"):
        """judge: an `export.Judge`."""
        import torch

        self._torch = torch
        self.device = device
        self._judge = judge.to(device).eval()

    def __call__(self, crops):
        with self._torch.inference_mode():
            found = self._judge(self._torch.from_numpy(crops).to(self.device))
        return _split([x.float().cpu().numpy() for x in found])


def of_files(folder: Path, name: str = "auto", threads: int = 0) -> Backend:
    """The backend of that name for a folder that `acfd export` wrote; auto: OpenVINO, which is the
    fastest with the scores of PyTorch (benchmarks/results/detect-cpu.json)."""
    name = "openvino" if name == "auto" else name
    there = [n for n, of in OF_BACKEND.items() if all((folder / file).is_file() for file in of)]
    if name not in there:
        raise BackendError(
            f"{folder}: no files for the backend {name}; there are: {', '.join(there) or 'none'}. "
            "Set detect.backend to auto, or write them with `acfd export`"
        )
    path = folder / FILES[name]
    return OpenVINO(path, threads) if name == "openvino" else Onnx(path, threads)


def in_batches(backend: Backend, crops: np.ndarray, batch: int):
    """(log-odds N, maps N x s x s or None) of any number of crops, `batch` at a time, the last
    batch filled up with its last crop."""
    odds, maps = [], []
    for i in range(0, len(crops), batch):
        part = crops[i : i + batch]
        short = batch - len(part)
        if short:
            part = np.concatenate([part, np.repeat(part[-1:], short, axis=0)])
        logit, attention = backend(np.ascontiguousarray(part))
        odds.append(logit[: batch - short])
        if attention is not None:
            maps.append(attention[: batch - short])
    return np.concatenate(odds), np.concatenate(maps) if maps else None


def _split(found: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    logit = np.array(found[0], np.float32).reshape(-1)
    return logit, np.array(found[1], np.float32)[:, 0] if len(found) > 1 else None
