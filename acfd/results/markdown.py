"""Tables as Markdown: what the notebooks, the report and the README show."""

from collections.abc import Callable, Iterable
from functools import partial

import pandas as pd
from scipy.stats import t as student

from acfd.media.degrade import FAMILIES
from acfd.results.table import ALL, CONVERGED, DAGGER, TIED, at_low, overall, row_title

HOLM = " *"  # behind a difference that stands the correction for being one of several
# What was published of FaceForensics++: AUC of an Xception in percent, by (its row here, trained
# on, tested at); the forgery that is found most easily and the one that is not.
PUBLISHED = {
    ("xception_c23", "high", "high"): "99",
    ("xception_c23", "high", "low"): "about 82",
    ("xception", "low", "low"): "90.3",
}
EASIEST, HARDEST = "Deepfakes", "NeuralTextures"


def table2(table: pd.DataFrame) -> str:
    """Table 2 at low quality, in percent, each number with its interval; the PBCA of an empty map
    is behind the slash."""
    low = overall(table)
    columns = {
        "Paper ACC / AUC": _paper,
        "Balanced ACC": "balanced_acc",
        "AUC": "auc",
        f"AUC, difference to {reference(low)}": _gap("diff_auc"),
        "AUC, difference to the row above": _gap("diff_above_auc"),
        "PBCA / empty map": _pbca,
    }
    return by_line(low, columns)


def table1(table: pd.DataFrame) -> str:
    """Table 1 at low quality, all manipulations, in percent with intervals."""
    low = overall(table)
    columns = {
        "Paper ACC / AUC": _paper,
        "ACC": "acc",
        "Balanced ACC": "balanced_acc",
        f"AUC, {low['compression'].iloc[0]}": "auc",
        f"AUC, difference to {reference(low)}": _gap("diff_auc"),
        "Parameters": lambda line: _count(line["parameters"]),
    }
    return by_line(low, columns)


def methods(table: pd.DataFrame) -> str:
    """AUC of Table 1's rows at low quality, a column a manipulation, in percent with intervals."""
    low = at_low(table[table["method"] != ALL])
    return by_group(low, "method", {name: name for name in low["method"]})


def compression(drops: pd.DataFrame) -> str:
    """AUC at both qualities and what is lost between them, in percent with intervals."""
    first = drops.iloc[0]
    columns = {
        "Trained on": "trained_on",
        f"AUC, {first['high']}": "auc_high",
        f"AUC, {first['low']}": "auc_low",
        "Lost": "drop_auc",
    }
    if first["reference"] in set(drops["row"]):
        columns |= {f"Lost, difference to {reference(drops)}": _gap("diff_drop_auc")}
    return by_line(drops, columns)


def left_out(table: pd.DataFrame) -> str:
    """AUC on manipulations that a row never saw, beside that of the row that did."""
    columns = {
        "Left out": "method",
        "Tested at": "compression",
        "AUC": "auc",
        "AUC, trained on it": "seen_auc",
        "Difference": _gap("diff_auc"),
    }
    return by_line(table, columns)


def contrasts(table: pd.DataFrame) -> str:
    """Differences in AUC of pairs of rows at low quality, a column a manipulation, in percent with
    intervals."""
    names = table["title"] + " − " + table["other_title"]
    lines = [
        [name, *(difference(line, "diff_auc") for _, line in of.iterrows())]
        for name, of in table.groupby(names, sort=False)
    ]
    return grid(["Rows", *table["method"].unique()], lines)


def unseen(table: pd.DataFrame) -> str:
    """AUC at both qualities on forgeries that no row was trained on, and at low quality the
    difference to the reference."""
    low = at_low(table)
    high = table.drop(low.index).set_index(["method", "row"])
    columns = {
        "On": "method",
        "Trained on": "trained_on",
        f"AUC, {high['compression'].iloc[0]}": lambda x: percent(
            high.loc[(x["method"], x["row"])], "auc"
        ),
        f"AUC, {low['compression'].iloc[0]}": "auc",
        f"AUC, difference to {reference(low)}": _gap("diff_auc"),
    }
    return by_line(low, columns)


