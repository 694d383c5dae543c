"""Does the method do what it says? What was watched at every training step of two-branch rows
(acfd.method.two_branch), reduced to lines and to sentences. From results/<preset>/ alone.
"""

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from acfd.params import Params
from acfd.paths import Paths
from acfd.results import table as tables
from acfd.results.table import REAL, histories, load_run_info, mark, read_runs, rising

WATCHED = ["norm_real", "norm_forged", "hinge_real", "hinge_forged", "pair_distance"]
WATCHED += ["other_distance", "attention_inside", "attention_outside", "attention_real", "critic"]
NO_DIS = "no L_Dis"
SMOOTH = 20  # curves are running means over this part of the steps
FACTORS = {  # of the collapse, as words: column -> what it is in a row's parameters
    "loss": lambda p: {"l1": "L1", "bce": "BCE"}[p.loss.attention],
    "form": lambda p: p.model.attention_form,
    "rate": lambda p: f"rate x{p.train.attention_lr_scale:g}",
    "m_high": lambda p: "M_H moves" if p.loss.transfer_moves_high else "M_H detached",
}


def rows(params: Params) -> list[str]:
    """The two-branch rows of the study, without those of attention.factorial and table1.left_out,
    which are short or see fewer manipulations."""
    others = {*params.attention.factorial, *params.table1.left_out}
    bent = [row for row in params.trained if params.rows[row].system == "two_branch"]
    return [row for row in bent if row not in others]


def mapped(params: Params) -> list[str]:
    """Those of `rows` that have attention maps."""
    return [row for row in rows(params) if params.for_row(row).model.attention]


def course(params: Params, paths: Paths, rows: list[str]) -> pd.DataFrame:
    """What was watched of these rows by step: columns row, title (with a dagger if not converged),
    seed, step, `ratio` (distance of a face's two qualities by that to other faces) and WATCHED, NaN
    where a row has no such thing. Raises TableError for a file that is missing, or of a row that
    has no two branches."""
    gained = rising(histories(params, paths, rows))
    titles = {row: params.rows[row].title + mark(gained[row]) for row in rows}
    steps = read_runs(paths.steps, params.runs(rows), ["step", "norm_real"])
    found = steps[["row", "seed"]].join(steps.reindex(columns=["step", *WATCHED]).astype(float))
    found.insert(1, "title", found["row"].map(titles))
    return found.assign(ratio=found["pair_distance"] / found["other_distance"])


