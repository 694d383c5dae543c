"""What a run says of every degraded copy."""

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from acfd.params import Params
from acfd.paths import Paths
from acfd.runs import pairs
from acfd.runs.distributed import make_fabric
from acfd.runs.run import load_run
from acfd.scores.copies import Copies
from acfd.scores.score import FROM_INDEX, write


def score(params: Params, row: str, seed: int, paths: Paths, *, progress: bool = True):
    """Write one run's scores of every copy, a line a (family, level, face)."""
    system, _ = load_run(paths.run(row, seed), params)
    fabric = make_fabric(params.compute.model_copy(update={"devices": 1, "nodes": 1}))
    fabric.to_device(system.net)
    copies, workers = Copies(paths.copies), params.compute.workers
    images = DataLoader(copies, batch_size=params.score.batch, num_workers=workers)
    name = f"copies {row} s{seed}"
    bar = tqdm(images, desc=name, unit="batch", disable=not progress, leave=False)
    scores = [_judge(system, batch, fabric, params.compute.channels_last) for batch in bar]
    found = copies.index[[*FROM_INDEX, "family", "level"]].assign(score=np.concatenate(scores))
    found["made_of"] = copies.note["made_of"]
    write(found, paths.robustness(row, seed), row=row, seed=seed)
    return found


@torch.inference_mode()
def _judge(system, images: torch.Tensor, fabric, channels_last: bool) -> np.ndarray:
    batch = pairs.prepare({"low": images}, fabric.device, channels_last)
    with fabric.autocast():
        out = system.deployed(batch["low"])
    return out.score.float().cpu().numpy().astype(np.float32)
