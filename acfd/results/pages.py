"""Every table of a preset as Markdown, and the pages that carry them between markers, which
`acfd readme` writes."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from acfd.media.degrade import FAMILIES
from acfd.results.curves import ALL
from acfd.results import markdown
from acfd.results.table import TableError, read_table, row_title

PAGES = ("README.md", "docs/results.md")
PRESETS = ("pocket", "full")  # those whose results may be in git
TABLES = ("table1", "compression", "left_out", "table2", "robustness_areas")


def rewrite(top: Path) -> dict[Path, str]:
    """Each page of PAGES below `top` with the blocks of results/ between its markers; not written.

    A page shows those blocks that it has markers for. Raises TableError if a block is on no page,
    or its markers are not there once each and in order.
    """
    pages = {top / name: (top / name).read_text() for name in PAGES}
    for name, block in blocks(top / "results").items():
        shown = [path for path, text in pages.items() if f"acfd:{name} -->" in text]
        if not shown:
            raise TableError(
                f"no page has the markers <!-- acfd:{name} --> and <!-- /acfd:{name} -->; put them "
                f"where its table should be, in one of {', '.join(PAGES)}"
            )
        for path in shown:
            pages[path] = replace_between_markers(pages[path], name, block)
    return pages


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


def blocks(results_root: Path) -> dict[str, str]:
    """Name -> Markdown of what results/<preset>/tables of each of PRESETS has."""
    made = {preset: of_preset(Path(results_root) / preset) for preset in PRESETS}
    return {f"{name}-{preset}": block for preset, of in made.items() for name, block in of.items()}


def of_preset(results: Path) -> dict[str, str]:
    """Name -> Markdown of every table that results/<preset> has and that is not empty; below Tables
    1 and 2 stands what metrics/study.json says of the machine and the time, if it is there."""
    files = {name: results / "tables" / f"{name}.csv" for name in TABLES}
    found = {name: read_table(path) for name, path in files.items() if path.exists()}
    found = {name: table for name, table in found.items() if len(table)}
    study = results / "metrics" / "study.json"
    facts = json.loads(study.read_text()) if study.exists() else {}
    made = {}
    if "table1" in found:
        table = found["table1"]
        made["table1"] = f"{markdown.table1(table)}\n\n{markdown.table1_caption(table, facts)}"
        made["methods"] = markdown.methods(table)
    if "compression" in found:
        made["compression"] = markdown.compression(found["compression"])
    if "left_out" in found:
        made["left-out"] = markdown.left_out(found["left_out"])
    if "table2" in found:
        table = found["table2"]
        made["table2"] = f"{markdown.table2(table)}\n\n{markdown.caption(table, facts)}"
    if {"table1", "compression", "table2"} <= {*found}:
        three = (found[name] for name in ("table1", "compression", "table2"))
        made["findings"] = findings(*three)
    if "robustness_areas" in found:
        table = found["robustness_areas"]
        made["robustness"] = f"{areas(table)}\n\nBy family:\n\n{areas_by_family(table)}"
    return made


def findings(table: pd.DataFrame, drops: pd.DataFrame, losses: pd.DataFrame) -> str:
    """What Tables 1 and 2 (`losses`) and what compression costs (`drops`) say at low quality, a
    Markdown list; every number comes with its interval."""
    first = table[table["method"] == ALL].drop_duplicates("row").set_index("row")
    ours, low = first["ours"].iloc[0], first["compression"].iloc[0]
    said = [f"**{row_title(first.loc[ours])}**: AUC {markdown.percent(first.loc[ours], 'auc')}."]
    plain = [row for row in first.index if row.startswith("xception") and row != ours]
    for row in [*plain, *({"cao"} & {*first.index})]:
        line = first.loc[row]
        gap = markdown.difference(line, "diff_ours_auc")
        said.append(
            f"{row_title(line)}: AUC {markdown.percent(line, 'auc')}, difference to ours {gap}."
        )
    lost = [
        f"{row_title(line)} {markdown.percent(line, 'drop_auc')}"
        for _, line in drops.iterrows()
        if line["row"] in {*plain, "cao", ours}
    ]
    said.append(f"AUC lost from {drops['high'].iloc[0]} to {low}: {'; '.join(lost)}.")
    steps = losses.drop_duplicates("row").iloc[1:]
    gained = [
        f"{row_title(x)} {markdown.difference(x, 'diff_above_auc')}" for _, x in steps.iterrows()
    ]
    said.append(
        f"One loss after the other, Deepfakes alone, to the row before: {'; '.join(gained)}."
    )
    maps = steps.dropna(subset="iou")
    seen = [f"{row_title(x)} {markdown.percent(x, 'iou')}" for _, x in maps.iterrows()]
    said.append(f"IoU of the attention map with the forged region: {'; '.join(seen)}.")
    return "\n".join(f"- {sentence}" for sentence in said)


def areas(table: pd.DataFrame) -> str:
    """Area under each system's robustness curves, the mean over all families, in percent."""
    reference = markdown.title_of(table, table["reference"].iloc[0])
    head, measures = ["Row"], {"auc": "AUC", "balanced_acc": "Balanced ACC"}
    for name in measures.values():
        head += [name, f"{name}, difference to “{reference}”"]
    lines = []
    for _, line in table[table["family"] == ALL].iterrows():
        cells = [row_title(line)]
        for m in measures:
            cells += [markdown.percent(line, m), markdown.percent(line, f"diff_{m}", "{:+.1f}")]
        lines.append(cells)
    return markdown.grid(head, lines) + markdown.not_converged(table)


def areas_by_family(table: pd.DataFrame) -> str:
    """Area under the curves of AUC, a column a family of degradations, in percent."""
    families = [f for f in dict.fromkeys(table["family"]) if f != ALL]
    lines = []
    for _, of_row in table.groupby("row", sort=False):
        of = of_row.set_index("family")
        cells = [markdown.percent(of.loc[f], "auc") for f in families]
        lines.append([row_title(of_row.iloc[0]), *cells])
    names = [FAMILIES[f].title if f in FAMILIES else f for f in families]
    return markdown.grid(["Row", *names], lines) + markdown.not_converged(table)