def smoothed(course: pd.DataFrame) -> pd.DataFrame:
    """The course as running means over a SMOOTHth part of each run's steps."""
    columns, parts = [*WATCHED, "ratio"], []
    for _, run in course.groupby(["row", "seed"], sort=False):
        width = max(1, len(run) // SMOOTH)
        parts.append(run.assign(**run[columns].rolling(width, min_periods=1).mean()))
    return pd.concat(parts, ignore_index=True)


def ends(params: Params, course: pd.DataFrame) -> pd.DataFrame:
    """A line a row: row, title, r- and r+, asks (L_Dis and its r+, in words); WATCHED and `ratio`
    as means over the last tenth of the steps and over seeds; pair_distance_first over the first
    tenth, critic_first at the first step, since the critic wins within a few."""
    lines = []
    for (row, title), runs in course.groupby(["row", "title"], sort=False):
        loss = params.for_row(row).loss
        line = {"row": row, "title": title}
        line |= {"radius_real": loss.radius_real, "radius_fake": loss.radius_fake}
        line |= {"asks": f"L_Dis, r+ = {loss.radius_fake:g}" if loss.dis > 0 else NO_DIS}
        share = runs["step"] / runs.groupby("seed")["step"].transform("max")
        first, last = (runs[part].mean(numeric_only=True) for part in (share <= 0.1, share > 0.9))
        line |= {name: last[name] for name in WATCHED}
        line |= {"ratio": last["pair_distance"] / last["other_distance"]}
        line |= {"pair_distance_first": first["pair_distance"]}
        line |= {"critic_first": runs.loc[runs["step"] == runs["step"].min(), "critic"].mean()}
        lines.append(line)
    return pd.DataFrame(lines)


def reached(ends: pd.DataFrame) -> str:
    """What L_Dis and L_AT reach, of `ends`."""
    said = []
    for asks, of in ends.groupby("asks", sort=False):
        met = " and ".join(span(100 * of[f"hinge_{kind}"]) for kind in ("real", "forged"))
        said.append(
            f"with {asks} |C| is {span(of['norm_real'])} on real faces and "
            f"{span(of['norm_forged'])} on forged ones, inside r- and outside r+ are {met} percent "
            f"of them, and a face's two qualities lie {span(of['ratio'])} times as far apart as "
            "different faces"
        )
    return f"At the end of training, over rows: {'; '.join(said)}."


def emptied(params: Params, paths: Paths, course: pd.DataFrame) -> pd.DataFrame:
    """What it costs that real features are empty: a line a run of the `course` that is in Table 1:
    row, seed, kind (the title, or NO_DIS), norm_real over the last tenth of the steps, tied
    (`table.tied`), and at low quality the AUC on that one forgery, `method`, on which these runs
    differ most. Without such runs the table is empty."""
    lines, of_table = [], course[course["row"].isin(params.table1.rows)]
    for (row, seed), run in of_table.groupby(["row", "seed"], sort=False):
        scores = tables.load_scores(paths, row, [seed], {REAL, *params.methods})
        low = scores[scores["compression"] == params.data.low]
        kind = params.rows[row].title if params.for_row(row).loss.dis > 0 else NO_DIS
        norm = run.loc[run["step"] > 0.9 * run["step"].max(), "norm_real"].mean()
        line = {"row": row, "seed": seed, "kind": kind, "norm_real": norm, "tied": tables.tied(low)}
        for method in params.methods:
            test = low[(low["split"] == "test") & low["method"].isin([REAL, method])]
            line[method] = roc_auc_score(test["label"], test["score"])
        lines.append(line)
    if not lines:
        return pd.DataFrame(columns=["row", "kind", "auc"])
    found = pd.DataFrame(lines)
    each = found[params.methods]
    told = (each.max() - each.min()).idxmax()
    return found.drop(columns=params.methods).assign(method=told, auc=each[told])


def emptied_said(runs: pd.DataFrame) -> str:
    """AUC of `emptied` runs, by whether most real faces have one score."""
    asked, most = runs["kind"] != NO_DIS, runs["tied"] > 0.5
    kinds = {
        "with L_Dis that give most real faces one score": asked & most,
        "with L_Dis that do not": asked & ~most,
        "without L_Dis": ~asked,
    }
    parts = [
        f"{span(100 * of['auc'])} in {len(of)} {kind} (|C| of real faces {span(of['norm_real'])})"
        for kind, which in kinds.items()
        if len(of := runs[which])
    ]
    return f"AUC on {runs['method'].iloc[0]} at low quality, by run: {'; '.join(parts)}."


def collapse(params: Params, paths: Paths, rows: list[str]) -> pd.DataFrame:
    """The rows of attention.factorial, a line each: row, title, FACTORS, as means over seeds M_H at
    the end (the last tenth of the steps) inside and outside of forged regions and on real faces and
    M_L of forged validation faces inside (`deployed`), and of how many `runs` it `collapsed`."""
    columns = ["row", "title", "attention_inside", "attention_outside", "attention_real"]
    if not rows:
        return pd.DataFrame(columns=[*columns, *FACTORS, "deployed", "collapsed", "runs"])
    table = ends(params, course(params, paths, rows))
    last = histories(params, paths, rows).groupby(["row", "seed"])["attention_inside"].last()
    lines = []
    for line in table[columns].to_dict("records"):
        row = line["row"]
        line["title"] = cell(params, row)
        line |= {name: of(params.for_row(row)) for name, of in FACTORS.items()}
        line |= {"deployed": last[row].mean()}
        runs = [load_run_info(paths, row, seed) for seed in params.seeds(row)]
        lines.append(line | {"collapsed": sum(x["collapsed"] for x in runs), "runs": len(runs)})
    return pd.DataFrame(lines)


def together(stored: pd.DataFrame) -> pd.DataFrame:
    """Do the two qualities of a face come together? A line a (row, state) of scores.features.store:
    medians over faces of own, other, their ratio, and the share of faces at low quality whose
    nearest high-quality one is its own."""
    low = stored[stored["quality"] == "low"]
    low = low.assign(ratio=low["own"] / low["other"], nearest=low["nearer"] == 0)
    groups = low.groupby(["row", "state"], sort=False)
    medians = groups[["own", "other", "ratio"]].median()
    return medians.assign(nearest=groups["nearest"].mean()).reset_index()


def cell(params: Params, row: str) -> str:
    """A row of attention.factorial in words, read from its parameters."""
    p = params.for_row(row)
    return ", ".join(of(p) for of in FACTORS.values())


def collapse_said(table: pd.DataFrame) -> str:
    """Which maps are left (`collapse`), by each factor's levels."""
    if not len(table):
        return "No rows: `attention.factorial` is empty in this preset."
    levels = [level for factor in FACTORS for level in table.groupby(factor, sort=False)]
    parts = [f"{level} {span(of['deployed'].round(2))}" for level, of in levels]
    return (
        f"M_L on forged cells at the end, mean over {table['runs'].iloc[0]} seeds, by what the "
        f"{len(table)} rows have: {'; '.join(parts)}."
    )


def span(values: pd.Series) -> str:
    """Numbers of some rows as their range, such as 12 to 15; – of none."""
    words = [f"{v:.3g}" if abs(v) >= 0.005 else "0" for v in (values.min(), values.max())]
    if not len(values) or not np.isfinite(values).any():
        return "–"
    return " to ".join(dict.fromkeys(words))
