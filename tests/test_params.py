"""Strict parameters: every wrong key is named before anything runs."""

import re
import shutil
from pathlib import Path

import pytest
from project import STATE
from ruamel.yaml import YAML

from acfd import params
from acfd.params import ParamsError


@pytest.fixture
def edit(tmp_path):
    """Write params.yaml with one value changed; returns its path."""

    def write(key: str, value) -> Path:
        content = at = YAML(typ="safe").load(STATE / "params.yaml")
        *sections, last = key.split(".")
        for section in sections:
            at = at[section]
        at[last] = value
        path = tmp_path / "params.yaml"
        YAML().dump(content, path)
        return path

    return write


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("model.input", 3, "model: input is 3; expected 0"),
        ("data.root", "a\0b", "data.root"),
        ("train.lrr", 0.1, "train.lrr: unknown key"),
        ("train.average", 0.99, "train.average: is gone"),
        ("loss.dis", -0.1, "loss.dis"),
        ("loss.radius_real", 80.0, "radius_real 80.0 must be below radius_fake 75.0"),
        ("train.epochs", 2.5, "train.epochs"),
        ("train.batch", 31, "train.batch"),
        ("data.methods", ["Deepfake"], "data.methods.0"),
        ("data.low", "c23", "a pair needs two compressions"),
        ("data.high", "c17", "data: high is c17; synthff has raw|c23|c40"),
        ("data.low", "../..", "data.low"),
        ("data.splits", "nowhere", "data: splits is nowhere; for synthff it is null"),
        ("synthff.identities.val", 5, "should be a multiple of 2, found 5"),
        ("synthff.identities.test", 2, "greater than or equal to 4, found 2"),
        ("train.accumulate", 3, "accumulate 3; each part has"),
        ("rows.cls_at.set.train", {"qualities": ["low", "low"]}, "qualities is ['low', 'low']"),
        ("table1.left_out", ["ours_one"], "names ours_one, which is trained on all"),
        ("table1.unseen", ["FaceSwap"], "table1.unseen names FaceSwap, which row steg"),
        ("table1.unseen", ["Wide"], "Wide, not in data.methods"),
        ("data.methods", ["Deepfakes", "Forged"], "methods names ['Forged']"),
        ("table1.ours", "nobody", "table1 compares with nobody"),
        ("table1.headline", ["ours", "f3net"], "headline is ['ours', 'f3net']; expected"),
        ("study.rows", ["nobody"], "study.rows: nobody, which rows"),
        ("robustness.levels.h264", [52], "expected levels from 0 "),
        ("attention.factorial", ["left_ours"], "attention.factorial: left_ours, not trained"),
        ("rows.cls_at.set.train", {"methods": ["FaceShifter"]}, "not in data.methods"),
        ("rows.cls_at.system", "vgg", "system: Input should be 'xception', 'two_branch'"),
        ("study.headline_seeds", [0], "study.headline_seeds has [0], which is there already"),
        ("study.seeds", [0, 0], "study: seeds is [0, 0]; expected each once"),
        ("preset", "../etc", "preset"),
        ("rows.ours.paper", {"acc": float("nan"), "auc": 90.0}, "rows.ours.paper.acc"),
    ],
)
def test_a_wrong_value_is_named(edit, key, value, says):
    with pytest.raises(ParamsError, match=re.escape(says)):
        params.load(edit(key, value))


def test_a_missing_key_and_file_are_named(tmp_path):
    text = (STATE / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("  margin: 1.3", "  # margin: 1.3"))
    with pytest.raises(ParamsError, match=r"faces\.margin: missing"):
        params.load(tmp_path / "params.yaml")
    with pytest.raises(ParamsError, match="no such file"):
        params.load(tmp_path / "other.yaml")


def test_exponents_are_numbers(tmp_path):
    text = (STATE / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("lr: 0.0003 ", "lr: 1e-4 ", 1))
    assert params.load(tmp_path / "params.yaml").train.lr == 1e-4


def test_a_row_lays_its_set_over_the_sections():
    p = params.load(STATE / "params.yaml")
    literal = p.for_row("eq5_literal")
    assert (literal.loss.attention, literal.train.on_collapse) == ("l1", "go_on")
    assert p.loss.attention == "bce"
    with pytest.raises(ParamsError, match="no row 'x'"):
        p.for_row("x")


def test_run_key_changes_with_what_is_trained_and_with_nothing_else(edit):
    base = params.load(STATE / "params.yaml")
    key = base.run_key("cls_at", 0)
    assert key != base.run_key("cls_at", 1)
    assert key != base.run_key("cls_at_dis", 0)
    assert key != params.load(edit("loss.at", 2.0)).run_key("cls_at", 0)
    assert key == params.load(edit("compute.workers", 3)).run_key("cls_at", 0)
    assert key == params.load(edit("study.seeds", [0, 5])).run_key("cls_at", 0)
    assert key == params.load(edit("rows.eq5_literal.title", "x")).run_key("cls_at", 0)


def test_presets_follow_one_another_keep_comments_and_pocket_undoes_them(tmp_path):
    file, presets = tmp_path / "params.yaml", STATE / "presets"
    original = (STATE / "params.yaml").read_text()
    file.write_text(original)
    comments = [line.split("#", 1)[1] for line in original.splitlines() if "#" in line]
    for name in (*sorted(p.stem for p in presets.glob("*.yaml")), "pocket"):
        params.apply_preset(name, file, presets)
        assert params.load(file).preset == name
        after = file.read_text()
        assert all(c in after for c in comments)
    assert params.load(file) == params.load(STATE / "params.yaml")


@pytest.mark.parametrize(
    "content",
    [b"\xff", b"a: " + b"[" * 800 + b"]" * 800, b"", b"- a", b"{a: 1", b"1: 2", b"a: 2024-13-45"],
)
def test_a_file_that_holds_no_parameters_is_named(tmp_path, content):
    file, preset = tmp_path / "params.yaml", tmp_path / "mine.yaml"
    file.write_bytes(content)
    with pytest.raises(ParamsError, match=r"params\.yaml"):
        params.load(file)
    file.write_text((STATE / "params.yaml").read_text())
    preset.write_bytes(content)
    with pytest.raises(ParamsError, match=r"mine\.yaml: "):
        params.apply_preset("mine", file, tmp_path)


def test_a_bad_preset_leaves_params_alone(tmp_path):
    file = tmp_path / "params.yaml"
    original = (STATE / "params.yaml").read_text()
    file.write_text(original)
    (tmp_path / "bad.yaml").write_text("train: {epochs: 0}\n")
    (tmp_path / "odd.yaml").write_text("train: {epoch: 1}\n")
    named = rf"{file} with the values of {tmp_path / 'bad.yaml'}: .*\n +train\.epochs"
    with pytest.raises(ParamsError, match=named):
        params.apply_preset("bad", file, tmp_path)
    with pytest.raises(ParamsError, match=r"train\.epoch is not a key"):
        params.apply_preset("odd", file, tmp_path)
    (tmp_path / "presets").mkdir()
    shutil.copy(tmp_path / "bad.yaml", tmp_path / "presets" / "mine.yaml")
    for name in ("none", "", "../params", "../odd", "presets/mine.yaml", "mine.yaml"):
        with pytest.raises(ParamsError, match=f"no preset '{name}' in .*; there are: mine"):
            params.apply_preset(name, file, tmp_path / "presets")
    assert file.read_text() == original
    assert not list(tmp_path.glob("*.new"))
