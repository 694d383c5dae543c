"""Scores: what one trained run says of every face of the chosen splits, at both qualities."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from acfd.faces.shards import PairTable
from acfd.method.model import attention_target
from acfd.params import Params
from acfd.paths import Paths, atomic, digest_of, read_frame
from acfd.runs import distributed, pairs
from acfd.runs.run import load_run, subset

# What a stored score says of the face that it is of
FROM_INDEX = ["split", "method", "video", "target", "source", "frame", "label"]
COUNTS = ["tp", "fp", "fn", "tn"]
MAPS = ["side", "map", "mask", "map_high_branch"]
SUMMARY = ["parameters", "deployed_parameters", "epochs", "kept_epoch", "val_loss", "stopped"]
SUMMARY += ["collapsed", "machine", "key"]
STEPS = 2000  # at most, that are kept of a run's course


def score(params: Params, row: str, seed: int, paths: Paths, *, progress: bool = True):
    """Write one run's score file, its attention maps, and what the tables need of its folder:
    history, steps and a summary, which has the run's key and the digests of these files.

    The deployed branch judges both compressions, as it would judge a video of unknown history;
    maps are kept for the forged and real faces of the same frames, as bytes (0 to 255), and so is
    the mask's share of each cell.

    Several processes share the batches; process 0 writes and returns the scores, others None.
    """
    system, said = load_run(paths.run(row, seed), params)
    p = system.params
    fabric = distributed.make_fabric(params.compute)
    fabric.to_device(system.net)
    table = PairTable(paths.faces)
    methods = params.tested(row)
    # a set that is to be scored only has no validation split
    splits = [s for s in ("val", "test") if s == "test" or (table.index["split"] == s).any()]
    rows = np.concatenate([subset(table, s, methods)[0] for s in splits])
    data = pairs.Pairs(table, None, seed)
    rank, world = fabric.global_rank, fabric.world_size
    batches = pairs.InOrder(rows, params.score.batch, rank=rank, world=world)
    loader = pairs.loader(data, batches, params.compute.workers)
    shown = progress and rank == 0
    bar = tqdm(loader, desc=f"score {row} s{seed}", unit="batch", disable=not shown, leave=False)
    parts = []
    for item in bar:
        at = item["row"].numpy()
        about = table.index.loc[at, FROM_INDEX].reset_index(drop=True)
        batch = pairs.prepare(item, fabric.device, params.compute.channels_last)
        one = []
        for quality, compression in (("high", p.data.high), ("low", p.data.low)):
            found = _judge(system, batch, quality, table.masked[at], fabric)
            one.append(about.assign(compression=compression, **found))
        parts.append(one)
    parts = [part for one in distributed.gather(parts, fabric) for part in one]
    if rank > 0:
        return None
    found = pd.concat(parts, ignore_index=True)
    kept = [name for name in MAPS if name in found]
    maps = found[[*FROM_INDEX, "compression", *kept]]
    scores = found.drop(columns=kept)
    scores.attrs = {"key": said["key"]}
    write(scores, paths.scores(row, seed), run=f"{row}-s{seed}", row=row, seed=seed)
    _keep_course(paths, row, seed)
    with atomic(paths.maps(row, seed)) as f:
        empty = pd.DataFrame(columns=[*FROM_INDEX, "compression", "side"])
        (maps if kept else empty).to_parquet(f, index=False)
    summary = {k: said[k] for k in SUMMARY} | {"seconds": round(said["train_seconds"], 1)}
    for what in (paths.scores, paths.history, paths.steps):
        summary[what.__name__] = digest_of(what(row, seed))
    with atomic(paths.summary(row, seed)) as f:
        f.write_text(json.dumps(summary, indent=1) + "\n")
    return scores


def write(found: pd.DataFrame, path: Path, **said) -> None:
    """Write a Parquet file whose first columns say of which run it is; found gets these too."""
    for at, (name, value) in enumerate(said.items()):
        found.insert(at, name, value)
    with atomic(path) as f:
        found.to_parquet(f, index=False, compression="zstd")


def _keep_course(paths: Paths, row: str, seed: int):
    folder = paths.run(row, seed)
    otherwise = f"train it again: `acfd train --row {row} --seed {seed}`"
    read_frame(folder / "history.csv", otherwise)  # a broken one is not passed on
    with atomic(paths.history(row, seed)) as f:
        f.write_bytes((folder / "history.csv").read_bytes())
    steps = read_frame(folder / "steps.csv", otherwise)
    steps["step"] = np.arange(1, len(steps) + 1)  # through all epochs
    write(steps[:: -(-len(steps) // STEPS) or 1].astype(np.float32), paths.steps(row, seed))


@torch.inference_mode()
def _judge(system, batch: dict, quality: str, masked: np.ndarray, fabric) -> dict:
    """Columns of the score file for one batch at one quality, and MAPS if there are any. masked: of
    each face, is its mask known, since PBCA and IoU are of these."""
    with fabric.autocast():
        out = system.deployed(batch[quality])
        twin = getattr(system.net, "high", None) if quality == "high" else None
        seen = twin is not None and twin.attention is not None
        high = torch.sigmoid(twin.attention(twin.head(batch["high"]))) if seen else None
    found = {
        "score": out.score.float().cpu().numpy().astype(np.float32),
        "norm": torch.linalg.vector_norm(out.feature.float(), dim=1).cpu().numpy(),
    }
    found |= dict.fromkeys(COUNTS, np.int32(0))
    if out.attention is None:
        return found
    m = out.attention.float().cpu()
    target = attention_target(batch["mask"].cpu(), m.shape[-2:])
    if system.map_is_mask:
        said, true = (m >= 0.5).flatten(1), (target >= 0.5).flatten(1)
        cells = {"tp": said & true, "fp": said & ~true, "fn": ~said & true, "tn": ~said & ~true}
        found |= {k: (masked * v.sum(1).numpy()).astype(np.int32) for k, v in cells.items()}
    found |= {"side": m.shape[-1], "map": _bytes(m), "mask": _bytes(target)}
    return found | {"map_high_branch": _bytes(high.float().cpu()) if seen else None}


def _bytes(maps: torch.Tensor) -> list[bytes]:
    """B x 1 x s x s in [0, 1] -> B strings of s * s bytes."""
    levels = (maps.clamp(0, 1) * 255).round().to(torch.uint8)
    return [m.numpy().tobytes() for m in levels]
