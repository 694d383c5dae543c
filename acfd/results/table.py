"""Tables from score files alone: load and check them, resample them, reduce them to lines."""

import json
from collections.abc import Container, Iterable
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import logit

from acfd.params import Params
from acfd.paths import Paths, atomic, digest_of, read_frame
from acfd.results import metrics
from acfd.results.metrics import Interval
from acfd.sections import Table

# What a score is known by, and what has to be alike in all runs that are compared
SAMPLE = ["split", "compression", "method", "video", "frame", "target", "source", "label"]
REAL = "original"  # as in acfd.videos.ffpp
ALL = "all"  # every manipulation, or family of degradations, together
COLUMNS = [*SAMPLE, "row", "seed", "score", *metrics.PIXELS]
MEASURES = ["acc", "balanced_acc", "balanced_acc_val", "auc", "eer"]
MEASURES += ["video_balanced_acc", "video_auc"]
DIFFERENCES = ["balanced_acc", "auc"]
SHOWN = ["auc", "auc_lo", "auc_hi", "balanced_acc", "eer"]  # by `dvc metrics show`
# Columns of text; a seed or a row may look like a number
TEXT = ["row", "title", "compression", "seeds", "reference", "method", "trained_on", "high", "low"]
TEXT += ["by_seed", "ours", "other", "other_title", "seen_row", "seen_title", "machine", "headline"]
DAGGER = " †"  # behind the title of a row that is not converged
TIED = 0.01  # log-odds that differ by less are called one
CONVERGED = 0.01  # the most that validation AUC may still rise over the last quarter of the steps


class TableError(ValueError):
    """Files that a table, figure or page cannot be made from; says which, and what to do."""


def read(path: Path, columns: Iterable[str], stage: str = "score") -> pd.DataFrame:
    """A file that a stage makes, Parquet or CSV. Raises TableError for what is not there."""
    if not path.exists():
        raise TableError(f"{path}: no such file; the stage `{stage}` makes it: run `dvc repro`")
    found = read_frame(path, f"delete it and run `dvc repro` (stage `{stage}`), or take git's")
    if lacking := [c for c in columns if c not in found]:
        raise TableError(
            f"{path}: no column {', '.join(lacking)}; make it again with the stage `{stage}`"
        )
    return found


def load_rows(
    params: Params, paths: Paths, rows: Iterable[str], methods: Iterable[str]
) -> dict[str, dict[str, pd.DataFrame]]:
    """Compression, the low one first -> row -> its scores (`load_scores`) of the real samples and
    of these methods' forgeries. Raises TableError, besides what `load_scores` does, for rows that
    were not scored on the same samples, and for a split that lacks some of them."""
    wanted = {REAL, *methods}
    loaded = {row: load_scores(paths, row, params.seeds(row), wanted) for row in rows}
    # one run a row: those of other seeds are of the same samples (`load_runs`)
    first, *others = (of[of["seed"] == params.seeds(row)[0]] for row, of in loaded.items())
    for scores in others:
        same_samples(first, scores, SAMPLE)
    for split, part in first.groupby("split"):
        if lacking := wanted - set(part["method"]):
            raise TableError(
                f"{_run(first)}: nothing of {', '.join(sorted(lacking))} in {split}; "
                "score.methods of every row compared must name it"
            )
    return {
        compression: {row: s[s["compression"] == compression] for row, s in loaded.items()}
        for compression in (params.data.low, params.data.high)
    }


def load_scores(
    paths: Paths, row: str, seeds: list[int], methods: Container[str] | None = None
) -> pd.DataFrame:
    """The score files of one row's runs, as `load_runs` has them; of these methods alone, if given.
    Raises TableError, besides what that does, for a file that is not the one that the run's summary
    is of."""
    scores = load_runs(paths.scores, [row], seeds, SAMPLE, methods=methods)
    for seed in seeds:
        path, summary = paths.scores(row, seed), paths.summary(row, seed)
        said = json.loads(summary.read_text()).get("scores") if summary.is_file() else None
        if said not in (None, found := digest_of(path)):
            raise TableError(
                f"{path}: its digest is {found}, {summary} is of the scores {said}; the two are "
                "not of one run: make both again with the stage `score`, or get both from git"
            )
    return scores


