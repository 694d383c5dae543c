"""Runs: one training run of the study as a folder, made from params and faces, and read again."""

import json
import platform
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import save_model

import acfd
from acfd import registry, sources
from acfd.faces.shards import PairTable
from acfd.method.system import System
from acfd.params import Params
from acfd.paths import Paths, atomic, digest_of, sha256
from acfd.runs import pairs
from acfd.runs.distributed import make_fabric
from acfd.runs.loop import History, TrainingError, load_weights
from acfd.runs.train import Callback, fit
from acfd.videos import recipes

# What of run.json's params a trained run keeps, whatever params.yaml says today.
TRAINED_WITH = ("faces", "model", "loss", "train", "augment")


class RunError(ValueError):
    """A run's folder that cannot be used; the message names the file."""


def make_system(params: Params, row: str, seed: int, *, weights: str | None = "") -> System:
    """The system of one row, freshly initialised from `seed`. weights: "" for params.model.weights,
    None for a network whose state is loaded next."""
    p = params.for_row(row)
    cls = registry.find(p.rows[row].system)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = cls.network(p, p.model.weights if weights == "" else weights, seed)
        torch.manual_seed(seed)  # a critic starts alike, whatever the network has drawn
        return cls(p, net)


def subset(table: PairTable, split: str, methods: list[str]):
    """Rows of the index that a split's real videos and these forgeries have, in index order."""
    index = table.index
    chosen = (index["split"] == split) & index["method"].isin(["original", *methods])
    rows = index.index[chosen].to_numpy()
    labels = index.loc[chosen, "label"].to_numpy()
    for label, kind in enumerate(("real", "forged")):
        if not (labels == label).any():
            raise RunError(
                f"no {kind} faces in the {split} split for {', '.join(methods)}; "
                "see left_out.csv in the faces folder for what was left out and why"
            )
    return rows, labels


def run(
    params: Params,
    row: str,
    seed: int,
    paths: Paths,
    *,
    callbacks: tuple[Callback, ...] = (),
    progress: bool = True,
) -> Path:
    """Train one run and write its folder: model.safetensors, run.json, history.csv, steps.csv, and
    maps.parquet, the attention maps of a few forged validation faces by epoch.
    Several processes leave the resume state of the finished run as well: one process with the same
    parameters, such as the study's stage, then takes the result over instead of training."""
    p = params.for_row(row)
    fabric = make_fabric(p.compute)
    table = PairTable(paths.faces)
    # a folder of faces that no stage made has no recipe
    faces_key = recipes.key(paths, "faces") or digest_of(paths.faces / "index.parquet")
    inputs = {"faces": faces_key, "code": sources.row_key(p, row)}
    if p.train.start and Path(p.train.start).is_file():
        inputs["start"] = sha256(Path(p.train.start))
    key = params.run_key(row, seed, **inputs)
    scratch = paths.scratch("runs", f"{row}-s{seed}-{key}")

    data, batches, validation = training_data(table, p, seed, fabric.global_rank, fabric.world_size)
    system = make_system(params, row, seed, weights=None if p.train.start else "")
    if p.train.start:
        _start(system, Path(p.train.start))
    if system.weights.get("at", 0) > 0 and p.model.attention and p.augment.blend < 1:
        needed = subset(table, "train", p.train.methods)[0]
        table.demand_masks(needed, f"row {row}: loss.at {p.loss.at:g}")
    if system.fit is not None and fabric.world_size > 1:
        raise TrainingError(f"row {row} is not trained by gradients: run it in one process")
    history = (system.fit or partial(fit, system))(
        data, batches, validation, p, seed, scratch, fabric, callbacks, progress
    )
    folder = paths.run(row, seed)
    if fabric.global_rank == 0:
        _write(folder, system, history, table.index, p, row, seed, key)
        if fabric.world_size == 1:
            shutil.rmtree(scratch, ignore_errors=True)
    fabric.barrier()
    return folder


def _start(system: System, path: Path):
    try:
        load_weights(system.net, path)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise RunError(
            f"train.start: {path}: {error}; expected model.safetensors of a run of the same system"
        ) from None


def training_data(table: PairTable, p: Params, seed: int, rank: int = 0, world: int = 1):
    """What a row is trained on: pairs, their batches, and (pairs, batches) for validation. p: the
    row's own parameters; rank, world: which of how many processes this is. A row whose forgeries
    are all made afresh (augment.blend 1) sees no other, in validation either."""
    rows, labels = subset(table, "train", p.train.methods)
    checked, checked_labels = _spread(*subset(table, "val", p.train.methods), p.train.val_pairs)
    real, checked_real = rows[labels == 0], checked[checked_labels == 0]
    blended, blended_val = None, None
    if p.augment.blend or p.augment.degrade:
        from acfd.runs.blended import Blended

        blended, blended_val = Blended(table, real, p), Blended(table, checked_real, p)
    t = p.train
    batches = pairs.BalancedBatches(
        labels, t.batch, t.epoch_steps, seed, rank, world, p.augment.blend
    )
    batches.rows = [rows[r] for r in batches.rows]
    how = (pairs.STORED,)
    if p.augment.blend == 1:
        checked, how = checked_real, (pairs.REAL_AFRESH, pairs.FORGED_AFRESH)
    checks = pairs.InOrder(checked, p.score.batch, how, rank, world)
    data = pairs.Pairs(table, p.augment, seed, blended)
    return data, batches, (pairs.Pairs(table, None, seed, blended_val), checks)


