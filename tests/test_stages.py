"""dvc.yaml depends on the code that decides what its stages write, and on no title."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from ruamel.yaml import YAML

from acfd import paths, sources

TOP = Path(__file__).parents[1]
STAGES = YAML(typ="safe").load((TOP / "dvc.yaml").read_text())["stages"]
NOTEBOOKS = {
    "videos": "01_videos",
    "faces": "02_faces",
    "table1": "04_table1",
    "table2": "05_table2",
    "attention": "06_attention",
    "curves": "07_robustness",
    "report": "09_report",
}
# how it is computed or where it lies (the head of dvc.yaml says so), and names of packages alone
LEFT_OUT = {"", "paths", "params", "shards", "ffpp", "spread", "timing", "ranks", "baselines"}
LEFT_OUT |= {"robustness"}


def code_of(stage: str) -> set[str]:
    """Every module of acfd that a stage depends on, as a path."""
    found = set()
    for name in STAGES[stage]["deps"]:
        if name.startswith("acfd"):
            path = TOP / name
            found |= set(path.rglob("*.py")) if path.is_dir() else {path}
    return {path.relative_to(TOP).as_posix() for path in found}


def file_of(module: str) -> str:
    return sources._file(module).relative_to(TOP).as_posix()


def imported(name: str) -> set[str]:
    """Modules of acfd that a notebook imports."""
    cells = nbformat.read(TOP / "notebooks" / f"{name}.ipynb", as_version=4).cells
    found = set()
    for node in ast.parse("\n".join(c.source for c in cells if c.cell_type == "code")).body:
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "acfd":
            package = node.module.removeprefix("acfd").removeprefix(".")
            names = [package, *(f"{package}.{a.name}".strip(".") for a in node.names)]
            found |= {n for n in names if sources._file(n).is_file()}
    return found - LEFT_OUT


def behind(modules: set[str]) -> set[str]:
    """These modules and all that they import."""
    found, left = set(), list(modules)
    while left:
        name = left.pop()
        if name not in found | LEFT_OUT:
            found.add(name)
            left += sources._imports(name)
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_code_that_a_stage_names_is_there(stage):
    lacking = [n for n in STAGES[stage]["deps"] if n.startswith("acfd") and not (TOP / n).exists()]
    assert not lacking


@pytest.mark.parametrize("stage", NOTEBOOKS)
def test_a_stage_depends_on_what_its_notebook_imports(stage):
    modules = imported(NOTEBOOKS[stage])
    assert len(modules) >= 3
    assert {file_of(m) for m in modules} <= code_of(stage)


@pytest.mark.parametrize("stage", ["table1", "table2", "attention", "curves", "report"])
def test_what_only_reads_results_imports_no_torch(stage):
    """Seconds a stage, and a notebook that opens at once."""
    left, found = list(imported(NOTEBOOKS[stage])), set()
    while left:
        if (name := left.pop()) not in found:
            found.add(name)
            left += sources._imports(name)
    text = "\n".join(sources._file(name).read_text() for name in found)
    assert "import pandas" in text
    assert not re.search(r"^(import|from) (torch|timm|lightning|safetensors)", text, re.MULTILINE)


def test_faces_depend_on_all_that_cuts_them():
    modules = behind({"faces", "datasets"})
    assert {"track", "video", "degrade", "crops", "detector", "datasets.compress"} <= modules
    assert {file_of(m) for m in modules} <= code_of("faces")


def test_training_depends_on_no_title_and_no_number_of_the_paper():
    named = [p for p in STAGES["train"]["params"] if p.startswith("rows")]
    assert named == ["rows.${item.row}.system", "rows.${item.row}.set"]
    for stage in ("table1", "table2", "attention", "curves"):  # where they are shown
        assert "rows" in STAGES[stage]["params"]


def test_a_half_written_file_is_none_of_dvcs_business(tmp_path):
    patterns = (TOP / ".dvcignore").read_text().splitlines()
    for name in ("index.parquet", "folder"):
        with paths.atomic(tmp_path / name) as temporary:
            assert any(temporary.match(p) for p in patterns if p and p[0] != "#")
            assert not any((tmp_path / name).match(p) for p in patterns if p and p[0] != "#")
            temporary.write_text("")
