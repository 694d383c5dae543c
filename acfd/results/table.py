"""Tables from score files alone: load and check them, resample them, reduce them to lines.

Nothing here needs a model, a video or a crop. The tables themselves are in table1.py and table2.py,
how they look in notebooks and in the README in markdown.py; all build on this.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from acfd.results import metrics
from acfd.params import Params
from acfd.sections import Table
from acfd.paths import Paths, atomic, digest_of

SAMPLE = ["split", "compression", "method", "video", "frame"]  # what a sample is known by
REAL = "original"  # as in acfd.videos.ffpp
COLUMNS = [*SAMPLE, "row", "seed", "target", "source", "label", "score", *metrics.PIXELS]
DIFFERENCES = ["balanced_acc", "auc"]
# Columns of text; a seed or a row may look like a number
TEXT = ["row", "title", "compression", "seeds", "reference", "method", "trained_on", "high", "low"]
TEXT += ["ours", "seen_row", "seen_title", "machine", "headline"]
UNKNOWN = "unknown machines"  # of runs whose summary does not say
DAGGER = " †"  # behind the title of a row that is not converged
CONVERGED = 0.01  # the most that validation AUC may still rise over the last quarter of the steps


class TableError(ValueError):
    """Score files or a README that a table cannot be made from; says which, and what to do."""


def load_rows(
    paths: Paths, rows: Iterable[str], seeds: list[int], methods: Iterable[str]
) -> dict[str, pd.DataFrame]:
    """Row -> its scores (`load_scores`) of the real samples and of these methods' forgeries.

    Raises TableError, besides what `load_scores` does, for rows that were not scored on the same
    samples, and for a split and compression that lack real samples or a method's forgeries.
    """
    wanted, loaded = {REAL, *methods}, {}
    for row in rows:
        scores = load_scores(paths, row, seeds)
        loaded[row] = scores[scores["method"].isin(wanted)]
        first = next(iter(loaded))
        one = [loaded[r][loaded[r]["seed"] == seeds[0]] for r in (first, row)]
        same_samples(*one, f"{first}-s{seeds[0]}", f"{row}-s{seeds[0]}")
    for place, part in loaded[first].groupby(["split", "compression"]):
        lacking = wanted - set(part["method"])
        if lacking:
            raise TableError(
                f"{paths.scores(first, seeds[0])}: nothing of {', '.join(sorted(lacking))} in "
                f"{' '.join(place)}; score.methods of every row compared must name it"
            )
    return loaded


def load_scores(paths: Paths, row: str, seeds: list[int]) -> pd.DataFrame:
    """The score files of one row's runs, one after another, each sorted by sample (SAMPLE).

    Raises TableError for a file that is missing, lacks columns, is another run's or not the one
    that the run's summary is of, holds a sample twice or a score that is not finite, and for seeds
    that were not scored on the same samples.
    """
    runs = [_load_run(paths.scores(row, seed), row, seed) for seed in seeds]
    for seed in seeds:
        path, summary = paths.scores(row, seed), paths.summary(row, seed)
        said = json.loads(summary.read_text()).get("scores") if summary.is_file() else None
        if said not in (None, found := digest_of(path)):
            raise TableError(
                f"{path}: its digest is {found}, {summary} is of the scores {said}; the two are "
                "not of one run: make both again with the stage `score`, or get both from git"
            )
    for seed, run in zip(seeds[1:], runs[1:]):
        same_samples(runs[0], run, f"{row}-s{seeds[0]}", f"{row}-s{seed}")
    return pd.concat(runs, ignore_index=True)


def _load_run(path: Path, row: str, seed: int) -> pd.DataFrame:
    if not path.exists():
        raise TableError(
            f"{path}: no such file; the stage `score` makes it from the run {row}-s{seed}: run "
            "`dvc repro`"
        )
    run = pd.read_parquet(path)
    missing = [c for c in COLUMNS if c not in run]
    if missing:
        raise TableError(
            f"{path}: no column {', '.join(missing)}; found {', '.join(run.columns)}; "
            "make it again with the stage `score`"
        )
    if run.empty:
        raise TableError(f"{path}: no scores; look at the stage `score`, then make it again")
    found = run[["row", "seed"]].drop_duplicates().astype(str).agg("-s".join, axis=1).tolist()
    if found != [f"{row}-s{seed}"]:
        raise TableError(f"{path}: scores of {', '.join(found)}, expected {row}-s{seed}")
    for column in ("split", "compression", "method", "video", "target"):
        run[column] = run[column].astype(str)
    run["source"] = run["source"].astype("object").where(run["source"].notna(), "").astype(str)
    twice = run.duplicated(SAMPLE)
    if twice.any():
        raise TableError(
            f"{path}: {int(twice.sum())} samples come twice, the first {_name(run[twice])}; "
            "make it again with the stage `score`"
        )
    bad = ~np.isfinite(run["score"])
    if bad.any():
        raise TableError(
            f"{path}: {int(bad.sum())} scores are not finite, the first of {_name(run[bad])}; the "
            f"run {row}-s{seed} has diverged"
        )
    return run.sort_values(SAMPLE, ignore_index=True)


def same_samples(a: pd.DataFrame, b: pd.DataFrame, name_a: str, name_b: str) -> None:
    """Raises TableError unless two runs' scores, each sorted by SAMPLE, are of the same samples."""
    facts = [*SAMPLE, "target", "source", "label"]
    a, b = a[facts].reset_index(drop=True), b[facts].reset_index(drop=True)
    if a.shape == b.shape and (a.to_numpy() == b.to_numpy()).all():
        return
    both = a.merge(b, on=facts, how="outer", indicator=True)
    only = {side: both[both["_merge"] == side] for side in ("left_only", "right_only")}
    said = [
        f"{len(rows)} only in {name} (the first: {_name(rows)})"
        for name, rows in zip((name_a, name_b), only.values())
        if len(rows)
    ]
    raise TableError(
        f"scores of {name_a} and {name_b} are not of the same samples: {'; '.join(said)}. "
        "Score both on the same faces: `dvc repro` the stage `score`"
    )