def areas(table: pd.DataFrame) -> str:
    """Area under each system's robustness curves, the mean over all families, in percent."""
    columns = {}
    for m, name in (("auc", "AUC"), ("balanced_acc", "Balanced ACC")):
        columns |= {name: m, f"{name}, difference to {reference(table)}": f"diff_{m}"}
    return by_line(table[table["family"] == ALL], columns)


def robustness(table: pd.DataFrame) -> str:
    """`areas`, and that of AUC, a column a family of degradations."""
    families = {f: FAMILIES[f].title for f in table["family"].unique() if f != ALL}
    return f"{areas(table)}\n\nBy family:\n\n{by_group(table, 'family', families)}"


def by_line(table: pd.DataFrame, columns: dict[str, str | Callable[[pd.Series], str]]) -> str:
    """A line a line of the table: its title, then a column each of `columns`: head -> a measure,
    words that the table has, or what makes a cell of a line."""
    lines = []
    for _, line in table.iterrows():
        lines.append([row_title(line)])
        for c in columns.values():
            words = line[c] if isinstance(c, str) else c(line)
            lines[-1].append(words if isinstance(words, str) else percent(line, c))
    return grid(["Row", *columns], lines) + not_converged(table)


def by_group(table: pd.DataFrame, column: str, heads: dict[str, str]) -> str:
    """AUC, a line a row and a column each value of `column` that heads has: value -> head."""
    lines = []
    for _, of in table[table[column].isin(heads)].groupby("row", sort=False):
        cells = [percent(line, "auc") for _, line in of.iterrows()]
        lines.append([row_title(of.iloc[0]), *cells])
    return grid(["Row", *heads.values()], lines) + not_converged(table)


def miniature(table: pd.DataFrame, drops: pd.DataFrame) -> tuple[str, str]:
    """Does a plain Xception meet here what it meets in FaceForensics++? A Markdown table of its AUC
    by quality beside the published one, and a sentence on the order of the manipulations. table,
    drops: of table1.py; rows that these do not have are left out."""
    lines = []
    for (row, trained, tested), published in PUBLISHED.items():
        for _, line in drops[drops["row"] == row].iterrows():
            steps = f"{line[trained]} → {line[tested]}"
            lines.append([steps, percent(line, f"auc_{tested}"), published])
    text = grid(["Xception, trained on → tested at", "AUC here", "FaceForensics++"], lines)
    of = at_low(table)
    of = of[(of["row"] == "xception") & (of["method"] != ALL)]
    of = of.sort_values("auc", ascending=False, kind="stable")
    if len(of) < 2:
        return text, ""
    order = ", ".join(f"{line['method']} {100 * line['auc']:.1f}" for _, line in of.iterrows())
    ends, low = list(of["method"].iloc[[0, -1]]), table["compression"].iloc[0]
    same = "also here" if ends == [EASIEST, HARDEST] else "not so here"
    return text, (
        f"Trained on {low} and tested at {low}, from the easiest to the hardest: {order}. "
        f"In FaceForensics++ {EASIEST} is the easiest and {HARDEST} the hardest: {same}."
    )


def not_converged(table: pd.DataFrame) -> str:
    """A paragraph below a table some of whose rows have a dagger; "" for another."""
    if not (table["rising"] > CONVERGED).any():
        return ""
    return (
        f"\n\n{DAGGER.strip()} not converged: over the last quarter of its steps its validation "
        f"AUC still rose by more than {100 * CONVERGED:g} point; longer training may lift it."
    )


def table1_caption(table: pd.DataFrame) -> str:
    """What stands below Table 1."""
    low = overall(table)
    said = caption(low)
    said += f" Saying “forged” always has an ACC of {100 * low['always_forged'].iloc[0]:.0f} %."
    for _, line in low[low["headline"].notna()].iterrows():
        name = line["headline"]
        other = title_of(low, line["reference" if name == "diff_auc" else "ours"])
        said += (
            f" Named beforehand: “{line['title']}” against “{other}”, AUC "
            f"{percent(line, name)}, p = {line[f'{name}_p']:.3f}, not corrected; by seed "
            f"{line['by_seed']}."
        )
    return said