def load_runs(
    file,
    rows: Iterable[str],
    seeds: list[int],
    sample: list[str],
    stage: str = "score",
    methods: Container[str] | None = None,
) -> pd.DataFrame:
    """The scores of every run of these rows, `file` (row, seed) -> its path, one run after another,
    each sorted by `sample`, the columns that have to be alike. Raises TableError for a file that is
    missing or lacks columns, for scores that are not finite, and for runs of unlike samples."""
    runs = []
    for row, seed in product(rows, seeds):
        path = file(row, seed)
        run = read(path, [*sample, "row", "seed", "score"], stage)
        if not np.isfinite(run["score"]).all():
            raise TableError(f"{path}: scores that are not finite; train {row}-s{seed} again")
        if methods is not None:
            run = run[run["method"].isin(methods)]
        runs.append(run.sort_values(sample, ignore_index=True))
        same_samples(runs[0], runs[-1], sample, stage)
    return pd.concat(runs, ignore_index=True)


def same_samples(a: pd.DataFrame, b: pd.DataFrame, sample: list[str], stage: str = "score") -> None:
    """Raises TableError unless scores, sorted by `sample`, are of the same ones."""
    if not a[sample].reset_index(drop=True).equals(b[sample].reset_index(drop=True)):
        raise TableError(
            f"{len(a)} scores of {_run(a)} and {len(b)} of {_run(b)} are not of the same samples; "
            f"score both on the same faces: `dvc repro` the stage `{stage}`"
        )


def _run(scores: pd.DataFrame) -> str:
    return "{}-s{}".format(*scores[["row", "seed"]].iloc[0])


def load_run_info(paths: Paths, row: str, seed: int) -> dict:
    """What the stage `score` says of a run: collapsed, kept_epoch, epochs, seconds, ..."""
    path = paths.summary(row, seed)
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise TableError(
            f"{path}: missing or broken ({error}); the stage `score` makes it: run `dvc repro`, or "
            "take git's"
        ) from None


def tested(scores: pd.DataFrame) -> pd.DataFrame:
    """The test samples of the first run of some rows and seeds."""
    row, seed = scores[["row", "seed"]].iloc[0]
    return scores[(scores["row"] == row) & (scores["seed"] == seed) & (scores["split"] == "test")]


def tied(scores: pd.DataFrame) -> float:
    """The largest share of real test samples whose log-odds are equal to TIED, mean over seeds: a
    network that says one thing of most cannot tell any of them from a forgery of which it says the
    same."""
    real, shares = scores[(scores["split"] == "test") & (scores["label"] == 0)], []
    for _, run in real.groupby("seed"):
        odds = np.sort(logit(run["score"].astype(float)))
        alike = np.searchsorted(odds, odds + TIED, "right") - np.arange(len(odds))
        shares.append(alike.max() / len(odds))
    return float(np.mean(shares))


def at_low(table: pd.DataFrame) -> pd.DataFrame:
    """The lines of the quality that comes first, the low one."""
    return table[table["compression"] == table["compression"].iloc[0]]


def overall(table: pd.DataFrame) -> pd.DataFrame:
    """The lines of Table 1 or 2 at low quality, on all manipulations."""
    low = at_low(table)
    return low[low["method"] == ALL] if "method" in low else low