def _spread(rows: np.ndarray, labels: np.ndarray, most: int):
    """At most `most` rows (0: all), half of them real if there are as many, evenly spaced."""
    if not most:
        return rows, labels
    kept = []
    for label in (0, 1):
        of = np.flatnonzero(labels == label)
        n = min(len(of), max(1, most // 2))
        kept.append(of[np.linspace(0, len(of) - 1, n).round().astype(int)])
    kept = np.sort(np.concatenate(kept))
    return rows[kept], labels[kept]


def _write(folder: Path, system: System, history: History, index, p: Params, row, seed, key):
    maps = [r | {"map": r["map"].numpy().tobytes()} for r in history.maps]
    maps = pd.DataFrame(maps, columns=["epoch", "face", "map"])
    # known by what they are of: rows shift when a manipulation joins the faces
    maps = maps.join(index[["method", "video", "frame"]], on="face").drop(columns="face")
    said = {
        "row": row,
        "title": p.rows[row].title,
        "seed": seed,
        "preset": p.preset,
        "key": key,
        "parameters": _size(system.net),
        "deployed_parameters": _size(system.deployed),
        "epochs": len(history.epochs),
        "kept_epoch": history.kept_epoch,
        "val_loss": history.epochs[history.kept_epoch - 1]["val_loss"],
        "stopped": history.stopped,
        "collapsed": history.collapsed,
        "train_seconds": sum(e["seconds"] for e in history.epochs),
        "machine": machine(next(system.net.parameters()).device),
        "versions": {"acfd": acfd.__version__, "torch": torch.__version__},
        "params": p.model_dump(mode="json"),
    }
    for name, records in (("history.csv", history.epochs), ("steps.csv", history.steps)):
        with atomic(folder / name) as f:
            pd.DataFrame(records).to_csv(f, index=False)
    with atomic(folder / "maps.parquet") as f:
        maps.to_parquet(f, index=False)
    with atomic(folder / "model.safetensors") as f:
        save_model(system.net, str(f))
    with atomic(folder / "run.json") as f:
        f.write_text(json.dumps(said, indent=1) + "\n")


def _size(net: torch.nn.Module) -> int:
    return sum(x.numel() for x in net.parameters())


def load_run(folder: Path, params: Params) -> tuple[System, dict]:
    """A trained system, in eval mode, and its run.json. Safe for files from anywhere: no pickle.
    Its params are those that it was trained with, and today's for everything else: which data it is
    to judge, and keys that params.yaml has got since. Raises RunError for a folder that holds no
    readable run."""
    path = folder / "run.json"
    try:
        said = json.loads(path.read_text())
        raw = params.model_dump(mode="json")
        for section in TRAINED_WITH:
            values = said["params"][section]
            raw[section] |= {k: v for k, v in values.items() if k in raw[section]}
        stored = said["params"]["rows"][said["row"]]
        # the run's sections have its row's changes already; what it is scored on is today's to say
        today = params.rows.get(said["row"])
        changes = {"score": today.set["score"]} if today and "score" in today.set else {}
        raw["rows"] |= {said["row"]: stored | {"set": changes}}
        known = dict.fromkeys([*raw["data"]["methods"], *raw["train"]["methods"]])
        raw["data"]["methods"] = list(known)  # it may be asked about others than it was trained on
        p = Params(**raw)
    except FileNotFoundError:
        there = ", ".join(sorted(p.parent.name for p in folder.parent.glob("*/run.json"))) or "none"
        raise RunError(
            f"{path}: no such file; there are the runs: {there}; the stage `train` makes others: "
            "`dvc repro`"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(
            f"{path}: not the description of a run of this version ({error}); train it again"
        ) from None
    system = make_system(p, said["row"], said["seed"], weights=None)
    path = folder / "model.safetensors"
    try:
        load_weights(system.net, path)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise RunError(
            f"{path}: not the weights of {said['row']}-s{said['seed']} ({error}); train it again: "
            f"`acfd train --row {said['row']} --seed {said['seed']}`"
        ) from None
    system.net.eval()
    return system, said


def machine(device: torch.device) -> str:
    """In words what trained on `device`: the GPU, or how many cores of the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{torch.get_num_threads()} CPU cores ({platform.machine()}, {capability})"
