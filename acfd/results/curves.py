"""Robustness curves from stored scores alone: AUC and balanced accuracy at every level of a family,
and the area under each curve, one number a system, with its paired difference to the reference.

A curve begins at the untouched frame and goes on through the levels in their order, equally spaced;
its area is the trapezoidal one, divided by its width, so it is in units of the measure itself.
"""

from itertools import product

import numpy as np
import pandas as pd

from acfd.media.degrade import NONE
from acfd.params import Params
from acfd.paths import Paths
from acfd.results import table as tables
from acfd.results.metrics import PIXELS
from acfd.results.table import ALL, Draws

# What a score is known by, and what has to be alike in all runs
SAMPLE = ["family", "level", "method", "video", "frame"]
SAMPLE += ["target", "source", "split", "label", "made_of"]
MEASURES = ["auc", "balanced_acc"]
AFRESH = " ‡"  # behind the title of a row that was trained on degraded pictures too
SHOWN = ["auc", "auc_lo", "auc_hi", "balanced_acc", "diff_auc", "diff_auc_lo", "diff_auc_hi"]

Point = tuple[str, float]  # family, level
Replicates = dict[tuple[str, str, float], dict[str, np.ndarray]]  # row, family, level -> S x R each


def load(params: Params, paths: Paths) -> pd.DataFrame:
    """Scores of the copies by every run of params.robustness.rows, see `table.load_runs`. The
    column rising is the row's, see `table.rising`."""
    rows, seeds = params.robustness.rows, params.study.seeds
    gained = tables.rising(tables.histories(params, paths, rows))
    found = tables.load_runs(paths.robustness, rows, seeds, SAMPLE, "robustness")
    return found.assign(rising=found["row"].map(gained))


def families(params: Params, scores: pd.DataFrame) -> dict[str, list[Point]]:
    """The points of each curve in their order, the untouched frame first: of every family that
    params name and that could be made here."""
    made = set(scores["family"])
    return {
        family: [(NONE, 0.0), *((family, float(level)) for level in levels)]
        for family, levels in params.robustness.levels
        if family in made
    }


def resampled(params: Params, scores: pd.DataFrame) -> tuple[Draws, Replicates]:
    """Every measure of every row at every level in the same resamples, so that they are paired."""
    draws = Draws(tables.tested(scores[scores["family"] == NONE]), params.robustness)
    scores = scores.assign(**dict.fromkeys(PIXELS, 0))  # no maps here
    found = {}
    for at, part in scores.groupby(["row", "family", "level"], sort=False):
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
    said = {"seeds": " ".join(map(str, params.study.seeds)), "units": draws.units}
    said |= {"frames": len(draws.unit), "made_of": scores["made_of"].iloc[0]}
    gained, lines = scores.groupby("row")["rising"].first(), []
    for row in params.robustness.rows:
        marked = title(params, row) + tables.mark(gained[row])
        for family, points in families(params, scores).items():
            for position, at in enumerate(points):
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
    r, shapes, area = params.robustness, families(params, scores), {}
    for row, m in product(r.rows, MEASURES):
        for family, points in shapes.items():
            values = [found[row, *at][m] for at in points]
            area[row, family, m] = np.trapezoid(values, axis=0) / (len(points) - 1)
        area[row, ALL, m] = np.mean([area[row, family, m] for family in shapes], axis=0)
    said = {"reference": r.reference, "seeds": " ".join(map(str, params.study.seeds))}
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
        tables.correct(of_family, *(f"diff_{m}" for m in MEASURES))
    return pd.DataFrame(lines)