class Draws:
    """How test samples are resampled: the same draws for every row, method and compression of the
    same samples, so that their differences are paired. unit: the pair of people of every sample,
    0 ... units - 1; weights: (resamples + 1) x units, from metrics.resample."""

    def __init__(self, samples: pd.DataFrame, setting: Table):
        """samples: those of one run at one compression; columns label, target, source."""
        self.unit = metrics.identity_units(samples)
        self.units = int(self.unit.max()) + 1
        self.weights = metrics.resample(self.units, setting.bootstrap)
        self.confidence = setting.confidence

    def total(self, values) -> np.ndarray:
        """The sum of a number a sample, in every resample."""
        values = np.broadcast_to(np.asarray(values, float), self.unit.shape)
        return metrics.total(self.weights, self.unit, values)

    def measure(self, scores: pd.DataFrame, method: str | None = None) -> dict[str, np.ndarray]:
        """Every measure of one row at one compression, S seeds x R resamples each. method: count
        this one's forgeries alone, against all real samples. The threshold of balanced_acc_val is
        that of all methods: a detector is not told which one it will meet."""
        found = []
        for _, run in scores.groupby("seed", sort=False):
            val = run[run["split"] == "val"]
            threshold = None if val.empty else metrics.choose_threshold(val)
            test = run[run["split"] == "test"].assign(unit=self.unit)
            if method:
                test = test[test["method"].isin([REAL, method])]
            found.append(metrics.measure(test, self.weights, threshold))
        return {m: np.stack([f[m] for f in found]) for m in found[0]}

    def columns(self, name: str, values: np.ndarray | None, bounds=(0, 1)) -> dict[str, float]:
        """Their interval as columns of a table: name, name_lo, name_hi."""
        return self.interval(values, bounds).columns(name)

    def compared(
        self, name: str, values: np.ndarray, to: np.ndarray | None, bounds=(-1, 1)
    ) -> dict[str, float]:
        """The paired difference of two rows' values, of the seeds that both have: `columns`,
        name_p, and name_p_holm, which `correct` fills in; NaN for a row to itself, or to none."""
        both = len(values) if to is None else min(len(values), len(to))  # further seeds come last
        gap = None if to is None or values is to else values[:both] - to[:both]
        found = self.interval(gap, bounds)
        return found.columns(name) | {f"{name}_p": found.p, f"{name}_p_holm": np.nan}

    def interval(self, values: np.ndarray | None, bounds=(0, 1)) -> Interval:
        """Of the mean over seeds of S x R values; all NaN for None."""
        if values is None:
            return Interval(np.nan, np.nan, np.nan, np.nan, 0)
        return metrics.interval(values, self.units, self.confidence, bounds)


def correct(lines: list[dict], *names: str, spare: dict | None = None) -> list[dict]:
    """Correct these differences (`compared`) of a table's lines for being several (Holm's method).
    One line, `spare`, may be named beforehand: its name_p_holm is its name_p, and it does not count
    among the others."""
    for name in names:
        p = [np.nan if line is spare else line[f"{name}_p"] for line in lines]
        for line, raised in zip(lines, metrics.holm(p)):
            line[f"{name}_p_holm"] = line[f"{name}_p"] if line is spare else raised
    return lines


def first_columns(params: Params, paths: Paths, row: str, compression: str, draws: Draws) -> dict:
    """What a line of a table begins with: `parameters` of the deployed network, on which machines
    and in how many seconds all seeds were trained, how many of their maps `collapsed`."""
    seeds = params.seeds(row)
    line = {"row": row, "title": params.rows[row].title, "compression": compression}
    line |= {"seeds": " ".join(map(str, seeds)), "units": draws.units, "frames": len(draws.unit)}
    line |= {"rising": rising(histories(params, paths, [row]))[row]}
    runs = [load_run_info(paths, row, seed) for seed in seeds]
    line |= {"parameters": runs[0]["deployed_parameters"], "machine": machines(runs)}
    line |= {"all_seconds": sum(run["seconds"] for run in runs)}
    return line | {"collapsed": sum(run["collapsed"] for run in runs)}


def read_runs(file, runs: Iterable[tuple[str, int]], columns: Iterable[str]) -> pd.DataFrame:
    """A file of each of these runs (row, seed), `file` (row, seed) -> its path, one after another,
    with row and seed before them."""
    found = pd.concat({run: read(file(*run), columns) for run in runs}, names=["row", "seed"])
    return found.reset_index(["row", "seed"]).reset_index(drop=True)


