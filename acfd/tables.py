"""Tables from score files alone: load and check them, reduce them to Table 2, write it for DVC and
the README. Nothing here needs a model, a video or a crop."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from acfd import metrics
from acfd.params import Params
from acfd.paths import Paths, atomic

SAMPLE = ["split", "compression", "method", "video", "frame"]  # what a sample is known by
COLUMNS = [*SAMPLE, "row", "seed", "target", "source", "label", "score", *metrics.PIXELS]
MEASURES = [
    *["acc", "balanced_acc", "balanced_acc_val", "auc", "eer"],
    *["video_balanced_acc", "video_auc", "pbca", "iou"],
]
DIFFERENCES = ["balanced_acc", "auc"]
README_PRESETS = ("pocket", "full")


class TableError(ValueError):
    """Score files or a README that a table cannot be made from; says which, and what to do."""


def load_scores(paths: Paths, row: str, seeds: list[int]) -> pd.DataFrame:
    """The score files of one row's runs, one after another, each sorted by sample (SAMPLE).

    Raises TableError for a file that is missing, lacks columns, is another run's, holds a sample
    twice or a score that is not finite, and for seeds that were not scored on the same samples.
    """
    runs = [_load_run(paths.scores(row, seed), row, seed) for seed in seeds]
    for seed, run in zip(seeds[1:], runs[1:]):
        _same_samples(runs[0], run, f"{row}-s{seeds[0]}", f"{row}-s{seed}")
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


def _same_samples(a: pd.DataFrame, b: pd.DataFrame, name_a: str, name_b: str) -> None:
    """Both must be sorted by SAMPLE."""
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
    """What the stage `score` says of a run: collapsed, best_epoch, epochs, seconds, ..."""
    path = paths.metrics / "runs" / f"{row}-s{seed}.json"
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


def study_facts(params: Params, paths: Paths, machine: str) -> dict:
    """What stands below the README's table: where it was made, and the seconds of all training."""
    runs = [(row, seed) for row in params.table2.rows for seed in params.study.seeds]
    seconds = sum(load_run_info(paths, *run)["seconds"] for run in runs)
    return {"preset": params.preset, "machine": machine, "seconds": round(seconds)}


def table2(params: Params, paths: Paths) -> pd.DataFrame:
    """Table 2: one row a (row of params.table2.rows, compression), the low quality first.

    Every measure m (MEASURES, shares of 1, the mean over seeds) stands beside its interval m_lo,
    m_hi; diff_m is the paired difference to params.table2.reference (empty in that row itself).
    Empty (NaN) are further: balanced_acc_val if validation was not scored, pbca and iou without a
    map, paper_acc and paper_auc (percent) where the paper has no such row. `collapsed` counts the
    seeds whose attention map collapsed; `left_out` the resamples that lost a class.
    Test samples are the real ones and those of the methods that the reference row is trained on.
    """
    setting, seeds = params.table2, params.study.seeds
    methods = params.for_row(setting.reference).train.methods
    loaded = {}
    for row in setting.rows:
        scores = load_scores(paths, row, seeds)
        kept = (scores["label"] == 0) | scores["method"].isin(methods)
        loaded[row] = scores[kept]
        first = setting.rows[0]
        one = [loaded[r][loaded[r]["seed"] == seeds[0]] for r in (first, row)]
        _same_samples(*one, f"{first}-s{seeds[0]}", f"{row}-s{seeds[0]}")
    present = set(loaded[setting.reference]["compression"])
    if params.data.low not in present:
        raise TableError(
            f"{paths.scores(setting.reference, seeds[0])}: no scores at {params.data.low}, found "
            f"{', '.join(sorted(present))}; make it again with the stage `score`"
        )
    lines = []
    for compression in (params.data.low, params.data.high):
        if compression in present:
            part = {r: s[s["compression"] == compression] for r, s in loaded.items()}
            lines += _lines(params, paths, compression, part)
    return pd.DataFrame(lines)


def _lines(params: Params, paths: Paths, compression: str, part: dict) -> list[dict]:
    setting, seeds = params.table2, params.study.seeds
    test = part[setting.reference]
    test = test[(test["split"] == "test") & (test["seed"] == seeds[0])]
    if test.empty:
        raise TableError(f"no test scores at {compression}; params.score.splits must name test")
    unit = metrics.identity_units(test)
    units = int(unit.max()) + 1
    weights = metrics.resample(units, setting.bootstrap)
    replicates = {r: _replicates(s, seeds, unit, weights) for r, s in part.items()}

    def summary(values, bounds):
        values = metrics.over_seeds(values)
        return metrics.interval(values, units, setting.confidence, bounds)

    lines = []
    for row in setting.rows:
        paper = params.rows[row].paper
        line = {"row": row, "title": params.rows[row].title, "compression": compression}
        line |= {"seeds": " ".join(map(str, seeds)), "units": units, "frames": len(test)}
        line["collapsed"] = sum(load_run_info(paths, row, s)["collapsed"] for s in seeds)
        left_out = 0
        for m in MEASURES:
            if m in replicates[row]:
                found = summary(replicates[row][m], (0, 1))
                left_out = max(left_out, found.left_out)
                line |= {m: found.value, f"{m}_lo": found.low, f"{m}_hi": found.high}
            else:
                line |= {m: np.nan, f"{m}_lo": np.nan, f"{m}_hi": np.nan}
        for m in DIFFERENCES:
            line |= {f"diff_{m}": np.nan, f"diff_{m}_lo": np.nan, f"diff_{m}_hi": np.nan}
            if row != setting.reference:
                difference = replicates[row][m] - replicates[setting.reference][m]
                d = summary(difference, (-1, 1))
                line |= {f"diff_{m}": d.value, f"diff_{m}_lo": d.low, f"diff_{m}_hi": d.high}
        line["paper_acc"] = np.nan if paper is None or paper.acc is None else paper.acc
        line["paper_auc"] = np.nan if paper is None or paper.auc is None else paper.auc
        line |= {"reference": setting.reference, "resamples": setting.bootstrap}
        line |= {"confidence": setting.confidence, "left_out": left_out}
        lines.append(line)
    return lines


