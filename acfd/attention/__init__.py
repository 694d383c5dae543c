"""Attention maps of stored test faces: what both branches made of a frame, and how well it fits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from acfd.params import Params
from acfd.paths import Paths
from acfd.shards import PairTable

SAMPLE = ["split", "method", "video", "frame"]


class AttentionError(ValueError):
    """Maps that are not there; the message says which, and what makes them."""


def faces(params: Params, paths: Paths, row: str, seed: int) -> pd.DataFrame:
    """Every test face of a run that has two branches with maps, a line a (face, compression).

    Columns of the score file; face: the row in the PairTable; side: of a map, in cells; mask: the
    share of each cell that is forged; low_branch: M_L of the frame at this compression;
    high_branch: M_H of the same frame at high quality (these three are bytes, for
    `unpack`); iou: of low_branch and mask, both at 0.5 (NaN where neither reaches it
    in any cell); overlap: the same without a threshold, sum of minima over sum of maxima.
    """
    scores, maps = (pd.read_parquet(f(row, seed)) for f in (paths.scores, paths.maps))
    if "map" not in maps or not maps["map_high_branch"].notna().any():
        raise AttentionError(
            f"{paths.maps(row, seed)}: no maps of a high-quality branch; the row {row} "
            f"({params.rows[row].system}) has none"
        )
    found = scores.assign(**maps[["side", "mask"]], low_branch=maps["map"])
    high = maps.loc[maps["compression"] == params.data.high, [*SAMPLE, "map_high_branch"]]
    high = high.rename(columns={"map_high_branch": "high_branch"})
    found = found[found["split"] == "test"].merge(high, on=SAMPLE, validate="many_to_one")
    index = PairTable(paths.faces).index.reset_index(names="face")
    found = found.merge(index[[*SAMPLE, "face"]], on=SAMPLE, validate="many_to_one")
    side = int(found["side"].iloc[0])
    said, true = (unpack(found[c], side) for c in ("low_branch", "mask"))
    union = found[["tp", "fp", "fn"]].sum(axis=1)
    found["iou"] = (found["tp"] / union.where(union > 0)).astype(float)
    least, most = np.minimum(said, true).sum((1, 2)), np.maximum(said, true).sum((1, 2))
    found["overlap"] = least / np.where(most > 0, most, np.nan)
    return found


def unpack(maps: pd.Series, side: int) -> np.ndarray:
    """Maps as `acfd.evaluate.score` stores them, as N x s x s in [0, 1]."""
    return np.stack([np.frombuffer(m, np.uint8) for m in maps]).reshape(-1, side, side) / 255


def gallery(found: pd.DataFrame, each: int = 3) -> pd.DataFrame:
    """A few faces to be shown: forged ones from the surest to the most doubted, then real ones from
    the best to the worst judged, `each` of either, of different videos.

    found: one compression of `faces`.
    """
    picked = []
    for label, best_first in ((1, False), (0, True)):
        of = found[found["label"] == label]
        of = of.sort_values("score", ascending=best_first, kind="stable")
        of = of.drop_duplicates(["method", "video"])
        picked.append(of.iloc[np.linspace(0, len(of) - 1, min(each, len(of))).round().astype(int)])
    return pd.concat(picked, ignore_index=True)


def extremes(found: pd.DataFrame, each: int = 1) -> pd.DataFrame:
    """The `each` best and the `each` worst forged faces of every method by IoU, of other videos.

    found: one compression of `faces`. Equal IoU (a map has few cells) is ordered by overlap. Faces
    whose IoU is undefined are not among them. The column `case` is "best" or "worst".
    """
    forged = found[(found["label"] == 1) & found["iou"].notna()]
    parts = [forged.head(0).assign(case="")]
    for _, of in forged.groupby("method", sort=False):
        of = of.sort_values(["iou", "overlap"], ascending=False, kind="stable")
        best = of.drop_duplicates("video").head(each)
        worst = of[::-1].drop_duplicates("video")
        worst = worst[~worst["video"].isin(best["video"])].head(each)
        parts += [best.assign(case="best"), worst.assign(case="worst")]
    return pd.concat(parts, ignore_index=True)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """How well the maps fit, a line a (compression, method): faces, iou (cells of all faces pooled;
    NaN where nothing is forged or no mask is known), and the mean of each branch's map over forged
    cells (inside) and over the others (outside), each cell as far as it is forged."""
    side = int(found["side"].iloc[0])
    lines = []
    for (compression, method), of in found.groupby(["compression", "method"], sort=False):
        mask = unpack(of["mask"], side)
        forged = mask.sum() > 0
        counts = of[["tp", "fp", "fn"]].sum()
        line = {"compression": compression, "method": method, "faces": len(of)}
        line["iou"] = counts["tp"] / counts.sum() if forged and counts.any() else np.nan
        for branch in ("high_branch", "low_branch"):
            m = unpack(of[branch], side)
            line[f"{branch}_inside"] = (m * mask).sum() / mask.sum() if forged else np.nan
            line[f"{branch}_outside"] = (m * (1 - mask)).sum() / (1 - mask).sum()
        lines.append(line)
    return pd.DataFrame(lines)


def course(params: Params, paths: Paths, rows: list[str], seed: int) -> pd.DataFrame:
    """Mean attention of these rows' training batches by step, as figures.collapse takes it: run
    (the row's title), step, inside, outside (of the high-quality branch)."""
    parts = []
    for row in rows:
        steps = pd.read_parquet(paths.steps(row, seed))
        steps = steps.rename(columns={"attention_inside": "inside", "attention_outside": "outside"})
        steps = steps.assign(run=params.rows[row].title)
        parts.append(steps[["run", "step", "inside", "outside"]])
    return pd.concat(parts, ignore_index=True)


def rows_with_course(paths: Paths, rows: list[str], seed: int) -> list[str]:
    """Those of the rows whose training says how high the map is on forged pixels."""
    names = {row: pq.read_schema(paths.steps(row, seed)).names for row in rows}
    return [row for row in rows if "attention_inside" in names[row]]


def by_epoch(paths: Paths, row: str, seed: int) -> tuple[list[int], dict[int, np.ndarray]]:
    """What the deployed branch made of a few forged validation faces after every epoch.

    Returns their N rows in the PairTable, and epoch -> N x s x s in [0, 1].
    """
    path = paths.run(row, seed) / "maps.parquet"
    kept = pd.read_parquet(path)
    if kept.empty:
        raise AttentionError(f"{path}: no maps; the row {row} has none that is made for the mask")
    faces = kept["face"].drop_duplicates().tolist()
    side = int(kept["side"].iloc[0])
    kept = kept.set_index("face")
    return faces, {
        int(epoch): unpack(of.loc[faces, "map"], side) for epoch, of in kept.groupby("epoch")
    }


def rows_with_maps(params: Params, paths: Paths) -> list[tuple[str, int]]:
    """(row, seed) of every run of the study whose two branches' maps are stored."""
    runs = [(row, seed) for row in params.trained for seed in params.study.seeds]
    kept = []
    for row, seed in runs:
        path = paths.maps(row, seed)
        if not path.exists() or "map_high_branch" not in pq.read_schema(path).names:
            continue
        if pd.read_parquet(path, columns=["map_high_branch"]).notna().any(axis=None):
            kept.append((row, seed))
    if not kept:
        raise AttentionError(
            f"{paths.data / 'maps'}: no maps of two branches; the stage `score` makes them, where "
            "the runs are: `dvc repro`, or bring the folder from where that was done"
        )
    return kept


def averages(found: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """Mean map over the faces of every method, real ones last: method -> of -> side x side, of
    being mask, high_branch, low_branch. Boxes are alike, so a mean face is still a face."""
    side = int(found["side"].iloc[0])
    order = found.sort_values("label", ascending=False, kind="stable")
    return {
        method: {c: unpack(of[c], side).mean(axis=0) for c in ("mask", "high_branch", "low_branch")}
        for method, of in order.groupby("method", sort=False)
    }
