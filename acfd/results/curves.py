"""Robustness curves from stored scores alone: AUC and balanced accuracy at every level of a family,
and the area under each curve, one number a system, with its paired difference to the reference.

A curve begins at the untouched frame and goes on through the levels in their order, equally spaced;
its area is the trapezoidal one, divided by its width, so it is in units of the measure itself.
"""

import numpy as np
import pandas as pd

from acfd.media.degrade import NONE
from acfd.params import Params
from acfd.paths import Paths
from acfd.results.metrics import PIXELS
from acfd.results.table import Draws, TableError, correct, histories, mark, read, rising, rounded

SAMPLE = ["family", "level", "method", "video", "frame"]  # what a score is known by
FACTS = ["target", "source", "split", "label", "made_of"]
MEASURES = ["auc", "balanced_acc"]
ALL = "all"  # the mean over families
AFRESH = " ‡"  # behind the title of a row that was trained on degraded pictures too

Replicates = dict[tuple[str, str, float], dict[str, np.ndarray]]  # row, family, level -> S x R each


def load(params: Params, paths: Paths) -> pd.DataFrame:
    """Scores of the copies by every run of params.robustness.rows, sorted by SAMPLE a run. Raises
    TableError for a file that is missing, lacks columns, or was not made of the same copies as the
    first. The column rising is the row's, see tables.rising."""
    runs, rows = [], params.robustness.rows
    gained = rising(histories(paths, rows, params.study.seeds))
    for row in rows:
        for seed in params.study.seeds:
            path = paths.robustness(row, seed)
            run = read(path, [*SAMPLE, *FACTS, "row", "seed", "score"], "robustness")
            run = run.sort_values(SAMPLE, ignore_index=True).assign(rising=gained[row])
            if not np.isfinite(run["score"]).all():
                raise TableError(f"{path}: scores that are not finite; train {row}-s{seed} again")
            known = [*SAMPLE, *FACTS]
            if runs and not run[known].equals(runs[0][known]):
                raise TableError(
                    f"{path}: {len(run)} scores, not of the same copies as the {len(runs[0])} of "
                    f"{rows[0]}-s{params.study.seeds[0]}; score both again: `dvc repro` the stage "
                    "`robustness`"
                )
            runs.append(run)
    return pd.concat(runs, ignore_index=True)


def families(params: Params, scores: pd.DataFrame) -> dict[str, list[float]]:
    """Levels of each family that params name and that could be made here, in their order."""
    made = set(scores["family"])
    return {f: [float(v) for v in levels] for f, levels in params.robustness.levels if f in made}


def resampled(params: Params, scores: pd.DataFrame) -> tuple[Draws, Replicates]:
    """Every measure of every row at every level in the same resamples, so that they are paired."""
    seeds = params.study.seeds
    clean = scores[scores["family"] == NONE]
    draws = Draws.of(clean[clean["row"] == clean["row"].iloc[0]], seeds, params.robustness)
    scores = scores.assign(**dict.fromkeys(PIXELS, 0))  # no maps here
    groups = scores.groupby(["row", "family", "level"], sort=False)
    found = {}
    for at, part in groups:
        measured = draws.measure(part)
        found[at] = {m: measured[m] for m in MEASURES}  # the others would fill the memory
    return draws, found


def title(params: Params, row: str) -> str:
    """A row's title, marked with AFRESH if augment.blend or augment.degrade degraded pictures in
    its training: some of the families tested here are then known to it."""
    augment = params.for_row(row).augment
    return params.rows[row].title + (AFRESH if augment.blend or augment.degrade else "")


def curves(params: Params, scores: pd.DataFrame, draws: Draws, found: Replicates) -> pd.DataFrame:
    """A line a (row, family, level), the untouched frame (level NaN) first, with intervals. Columns
    row, title (with a dagger if the row is not converged), family, position (0, 1, ...), level,
    auc, auc_lo, auc_hi, balanced_acc, ..., seeds, units, frames, made_of."""
    said = {"seeds": " ".join(map(str, draws.seeds)), "units": draws.units}
    said |= {"frames": len(draws.unit), "made_of": scores["made_of"].iloc[0]}
    gained, lines = scores.groupby("row")["rising"].first(), []
    for row in params.robustness.rows:
        marked = title(params, row) + mark(gained[row])
        for family, levels in families(params, scores).items():
            for position, at in enumerate(_points(family, levels)):
                line = {"row": row, "title": marked, "family": family}
                line |= {"position": position, "level": at[1] if position else np.nan}
                for m in MEASURES:
                    line |= draws.columns(m, found[row, *at][m])
                lines.append(line | said)
    return pd.DataFrame(lines)


def areas(params: Params, scores: pd.DataFrame, draws: Draws, found: Replicates) -> pd.DataFrame:
    """A line a (row, family), and one a row for ALL: the mean over families, each counting alike.
    Columns row, title, family, rising; m, m_lo, m_hi for the area of each measure m; diff_m,
    diff_m_lo, diff_m_hi, the paired difference to params.robustness.reference (NaN in its own
    lines), diff_m_p and diff_m_p_holm, corrected over the rows of a family; and how it was made."""
    r = params.robustness
    shapes = families(params, scores)
    area = {
        (row, family, m): _area([found[row, *at][m] for at in _points(family, levels)])
        for row in r.rows
        for family, levels in shapes.items()
        for m in MEASURES
    }
    for row in r.rows:
        for m in MEASURES:
            area[row, ALL, m] = np.mean([area[row, family, m] for family in shapes], axis=0)
    said = {"reference": r.reference, "seeds": " ".join(map(str, draws.seeds))}
    said |= {"units": draws.units, "resamples": r.bootstrap, "confidence": r.confidence}
    gained, lines = scores.groupby("row")["rising"].first(), []
    for row in r.rows:
        for family in (ALL, *shapes):
            line = {"row": row, "title": title(params, row), "family": family}
            line |= {"rising": gained[row]}
            for m in MEASURES:
                own, reference = area[row, family, m], area[r.reference, family, m]
                line |= draws.columns(m, own)
                line |= draws.compared(f"diff_{m}", own, reference)
            lines.append(line | said)
    for family in (ALL, *shapes):
        of_family = [line for line in lines if line["family"] == family]
        correct(of_family, *(f"diff_{m}" for m in MEASURES))
    return pd.DataFrame(lines)


def row_metrics(areas: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Row -> what `dvc metrics show` has of it: areas over all families, to 4 digits."""
    names = ["auc", "auc_lo", "auc_hi", "balanced_acc", "diff_auc", "diff_auc_lo", "diff_auc_hi"]
    return rounded(areas[areas["family"] == ALL], names)


def _points(family: str, levels: list[float]) -> list[tuple[str, float]]:
    return [(NONE, 0.0), *((family, level) for level in levels)]


def _area(values: list[np.ndarray]) -> np.ndarray:
    return np.trapezoid(values, axis=0) / (len(values) - 1)