def _name(rows: pd.DataFrame) -> str:
    r = rows.iloc[0]
    return f"{r['method']} {r['video']} frame {r['frame']} {r['compression']} {r['split']}"


def load_run_info(paths: Paths, row: str, seed: int) -> dict:
    """What the stage `score` says of a run: collapsed, kept_epoch, epochs, seconds, ..."""
    path = paths.summary(row, seed)
    try:
        info = json.loads(path.read_text())
    except FileNotFoundError:
        raise TableError(f"{path}: no such file; the stage `score` makes it: `dvc repro`") from None
    if not isinstance(info.get("collapsed"), bool):
        raise TableError(
            f"{path}: collapsed is {info.get('collapsed')!r}, expected true or false; make it "
            "again with the stage `score`"
        )
    return info


@dataclass(frozen=True)
class Draws:
    """How the test samples of one compression are resampled: the same draws for every row, method
    and compression of the same samples, so that their differences are paired."""

    seeds: list[int]
    unit: np.ndarray  # the pair of people of every test sample, 0 ... U - 1
    weights: np.ndarray  # (resamples + 1) x U, as from metrics.resample
    confidence: float

    @classmethod
    def of(cls, scores: pd.DataFrame, seeds: list[int], setting: Table) -> Draws:
        """scores: one row's at one compression, or those of any other row that is compared."""
        test = scores[(scores["split"] == "test") & (scores["seed"] == seeds[0])]
        if test.empty:
            where = ", ".join(scores["compression"].unique())
            raise TableError(f"no test scores at {where}; make them again with the stage `score`")
        unit = metrics.identity_units(test)
        weights = metrics.resample(int(unit.max()) + 1, setting.bootstrap)
        return cls(seeds, unit, weights, setting.confidence)

    @property
    def units(self) -> int:
        return self.weights.shape[1]

    def measure(self, scores: pd.DataFrame, method: str | None = None) -> dict[str, np.ndarray]:
        """Every measure of one row at one compression, S seeds x R resamples each.

        method: count this one's forgeries alone, against all real samples. The threshold of
        balanced_acc_val is that of all methods: a detector is not told which one it will meet.
        """
        found = []
        for seed in self.seeds:
            run = scores[scores["seed"] == seed]
            val = run[run["split"] == "val"]
            threshold = None if val.empty else metrics.choose_threshold(val)
            test = run[run["split"] == "test"].assign(unit=self.unit)
            if method:
                test = test[test["method"].isin([REAL, method])]
            found.append(metrics.measure(test, self.weights, threshold))
        return {m: np.stack([f[m] for f in found]) for m in found[0]}

    def summary(self, values: np.ndarray | None, bounds=(0, 1)) -> metrics.Interval:
        """Mean over seeds of S x R values, with its interval; all NaN for None."""
        if values is None:
            return metrics.Interval(np.nan, np.nan, np.nan, np.nan, 0)
        return metrics.interval(values, self.units, self.confidence, bounds)

    def difference(self, values: np.ndarray | None, to: np.ndarray | None, bounds=(-1, 1)):
        """Interval of two rows' difference, paired; all NaN for a row to itself, or to none."""
        none = values is None or to is None or values is to
        return self.summary(None if none else values - to, bounds)


