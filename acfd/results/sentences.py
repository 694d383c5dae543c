"""What each figure of the notebooks shows: a sentence made of the same tables, with intervals.

What the arguments are: terms, from method.parts.look; history and steps, a run's history.csv and
steps.csv (of `learning`, table.histories); table, from table1.table1 or table2.table2 (of `areas`
and `costliest`, curves.areas); drops and unseen, table1.compression and left_out; faces, one
compression of maps.faces; real, lines of maps.real_beside_forged with row and title; stored, runs'
features; titles, row -> title; setting, for the intervals.
"""

import cv2
import numpy as np
import pandas as pd

from acfd.media.degrade import FAMILIES
from acfd.results import metrics
from acfd.results.markdown import difference, interval, percent, reference, seeds, spelt
from acfd.results.method import span
from acfd.results.table import ALL, CONVERGED, Draws, at_low, overall, rising, row_title
from acfd.sections import Table


def starts(terms: pd.DataFrame) -> str:
    of = terms[terms["weight"].notna()]
    shares = 100 * of["weighted"] / of["weighted"].sum()
    said = ", ".join(f"{name} {share:.0f} %" for name, share in shares.items())
    return f"Of the loss that training starts from: {said}."


def trained(history: pd.DataFrame, steps: pd.DataFrame, kept: int) -> str:
    """kept: the epoch whose weights were kept."""
    auc = 100 * history["val_auc"]
    said = f"Validation AUC is {auc.iloc[0]:.1f} percent after {history['step'].iloc[0]:g} steps"
    if len(auc) > 1:
        said += f" and {auc.iloc[-1]:.1f} after {history['step'].iloc[-1]:g}"
    said += f"; the weights kept are those of validation {kept}."
    if "attention_inside" in steps:
        said += (
            f" In the last tenth of the steps M is {_last_tenth(steps['attention_inside'])} on "
            f"forged pixels of the training batches and {_last_tenth(steps['attention_outside'])} "
            "on the rest of forged faces."
        )
    return said


def learning(history: pd.DataFrame, titles: dict[str, str]) -> str:
    ends = 100 * history.groupby(["row", "seed"], sort=False)["val_auc"].last()
    mean, gained = ends.groupby("row").mean().loc[list(titles)], rising(history)
    still = sum(gained[row] > CONVERGED for row in titles)
    best, worst = mean.idxmax(), mean.idxmin()
    return (
        f"Validation AUC ends lowest for “{titles[worst]}”, {span(ends[worst])} percent over its "
        f"seeds, and highest for “{titles[best]}”, {span(ends[best])}; {still} of {len(titles)} "
        f"rows still rise{'' if still != 1 else 's'} (†)."
    )


def reached(table: pd.DataFrame) -> str:
    low = overall(table)
    best, name, is_it = _ends(low, "auc")[1], reference(low), low["row"] == low["reference"]
    others = low[~is_it]
    apart = others[(others["diff_auc_lo"] > 0) | (others["diff_auc_hi"] < 0)]
    gap = "" if is_it[best.name] else f", {difference(best, 'diff_auc')} to {name}"
    differ = "differs" if len(apart) == 1 else "differ"
    return (
        f"At {best['compression']} “{row_title(best)}” has the highest AUC, "
        f"{percent(best, 'auc')}{gap}; {len(apart)} of {len(others)} others {differ} from {name} "
        f"by an interval without zero."
    )


def by_method(table: pd.DataFrame) -> str:
    low = at_low(table[(table["method"] != ALL) & (table["row"] == table["ours"])])
    least, most = _ends(low, "auc")
    return (
        f"“{row_title(most)}” finds {most['method']} most easily, AUC {percent(most, 'auc')}, and "
        f"{least['method']} least, {percent(least, 'auc')}."
    )


def compression(drops: pd.DataFrame) -> str:
    least, most = _ends(drops, "drop_auc")
    return (
        f"From {least['high']} to {least['low']} “{row_title(least)}” loses least, "
        f"{percent(least, 'drop_auc')} points of AUC, and “{row_title(most)}” most, "
        f"{percent(most, 'drop_auc')}."
    )


def left_out(unseen: pd.DataFrame) -> str:
    said = [
        f"“{row_title(line)}” {percent(line, 'auc')} on {line['method']} "
        f"({difference(line, 'diff_auc')} to the row trained on it)"
        for _, line in at_low(unseen).iterrows()
    ]
    return f"AUC at {unseen['compression'].iloc[0]} without having seen it: {'; '.join(said)}."


