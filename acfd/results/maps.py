"""Attention maps of stored test faces: what both branches made of a frame, and how well it fits."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from acfd.faces.shards import PairTable
from acfd.params import Params
from acfd.paths import Paths
from acfd.results import metrics
from acfd.results.method import cell
from acfd.results.table import Draws, TableError, histories, read, read_runs

SAMPLE = ["split", "method", "video", "frame"]
MAPS = ["mask", "high_branch", "low_branch"]
CELLS = ["tp", "fp", "fn"]


def faces(params: Params, paths: Paths, row: str, seed: int) -> pd.DataFrame:
    """Every test face of a run that has two branches with maps, a line a (face, compression).

    Columns of the score file; face: the row in the PairTable; three maps, s x s in [0, 1] (stack
    them): mask, the share of each cell that is forged, low_branch, M_L of the frame at this
    compression, high_branch, M_H of the same frame at high quality; iou: of low_branch and mask,
    both at 0.5 (NaN where neither reaches it in any cell); overlap: the same without a threshold,
    sum of minima over sum of maxima; masked: is the mask known.
    """
    scores, maps = (read(f(row, seed), SAMPLE) for f in (paths.scores, paths.maps))
    if "map" not in maps or not maps["map_high_branch"].notna().any():
        raise TableError(
            f"{paths.maps(row, seed)}: no maps of a high-quality branch; the row {row} "
            f"({params.rows[row].system}) has none"
        )
    found = scores.assign(mask=maps["mask"], low_branch=maps["map"])
    high = maps.loc[maps["compression"] == params.data.high, [*SAMPLE, "map_high_branch"]]
    high = high.rename(columns={"map_high_branch": "high_branch"})
    found = found[(found["split"] == "test") & ~found["method"].isin(params.table1.unseen)]
    found = found.merge(high, on=SAMPLE, validate="many_to_one")
    table = PairTable(paths.faces)
    index = table.index.assign(masked=table.masked).reset_index(names="face")
    found = found.merge(index[[*SAMPLE, "face", "masked"]], on=SAMPLE, validate="many_to_one")
    for name in MAPS:
        found[name] = list(unpack(found[name]))
    said, true = np.stack(found["low_branch"]), np.stack(found["mask"])
    union = found[CELLS].sum(axis=1)
    found["iou"] = (found["tp"] / union.where(union > 0)).astype(float)
    least, most = np.minimum(said, true).sum((1, 2)), np.maximum(said, true).sum((1, 2))
    found["overlap"] = least / np.where(most > 0, most, np.nan)
    return found


def unpack(maps: pd.Series) -> np.ndarray:
    """Maps as `acfd.scores.score.score` stores them, as N x s x s in [0, 1]."""
    cells = np.stack([np.frombuffer(m, np.uint8) for m in maps])
    side = round(cells.shape[1] ** 0.5)
    return cells.reshape(-1, side, side) / 255


def spaced(n: int, most: int) -> np.ndarray:
    """At most so many of 0 ... n - 1, evenly spaced."""
    return np.linspace(0, n - 1, min(most, n)).round().astype(int)


def gallery(found: pd.DataFrame, each: int = 3) -> pd.DataFrame:
    """A few faces of one compression of `faces` to be shown: forged ones from the surest to the
    most doubted, then real ones from the best to the worst judged, `each` of either, of different
    videos."""
    picked = []
    for label, best_first in ((1, False), (0, True)):
        of = found[found["label"] == label]
        of = of.sort_values("score", ascending=best_first, kind="stable")
        of = of.drop_duplicates(["method", "video"])
        picked.append(of.iloc[spaced(len(of), each)])
    return pd.concat(picked, ignore_index=True)


def by_fit(found: pd.DataFrame) -> pd.DataFrame:
    """Faces of one compression of `faces` from the best to the worst map, by IoU, of equal ones by
    overlap."""
    return found.sort_values(["iou", "overlap"], ascending=False, kind="stable")


def extremes(found: pd.DataFrame, each: int = 1) -> pd.DataFrame:
    """The `each` best and the `each` worst forged faces of every method (`by_fit`), of other
    videos; `case` is "best" or "worst". Those whose IoU is undefined are left out."""
    forged = found[(found["label"] == 1) & found["iou"].notna()]
    parts = [forged.head(0).assign(case="")]
    for _, of in forged.groupby("method", sort=False):
        of = by_fit(of)
        best = of.drop_duplicates("video").head(each)
        worst = of[::-1].drop_duplicates("video")
        worst = worst[~worst["video"].isin(best["video"])].head(each)
        parts += [best.assign(case="best"), worst.assign(case="worst")]
    return pd.concat(parts, ignore_index=True)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """How well the maps fit, a line a (compression, method): faces, iou (cells of all faces pooled;
    NaN where nothing is forged or no mask is known), and the mean of each branch's map over forged
    cells (inside) and over the others (outside), each cell as far as it is forged."""
    lines = []
    for (compression, method), of in found.groupby(["compression", "method"], sort=False):
        line = {"compression": compression, "method": method, "faces": len(of)}
        of = of[of["masked"]] if of["masked"].any() else of
        mask, counts = np.stack(of["mask"]), of[CELLS].sum()
        forged = mask.sum() > 0
        line["iou"] = counts["tp"] / counts.sum() if forged and counts.any() else np.nan
        for branch in MAPS[1:]:
            m = np.stack(of[branch])
            line[f"{branch}_inside"] = (m * mask).sum() / mask.sum() if forged else np.nan
            line[f"{branch}_outside"] = (m * (1 - mask)).sum() / (1 - mask).sum()
        lines.append(line)
    return pd.DataFrame(lines)


def real_beside_forged(params: Params, found: pd.DataFrame) -> pd.DataFrame:
    """Is the map dark on real faces? A line a (compression, branch), M_H where it saw c23 itself.

    Columns: compression, branch ("high" or "low"), forged, elsewhere and real (mean of M over
    forged regions, over the rest of forged faces, over real faces), ratio (forged by real) and iou
    (of the low branch's map), these two with intervals over identities, and units. NaN where no
    face has a mask, or real faces show nothing at all. found: from `faces`.
    """
    lines = []
    for compression, of in found.groupby("compression", sort=False):
        draws = Draws(of, params.table1)
        mask = np.stack(of["mask"])
        forged = ((of["label"] == 1) & of["masked"]).to_numpy()[:, None, None]
        regions = (forged * mask, forged * (1 - mask), ~forged * np.ones_like(mask))
        sizes = [draws.total(region.sum((1, 2))) for region in regions]
        counts = [draws.total(of[c] * forged[:, 0, 0]) for c in CELLS]
        for branch in ("high", "low") if compression == params.data.high else ("low",):
            m = np.stack(of[f"{branch}_branch"])
            sums = [draws.total((m * region).sum((1, 2))) for region in regions]
            on, off, real = map(metrics.ratio, sums, sizes)
            line = {"compression": compression, "branch": branch}
            line |= {"forged": on[0], "elsewhere": off[0], "real": real[0]}
            iou = metrics.ratio(counts[0], sum(counts)) if branch == "low" else on * np.nan
            for name, values, most in (("ratio", metrics.ratio(on, real), np.inf), ("iou", iou, 1)):
                known = values if np.isfinite(values[0]) else None
                line |= draws.columns(name, known, (0, most))
            lines.append(line | {"units": draws.units})
    return pd.DataFrame(lines)


def pictures(table: PairTable, faces: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
    """The low quality of some faces, N x H x W x 3 uint8, and their masks, N x H x W."""
    pairs = [table.read(int(i)) for i in faces]
    return np.stack([c["low"] for c in pairs]), np.stack([c["mask"] for c in pairs])


def cases(table: PairTable, picked: pd.DataFrame) -> dict[str, dict]:
    """Method -> the lines of figures.attention.cases. picked: from `extremes`."""
    lines = {method: {} for method in picked["method"].unique()}
    for r in picked.itertuples():
        pair, title = table.read(r.face), f"IoU {r.iou:.2f}, score {r.score:.2f}"
        maps = [getattr(r, name) for name in MAPS]
        lines[r.method][f"{r.case} fit"] = pair["low"], pair["mask"], maps, title
    return lines


def course(params: Params, paths: Paths, rows: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean attention of these rows' runs, as plots.collapse takes it: M_H by step in training
    batches, and M_L of validation faces by validation. Columns run (the row's title; of
    attention.factorial what its parameters say), seed, step, inside, outside."""
    factorial = params.attention.factorial
    titles = {r: cell(params, r) if r in factorial else params.rows[r].title for r in rows}
    names = {"attention_inside": "inside", "attention_outside": "outside"}
    both = read_runs(paths.steps, params.runs(rows), names), histories(params, paths, rows)
    both = [of.rename(columns=names).assign(run=of["row"].map(titles)) for of in both]
    return tuple(of[["run", "seed", "step", "inside", "outside"]] for of in both)


def by_epoch(
    table: PairTable, paths: Paths, row: str, seed: int
) -> tuple[list[int], dict[int, np.ndarray]]:
    """What the deployed branch made of a few forged validation faces after every epoch: their N
    rows in the table, and epoch -> N x s x s in [0, 1]."""
    path = paths.run(row, seed) / "maps.parquet"
    kept = read(path, ["epoch", *SAMPLE[1:], "map"], "train")
    if kept.empty:
        raise TableError(f"{path}: no maps; the row {row} has none that is made for the mask")
    index = table.index.reset_index(names="face")[[*SAMPLE[1:], "face"]]
    kept = kept.merge(index, on=SAMPLE[1:], validate="many_to_one")
    faces = kept["face"].unique().tolist()
    epochs = kept.set_index("face").groupby("epoch")["map"]
    return faces, {int(epoch): unpack(of.loc[faces]) for epoch, of in epochs}


def averages(found: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """Mean map over the faces of every method, real ones last: method -> of MAPS -> s x s. Boxes
    are alike, so a mean face is still a face."""
    order = found.sort_values("label", ascending=False, kind="stable")
    return {
        method: {c: np.stack(of[c]).mean(axis=0) for c in MAPS}
        for method, of in order.groupby("method", sort=False)
    }
