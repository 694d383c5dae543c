"""Tables as Markdown, from tables written down here."""

import json

import numpy as np
import pandas as pd
import pytest

from acfd.results import markdown, pages, table

COMMON = {"seeds": "0", "units": 4, "frames": 60, "collapsed": 0, "resamples": 200}
COMMON |= {"confidence": 0.95, "rising": 0.0, "machine": "2 cores"}


def said(name, value, width=0.05):
    """A measure's columns."""
    found = {name: value, f"{name}_lo": value - width, f"{name}_hi": value + width}
    p = np.where(value > 0, 0.03, np.nan)[()] if name.startswith("diff_") else np.nan
    return found | {f"{name}_p": p / 3, f"{name}_p_holm": p}


def table2():
    lines = []
    for row, paper in (("a", 98.87), ("b", np.nan)):
        line = {"row": row, "title": f"Row {row}", "compression": "c40", "reference": "a"}
        line |= COMMON | {"seeds": "0 1", "paper_acc": np.nan, "paper_auc": paper}
        for m in ("acc", "balanced_acc", "auc", "eer"):
            line |= said(m, 0.7)
        for m in ("balanced_acc", "auc"):
            line |= said(f"diff_{m}", np.nan if row == "a" else 0.02)
        line |= said("diff_above_auc", np.nan if row == "a" else -0.02)
        line |= said("pbca", np.nan if row == "a" else 0.8) | said("pbca_empty", 0.75)
        lines.append(line)
    return pd.DataFrame(lines)


def table1():
    lines = []
    for compression in ("c40", "c23"):
        for method, auc in (("all", 0.8), ("Deepfakes", 0.9), ("FaceSwap", 0.7)):
            for row in "ab":
                line = {"row": row, "title": f"Row {row}", "compression": compression}
                line |= COMMON | {"method": method, "always_forged": 0.8, "reference": "a"}
                line |= {"train_seconds": 90.0 if row == "a" else 8000.0, "parameters": 20811050.0}
                line |= {"paper_acc": 55.98 if row == "a" else np.nan, "paper_auc": np.nan}
                line |= said("acc", 0.75) | said("balanced_acc", 0.6) | said("auc", auc)
                line |= said("diff_auc", np.nan if row == "a" else 0.02)
                line |= {"headline": "diff_auc" if row == "b" else None, "ours": "b"}
                lines.append(line)
    return pd.DataFrame(lines)


def write_study(results):
    (results / "metrics").mkdir()
    facts = {"machine": "2 cores", "seconds": 1500.0}
    (results / "metrics" / "study.json").write_text(json.dumps(facts))


def cells(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines()]


def test_table1_is_the_low_quality_of_all_manipulations():
    head, _, a, b = cells(markdown.table1(table1()))
    assert head[4:6] == ["AUC, c40", "AUC, difference to “Row a”"]
    assert a == [
        *["Row a", "55.98 / –", "75.0 (70.0 to 80.0)", "60.0 (55.0 to 65.0)"],
        *["80.0 (75.0 to 85.0)", "–", "2 min", "20.8 M"],
    ]
    assert "| \\|C\\| > 9 |" in markdown.table1(table1().assign(title="|C| > 9"))
    assert b[1] == "–" and b[5:7] == ["+2.0 (-3.0 to +7.0) *", "2.2 h"]


def test_blocks_of_pages(tmp_path):
    folder = tmp_path / "pocket" / "tables"
    assert pages.blocks(tmp_path) == {}
    table.write_table(table2(), folder / "table2.csv")
    write_study(tmp_path / "pocket")
    own = table1().assign(machine=["2 cores", "2 cores and a GPU"] * 6)
    table.write_table(own, folder / "table1.csv")
    table.write_table(table1()[:0], folder / "left_out.csv")  # an empty one has no block
    blocks = pages.blocks(tmp_path)
    assert list(blocks) == ["table1-pocket", "methods-pocket", "table2-pocket"]
    second = blocks["table2-pocket"]
    assert "95 % intervals from 200 resamples of 4 pairs" in second and "2 seeds" in second
    assert second.endswith("Training took 25 min in all on 2 cores.")
    # Table 1 says itself what trained its rows
    first = blocks["table1-pocket"]
    assert (
        "took 2.2 h in all on 2 cores and a GPU. Saying “forged” always has an ACC of 80 %" in first
    )
    assert "“Row b” against “Row a”, AUC +2.0 (-3.0 to +7.0), p = 0.010, not corrected" in first


def test_pages_show_the_blocks_that_they_have_markers_for(tmp_path):
    table.write_table(table2(), tmp_path / "results" / "full" / "tables" / "table2.csv")
    write_study(tmp_path / "results" / "full")
    (tmp_path / "docs").mkdir()
    readme, results = (tmp_path / name for name in pages.PAGES)
    readme.write_text("nothing\n")
    markers = ["<!-- acfd:table2-full -->", "<!-- /acfd:table2-full -->"]
    results.write_text("a\n{}\nold\n{}\nb\n".format(*markers))
    new = pages.rewrite(tmp_path)
    assert new[readme] == "nothing\n"
    block = pages.blocks(tmp_path / "results")["table2-full"]
    assert new[results] == f"a\n{markers[0]}\n{block}\n{markers[1]}\nb\n"
    results.write_text("a\n")
    with pytest.raises(table.TableError, match="no page has the markers <!-- acfd:table2-full"):
        pages.rewrite(tmp_path)