def columns(name: str, found: metrics.Interval) -> dict[str, float]:
    """An interval as columns of a table: name, name_lo, name_hi."""
    return {name: found.value, f"{name}_lo": found.low, f"{name}_hi": found.high}


def compared(name: str, found: metrics.Interval) -> dict[str, float]:
    """A difference as columns of a table: its interval, name_p, and name_p_holm, which `correct`
    fills in."""
    return columns(name, found) | {f"{name}_p": found.p, f"{name}_p_holm": np.nan}


def correct(lines: list[dict], *names: str, spare: dict | None = None) -> list[dict]:
    """Lines of a table whose differences (`compared`) of each of these names are corrected for
    being several, by Holm's method. One line, `spare`, may be named beforehand: its name_p_holm is
    its name_p, and it does not count among the others."""
    for name in names:
        p = [np.nan if line is spare else line[f"{name}_p"] for line in lines]
        for line, raised in zip(lines, metrics.holm(p)):
            line[f"{name}_p_holm"] = line[f"{name}_p"] if line is spare else raised
    return lines


def first_columns(params: Params, paths: Paths, row: str, compression: str, draws: Draws) -> dict:
    """What a line of a table begins with; `collapsed` counts seeds whose map collapsed."""
    seeds = params.study.seeds
    line = {"row": row, "title": params.rows[row].title, "compression": compression}
    line |= {"seeds": " ".join(map(str, seeds)), "units": draws.units, "frames": len(draws.unit)}
    line |= {"rising": rising(histories(paths, [row], seeds))[row]}
    return line | {"collapsed": sum(load_run_info(paths, row, s)["collapsed"] for s in seeds)}


