"""The tables that Markdown pages carry between markers, written from results/ by `acfd readme`."""

from __future__ import annotations

import json
from pathlib import Path

from acfd.report.sections import areas, areas_by_family
from acfd.tables import TableError, markdown, read_table

PAGES = ("README.md", "docs/results.md")
PRESETS = ("pocket", "full")  # whose results are in git
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
    """Name -> Markdown of what results/<preset>/tables of each of PRESETS has; below Tables 1 and 2
    stands what metrics/study.json says of the machine and the time, if it is there."""
    made = {}
    for preset in PRESETS:
        results = Path(results_root) / preset
        files = {name: results / "tables" / f"{name}.csv" for name in TABLES}
        found = {name: read_table(path) for name, path in files.items() if path.exists()}
        found = {name: table for name, table in found.items() if len(table)}
        study = results / "metrics" / "study.json"
        facts = json.loads(study.read_text()) if study.exists() else {}
        of_preset = {}
        if "table1" in found:
            table = found["table1"]
            note = markdown.table1_caption(table, facts)
            of_preset["table1"] = f"{markdown.table1(table)}\n\n{note}"
            of_preset["methods"] = markdown.methods(table)
        if "compression" in found:
            of_preset["compression"] = markdown.compression(found["compression"])
        if "left_out" in found:
            of_preset["left-out"] = markdown.left_out(found["left_out"])
        if "table2" in found:
            table = found["table2"]
            of_preset["table2"] = f"{markdown.table2(table)}\n\n{markdown.caption(table, facts)}"
        if "robustness_areas" in found:
            table = found["robustness_areas"]
            of_preset["robustness"] = f"{areas(table)}\n\nBy family:\n\n{areas_by_family(table)}"
        made |= {f"{name}-{preset}": block for name, block in of_preset.items()}
    return made
