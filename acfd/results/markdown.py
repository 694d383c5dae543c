"""Tables as Markdown: what the notebooks, the report and the README show."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from acfd.results.table import CONVERGED, DAGGER, UNKNOWN, mark, row_title
from acfd.results import table1 as t1

HOLM = " *"  # behind a difference that stands the correction for being one of several
# What was published of FaceForensics++: AUC of an Xception by (trained on, tested at), in percent;
# the forgery that is found most easily and the one that is not.
PUBLISHED = {("high", "high"): "99", ("high", "low"): "about 82", ("low", "low"): "90.3"}
EASIEST, HARDEST = "Deepfakes", "NeuralTextures"


def table2(table: pd.DataFrame) -> str:
    """Table 2 at low quality, in percent, each number with its interval; the PBCA of an empty map
    is behind the slash."""
    low = _low(table)
    reference = title_of(low, low["reference"].iloc[0])
    head = ["Row", "Paper ACC / AUC", "Balanced ACC", "AUC", f"AUC, difference to “{reference}”"]
    head += ["AUC, difference to the row above", "PBCA / empty map"]
    lines = []
    for _, line in low.iterrows():
        cells = [row_title(line), _paper(line)]
        cells += [percent(line, m) for m in ("balanced_acc", "auc")]
        cells += [difference(line, name) for name in ("diff_auc", "diff_above_auc")]
        empty = "" if pd.isna(line["pbca"]) else f" / {100 * line['pbca_empty']:.1f}"
        lines.append([*cells, percent(line, "pbca") + empty])
    return grid(head, lines) + not_converged(low)


def table1(table: pd.DataFrame) -> str:
    """Table 1 at low quality, all manipulations, in percent with intervals; what each row costs."""
    low = _low(table[table["method"] == t1.ALL])
    reference = title_of(low, low["reference"].iloc[0])
    head = ["Row", "Paper ACC / AUC", "ACC", "Balanced ACC", f"AUC, {low['compression'].iloc[0]}"]
    head += [f"AUC, difference to “{reference}”", "Training", "Parameters"]
    lines = []
    for _, line in low.iterrows():
        cells = [row_title(line), _paper(line)]
        cells += [percent(line, m) for m in ("acc", "balanced_acc", "auc")]
        cells += [difference(line, "diff_auc"), duration(line["train_seconds"])]
        lines.append([*cells, _count(line["parameters"])])
    return grid(head, lines) + not_converged(low)


def methods(table: pd.DataFrame) -> str:
    """AUC of Table 1's rows at low quality, a column a manipulation, in percent with intervals."""
    low = _low(table[table["method"] != t1.ALL])
    names = list(dict.fromkeys(low["method"]))
    lines = []
    for _, of_row in low.groupby("row", sort=False):
        of = of_row.set_index("method")
        cells = [percent(of.loc[name], "auc") for name in names]
        lines.append([row_title(of_row.iloc[0]), *cells])
    return grid(["Row", *names], lines) + not_converged(low)


def compression(drops: pd.DataFrame) -> str:
    """AUC at both qualities and what is lost between them, in percent with intervals."""
    first = drops.iloc[0]
    head = ["Row", "Trained on", f"AUC, {first['high']}", f"AUC, {first['low']}", "Lost"]
    reference = first["reference"]
    compared = reference in set(drops["row"])
    head += [f"Lost, difference to “{title_of(drops, reference)}”"] if compared else []
    lines = []
    for _, line in drops.iterrows():
        cells = [row_title(line), line["trained_on"]]
        cells += [percent(line, m) for m in ("auc_high", "auc_low", "drop_auc")]
        lines.append(cells + ([difference(line, "diff_drop_auc")] if compared else []))
    return grid(head, lines) + not_converged(drops)


def left_out(table: pd.DataFrame) -> str:
    """AUC on manipulations that a row never saw, beside that of the row that did."""
    head = ["Row", "Never saw", "Tested at", "AUC", "AUC of the row that saw it", "Difference"]
    lines = []
    for _, line in table.iterrows():
        cells = [row_title(line), line["method"], line["compression"], percent(line, "auc")]
        lines.append([*cells, percent(line, "seen_auc"), difference(line, "diff_auc")])
    return grid(head, lines) + not_converged(table)


def miniature(table: pd.DataFrame, drops: pd.DataFrame) -> tuple[str, str]:
    """Does a plain Xception meet here what it meets in FaceForensics++? A Markdown table of its AUC
    by quality beside the published one, and a sentence on the order of the manipulations.

    table, drops: from `table1` and `compression`. Rows that these do not have are left out.
    """
    lines = []
    drops = drops.set_index("row")
    for (trained, tested), published in PUBLISHED.items():
        row = {"high": "xception_c23", "low": "xception"}[trained]
        if row in drops.index:
            line = drops.loc[row]
            cells = [f"{line[trained]} → {line[tested]}", percent(line, f"auc_{tested}")]
            lines.append([*cells, published])
    text = grid(["Xception, trained on → tested at", "AUC here", "FaceForensics++"], lines)
    low = table["compression"].iloc[0]
    of = table[(table["row"] == "xception") & (table["compression"] == low)]
    of = of[of["method"] != t1.ALL].sort_values("auc", ascending=False, kind="stable")
    if len(of) < 2:
        return text, ""
    order = ", ".join(f"{line['method']} {100 * line['auc']:.1f}" for _, line in of.iterrows())
    ends = list(of["method"].iloc[[0, -1]])
    same = "also here" if ends == [EASIEST, HARDEST] else "not so here"
    return text, (
        f"Trained on {low} and tested at {low}, from the easiest to the hardest: {order}. "
        f"In FaceForensics++ {EASIEST} is the easiest and {HARDEST} the hardest: {same}."
    )