def histories(paths: Paths, rows: Iterable[str], seeds: list[int]) -> pd.DataFrame:
    """The history of every run of these rows, a line a validation, with row and seed before it.

    Raises TableError for a file that is missing, is empty, or lacks step or val_auc.
    """
    parts = []
    for row in rows:
        for seed in seeds:
            path = paths.history(row, seed)
            if not path.exists():
                raise TableError(f"{path}: no such file; the stage `score` makes it: `dvc repro`")
            part = pd.read_csv(path)
            if lacking := {"epoch", "step", "val_auc"} - set(part):
                raise TableError(
                    f"{path}: no column {', '.join(sorted(lacking))}; found {', '.join(part)}; "
                    "make it again with the stage `score`"
                )
            part.insert(0, "row", row)
            part.insert(1, "seed", seed)
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def rising(history: pd.DataFrame) -> dict[str, float]:
    """Row -> the validation AUC that it gained over the last quarter of its steps, a share of 1.

    The mean over its seeds, straight between validations; NaN for a row that was validated once.
    history: from `histories`.
    """
    found = {}
    for (row, _), run in history.groupby(["row", "seed"], sort=False):
        step, auc = run["step"].to_numpy(float), run["val_auc"].to_numpy(float)
        gained = auc[-1] - np.interp(0.75 * step[-1], step, auc) if len(run) > 1 else np.nan
        found.setdefault(row, []).append(gained)
    return {row: float(np.mean(gained)) for row, gained in found.items()}


def mark(gained: float) -> str:
    """DAGGER for a row whose validation AUC gained more than CONVERGED (`rising`), or nothing."""
    return DAGGER if gained > CONVERGED else ""


def paper_columns(params: Params, row: str) -> dict[str, float]:
    """paper_acc and paper_auc, percent; NaN where the paper has no such row or number."""
    paper = params.rows[row].paper
    said = {m: getattr(paper, m, None) for m in ("acc", "auc")}
    return {f"paper_{m}": np.nan if v is None else v for m, v in said.items()}


def machines(infos: Iterable[dict]) -> str:
    """What trained these runs (`load_run_info`), joined: each machine once, UNKNOWN last."""
    names = dict.fromkeys(info.get("machine", UNKNOWN) for info in infos)
    return " and ".join(sorted(names, key=lambda name: name == UNKNOWN))


def measured(
    draws: Draws, replicates: dict[str, dict], row: str, names: list[str], others: dict[str, str]
) -> dict[str, float]:
    """A row's measures with intervals, its paired differences (DIFFERENCES) and left_out, the most
    resamples that lost a class.

    replicates: row -> what `Draws.measure` found; names: measures, NaN where they are not among
    these; others: how a difference's columns begin -> the row that it is to.
    """
    found = {m: draws.summary(replicates[row].get(m)) for m in names}
    line = {}
    for m in names:
        line |= columns(m, found[m])
    for name, other in others.items():
        for m in DIFFERENCES:
            difference = draws.difference(replicates[row][m], replicates[other][m])
            line |= compared(f"{name}_{m}", difference)
    return line | {"left_out": max(f.left_out for f in found.values())}


def last_columns(setting: Table, left_out: int) -> dict:
    """What a line of Table 1 or 2 ends with."""
    line = {"reference": setting.reference, "resamples": setting.bootstrap}
    return line | {"confidence": setting.confidence, "left_out": left_out}


def write_table(table: pd.DataFrame, path: Path) -> None:
    """CSV from which `read_table` gets the same numbers back, to the last bit."""
    with atomic(Path(path)) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def read_table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=dict.fromkeys(TEXT, str), float_precision="round_trip")


def to_json(table: pd.DataFrame) -> dict:
    """For `dvc metrics show`: the low quality, row -> acc, acc_lo, acc_hi, ..., to 4 digits."""
    names = [m + end for m in ("acc", "balanced_acc", "auc", "eer") for end in ("", "_lo", "_hi")]
    low = table[table["compression"] == table["compression"].iloc[0]]
    return {line["row"]: {n: round(float(line[n]), 4) for n in names} for _, line in low.iterrows()}


def row_title(line: pd.Series) -> str:
    """A table row's title, with DAGGER if it is not converged and a note if its map collapsed."""
    seeds = len(line["seeds"].split())
    title = line["title"] + mark(line.get("rising", np.nan))  # not every table says
    if not line.get("collapsed"):
        return title
    some = "" if line.get("collapsed") == seeds else f" in {line['collapsed']} of {seeds} seeds"
    return f"{title} (collapsed{some})"
