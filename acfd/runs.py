"""Runs: one training run of the study as a folder, made from params and faces, and read again."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_model, save_model

import acfd
from acfd import pairs, systems
from acfd.params import Params, digest
from acfd.paths import Paths, atomic
from acfd.shards import PairTable
from acfd.systems import System
from acfd.train import Callback, History, fit, make_fabric

# What a run's resume state depends on besides its parameters and its faces.
SOURCES = ("backbone", "losses", "model", "pairs", "runs", "systems", "train")


def subset(table: PairTable, split: str, methods: list[str]):
    """Rows of the index that a split's real videos and these forgeries have, in index order."""
    index = table.index
    chosen = (index["split"] == split) & index["method"].isin(["original", *methods])
    rows = index.index[chosen].to_numpy()
    labels = index.loc[chosen, "label"].to_numpy()
    for label, kind in enumerate(("real", "forged")):
        if not (labels == label).any():
            raise ValueError(
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
    """Train one run and write its folder: model.safetensors, history.csv, steps.csv, run.json."""
    p = params.for_row(row)
    fabric = make_fabric(p.compute)
    table = PairTable(paths.faces)
    faces_key = hashlib.sha256((paths.faces / "index.parquet").read_bytes()).hexdigest()[:16]
    key = params.run_key(row, seed, faces=faces_key, code=_code_key())
    scratch = paths.scratch("runs", f"{row}-s{seed}-{key}")

    rows, labels = subset(table, "train", p.train.methods)
    batches = pairs.BalancedBatches(
        labels, p.train.batch, p.train.epoch_pairs, seed, fabric.global_rank, fabric.world_size
    )
    batches.rows = [rows[r] for r in batches.rows]
    checks = pairs.InOrder(subset(table, "val", p.train.methods)[0], p.score.batch)
    system = systems.make(params, row, seed)
    history = fit(
        system,
        pairs.Pairs(table, p.augment, seed),
        batches,
        (pairs.Pairs(table, None, seed), checks),
        p,
        seed,
        scratch,
        fabric=fabric,
        callbacks=callbacks,
        progress=progress,
    )
    folder = paths.run(row, seed)
    if fabric.global_rank == 0:
        _write(folder, system, history, p, row, seed, key)
        shutil.rmtree(scratch, ignore_errors=True)
    fabric.barrier()
    return folder


def _write(folder: Path, system: System, history: History, p: Params, row, seed, key):
    folder.mkdir(parents=True, exist_ok=True)
    for name, records in (("history.csv", history.epochs), ("steps.csv", history.steps)):
        with atomic(folder / name) as f:
            pd.DataFrame(records).to_csv(f, index=False)
    with atomic(folder / "model.safetensors") as f:
        save_model(system.net, str(f))
    said = {
        "row": row,
        "title": p.rows[row].title,
        "seed": seed,
        "preset": p.preset,
        "key": key,
        "parameters": sum(x.numel() for x in system.net.parameters()),
        "epochs": len(history.epochs),
        "best_epoch": history.best_epoch,
        "val_loss": history.best_loss,
        "stopped": history.stopped,
        "collapsed": history.collapsed,
        "train_seconds": sum(e["seconds"] for e in history.epochs),
        "machine": machine(),
        "versions": {"acfd": acfd.__version__, "torch": torch.__version__},
        "params": p.model_dump(mode="json"),
    }
    with atomic(folder / "run.json") as f:
        f.write_text(json.dumps(said, indent=1) + "\n")


def _code_key() -> str:
    here = Path(__file__).parent
    return digest({name: (here / f"{name}.py").read_text() for name in SOURCES})


def load_run(folder: Path, params: Params) -> tuple[System, dict]:
    """A trained system, in eval mode, and its run.json. Safe for files from anywhere: no pickle."""
    said = json.loads((folder / "run.json").read_text())
    p = Params(**said["params"])
    system = systems.make(p, said["row"], said["seed"], weights=None)
    load_model(system.net, folder / "model.safetensors")
    system.net.eval()
    return system, said


def machine() -> str:
    """This machine in words: what trains, on how many cores or which GPU."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{torch.get_num_threads()} CPU cores ({platform.machine()}, {capability})"


def histories(params: Params, paths: Paths, name: str) -> pd.DataFrame:
    """history.csv ("history") or steps.csv ("steps") of every run of Table 2, with row and seed."""
    parts = []
    for row in params.table2.rows:
        for seed in params.study.seeds:
            part = pd.read_csv(paths.run(row, seed) / f"{name}.csv")
            part.insert(0, "row", row)
            part.insert(1, "seed", seed)
            parts.append(part)
    return pd.concat(parts, ignore_index=True)
