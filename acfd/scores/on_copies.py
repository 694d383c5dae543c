"""What a run says of every degraded copy."""

import shutil

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from acfd.params import Params, digest
from acfd.paths import Paths, atomic
from acfd.runs import pairs
from acfd.runs.distributed import make_fabric
from acfd.runs.run import load_run
from acfd.scores.copies import Copies
from acfd.scores.score import FROM_INDEX, write


def score(params: Params, row: str, seed: int, paths: Paths, *, progress: bool = True):
    """Write one run's scores of every copy, a line a (family, level, face). Levels that were done
    before an interruption wait in the scratch folder until all are."""
    system, said = load_run(paths.run(row, seed), params)
    fabric = make_fabric(params.compute.model_copy(update={"devices": 1, "nodes": 1}))
    fabric.to_device(system.net)
    copies = Copies(paths.copies)
    index, size = copies.index, params.score.batch
    key = digest([said["key"], copies.keys(), index.to_csv(index=False)])
    scratch = paths.scratch("robustness", f"{row}-s{seed}-{key}")
    levels = list(index.groupby(["family", "level"], sort=False))
    name = f"copies {row} s{seed}"
    bar = tqdm(levels, desc=name, unit="level", disable=not progress, leave=False)
    kept = []
    for (family, level), part in bar:
        kept.append(scratch / f"{family}-{level:g}.parquet")
        if kept[-1].exists():
            continue
        batches = [part.index[i : i + size].tolist() for i in range(0, len(part), size)]
        workers = params.compute.workers if len(batches) > 8 else 0  # they take a while to start
        images = DataLoader(copies, batch_sampler=batches, num_workers=workers)
        scores = [_judge(system, batch, fabric, params.compute.channels_last) for batch in images]
        about = part[[*FROM_INDEX, "family", "level"]]
        with atomic(kept[-1]) as f:
            about.assign(score=np.concatenate(scores)).to_parquet(f, index=False)
    found = pd.concat([pd.read_parquet(path) for path in kept], ignore_index=True)
    found["made_of"] = copies.note["made_of"]
    write(found, paths.robustness(row, seed), row=row, seed=seed)
    shutil.rmtree(scratch)  # with what a kill left half-written
    return found


@torch.inference_mode()
def _judge(system, images: torch.Tensor, fabric, channels_last: bool) -> np.ndarray:
    batch = pairs.prepare({"low": images}, fabric.device, channels_last)
    with fabric.autocast():
        out = system.deployed(batch["low"])
    return out.score.float().cpu().numpy().astype(np.float32)