def unseen(apart: pd.DataFrame) -> str:
    low = at_low(apart)
    ends = [f"{percent(x, 'auc')} (“{row_title(x)}”)" for x in _ends(low, "auc")]
    return (
        f"On {', '.join(low['method'].unique())}, which no row was trained on, AUC at "
        f"{low['compression'].iloc[0]} goes from {' to '.join(ends)}; {seeds(low)}."
    )


def areas_under_roc(table: pd.DataFrame) -> str:
    said = [f"{percent(x, 'auc')} (“{row_title(x)}”)" for x in _ends(overall(table), "auc")]
    return (
        "A curve is the mean over its row's seeds; the whole area below it goes from "
        f"{' to '.join(said)}."
    )


def thresholds(table: pd.DataFrame) -> str:
    low = overall(table)
    moved = (low["balanced_acc_val"] - low["balanced_acc"]).abs()
    line = low.loc[moved.idxmax() if moved.notna().any() else low["balanced_acc"].idxmax()]
    said = f"{percent(line, 'balanced_acc')} at 0.5, the dotted line"
    if moved.notna().any():
        said += f", and {percent(line, 'balanced_acc_val')} at the one that validation chose"
    return f"The threshold matters most to “{row_title(line)}”: balanced accuracy {said}."


def judged(faces: pd.DataFrame, setting: Table) -> str:
    said = []
    for label, kind in ((1, "forged"), (0, "real")):
        of, high = faces["label"] == label, faces["score"] >= 0.5
        said.append(f"{ratio(of & high, of, faces, setting, 100)} percent of the {kind} ones")
    return f"Of {len(faces)} faces, {' and '.join(said)} score a half or more."


def fits(faces: pd.DataFrame, setting: Table) -> str:
    said = "; ".join(
        f"{method} {ratio(of['tp'], of[['tp', 'fp', 'fn']].sum(axis=1), of, setting)}"
        for method, of in faces[(faces["label"] == 1) & faces["iou"].notna()].groupby("method")
    )
    at = faces["compression"].iloc[0]
    return f"IoU of the {at} map with the mask, cells pooled: {said or 'no mask is known'}."


def cases(faces: pd.DataFrame, setting: Table) -> str:
    known = faces[(faces["label"] == 1) & faces["iou"].notna()]
    if known.empty:
        return "No mask is known."
    low, high = known["iou"].quantile([0.25, 0.75])
    return (
        f"Between best and worst: the mean IoU of a forged face is "
        f"{ratio(known['iou'], 1, known, setting)}, half of them have {low:.2f} to {high:.2f}."
    )


def darkness(real: pd.DataFrame, row: str) -> str:
    of = real[(real["row"] == row) & (real["branch"] == "low")]
    said = [f"{interval(x, 'ratio', '.1f')} at {x['compression']}" for _, x in of.iterrows()]
    return (
        f"Times that M_L of “{of['title'].iloc[0]}” is as high on forged regions as on real faces: "
        f"{', '.join(said)}."
    )


def pooled_fit(real: pd.DataFrame, rows: dict[str, str], compression: str) -> str:
    """rows: row -> word for it."""
    of = real[(real["branch"] == "low") & (real["compression"] == compression)].set_index("row")
    said = [f"{interval(of.loc[row], 'iou', '.2f')} {word}" for row, word in rows.items()]
    return f"Over all forged test faces the IoU of M_L with the mask is {' and '.join(said)}."


def parted(checks: pd.DataFrame) -> str:
    """checks: from maps.course."""
    last = checks.groupby(["run", "seed"], sort=False).last()
    said = "; ".join(
        f"“{run}” {span(of['inside'])} and {span(of['outside'])}"
        for run, of in last.groupby("run", sort=False)
    )
    return f"M_L on forged cells of validation faces and elsewhere in the end, over seeds: {said}."


def grown(maps: list[np.ndarray], masks: np.ndarray) -> str:
    """maps: N x s x s of the same N faces after each validation; masks: N x H x W of 0 and 1."""
    shape = {"dsize": maps[0].shape[-2:], "interpolation": cv2.INTER_AREA}
    forged = np.stack([cv2.resize(m.astype(np.float32), **shape) for m in masks]) >= 0.5

    def middle(values: np.ndarray) -> str:
        if not values.size:
            return "–"
        return spelt([values.mean(), *np.quantile(values, [0.25, 0.75])], ".2f")

    said = [
        f"{middle(m[forged])} and {middle(m[~forged])} after validation {after}"
        for after, m in ((1, maps[0]), (len(maps), maps[-1]))
    ]
    return f"M on forged cells and on others, mean and middle half of them: {'; '.join(said)}."


