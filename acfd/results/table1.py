"""Table 1 from score files alone: every system on every manipulation, what compression costs it,
and what it costs not to have seen a manipulation."""

import numpy as np
import pandas as pd

from acfd.params import Params
from acfd.paths import Paths
from acfd.results import table as tables
from acfd.results.table import ALL, DIFFERENCES, MEASURES, REAL, Draws

EMPTY = {"row": []}  # a table without lines


def table1(params: Params, paths: Paths) -> pd.DataFrame:
    """Table 1: a line a (compression, method, row), the low quality first, method "all" first.

    A method's line counts its forgeries alone, against all real samples of the test split. Beside
    every measure m (MEASURES, shares of 1, the mean over seeds) stand its interval m_lo, m_hi;
    diff_m, the paired difference to params.table1.reference, and diff_ours_m, that to
    params.table1.ours (empty in those rows themselves), each with diff_m_p and diff_m_p_holm,
    corrected over the rows of a compression and method; but not the one comparison that
    params.table1.headline names beforehand, in AUC, at low quality, over all manipulations, where
    `headline` is the name of its column and `by_seed` its values. `tied`: of `table.tied`.
    `always_forged` is the accuracy of saying "forged" always.
    """
    setting, methods = params.table1, params.methods
    lines = []
    for compression, part in tables.load_rows(params, paths, setting.rows, methods).items():
        for method in (ALL, *methods):
            lines += _lines(params, paths, compression, method, part)
    return pd.DataFrame(lines)


def _lines(params, paths, compression: str, method: str, part: dict) -> list[dict]:
    setting = params.table1
    test = tables.tested(part[setting.reference])
    draws = Draws(test, setting)
    only = None if method == ALL else method
    replicates = {row: draws.measure(scores, only) for row, scores in part.items()}
    label = test.loc[test["method"].isin([REAL, method]) | (method == ALL), "label"]
    first = compression == params.data.low and method == ALL
    others = {"diff": setting.reference, "diff_ours": setting.ours}
    row_named, other_named = setting.headline
    named = next(f"{name}_auc" for name, other in others.items() if other == other_named)
    lines = []
    for row in setting.rows:
        line = tables.first_columns(params, paths, row, compression, draws)
        line |= {"method": method, "trained_on": trained_on(params, row)}
        line |= {"frames": len(label), "always_forged": float(label.mean())}
        line |= {"tied": tables.tied(part[row])}
        line |= tables.measured(draws, replicates, row, MEASURES, others)
        paper = tables.paper_columns(params, row)
        line |= paper if first else dict.fromkeys(paper, np.nan)
        line |= {"ours": setting.ours}
        line |= {"headline": None, "by_seed": None}
        if first and row == row_named:
            mine, other = (replicates[r]["auc"][:, 0] for r in setting.headline)
            gaps = [f"{100 * gap:+.1f}" for gap in mine - other]
            line |= {"headline": named, "by_seed": ", ".join(gaps)}
        lines.append(line | tables.last_columns(setting, left_out=line.pop("left_out")))
    spare = next((line for line in lines if line["headline"]), None)
    for name in (f"{d}_{m}" for d in others for m in DIFFERENCES):
        tables.correct(lines, name, spare=spare if name == named else None)
    return lines


def contrasts(params: Params, paths: Paths) -> pd.DataFrame:
    """What one change to a system does: a line a (pair of params.table1.contrasts, method), the
    first row's AUC at low quality less the other's (diff_auc), paired; Holm's correction is over
    the pairs, method by method. Without pairs the table is empty."""
    setting, methods = params.table1, params.methods
    if not setting.contrasts:
        return pd.DataFrame(EMPTY)
    rows = dict.fromkeys(row for pair in setting.contrasts for row in pair)
    part = tables.load_rows(params, paths, rows, methods)[params.data.low]
    draws, lines = Draws(tables.tested(part[next(iter(rows))]), setting), []
    for method in (ALL, *methods):
        only = None if method == ALL else method
        found = {row: draws.measure(part[row], only)["auc"] for row in rows}
        of_method = []
        for row, other in setting.contrasts:
            line = tables.first_columns(params, paths, row, params.data.low, draws)
            line |= {"other": other, "other_title": params.rows[other].title, "method": method}
            line |= draws.compared("diff_auc", found[row], found[other])
            of_method.append(line | tables.last_columns(setting))
        lines += tables.correct(of_method, "diff_auc")
    return pd.DataFrame(lines)


