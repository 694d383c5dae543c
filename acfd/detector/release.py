"""A trained run made small enough for git: the detector that comes with acfd.

A released folder has model.safetensors (weights in float16), run.json and calibration.json, which
are the run's own, the first with the digest of these weights. The folder `detector` is one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import expit

from acfd.detector import export
from acfd.detector.backends import by_torch
from acfd.detector.files import DeployError, read, same_file
from acfd.faces.crops import resize
from acfd.faces.shards import PairTable
from acfd.params import Params
from acfd.paths import Paths, atomic, sha256

if TYPE_CHECKING:
    from acfd.method.system import System

TOLERANCE = 0.01  # what a probability may differ by from that of the float32 weights
RUN, WEIGHTS, CALIBRATION = "run.json", "model.safetensors", "calibration.json"


class Released(Paths):
    """The paths of a run that lies in `top`, with its calibration, wherever that is."""

    def run(self, row: str, seed: int) -> Path:
        return self.top

    @property
    def metrics(self) -> Path:
        return self.top

    def scratch(self, what: str, key: str) -> Path:
        return Paths(self.preset).scratch(what, key)  # where the user is, not beside the weights


def write(params: Params, paths: Paths, row: str, seed: int, folder: Path) -> dict[str, Any]:
    """Write a scored run to `folder`; returns its run.json. Raises DeployError for a run without
    scores, and where a better one is: by `validation_auc` of both on the faces of the study."""
    # here, since they take ten seconds, and `opened` needs none of them
    from safetensors.torch import load_file, save_file

    from acfd.detector import calibrate
    from acfd.runs.run import load_run

    source, scores = paths.run(row, seed), paths.scores(row, seed)
    said = read(source / RUN, "train it", "params", "key")
    found = calibrate.of_run(params, paths, row, seed)
    if found is None:
        raise DeployError(f"{scores}: no such file; `acfd score` makes it")
    system = load_run(source, params)[0]
    # keys that acfd no longer has are left behind, as `load_run` leaves them
    said["params"] = system.params.model_dump(mode="json")
    said |= {"validation_auc": (auc := validation_auc(system, params, paths))}
    if (folder / RUN).is_file() and _which(folder) != _which(source):
        other, there, *its_run = opened(folder)
        before = load_run(there.run(*its_run), other)[0]
        if (its_auc := validation_auc(before, params, paths)) > auc:
            raise DeployError(
                f"{folder}: the run there has a validation AUC of {its_auc:.4f} on the faces of "
                f"{params.preset}, {row}-s{seed} {auc:.4f}, so it stays; to release this one "
                "as well, name another folder by --out"
            )
    weights = load_file(source / WEIGHTS)
    # statistics of batch norms stay in float32: there are few, and some are tiny
    half = {k: v.half() if v.is_floating_point() and v.ndim > 1 else v for k, v in weights.items()}
    judge = by_torch(export.as_judge(system.deployed))
    crops = export.crops_of(system.params.faces.size)
    before = judge(crops, 4)[0]
    for x in system.net.parameters():
        x.data = x.data.half().float() if x.ndim > 1 else x.data
    worst = float(np.abs(expit(before) - expit(judge(crops, 4)[0])).max())
    if worst > TOLERANCE:
        raise DeployError(f"{source}: float16 moves its probabilities by up to {worst:.2g}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUN).unlink(missing_ok=True)  # written last: where it is, the others are its own
    with atomic(folder / WEIGHTS) as f:
        save_file(half, f)
    with atomic(folder / CALIBRATION) as f:
        f.write_text(json.dumps(found, indent=1) + "\n")
    said |= {"weights_sha256": sha256(folder / WEIGHTS)}
    with atomic(folder / RUN) as f:
        f.write_text(json.dumps(said, indent=1) + "\n")
    return said


def _which(folder: Path) -> list:
    said = read(folder / RUN, "delete the folder", "row", "seed", "key")
    return [said[part] for part in ("row", "seed", "key")]


def validation_auc(system: System, params: Params, paths: Paths) -> float:
    """AUC over the validation videos of both compressions, those of `paths.faces`, whose crops are
    brought to the size that the system knows."""
    from sklearn.metrics import roc_auc_score

    from acfd.runs.run import subset

    table, size = PairTable(paths.faces), system.params.faces.size
    rows, _ = subset(table, "val", params.train.methods)
    pairs, judge = [table.read(int(i)) for i in rows], by_torch(export.as_judge(system.deployed))
    frames = pd.concat(
        table.index.loc[rows, ["method", "video", "label"]].assign(
            quality=quality, logit=judge(np.stack([resize(p[quality], size) for p in pairs]), 32)[0]
        )
        for quality in ("high", "low")
    )
    videos = frames.groupby(["quality", "method", "video"]).mean()
    return float(roc_auc_score(videos["label"], videos["logit"]))


def opened(folder: Path) -> tuple[Params, Paths, str, int]:
    """The parameters, paths, row and seed of a released run. Raises DeployError if its weights are
    not those that it was written with."""
    otherwise = "copy the folder again, or take it from git"
    said = read(folder / RUN, otherwise, "params", "row", "seed", "preset", "weights_sha256")
    same_file(folder / WEIGHTS, said["weights_sha256"], RUN, otherwise)
    try:
        params = Params(**said["params"])
    except (TypeError, ValueError) as error:
        raise DeployError(f"{folder / RUN}: of another version of acfd ({error})") from None
    return params, Released(said["preset"], folder), said["row"], said["seed"]
