"""Every table of a preset as Markdown, and the pages that carry them between markers, which
`acfd readme` writes."""

import re
from pathlib import Path

import pandas as pd

from acfd.results import markdown
from acfd.results.curves import ALL
from acfd.results.method import collapse_said, emptied_said
from acfd.results.table import TableError, overall, read_table, row_title

PAGES = ("README.md", "docs/results.md")
PRESETS = ("pocket", "full")  # those whose results may be in git
TABLES = ("table1", "compression", "left_out", "unseen", "contrasts", "table2")
TABLES += ("attention_real", "robustness_areas", "collapse", "emptied")


def rewrite(top: Path) -> dict[Path, str]:
    """Each page of PAGES below `top` with the blocks of results/ between its markers,
    `<!-- acfd:NAME -->` and `<!-- /acfd:NAME -->`, if it has them; not written. Raises TableError
    if a block is on no page."""
    pages = {top / name: (top / name).read_text() for name in PAGES}
    for name, block in blocks(top / "results").items():
        start, end = f"<!-- acfd:{name} -->", f"<!-- /acfd:{name} -->"
        between = re.compile(f"(?<={start}).*?(?={end})", re.DOTALL)
        if not any(between.search(text) for text in pages.values()):
            raise TableError(
                f"no page has the markers {start} and {end}; put them where its table should be, "
                f"in one of {', '.join(PAGES)}"
            )
        new = f"\n{block}\n"
        pages = {path: between.sub(lambda _, new=new: new, text) for path, text in pages.items()}
    return pages


def blocks(results_root: Path) -> dict[str, str]:
    """Name -> Markdown of what results/<preset>/tables of each of PRESETS has."""
    made = {preset: of_preset(Path(results_root) / preset) for preset in PRESETS}
    return {f"{name}-{preset}": block for preset, of in made.items() for name, block in of.items()}


def of_preset(results: Path) -> dict[str, str]:
    """Name -> Markdown of every table that results/<preset> has and that is not empty."""
    files = {name: results / "tables" / f"{name}.csv" for name in TABLES}
    found = {name: read_table(path) for name, path in files.items() if path.exists()}
    found = {name: table for name, table in found.items() if len(table)}

    blocks = {  # name -> the tables that it takes, and what makes it of them
        "table1": (["table1"], lambda t: f"{markdown.table1(t)}\n\n{markdown.table1_caption(t)}"),
        "methods": (["table1"], markdown.methods),
        "compression": (["compression"], markdown.compression),
        "left-out": (["left_out"], markdown.left_out),
        "unseen": (["unseen"], markdown.unseen),
        "table2": (["table2"], lambda t: f"{markdown.table2(t)}\n\n{markdown.caption(overall(t))}"),
        "contrasts": (["contrasts"], markdown.contrasts),
        "tied": (["table1", "table2"], markdown.tied),
        "findings": (["table1", "contrasts", "compression", "table2", "attention_real"], findings),
        "robustness": (["robustness_areas"], markdown.robustness),
        "collapse": (["collapse"], collapse_said),
        "emptied": (["emptied"], emptied_said),
    }
    return {
        name: make(*(found[table] for table in needed))
        for name, (needed, make) in blocks.items()
        if {*needed} <= {*found}
    }


def findings(
    table: pd.DataFrame,
    contrasts: pd.DataFrame,
    drops: pd.DataFrame,
    losses: pd.DataFrame,
    maps: pd.DataFrame,
) -> str:
    """Five sentences at low quality, a Markdown list: ours, the paper's losses, what compression
    costs (`drops`), each loss (Table 2), the maps (`maps`: attention_real)."""
    first = table[table["method"] == ALL].drop_duplicates("row").set_index("row", drop=False)
    low, ours = first["compression"].iloc[0], first.loc[first["ours"].iloc[0]]
    reference = first.loc[first["reference"].iloc[0]]
    best = f"“{row_title(reference)}” has {markdown.percent(reference, 'auc')}"
    said = [
        f"**At {low}, “{row_title(ours)}” reaches an AUC of {markdown.percent(ours, 'auc')}**; "
        f"{best}: {markdown.difference(ours, 'diff_auc')}."
    ]
    if "cao" in first.index:
        cao = first.loc["cao"]
        auc, gap = markdown.percent(cao, "auc"), markdown.difference(cao, "diff_auc")
        parts = [f"The paper's losses (“{row_title(cao)}”) reach {auc}: {gap} to the reference"]
        of = contrasts[(contrasts["row"] == "cao") & (contrasts["method"] == ALL)]
        for _, line in of.iterrows():
            gap, name = markdown.difference(line, "diff_auc"), line["other_title"]
            parts.append(f"{gap} to the same {name.removeprefix(cao['title'] + ', ')}")
        alike = f"{100 * cao['tied']:.0f} percent of real faces get one and the same score"
        said.append(f"{'; '.join([*parts, alike])}.")
    plain = drops[drops["row"].isin(["xception_c23", reference["row"], ours["row"]])]
    lost = [f"“{row_title(x)}” {markdown.percent(x, 'drop_auc')}" for _, x in plain.iterrows()]
    said.append(f"From {drops['high'].iloc[0]} to {low} AUC falls: {'; '.join(lost)}.")
    steps = losses.drop_duplicates("row").iloc[1:]
    holds = steps["diff_above_auc_p_holm"] < 1 - steps["confidence"]
    names = [
        f"“{row_title(x)}” {markdown.difference(x, 'diff_above_auc')}"
        for _, x in steps.sort_values("diff_above_auc_p").head(2).iterrows()
    ]
    said.append(
        f"Of Table 2's {len(steps)} steps, row to row, {holds.sum() or 'none'} stand"
        f"{'' if holds.sum() > 1 else 's'} Holm's correction; lowest p: {' and '.join(names)}."
    )
    for _, line in maps[(maps["row"] == ours["row"]) & (maps["compression"] == low)].iterrows():
        times = markdown.interval(line, "ratio", ".1f")
        said.append(
            f"The attention map of ours is {times} times as bright on forged regions as on real "
            f"faces; its IoU with these regions is {markdown.percent(line, 'iou')} percent (one "
            "seed)."
        )
    return "\n".join(f"- {sentence}" for sentence in said)
