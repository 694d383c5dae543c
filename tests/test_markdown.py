"""Tables as Markdown: the numbers of the tables that git has, in the pages that have room for them.
That the committed pages have them: test_cli.py."""

import pandas as pd
import pytest
from project import STATE

from acfd.results import markdown, pages, table

TABLES = STATE / "results" / "full" / "tables"


def cells(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines()]


@pytest.mark.parametrize("name", ["table1", "table2"])
def test_a_row_has_the_numbers_of_the_low_quality_of_all_manipulations(name):
    t = table.read_table(TABLES / f"{name}.csv")
    first = t[t["compression"] == "c40"].drop_duplicates("row").reset_index(drop=True)
    head, _, *lines = cells(getattr(markdown, name)(t))
    at = next(n for n, title in enumerate(head) if title.startswith("AUC"))
    for line, want in zip(lines, first.itertuples()):
        assert want.title.split(" (")[0] in line[0]
        lo, hi = 100 * want.auc_lo, 100 * want.auc_hi
        assert line[at] == f"{100 * want.auc:.1f} ({lo:.1f} to {hi:.1f})"
        difference = line[at + 1] if "difference" in head[at + 1] else "–"
        assert difference == "–" or difference.startswith(f"{100 * want.diff_auc:+.1f} (")
    assert "| \\|C\\| > 9" in getattr(markdown, name)(t.assign(title="|C| > 9"))
    significant = first["diff_auc_p_holm"] < 0.05
    assert any(significant) == any(" *" in cell for line in lines for cell in line)


def test_pages_show_the_blocks_that_they_have_markers_for(tmp_path):
    (tmp_path / "results").symlink_to(STATE / "results")
    (tmp_path / "docs").mkdir()
    readme, results = (tmp_path / name for name in pages.PAGES)
    blocks = pages.blocks(tmp_path / "results")
    readme.write_text("nothing\n")
    markers = "<!-- acfd:{0} -->\n{1}\n<!-- /acfd:{0} -->\n"
    results.write_text("".join(markers.format(name, "old") for name in blocks))
    new = pages.rewrite(tmp_path)
    assert new[readme] == "nothing\n"
    assert new[results] == "".join(markers.format(*block) for block in blocks.items())
    results.write_text("a\n")
    with pytest.raises(table.TableError, match="no page has the markers <!-- acfd:"):
        pages.rewrite(tmp_path)
    assert pages.blocks(tmp_path / "docs") == {}  # without results
    tables = tmp_path / "docs" / "full" / "tables"
    table.write_table(pd.read_csv(TABLES / "left_out.csv")[:0], tables / "left_out.csv")
    assert pages.blocks(tmp_path / "docs") == {}  # an empty table has no block
