"""What runs the network: OpenVINO or PyTorch, the same function of the same crops."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ONNX, XML, WEIGHTS = "model.onnx", "model.xml", "model.bin"  # of an export; the last two: OpenVINO


@dataclass(frozen=True)
class Backend:
    name: str
    # N x S x S x 3 RGB uint8 -> log-odds N or N x 1, and perhaps attention N x 1 x s x s
    run: Callable[[np.ndarray], Iterable[np.ndarray]]

    def __call__(self, crops: np.ndarray, batch: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Log-odds of forged (N) and attention maps (N x s x s in [0, 1], or None for a network
        without them) of N >= 1 crops (N x S x S x 3 RGB uint8), `batch` at a time; the last one is
        filled up: a score does not depend on how many others came with it."""
        n = len(crops)
        crops = np.concatenate([crops, np.repeat(crops[-1:], -n % batch, axis=0)])
        batches = (self.run(crops[i : i + batch]) for i in range(0, n, batch))
        found = zip(*([np.array(x, np.float32) for x in outputs] for outputs in batches))
        logit, *maps = (np.concatenate(parts)[:n] for parts in found)
        return logit.reshape(-1), maps[0][:, 0] if maps else None


def by_torch(judge, device: str = "cpu") -> Backend:
    """The network itself, eagerly; judge: from `export.judge_of`."""
    import torch

    judge = judge.to(device).eval()

    @torch.inference_mode()
    def run(crops):
        return [x.float().cpu().numpy() for x in judge(torch.from_numpy(crops).to(device))]

    return Backend("torch", run)


def by_openvino(folder: Path) -> Backend:
    """The files that `acfd export` wrote, on every core."""
    from acfd.media.inference import core

    # float32 whatever the CPU knows besides
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    model = core().compile_model(str(folder / XML), "CPU", options)
    return Backend("openvino", lambda crops: model(crops).to_tuple())
