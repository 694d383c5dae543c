"""Features of paired test faces, stored, so that no figure needs a model."""

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from tqdm import tqdm

from acfd.faces.crops import choose_frames
from acfd.faces.shards import PairTable
from acfd.method.system import System
from acfd.params import Params
from acfd.paths import Paths
from acfd.runs import pairs
from acfd.runs.distributed import make_fabric
from acfd.runs.run import load_run, make_system, subset
from acfd.scores.score import FROM_INDEX, write

STATES = ("before", "after")
QUALITIES = ("high", "low")


def paired(high: np.ndarray, low: np.ndarray, person: np.ndarray) -> dict[str, dict]:
    """How the features of two qualities of the same N faces lie to each other.

    high, low: N x F; person: N, whose faces they are. For each quality, N values each of
    x, y: the first two principal components of all 2 N features together;
    own: distance of a feature to its face's feature at the other quality, |C_h - C_l|;
    other: median distance to other people's features at the other quality;
    nearer: share of these that are nearer than its own (0: its own is the nearest).

    Raises ValueError if all are of one person.
    """
    stranger = person[:, None] != person[None, :]
    if not stranger.any(axis=1).all():
        raise ValueError(f"all {len(person)} faces are of one person; others are needed to compare")
    plane = PCA(n_components=2, svd_solver="full").fit_transform(np.concatenate([high, low]))
    between = cdist(high, low)  # row: high, column: low
    own = between.diagonal()
    found = {}
    halves = np.split(plane, 2)
    for quality, distance, at in zip(QUALITIES, (between, between.T), halves):
        others = np.where(stranger, distance, np.nan)
        nearer = (others < own[:, None]).sum(axis=1) / stranger.sum(axis=1)
        found[quality] = {"x": at[:, 0], "y": at[:, 1], "own": own, "nearer": nearer}
        found[quality]["other"] = np.nanmedian(others, axis=1)
    return found


def store(params: Params, row: str, seed: int, paths: Paths, *, progress: bool = True):
    """Write one run's features of the test split, a line a (face, state, quality). Columns, besides
    FROM_INDEX: state, quality, norm |C|, and those of `paired`.

    In two-branch systems C_h is the high-quality branch's feature of the high quality and C_l the
    low-quality branch's of the low one; in others the one network judges both. "before" is the
    network as training found it: ImageNet's weights.
    """
    trained, _ = load_run(paths.run(row, seed), params)
    p, wanted = trained.params, params.attention.frames
    table = PairTable(paths.faces)
    rows, _ = subset(table, "test", p.score.methods or p.train.methods)
    videos = table.index.loc[rows].groupby(["method", "video"], sort=False)
    rows = np.concatenate([v.index[choose_frames(len(v), wanted, "even")] for _, v in videos])
    about = table.index.loc[rows, FROM_INDEX].reset_index(drop=True)
    parts = []
    for state in STATES:
        system = trained if state == "after" else make_system(p, row, seed)
        name = f"{row} s{seed} {state}"
        found = extract(system, table, rows, params, name if progress else None)
        places = paired(found["high"], found["low"], about["target"].to_numpy())
        for quality in QUALITIES:
            norm = np.linalg.norm(found[quality], axis=1)
            said = {"state": state, "quality": quality, "norm": norm}
            parts.append(about.assign(**said, **places[quality]))
    stored = pd.concat(parts, ignore_index=True)
    write(stored, paths.features(row, seed), row=row, seed=seed)
    return stored


@torch.inference_mode()
def extract(
    system: System, table: PairTable, rows: np.ndarray, params: Params, name: str | None = None
) -> dict[str, np.ndarray]:
    """Features C_h and C_l of these rows of the table: "high" and "low", N x F each. name: what the
    progress bar says; None: no bar."""
    fabric = make_fabric(params.compute.model_copy(update={"devices": 1, "nodes": 1}))
    fabric.to_device(system.net)
    system.net.eval()
    branches = {"high": getattr(system.net, "high", system.deployed), "low": system.deployed}
    data = pairs.Pairs(table, None, 0)
    loader = pairs.loader(data, pairs.InOrder(rows, params.score.batch), params.compute.workers)
    bar = tqdm(loader, desc=f"features {name}", unit="batch", disable=name is None, leave=False)
    found = {quality: [] for quality in QUALITIES}
    for item in bar:
        batch = pairs.prepare(item, fabric.device, params.compute.channels_last)
        for quality, branch in branches.items():
            with fabric.autocast():
                feature = branch(batch[quality]).feature
            found[quality].append(feature.float().cpu().numpy())
    return {quality: np.concatenate(parts) for quality, parts in found.items()}
