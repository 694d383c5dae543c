"""The numbers that a report begins with, and what may be said of them."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from acfd.params import Params
from acfd.paths import Paths
from acfd.tables import markdown, read_table, row_title
from acfd.tables.table1 import ALL


@dataclass(frozen=True)
class Number:
    """A measure of two rows and their paired difference, in percent with intervals."""

    name: str
    ours: str
    reference: str
    difference: str
    reading: str


@dataclass(frozen=True)
class Headline:
    table: str  # and the compression
    ours: str
    reference: str
    numbers: list[Number]


def of_study(params: Params, paths: Paths) -> list[Headline]:
    """What Table 1 and Table 2, as far as they are there, say at low quality of the paper's method
    against the row that they compare with."""
    found = []
    for name in ("table1", "table2"):
        path = paths.tables / f"{name}.csv"
        if not path.is_file():
            continue
        table = read_table(path)
        if name == "table1":
            table = table[table["method"] == ALL]
            ours, title = table["ours"].iloc[0], "Table 1, all manipulations"
        else:
            ours, title = _all_losses(params, table), "Table 2"
        found += _headline(table, ours, title)
    return found


def _all_losses(params: Params, table: pd.DataFrame) -> str | None:
    """The two-branch row of a table with the most of the paper's losses, the first of several."""

    def losses(row: str) -> int:
        loss = params.for_row(row).loss
        return sum(weight > 0 for weight in (loss.at, loss.dis, loss.gan))

    known = [row for row in dict.fromkeys(table["row"]) if row in params.rows]
    bent = [row for row in known if params.rows[row].system == "two_branch"]
    return max(bent, key=losses, default=None)


def _headline(table: pd.DataFrame, ours: str | None, title: str) -> list[Headline]:
    quality = table["compression"].iloc[0]
    low = table[table["compression"] == quality].set_index("row")
    reference = low["reference"].iloc[0]
    if ours is None or not {ours, reference} <= set(low.index):
        return []
    mine, other = low.loc[ours], low.loc[reference]
    numbers = []
    for m, name in (("auc", "AUC"), ("balanced_acc", "Balanced accuracy")):
        difference = markdown.percent(mine, f"diff_{m}", "{:+.1f}")
        read = reading(mine[f"diff_{m}_lo"], mine[f"diff_{m}_hi"])
        values = markdown.percent(mine, m), markdown.percent(other, m)
        numbers.append(Number(name, *values, difference, read))
    return [Headline(f"{title}, {quality}", row_title(mine), row_title(other), numbers)]


def reading(low: float, high: float) -> str:
    """What the interval of a difference says, and no more."""
    if pd.isna(low) or pd.isna(high):
        return "no interval"
    if low > 0:
        return "higher: the interval excludes zero"
    if high < 0:
        return "lower: the interval excludes zero"
    return "not settled: the interval includes zero"