def tied(*tables: pd.DataFrame) -> str:
    """Which rows of Tables 1 and 2 give most real faces one and the same score."""
    low = pd.concat([overall(table) for table in tables], ignore_index=True)
    most = low[low["tied"] > 0.5]
    names = [f"“{row_title(line)}” {100 * line['tied']:.0f} percent" for _, line in most.iterrows()]
    return (
        f"Real test faces with the same log-odds (to {TIED:g}, mean over seeds): "
        f"{', '.join(names) or 'less than half in every row'}; of all other rows at most "
        f"{100 * low['tied'].drop(most.index).max():.0f}."
    )


def caption(table: pd.DataFrame) -> str:
    """What stands below a table: how its intervals were made, and how long the training took."""
    line = table.iloc[0]
    machines = dict.fromkeys(name for said in table["machine"] for name in said.split(" and "))
    covers = f"{seeds(table)}; the intervals cover people"
    covers += " and seeds" if " " in line["seeds"] else " only"
    if (table["seeds"] != line["seeds"]).any():
        covers += ", a difference the seeds that both rows have"
    said = (
        f"Percent, with {100 * line['confidence']:g} % intervals from {line['resamples']} "
        f"resamples of {line['units']} pairs of identities ({line['frames']} test frames, "
        f"{line['compression']}); {covers}.{HOLM}: a difference with p < "
        f"{1 - line['confidence']:.2g} after Holm's correction for the rows of its column."
    )
    few, others = table["seeds"].str.split().str.len().min(), table["diff_auc_p"].notna().sum()
    if 1 < few < 6 and others:
        least = student.isf((1 - line["confidence"]) / 2 / others, few - 1)
        said += (
            f" With {few} seeds the largest of {others} differences has to be {least:.0f} standard "
            "errors large for that: no star does not say that there is no difference."
        )
    took = duration(table["all_seconds"].sum())
    return f"{said} Training took {took} in all on {' and '.join(machines)}."


def seeds(table: pd.DataFrame) -> str:
    """Which seeds the lines of a table are means over, and which rows have further ones."""
    of = table.groupby("seeds", sort=False)["title"].unique()
    few, *more = sorted(of.index, key=len)
    said = f"seed{'s' * (' ' in few)} {few.replace(' ', ', ')}"
    for named in more:
        rows = ", ".join(f"“{title}”" for title in of[named])
        said += f" ({rows}: {named.replace(' ', ', ')})"
    return said


def title_of(table: pd.DataFrame, row: str) -> str:
    """The title of a row of a table."""
    return table.loc[table["row"] == row, "title"].iloc[0]


def reference(table: pd.DataFrame) -> str:
    """The title of the row that a table's differences are to, quoted."""
    return f"“{title_of(table, table['reference'].iloc[0])}”"


def grid(head: list[str], lines: Iterable[list[str]]) -> str:
    """A Markdown table: the first column of text, the others of numbers."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    head, *lines = [[cell.replace("|", "\\|") for cell in line] for line in [head, *lines]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *lines])


def _gap(name: str) -> Callable[[pd.Series], str]:
    return partial(difference, name=name)


def _paper(line: pd.Series) -> str:
    said = line[["paper_acc", "paper_auc"]]
    if said.isna().all():
        return "–"
    return " / ".join("–" if pd.isna(value) else f"{value:.2f}" for value in said)


def _pbca(line: pd.Series) -> str:
    empty = "" if pd.isna(line["pbca"]) else f" / {100 * line['pbca_empty']:.1f}"
    return percent(line, "pbca") + empty


def interval(line: pd.Series, name: str, form: str, times: float = 1) -> str:
    """A measure of a table's line with its interval, such as 70.0 (56.8 to 82.8); – for NaN."""
    if pd.isna(line[name]):
        return "–"
    return spelt([times * line[name + end] for end in ("", "_lo", "_hi")], form)


def spelt(numbers: Iterable[float], form: str) -> str:
    """A number, and the two ends of its interval."""
    value, low, high = (format(number, form) for number in numbers)
    return f"{value} ({low} to {high})"


def percent(line: pd.Series, name: str) -> str:
    """`interval` in percent; a difference has signs."""
    return interval(line, name, "+.1f" if name.startswith("diff_") else ".1f", 100)


def difference(line: pd.Series, name: str) -> str:
    """A difference with its interval, and HOLM if it stands the correction."""
    holds = line[f"{name}_p_holm"] < 1 - line["confidence"]
    return percent(line, name) + (HOLM if holds else "")


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
