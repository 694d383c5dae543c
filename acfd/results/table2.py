"""Table 2 from score files alone: what each loss adds; and how its runs were trained."""

import pandas as pd

from acfd.params import Params
from acfd.paths import Paths
from acfd.results import table
from acfd.results.table import DIFFERENCES, Draws

# What is changed by a row that may stand below another one
CHANGES = {"eq5_literal": "cls_at_dis_gan"}
MEASURES = [*table.MEASURES, "pbca", "iou", "pbca_empty"]


def table2(params: Params, paths: Paths) -> pd.DataFrame:
    """Table 2: one row a (row of params.table2.rows, compression), the low quality first.

    Columns as in `table1.table1`; diff_m is the paired difference to params.table2.reference,
    diff_above_m that to the row above, or to the one of CHANGES: what its loss adds. Empty (NaN)
    are balanced_acc_val if validation was not scored, pbca and iou without a map. Test samples are
    the real ones and those of the methods that the reference row is trained on.
    """
    methods = params.for_row(params.table2.reference).train.methods
    loaded = table.load_rows(params, paths, params.table2.rows, methods)
    lines = [line for at, part in loaded.items() for line in _lines(params, paths, at, part)]
    return pd.DataFrame(lines)


def _lines(params: Params, paths: Paths, compression: str, part: dict) -> list[dict]:
    setting = params.table2
    draws = Draws(table.tested(part[setting.reference]), setting)
    replicates = {r: draws.measure(s) for r, s in part.items()}
    lines = []
    for above, row in zip([setting.rows[0], *setting.rows], setting.rows):
        above = CHANGES.get(row, above) if CHANGES.get(row) in setting.rows else above
        line = table.first_columns(params, paths, row, compression, draws)
        others = {"diff": setting.reference, "diff_above": above}
        line |= table.measured(draws, replicates, row, MEASURES, others)
        line |= table.paper_columns(params, row) | {"tied": table.tied(part[row])}
        lines.append(line | table.last_columns(setting, left_out=line.pop("left_out")))
    return table.correct(lines, *(f"{d}_{m}" for d in others for m in DIFFERENCES))
