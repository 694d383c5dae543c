"""A run depends on the code that it uses: on all of it, on nothing else, and not on comments."""

import shutil
from pathlib import Path

import pytest
from project import STATE

from acfd import baselines, params, sources

TOP = Path(__file__).parents[1]
CORE = {
    *("backbone", "losses", "loop", "model", "pairs", "ranks", "runs", "systems", "train"),
}


@pytest.fixture
def study():
    return params.load(STATE / "params.yaml")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package, to be edited: change(module, old, new) and then of_row as usual."""
    copy = tmp_path / "acfd"
    shutil.copytree(TOP / "acfd", copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sources, "TOP", copy)

    def change(module: str, old: str, new: str):
        path = copy.joinpath(*module.split(".")).with_suffix(".py")
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        clear()

    def clear():
        sources._tree.cache_clear()
        sources._digest.cache_clear()

    clear()
    yield change
    clear()


def test_a_table_2_row_depends_on_the_core_alone(study):
    assert set(sources.of_row(study, "cls_at")) == CORE


def test_a_row_depends_on_its_own_system_and_on_what_it_makes_afresh(study):
    assert set(sources.of_row(study, "meso4")) >= CORE | {"baselines.mesonet"}
    assert not {"baselines.steg", "fresh"} & set(sources.of_row(study, "meso4"))
    assert {"fresh", "blend", "baselines.xray"} <= set(sources.of_row(study, "xray_c40"))
    assert {"fresh", "blend"} <= set(sources.of_row(study, "ours_plus"))


def test_comments_and_docstrings_change_nothing_and_code_does(study, package):
    before = sources.key(study, "cls_at")
    package("train", '"""Training: ', '"""Another text: ')
    package("train", "VANISHED = 0.05", "# why\nVANISHED = 0.05  # so much")
    assert sources.key(study, "cls_at") == before
    package("train", "VANISHED = 0.05", "VANISHED = 0.06")
    assert sources.key(study, "cls_at") != before


def test_editing_one_system_leaves_the_others(study, package):
    before = {row: sources.key(study, row) for row in ("meso4", "xception", "xray_c40")}
    package("baselines.xray", "import torch\n", "import torch\n\nANOTHER = 1\n")
    after = {row: sources.key(study, row) for row in before}
    assert [row for row in before if before[row] != after[row]] == ["xray_c40"]


def test_files_are_written_once_and_stale_ones_go(study, tmp_path):
    sources.write(study, tmp_path)
    times = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert set(times) == {f"{row}.json" for row in study.study.rows}
    (tmp_path / "gone.json").write_text("{}")
    sources.write(study, tmp_path)
    assert times == {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}


def test_every_name_is_a_system_and_an_unknown_one_is_an_error():
    from acfd.systems import System

    for name in baselines.SYSTEMS:
        assert issubclass(baselines.find(name), System)
    with pytest.raises(ValueError, match=r"unknown system 'vgg'; there are: xception, two_branch"):
        baselines.find("vgg")
