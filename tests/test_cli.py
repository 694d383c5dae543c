"""Commands for people: what is planned, a README that agrees with results/, errors in a line."""

import re
import shutil
from types import SimpleNamespace

import pytest
from project import STATE, TOP
from ruamel.yaml import YAML

from acfd import cli, params
from acfd.faces.extract import extract
from acfd.results import pages
from acfd.stages import plan


@pytest.mark.parametrize("preset", ["full", "ffpp"])
def test_the_plan_names_every_stage_and_row_and_how_long(tmp_path, preset):
    """Of FaceForensics++ too before it is there."""
    file = tmp_path / "params.yaml"
    file.write_text((STATE / "params.yaml").read_text())
    params.apply_preset(preset, file, STATE / "presets")
    p = params.load(file)
    if preset == "ffpp":
        p = p.model_copy(update={"data": p.data.model_copy(update={"root": str(tmp_path / "no")})})
    said = plan.plan(p, 0.05)
    assert (preset == "ffpp") == ("5000 clips" in said)
    assert all(re.search(rf"train2? +{row}, ", said) for row in p.trained)
    assert f"results/{preset}" in said
    stages = YAML(typ="safe").load((TOP / "dvc.yaml").read_text())["stages"]
    for name in set(stages) - {"sources"}:  # it takes seconds
        assert re.search(rf"^  {name} ", said, re.MULTILINE), name
    minutes = [float(m) for m in re.findall(r"([\d.]+) min", said)]
    assert sum(minutes[:-1]) == pytest.approx(minutes[-1], abs=0.1 * len(minutes))
    further = len(p.table1.rows) + 1 + len(p.table1.headline) + 1
    # videos, faces; of tables 1 and 2 and of further seeds; the others; the sum
    assert len(minutes) == 2 + len(p.trained) + 2 + further + 3 + 6 + 1


def test_the_plan_goes_by_what_a_step_takes_here(make_params):
    p = make_params(faces={"size": 64}, compute={"accelerator": "cpu"})
    assert 1e-4 < plan.step(p) < 10

    def minutes(each):
        return float(re.search(r"train +xception, .*?([\d.]+) min", plan.plan(p, each))[1])

    assert minutes(2.0) == pytest.approx(2 * minutes(1.0), rel=0.01)


def test_of_videos_that_are_there_the_plan_extracts_a_few(
    make_tree, make_params, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    tree = make_tree(tmp_path / "videos", frames=8)
    p = make_params(
        data={"source": "ffpp", "root": str(tree.root)}, faces={"frames": 8, "size": 64}
    )
    seconds, size = plan.extraction(p, tree, tree.clips(["Deepfakes"]))
    assert [path.name for path in tmp_path.iterdir()] == ["videos"]
    _, _, timing = extract(p, tree, tmp_path / "faces", progress=False)
    written = sum(f.stat().st_size for f in (tmp_path / "faces").rglob("*.arrow"))
    assert 12 * size == pytest.approx(written, rel=0.3)
    assert 0.1 < 12 * seconds / timing.wall < 10  # of a busy machine, so the order alone
    assert "96 pairs of 64 px, 0.0 GiB" in plan.plan(p, 0.05)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    assert "do not fit on the disk: make room" in plan.plan(p, 0.05)


def test_tables_of_pages_are_those_of_results():
    for path, text in pages.rewrite(STATE).items():
        assert text == path.read_text(), f"{path.name}: run `acfd readme`"


@pytest.mark.parametrize("name", pages.PAGES)
def test_pages_show_pictures_that_exist(name):
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (STATE / name).read_text())
    assert pictures
    for picture in pictures:
        shown = (STATE / name).parent / picture
        assert shown.is_file(), f"{name} shows {picture}, which is not there"


def test_errors_are_one_line_without_a_traceback(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["plan"]) == 1
    said = capsys.readouterr().err
    assert "params.yaml: no such file" in said and "Traceback" not in said
    with pytest.raises(params.ParamsError):
        cli.main(["--traceback", "plan"])

    def full(_):
        raise OSError(28, "no room to write it")

    monkeypatch.setattr(cli, "_plan", full)
    assert cli.main(["plan"]) == 1 and "no room to write it" in capsys.readouterr().err


def test_faces_before_the_embedded_videos_ask_for_those(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((TOP / "params.yaml").read_text())
    for command in (["faces"], ["copies"], ["check"]):
        assert cli.main(command) == 1
        said = capsys.readouterr().err
        assert "dvc repro videos@pocket" in said and "official" not in said


@pytest.mark.parametrize(("command", "goes_on"), [("faces", True), ("plan", False)])
def test_only_what_is_kept_goes_on_after_an_interruption(monkeypatch, capsys, command, goes_on):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, f"_{command}", interrupt)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    assert cli.main([command]) == 130
    assert ("go on" in capsys.readouterr().err) == goes_on