def histories(params: Params, paths: Paths, rows: Iterable[str]) -> pd.DataFrame:
    """The history of every run of these rows, a line a validation, with row and seed before it."""
    return read_runs(paths.history, params.runs(rows), ["epoch", "step", "val_auc"])


def rising(history: pd.DataFrame) -> dict[str, float]:
    """Row -> the validation AUC (of `histories`) that it gained over the last quarter of its steps,
    a share of 1: mean over its seeds, straight between validations; NaN where validated once."""
    found = {}
    for (row, _), run in history.groupby(["row", "seed"], sort=False):
        step, auc = run["step"].to_numpy(float), run["val_auc"].to_numpy(float)
        gained = auc[-1] - np.interp(0.75 * step[-1], step, auc) if len(run) > 1 else np.nan
        found.setdefault(row, []).append(gained)
    return {row: float(np.mean(gained)) for row, gained in found.items()}


def mark(gained: float) -> str:
    """DAGGER for a row whose validation AUC gained more than CONVERGED (`rising`), or nothing."""
    return DAGGER if gained > CONVERGED else ""


def paper_columns(params: Params, row: str) -> dict[str, float | None]:
    """paper_acc and paper_auc, percent; None where the paper has no such row or number."""
    return {f"paper_{m}": getattr(params.rows[row].paper, m, None) for m in ("acc", "auc")}


def machines(infos: Iterable[dict]) -> str:
    """What trained these runs (`load_run_info`), joined, each machine once."""
    return " and ".join(dict.fromkeys(info["machine"] for info in infos))


def measured(
    draws: Draws, replicates: dict[str, dict], row: str, names: list[str], others: dict[str, str]
) -> dict[str, float]:
    """A row's measures (names; NaN where they are not among its replicates, from `Draws.measure`)
    with intervals, its paired differences (DIFFERENCES; others: how their columns begin -> the row
    that they are to) and left_out, the most resamples that lost a class."""
    found = {m: draws.interval(replicates[row].get(m)) for m in names}
    line = {}
    for m in names:
        line |= found[m].columns(m)
    for name, other in others.items():
        for m in DIFFERENCES:
            line |= draws.compared(f"{name}_{m}", replicates[row][m], replicates[other][m])
    return line | {"left_out": max(f.left_out for f in found.values())}


def last_columns(setting: Table, **more) -> dict:
    """What a line of a table ends with."""
    line = {"reference": setting.reference, "resamples": setting.bootstrap}
    return line | {"confidence": setting.confidence} | more


def write_table(table: pd.DataFrame, path: Path) -> None:
    """CSV from which `read_table` gets the same numbers back, to the last bit."""
    with atomic(Path(path)) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def read_table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=dict.fromkeys(TEXT, str), float_precision="round_trip")


def write_metrics(lines: pd.DataFrame, folder: Path, names: list[str] = SHOWN) -> None:
    """These columns of each row's line, to 4 digits, as <row>.json, and no other file: `dvc metrics
    show` has a line a file."""
    for old in set(folder.glob("*.json")) - {folder / f"{row}.json" for row in lines["row"]}:
        old.unlink()
    for row, line in lines.set_index("row")[names].iterrows():
        measures = {name: round(float(x), 4) for name, x in line.dropna().items()}
        with atomic(folder / f"{row}.json") as f:
            f.write_text(json.dumps(measures, indent=1) + "\n")


def row_title(line: pd.Series) -> str:
    """A table row's title, with DAGGER if it is not converged and a note if its map collapsed."""
    seeds = len(line["seeds"].split())
    title = line["title"] + mark(line.get("rising", np.nan))  # not every table says
    if not line.get("collapsed"):
        return title
    some = "" if line.get("collapsed") == seeds else f" in {line['collapsed']} of {seeds} seeds"
    return f"{title} (collapsed{some})"
