"""dvc.yaml depends on what determines its stages' results: code by imports, data by recipes."""

import re

import pytest
from project import TOP
from ruamel.yaml import YAML

from acfd import paths, sources

STAGES = YAML(typ="safe").load((TOP / "dvc.yaml").read_text())["stages"]


@pytest.mark.parametrize("name", sorted(set(STAGES) - {"sources"}))
def test_a_stage_depends_on_the_digests_of_what_its_command_runs(name):
    stage, of = STAGES[name], re.sub("(?<=train|score)(2|_table1|_headline)$", "", name)
    command = stage["cmd"].removeprefix("python -m acfd ").removeprefix("notebook ").split()[0]
    assert sources.STAGES[of] == command
    (code,) = [p["results/sources.json"] for p in stage["params"] if isinstance(p, dict)]
    more = ["rows.${item.row}"] * ("--row" in stage["cmd"])
    more += ["scores.${item.row}"] * (of in ("score", "features"))
    more += ["study"] * (name in ("table1", "table2", "attention", "curves"))  # titles, what is set
    assert code == [f"stages.{of}", *more]
    assert not [d for d in stage.get("deps", []) if d.startswith("acfd")]


def test_no_stage_depends_on_pixels_that_differ_from_machine_to_machine():
    """Nor on a folder of data of which a machine may have a part."""
    made = ("videos", "faces", "copies", "runs", "maps")
    folders = {f"data/${{item.preset}}/{what}" for what in made}
    for name, stage in STAGES.items():
        assert not folders & set(stage.get("deps", [])), name
    for name in ("table1", "table2", "curves", "report"):
        assert all(d.startswith("results/") for d in STAGES[name]["deps"]), "what is in git"


def test_training_depends_on_no_title_and_table_2_comes_before_what_table_1_trains():
    """What a run is trained by is in the digest of its row (test_sources)."""
    for name in ("train", "train2"):
        assert [p for p in STAGES[name]["params"] if isinstance(p, str)] == []
    assert list(STAGES).index("table2") < list(STAGES).index("train")
    assert STAGES["table2"]["deps"] == ["results/${item.preset}/metrics/runs/table2"]


def test_a_half_written_file_is_none_of_dvcs_business(tmp_path):
    patterns = (TOP / ".dvcignore").read_text().splitlines()
    for name in ("index.parquet", "folder"):
        with paths.atomic(tmp_path / name) as temporary:
            assert any(temporary.match(p) for p in patterns if p and p[0] != "#")
            assert not any((tmp_path / name).match(p) for p in patterns if p and p[0] != "#")
            temporary.write_text("")