def norms(stored: pd.DataFrame, title: str, radii: tuple[float, float], setting: Table) -> str:
    """stored: one run's features; radii: r- and r+."""
    low = stored[(stored["quality"] == "low") & (stored["state"] == "after")]
    said = []
    for label, kind, sign in ((0, "real", "r-"), (1, "forged", "r+")):
        of = low["label"] == label
        met = low["norm"] >= radii[1] if label else low["norm"] <= radii[0]
        said.append(
            f"{kind} faces {ratio(low['norm'] * of, of, low, setting, form='.1f')}, "
            f"{100 * met[of].mean():.0f} percent of them where {sign} = {radii[label]:g} asks"
        )
    inside = 100 * (low["norm"] <= radii[0])[low["label"] == 1].groupby(low["method"]).mean()
    shares = ", ".join(f"{share:.0f} percent of {name}" for name, share in inside.items())
    said.append(f"inside r- lie {shares}")
    return f"Mean |C| of “{title}”, low-quality branch, after training: {'; '.join(said)}."


def pairs_apart(stored: pd.DataFrame, titles: dict[str, str], setting: Table) -> str:
    said = []
    for row, of in stored[stored["quality"] == "low"].groupby("row", sort=False):
        states = [of[of["state"] == state] for state in ("before", "after")]
        before, after = (ratio(s["own"] / s["other"], 1, s, setting) for s in states)
        said.append(f"“{titles[row]}” {before} before training and {after} after")
    return (
        "Distance of a face's two qualities by that to other people's, mean over faces: "
        f"{'; '.join(said)}."
    )


def strongest(curves: pd.DataFrame, reference: str) -> str:
    """curves: from curves.curves; reference: the row of which this is said."""
    last = curves[curves["row"] == reference].groupby("family", sort=False).tail(1)
    least, most = _ends(last, "auc")
    said = [f"under {FAMILIES[x['family']].title}, {percent(x, 'auc')}" for x in (least, most)]
    return f"Here the AUC of “{least['title']}” is lowest {said[0]}, and highest {said[1]}."


def family(curves: pd.DataFrame, name: str) -> str:
    """One family of degradations, from the untouched frame to the strongest level."""
    of = curves[curves["family"] == name]
    worst, best = _ends(of[of["position"] == of["position"].max()], "auc")
    first = of[(of["row"] == best["row"]) & (of["position"] == 0)].iloc[0]
    return (
        f"{FAMILIES[name].title} at {best['level']:g}: the best is “{best['title']}”, AUC "
        f"{percent(best, 'auc')} (untouched {percent(first, 'auc')}), the worst "
        f"“{worst['title']}”, {percent(worst, 'auc')}."
    )


def areas(table: pd.DataFrame) -> str:
    every = table[table["family"] == ALL]
    best, others = _ends(every, "auc")[1], every[every["row"] != every["reference"]]
    gaps = "; ".join(f"“{x['title']}” {difference(x, 'diff_auc')}" for _, x in others.iterrows())
    return (
        f"“{best['title']}” has the largest area, {percent(best, 'auc')}. Differences to "
        f"{reference(every)}: {gaps}."
    )


def costliest(table: pd.DataFrame) -> str:
    ends = _ends(table[(table["row"] == table["reference"]) & (table["family"] != ALL)], "auc")
    said = [f"{FAMILIES[x['family']].title} ({percent(x, 'auc')})" for x in ends]
    return f"{said[0]} costs “{ends[0]['title']}” most, {said[1]} least: mean AUC over the levels."


def ratio(part, whole, faces: pd.DataFrame, setting: Table, times=1.0, form: str = "") -> str:
    """sum(part) / sum(whole) over faces, with its interval over resamples of identities, such as
    0.61 (0.55 to 0.66). part, whole: a number a face; faces: columns label, target, source."""
    draws, most = Draws(faces, setting), np.inf if form else times
    values = times * metrics.ratio(draws.total(part), draws.total(whole))
    found = draws.interval(values, (0, most))
    form = form or (".2f" if times == 1 else ".1f")
    return spelt((found.value, found.low, found.high), form)


def _ends(table: pd.DataFrame, column: str) -> tuple[pd.Series, pd.Series]:
    """The lines with the least and with the most of it."""
    return table.loc[table[column].idxmin()], table.loc[table[column].idxmax()]


def _last_tenth(values: pd.Series) -> str:
    return f"{values.iloc[-max(1, len(values) // 10) :].mean():.2f}"