def _replicates(scores: pd.DataFrame, seeds, unit, weights) -> dict[str, np.ndarray]:
    """S x R of every measure of one row at one compression."""
    found = []
    for seed in seeds:
        run = scores[scores["seed"] == seed]
        val = run[run["split"] == "val"]
        threshold = None if val.empty else metrics.choose_threshold(val)
        test = run[run["split"] == "test"].assign(unit=unit)
        found.append(metrics.measure(test, weights, threshold))
    return {m: np.stack([f[m] for f in found]) for m in found[0]}


def write_table(table: pd.DataFrame, path: Path) -> None:
    """CSV from which `read_table` gets the same numbers back, to the last bit."""
    with atomic(Path(path)) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def read_table(path: Path) -> pd.DataFrame:
    text = {"row": str, "title": str, "compression": str, "seeds": str, "reference": str}
    return pd.read_csv(path, dtype=text, float_precision="round_trip")


def to_json(table: pd.DataFrame) -> dict:
    """For `dvc metrics show`: the low quality, row -> acc, acc_lo, acc_hi, ..., to 4 digits."""
    names = [m + end for m in ("acc", "balanced_acc", "auc", "eer") for end in ("", "_lo", "_hi")]
    low = table[table["compression"] == table["compression"].iloc[0]]
    return {line["row"]: {n: round(float(line[n]), 4) for n in names} for _, line in low.iterrows()}


def to_markdown(table: pd.DataFrame) -> str:
    """The low quality for the README, in percent, each number with its interval."""
    low = table[table["compression"] == table["compression"].iloc[0]]
    reference = low.loc[low["row"] == low["reference"], "title"].iloc[0]
    head = ["Row", "Paper ACC / AUC", "ACC", "Balanced ACC", "AUC"]
    head += [f"{m}, difference to “{reference}”" for m in ("Balanced ACC", "AUC")]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for _, line in low.iterrows():
        paper = [_or_dash(line[c], "{:.2f}") for c in ("paper_acc", "paper_auc")]
        cells = [row_title(line), "–" if paper == ["–", "–"] else " / ".join(paper)]
        cells += [_percent(line, m, "{:.1f}") for m in ("acc", "balanced_acc", "auc")]
        cells += [_percent(line, f"diff_{m}", "{:+.1f}") for m in DIFFERENCES]
        lines.append([c.replace("|", "\\|") for c in cells])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def row_title(line: pd.Series) -> str:
    """A table row's title, with a note if its attention map collapsed."""
    seeds = len(line["seeds"].split())
    if not line["collapsed"]:
        return line["title"]
    some = "" if line["collapsed"] == seeds else f" in {line['collapsed']} of {seeds} seeds"
    return f"{line['title']} (collapsed{some})"


def _or_dash(value: float, form: str) -> str:
    return "–" if pd.isna(value) else form.format(value)


def _percent(line: pd.Series, name: str, form: str) -> str:
    if pd.isna(line[name]):
        return "–"
    value, low, high = (form.format(100 * line[name + end]) for end in ("", "_lo", "_hi"))
    return f"{value} ({low} to {high})"


def replace_between_markers(text: str, name: str, new: str) -> str:
    """`text` with `new` between `<!-- acfd:NAME -->` and `<!-- /acfd:NAME -->`.

    Raises TableError if either marker is not there exactly once, or they are the wrong way round.
    """
    start, end = f"<!-- acfd:{name} -->", f"<!-- /acfd:{name} -->"
    for marker in (start, end):
        if text.count(marker) != 1:
            raise TableError(f"the marker {marker} is there {text.count(marker)} times, expected 1")
    before, rest = text.split(start)
    if end not in rest:
        raise TableError(f"the marker {end} comes before {start}; expected it after")
    return f"{before}{start}\n{new.strip()}\n{end}{rest.split(end)[1]}"


def readme_blocks(results_root: Path) -> dict[str, str]:
    """The README's tables, block name -> markdown, of each preset that has results/<preset>/tables/
    table2.csv; what metrics/study.json says of the machine and the time is added if it is there."""
    blocks = {}
    for preset in README_PRESETS:
        path = Path(results_root) / preset / "tables" / "table2.csv"
        if path.exists():
            table = read_table(path)
            study = Path(results_root) / preset / "metrics" / "study.json"
            facts = json.loads(study.read_text()) if study.exists() else {}
            blocks[f"table2-{preset}"] = f"{to_markdown(table)}\n\n{_caption(table, facts)}"
    return blocks


def _caption(table: pd.DataFrame, study: dict) -> str:
    line = table.iloc[0]
    seeds = line["seeds"].split()
    if len(seeds) == 1:
        covers = f"one seed ({seeds[0]}), so the intervals cover the choice of people only"
    else:
        covers = f"mean over {len(seeds)} seeds; the intervals cover people and seeds"
    said = (
        f"Percent, with {100 * line['confidence']:g} % intervals from {line['resamples']} "
        f"resamples of {line['units']} pairs of identities ({line['frames']} test frames, "
        f"{line['compression']}); {covers}."
    )
    if "machine" in study and "seconds" in study:
        said += f" Training took {_duration(study['seconds'])} in all on {study['machine']}."
    return said


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{seconds / 3600:.1f} h"
