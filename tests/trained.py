"""Runs in tests: how two are compared, and folders of runs that were not trained, for tests of what
comes after training."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_model

from acfd.faces.shards import PairTable
from acfd.params import Params
from acfd.paths import Paths
from acfd.runs.run import make_system

KEY = "0123456789abcdef"  # of the runs that were not trained


def study_at(folder: Path, faces: Path, preset: str = "toy") -> Paths:
    """The paths of a study in a folder of its own, whose faces are those that lie elsewhere."""
    paths = Paths(preset, folder)
    paths.data.mkdir(parents=True)
    paths.faces.symlink_to(faces)
    return paths


def changed(p: Params, **sections: dict) -> Params:
    """p with other values in some sections: changed(p, train={"steps": 2})."""
    raw = p.model_dump()
    for section, values in sections.items():
        raw[section] |= values
    return Params(**raw)


def result(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, torch.Tensor]]:
    """What a run leaves, without how long it took: history, steps, weights."""
    history = pd.read_csv(folder / "history.csv").drop(columns="seconds")
    steps = pd.read_csv(folder / "steps.csv")
    return history, steps, load_file(folder / "model.safetensors")


def assert_same(a: tuple, b: tuple) -> None:
    """Two results, to the bit."""
    for one, other in zip(a[:2], b[:2], strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert a[2].keys() == b[2].keys()
    assert all(torch.equal(a[2][k], b[2][k]) for k in a[2])


def people(pairs: int, methods: Iterable[str] = ("Deepfakes",)) -> Iterator[dict]:
    """Every clip of so many pairs of people: both real ones, two forgeries a method."""
    for p in range(pairs):
        a, b = f"{2 * p:03d}", f"{2 * p + 1:03d}"
        clips = [("original", a, a, ""), ("original", b, b, "")]
        for method in methods:
            clips += [(method, f"{a}_{b}", a, b), (method, f"{b}_{a}", b, a)]
        for clip in clips:
            said = dict(zip(("method", "video", "target", "source"), clip))
            yield said | {"label": int(clip[0] != "original"), "pair": p}


def write_history(paths: Paths, row: str, seed: int, auc: Sequence[float] = (0.6, 0.7, 0.7, 0.7)):
    """A run's validation AUC after every 10 steps."""
    epochs = range(1, len(auc) + 1)
    said = {"epoch": epochs, "step": [10.0 * e for e in epochs], "val_auc": auc}
    said |= {"val_loss": 0.5, "seconds": 1.0, "attention_inside": 0.6, "attention_outside": 0.1}
    paths.history(row, seed).parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(said).to_csv(paths.history(row, seed), index=False)


def write_run(p: Params, paths: Paths, row: str, seed: int = 0, bias: float = 0.0) -> Path:
    """The folder that `runs.run` would leave, with the weights that training starts from.

    The classifier is drawn anew, larger, so that scores differ from crop to crop; bias is added to
    the log-odds of forged.
    """
    folder = write_about(p, paths, row, seed)
    system = make_system(p, row, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for branch in {system.deployed, getattr(system.net, "high", system.deployed)}:
            if hasattr(branch, "fc"):
                torch.nn.init.normal_(branch.fc.weight, std=0.1)
                ends = [-bias / 2, bias / 2]  # a single unit is one of real
                branch.fc.bias.data.copy_(
                    torch.tensor(ends if len(branch.fc.bias) == 2 else [-bias])
                )
    save_model(system.net, str(folder / "model.safetensors"))
    return folder


def detect_study(
    make_params, faces: Path, top: Path, bias: float = 2.0, **detect
) -> tuple[Params, Paths]:
    """(params, paths) of a study at `top` with a calibrated run for `acfd detect`, cls_at."""
    said = {"row": "cls_at", "frames": 3, "min_frames": 2, "batch": 4, "detect_size": 320}
    p = make_params(faces={"size": 64}, model={"weights": "wheel"}, detect=said | detect)
    paths = study_at(top, faces, p.preset)
    write_run(p, paths, "cls_at", bias=bias)
    write_calibration(paths, "cls_at")
    return p, paths


def write_about(p: Params, paths: Paths, row: str, seed: int = 0) -> Path:
    """The same without weights: a folder with run.json."""
    folder = paths.run(row, seed)
    folder.mkdir(parents=True)
    said = {
        "row": row,
        "title": p.rows[row].title,
        "seed": seed,
        "preset": p.preset,
        "key": KEY,
        "deployed_parameters": 20_811_050,
        "versions": {"acfd": "0"},
        "params": p.for_row(row).model_dump(mode="json"),
    }
    (folder / "run.json").write_text(json.dumps(said))
    return folder


def write_scores(
    table: PairTable, paths: Paths, row: str, temperature: float, seed: int = 0
) -> pd.DataFrame:
    """A score file of every validation and test face whose log-odds are `temperature` times what
    they should be: labels are drawn from the probabilities that they are divided back to."""
    rng = np.random.default_rng(3)
    index = table.index[table.index["split"].isin(["val", "test"])]
    parts = []
    for compression in ("c23", "c40"):
        about = index.drop(columns=["shard", "row"]).assign(compression=compression)
        # a real and a forged face of the mirrored log-odds: z with the odds exp(z) for forged
        strength = rng.normal(1.0, 1.5, len(about))
        logit = np.where(about["label"] == 1, strength, -strength) * temperature
        parts.append(about.assign(score=(1 / (1 + np.exp(-logit))).astype(np.float32)))
    scores = pd.concat(parts, ignore_index=True).assign(run=f"{row}-s{seed}", row=row, seed=seed)
    scores.attrs = {"key": KEY}
    put_scores(paths, scores, row, seed)
    return scores


def put_scores(paths: Paths, scores: pd.DataFrame, row: str, seed: int = 0):
    """A run's score file."""
    paths.scores(row, seed).parent.mkdir(parents=True, exist_ok=True)
    scores.to_parquet(paths.scores(row, seed), index=False)


def write_calibration(paths: Paths, row: str, seed: int = 0, **ranges: list[float]) -> dict:
    """A calibration of temperature 1 whose ranges take in everything but what is given."""
    fit = {"calibrated": True, "temperature": 1.0, "low": 0.9, "high": 1.1}
    wide = {"crop_pixels": [1, 9999], "detail": [0, 9999], "bits_per_pixel": [0, 9999]}
    found = {
        "run": f"{row}-s{seed}",
        "key": KEY,
        "frames": fit,
        "videos": fit,
        "scatter": 0.1,
        "real": {"frames": {}, "videos": {}},
        "test": {"c40": {"videos": 8, "auc": 0.7, "balanced_acc": 0.6, "ece": 0.1}},
        "ranges": wide | ranges,
    }
    paths.metrics.mkdir(parents=True, exist_ok=True)
    (paths.metrics / "calibration.json").write_text(json.dumps(found))
    return found