def compression(params: Params, paths: Paths) -> pd.DataFrame:
    """What compression costs: a line a row of params.table1.compression: at the high quality
    (auc_high), at the low one (auc_low), what is lost (drop_auc), and the paired difference of that
    to the drop of params.table1.reference (diff_drop_auc: below zero, it loses less), each with its
    interval, over all manipulations. Without rows the table is empty."""
    setting = params.table1
    if not setting.compression:
        return pd.DataFrame(EMPTY)
    parts = tables.load_rows(params, paths, setting.compression, params.methods)
    low, high = parts
    draws = Draws(tables.tested(parts[low][setting.compression[0]]), setting)
    found = {q: {r: draws.measure(s) for r, s in part.items()} for q, part in parts.items()}
    drops = {
        row: {m: found[high][row][m] - found[low][row][m] for m in DIFFERENCES}
        for row in setting.compression
    }
    lines = []
    for row in setting.compression:
        line = tables.first_columns(params, paths, row, low, draws)
        line |= {"trained_on": trained_on(params, row), "high": high, "low": low}
        for m in DIFFERENCES:
            line |= draws.columns(f"{m}_high", found[high][row][m])
            line |= draws.columns(f"{m}_low", found[low][row][m])
            to = drops.get(setting.reference, {}).get(m)
            line |= draws.columns(f"drop_{m}", drops[row][m], (-1, 1))
            line |= draws.compared(f"diff_drop_{m}", drops[row][m], to, (-2, 2))
        lines.append(line | tables.last_columns(setting))
    tables.correct(lines, *(f"diff_drop_{m}" for m in DIFFERENCES))
    return pd.DataFrame(lines)


def left_out(params: Params, paths: Paths) -> pd.DataFrame:
    """Manipulations that a row never saw: a line a (row of params.table1.left_out, method that it
    is tested on, compression), the low quality first. seen_row is the row of params.table1.rows
    with the same system that was trained on the method as well, or empty; seen_auc is what that one
    reaches on the same samples. Without rows the table is empty."""
    setting = params.table1
    lines = []
    for row in setting.left_out:
        p = params.for_row(row)
        unseen = [m for m in p.score.methods if m not in p.train.methods]
        for method in unseen:
            seen = _seen(params, row, method)
            rows = [row, seen] if seen else [row]
            for quality, part in tables.load_rows(params, paths, rows, [method]).items():
                draws = Draws(tables.tested(part[row]), setting)
                line = tables.first_columns(params, paths, row, quality, draws)
                line |= {"method": method, "seen_row": seen}
                line |= {"seen_title": params.rows[seen].title if seen else None}
                mine = draws.measure(part[row])
                its = draws.measure(part[seen]) if seen else {}
                for m in DIFFERENCES:
                    line |= draws.columns(m, mine[m])
                    line |= draws.columns(f"seen_{m}", its.get(m))
                    line |= draws.compared(f"diff_{m}", mine[m], its.get(m))
                lines.append(line | tables.last_columns(setting))
    tables.correct(lines, *(f"diff_{m}" for m in DIFFERENCES))
    return pd.DataFrame(lines or EMPTY)


def unseen(params: Params, paths: Paths) -> pd.DataFrame:
    """Table 1's rows on the forgeries of params.table1.unseen, that none was trained on: a line a
    (method, compression, row), as in `table1`; of the seeds whose scores have them in every row.
    Without such forgeries the table is empty."""
    setting, lines = params.table1, []
    for method in setting.unseen:
        seeds = [seed for seed in params.study.seeds if _has(paths, setting.rows, seed, method)]
        study = params.study.model_copy(update={"seeds": seeds or params.study.seeds})
        p = params.model_copy(update={"study": study})
        for compression, part in tables.load_rows(p, paths, setting.rows, [method]).items():
            lines += _lines(p, paths, compression, method, part)
    return pd.DataFrame(lines or EMPTY)


def _has(paths: Paths, rows: list[str], seed: int, method: str) -> bool:
    scores = (tables.read(paths.scores(row, seed), ["method"]) for row in rows)
    return all((of["method"] == method).any() for of in scores)


def _seen(params: Params, row: str, method: str) -> str | None:
    """The row of Table 1 with the same system that was trained on the method: of several the one
    that saw the same qualities, then the one that others are compared with."""
    setting, mine = params.table1, params.for_row(row).train

    def far(other: str) -> tuple[bool, bool]:
        same = params.for_row(other).train.qualities == mine.qualities
        return not same, other not in (setting.reference, setting.ours)

    alike = [r for r in setting.rows if params.rows[r].system == params.rows[row].system]
    saw = [r for r in alike if method in params.for_row(r).train.methods]
    return min(saw, key=far, default=None)


def trained_on(params: Params, row: str) -> str:
    """The compressions that the deployed network sees in training, such as "c23 + c40"; of two
    branches that is E_L, and E_H, which sees the other one, stands in brackets."""
    p = params.for_row(row)
    if params.rows[row].system == "two_branch" and p.model.branches != "shared":
        return f"{p.data.low} (E_H: {p.data.high})"
    both = params.rows[row].system == "two_branch"
    qualities = [q for q in ("high", "low") if both or q in p.train.qualities]
    return " + ".join(getattr(p.data, q) for q in qualities)


def shown(table: pd.DataFrame, drops: pd.DataFrame) -> pd.DataFrame:
    """A line a row, for `table.write_metrics`: the low quality, all manipulations, and what
    compression costs (drop_auc) where that was asked."""
    return tables.overall(table).merge(
        drops.reindex(columns=["row", "drop_auc"]), on="row", how="outer"
    )
