"""Features of paired test faces, before and after training: where they lie in a plane, and whether
the two qualities of a face have come together. `extract` makes them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA

STATES = ("before", "after")
QUALITIES = ("high", "low")


def paired(high: np.ndarray, low: np.ndarray, person: np.ndarray) -> dict[str, dict]:
    """How the features of two qualities of the same N faces lie to each other.

    high, low: N x F; person: N, whose faces they are. For each quality, N values each of
    x, y: the first two principal components of all 2 N features together;
    own: distance of a feature to its face's feature at the other quality, |C_h - C_l|;
    other: median distance to other people's features at the other quality;
    nearer: share of these that are nearer than its own (0: its own is the nearest).

    Raises ValueError if the two are not of one shape, or all of one person.
    """
    if high.shape != low.shape or len(high) != len(person):
        raise ValueError(
            f"features {high.shape} and {low.shape} of {len(person)} faces; expected one of each "
            "quality for every face"
        )
    stranger = person[:, None] != person[None, :]
    if not stranger.any(axis=1).all():
        raise ValueError(f"all {len(person)} faces are of one person; others are needed to compare")
    plane = PCA(n_components=2, svd_solver="full").fit_transform(np.concatenate([high, low]))
    between = cdist(high, low)  # row: high, column: low
    own = between.diagonal()
    found = {}
    for quality, distance, at in (
        ("high", between, plane[: len(high)]),
        ("low", between.T, plane[len(high) :]),
    ):
        others = np.where(stranger, distance, np.nan)
        nearer = (others < own[:, None]).sum(axis=1) / stranger.sum(axis=1)
        found[quality] = {"x": at[:, 0], "y": at[:, 1], "own": own, "nearer": nearer}
        found[quality]["other"] = np.nanmedian(others, axis=1)
    return found


def summary(stored: pd.DataFrame) -> pd.DataFrame:
    """Do the qualities come together? A line a (row, state): medians over faces of own, other,
    their ratio, and the share of faces at low quality whose nearest high-quality one is its own."""
    low = stored[stored["quality"] == "low"]
    low = low.assign(ratio=low["own"] / low["other"], nearest=low["nearer"] == 0)
    groups = low.groupby(["row", "state"], sort=False)
    medians = groups[["own", "other", "ratio"]].median()
    return medians.assign(nearest=groups["nearest"].mean()).reset_index()