def not_converged(table: pd.DataFrame) -> str:
    """What stands below a table some of whose rows have a dagger, a paragraph of its own; "" else.

    table: has `rising` (tables made by older versions have not).
    """
    if "rising" not in table or table["rising"].map(mark).eq("").all():
        return ""
    return (
        f"\n\n{DAGGER.strip()} not converged: over the last quarter of its steps its validation "
        f"AUC still rose by more than {100 * CONVERGED:g} point; longer training would lift it."
    )


def table1_caption(table: pd.DataFrame, facts: dict) -> str:
    """What stands below Table 1; facts: those of metrics/study.json."""
    low = _low(table[table["method"] == t1.ALL])
    seconds = (low["train_seconds"] * low["seeds"].str.split().str.len()).sum()
    if "machine" in low:
        names = dict.fromkeys(name for said in low["machine"] for name in said.split(" and "))
        facts = {"machine": " and ".join(names), "seconds": seconds}
    elif "machine" in facts:
        facts = facts | {"seconds": seconds}
    share = f"{100 * low['always_forged'].iloc[0]:.0f} %"
    said = f"{caption(low, facts)} Saying “forged” always has an ACC of {share}."
    for _, line in low[low["headline"].notna()].iterrows():
        name = line["headline"]
        other = title_of(low, line["reference" if name == "diff_auc" else "ours"])
        said += (
            f" Named beforehand: “{line['title']}” against “{other}”, AUC "
            f"{percent(line, name, '{:+.1f}')}, p = {line[f'{name}_p']:.3f}, not corrected."
        )
    return said


def caption(table: pd.DataFrame, study: dict) -> str:
    """What stands below a table: how its intervals were made, and how long the training took."""
    line = table.iloc[0]
    seeds = line["seeds"].split()
    if len(seeds) == 1:
        covers = f"one seed ({seeds[0]}), so the intervals cover the choice of people only"
    else:
        covers = f"mean over {len(seeds)} seeds; the intervals cover people and seeds"
    said = (
        f"Percent, with {100 * line['confidence']:g} % intervals from {line['resamples']} "
        f"resamples of {line['units']} pairs of identities ({line['frames']} test frames, "
        f"{line['compression']}); {covers}.{HOLM}: a difference with p < "
        f"{1 - line['confidence']:.2g} after Holm's correction for the rows of its column."
    )
    if "machine" in study and "seconds" in study:
        where = "" if study["machine"] == UNKNOWN else f" on {study['machine']}"
        said += f" Training took {duration(study['seconds'])} in all{where}."
    return said


def _low(table: pd.DataFrame) -> pd.DataFrame:
    """The lines of the quality that comes first, the low one."""
    return table[table["compression"] == table["compression"].iloc[0]]


def title_of(table: pd.DataFrame, row: str) -> str:
    """The title of a row of a table."""
    return table.loc[table["row"] == row, "title"].iloc[0]


def grid(head: list[str], lines: Iterable[list[str]]) -> str:
    """A Markdown table: the first column of text, the others of numbers."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    head, *lines = [[cell.replace("|", "\\|") for cell in line] for line in [head, *lines]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *lines])


def _paper(line: pd.Series) -> str:
    said = [line[name] for name in ("paper_acc", "paper_auc")]
    if all(pd.isna(value) for value in said):
        return "–"
    return " / ".join("–" if pd.isna(value) else f"{value:.2f}" for value in said)


def percent(line: pd.Series, name: str, form: str = "{:.1f}") -> str:
    """A measure of a table's line with its interval, such as 70.0 (56.8 to 82.8)."""
    if pd.isna(line[name]):
        return "–"
    value, low, high = (form.format(100 * line[name + end]) for end in ("", "_lo", "_hi"))
    return f"{value} ({low} to {high})"


def difference(line: pd.Series, name: str) -> str:
    """A difference with its interval, and HOLM if it stands the correction."""
    holds = line[f"{name}_p_holm"] < 1 - line["confidence"]
    return percent(line, name, "{:+.1f}") + (HOLM if holds else "")


def _count(number: float) -> str:
    """Three digits, such as 28.0 k or 20.8 M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.{1 if number < 100 * size else 0}f} {unit}"
    return f"{number:.0f}"


def duration(seconds: float) -> str:
    """In words, such as 45 s, 13 min or 2.5 h."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{seconds / 3600:.1f} h"
