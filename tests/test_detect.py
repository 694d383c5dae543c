"""The detector on real H.264 and real faces, with a network that was not trained: what is said of
one face, two, none, of damaged and odd files; what is written; exit codes."""

import csv
import json
import os
import re
import threading
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest
from conftest import moving, remux, write_params
from project import TOP
from trained import changed, detect_study, write_calibration, write_run

from acfd import cli
from acfd.detector import core
from acfd.detector.core import COLUMNS, Detection, Detector, ahead
from acfd.detector.report import Report
from acfd.media.video import probe, read_frames, write_video
from acfd.params import ParamsError

SCHEMA = json.loads((TOP / "docs" / "detect.schema.json").read_text())


@pytest.fixture(scope="module")
def study(make_params, toy_faces, tmp_path_factory):
    """(params, paths): runs that call everything forged (cls_at, meso4) or nothing (meso4, seed 1);
    params.yaml in the folder."""
    said = {"backend": "torch", "frames": 6, "min_frames": 4, "find_every": 0.0, "min_face": 24}
    top = tmp_path_factory.mktemp("study")
    p, paths = detect_study(make_params, toy_faces.folder, top, bias=8.0, **said)
    write_run(p, paths, "meso4", bias=8.0)
    write_run(p, paths, "meso4", seed=1, bias=-8.0)
    write_params(changed(p, study={"seeds": [0, 1]}), top)
    return p, paths


@pytest.fixture(scope="module")
def detector(study):
    p, paths = study
    return Detector(p, paths=paths)


@pytest.fixture(scope="module")
def clips(portraits, tmp_path_factory):
    """one.mp4, two.mp4 (two faces), none.mp4, brief.mp4 (a face in two frames), photo.png."""
    folder = tmp_path_factory.mktemp("clips")

    def frames(*people, n=8):
        for i in range(n):
            yield np.hstack([np.roll(portraits[p], 2 * i, axis=1) for p in people])

    write_video(folder / "one.mp4", frames(0), 25.0, crf=20, preset="ultrafast")
    write_video(folder / "two.mp4", frames(0, 1), 25.0, crf=20, preset="ultrafast")
    grey = [np.full((320, 320, 3), 110, np.uint8)] * 8
    write_video(folder / "none.mp4", grey, 25.0, crf=20, preset="ultrafast")
    brief = [*frames(2, n=2), *grey[:6]]
    write_video(folder / "brief.mp4", brief, 25.0, crf=20, preset="ultrafast")
    cv2.imwrite(str(folder / "photo.png"), cv2.cvtColor(portraits[2], cv2.COLOR_RGB2BGR))
    return folder


def check(found: Detection) -> dict:
    """The report as JSON, valid by the schema in docs/."""
    said = json.loads(found.report.model_dump_json())
    jsonschema.validate(said, SCHEMA)
    return said


def test_the_documented_schema_is_that_of_the_code():
    said = json.dumps(Report.model_json_schema(mode="serialization"), indent=1) + "\n"
    assert (TOP / "docs" / "detect.schema.json").read_text() == said


def test_one_face(detector, clips):
    found = detector(clips / "one.mp4")
    said = check(found)
    (face,) = said["faces"]
    assert said["verdict"] == face["verdict"] == "forged"
    assert said["decided_by"] == 0 and said["probability"] == face["probability"] > 0.9
    low, high = said["interval"]
    assert low <= said["probability"] <= high
    assert said["frames"] == {"chosen": 6, "read": 6, "with_face": 6, "judged": 6}
    assert said["media"]["frames"] == 8 and said["media"]["fps"] == pytest.approx(25)
    assert said["model"]["run"] == "cls_at-s0" and said["model"]["backend"] == "torch"
    assert face["log_odds"] == pytest.approx(found.log_odds.mean(), rel=1e-5)
    assert {"look", "decode", "find", "crop", "judge", "wall"} <= set(said["seconds"])
    assert found.maps.shape[0] == 6 and found.maps.dtype == np.uint8


def test_no_face_and_a_brief_one_get_no_verdict(detector, clips):
    said = check(detector(clips / "none.mp4"))
    assert said["verdict"] == "no_face" and said["probability"] is None and said["faces"] == []
    assert "6 frame(s)" in said["why"]
    said = check(detector(clips / "brief.mp4"))
    assert said["verdict"] == "inconclusive" and said["probability"] is None
    assert "a verdict needs 4" in said["why"]
    assert said["faces"][0]["probability"] > 0.9  # it is told all the same


def test_faces_below_the_least_size_are_told_and_not_judged(study, clips):
    p, paths = study
    found = Detector(p, paths=paths, row="meso4", min_face=400)(clips / "one.mp4")
    said = check(found)
    assert said["verdict"] == "inconclusive" and "too small to be judged" in said["why"]
    assert said["faces"][0]["probability"] is None and found.seen == []
    with pytest.raises(ValueError, match="nothing to show"):
        found.overlay("x.png")


def test_files_that_are_written(detector, clips, tmp_path):
    found = detector(clips / "two.mp4")
    written = found.write(tmp_path, "sub/two.mp4")
    assert {k: p.name for k, p in written.items()} == {
        "csv": "two.mp4.csv", "json": "two.mp4.json", "overlay": "two.mp4.overlay.mp4",
    }  # fmt: skip
    assert set((tmp_path / "sub").iterdir()) == set(written.values())
    jsonschema.validate(json.loads(written["json"].read_text()), SCHEMA)
    with written["csv"].open(newline="") as f:
        rows = list(csv.DictReader(f))
    assert list(rows[0]) == COLUMNS
    assert len(rows) == 12 and {r["face"] for r in rows} == {"0", "1"}
    assert all(0 <= float(r["probability"]) <= 1 for r in rows)
    info, frames = probe(written["overlay"]), list(read_frames(written["overlay"]))
    assert (info.codec, info.pix_fmt) == ("h264", "yuv420p")
    assert len(frames) == 6 and frames[0][1][64:, 12:].std() > 30


def test_faces_are_searched_as_those_of_the_run_were(study):
    """At the size that its faces were found at, whatever params.yaml says today."""
    p, paths = study
    today = p.model_copy(update={"faces": p.faces.model_copy(update={"detect_size": 480})})
    for given, used in ((None, p.faces.detect_size), (320, 320)):
        found = Detector(today, paths=paths, row="meso4", detect_size=given)
        assert found._detector.detect_size == used


def test_work_ahead_gives_every_item_and_raises_where_it_should():
    def breaks():
        yield from range(50)
        raise OSError("the disk is gone")

    got = ahead(breaks())
    assert [next(got) for _ in range(50)] == list(range(50))
    with pytest.raises(OSError, match="the disk is gone"):
        next(got)
    before = threading.active_count()
    endless = ahead(iter(int, 1))
    next(endless)
    endless.close()  # whoever stops early leaves no thread behind
    assert threading.active_count() <= before


@pytest.fixture
def command(study, monkeypatch, capsys):
    """Run `acfd detect ...` in the study's folder: (exit code, stdout, stderr)."""
    _, paths = study
    monkeypatch.chdir(paths.top)

    def run(*arguments, row="meso4", seed="0"):
        write_calibration(paths, row, int(seed))
        code = cli.main(["detect", "--row", row, "--seed", seed, *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def test_exit_codes_and_a_line_of_json_a_file(command, clips, tmp_path):
    (tmp_path / "empty.mp4").touch()
    one, none, empty = clips / "one.mp4", clips / "none.mp4", tmp_path / "empty.mp4"
    assert command("--json", one, seed="1")[0] == 0  # nothing forged
    assert command("--json", none)[0] == 0
    code, out, _ = command("--json", none, clips / "two.mp4", clips / "photo.png")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 1 and [line["media"]["kind"] for line in lines] == ["video", "video", "image"]
    assert [f["frames"] for f in lines[1]["faces"]] == [6, 6]
    for line in lines:
        jsonschema.validate(line, SCHEMA)
    assert not Path("detections").exists()
    code, out, _ = command("--json", one, empty)
    assert code == 2  # the others are judged all the same
    _, error = (json.loads(line) for line in out.splitlines())
    jsonschema.validate(error, SCHEMA)
    assert error["verdict"] == "error" and "0 bytes" in error["why"] and error["media"] is None
    for arguments in ([tmp_path / "nowhere.mp4"], []):
        assert command("--json", *arguments)[0] == 2
    code, _, err = command("--json", one, "--seed", "7")
    assert code == 2 and "no trained run" in err and "meso4-s0, meso4-s1" in err
    code, out, _ = command("--card")
    card = json.loads(out)
    assert code == 0 and card["results"]["c40"]["auc"] == 0.7
    assert "generated people" in card["trained_on"]["data"]
    code, _, err = command(one, "--out", clips / "photo.png")
    assert code == 2 and "photo.png: it is a file; name a folder" in err and "one.mp4" not in err
    code, _, err = command("--json", one, "--model", tmp_path)
    assert code == 2 and "acfd export" in err


def test_what_your_own_real_files_reach_is_not_called_forged(command, clips, tmp_path):
    one, own = clips / "one.mp4", tmp_path / "own"
    assert command(one, "--out", own, "--no-overlay")[0] == 1
    code, out, _ = command("--json", one, "--real", own)
    said = json.loads(out)
    assert code == 0 and said["verdict"] == "inconclusive" and "of your own" in said["why"]
    assert said["faces"][0]["real_as_high"] == 1
    path = own / "one.mp4.json"
    report = json.loads(path.read_text())
    report["faces"][0]["log_odds"] -= 1.0
    path.write_text(json.dumps(report))
    code, out, _ = command("--json", one, "--real", own)
    assert code == 1 and json.loads(out)["faces"][0]["real_as_high"] == 0.5  # 1 / (1 + 1)
    code, _, err = command("--json", one, "--real", own, seed="1")
    assert code == 2 and "one.mp4.json: of another network (meso4-s0); judge them again" in err
    path.write_text("{}")
    code, _, err = command("--json", one, "--real", own)
    assert code == 2 and "one.mp4.json: not a report of this version" in err
    path.unlink()
    code, _, err = command("--json", one, "--real", own)
    assert code == 2 and "own: no report of a judged face" in err


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--frames", "-1", r"argument --frames: '-1'; expected a whole number from 0"),
        ("--seed", "x", r"argument --seed: 'x'; expected a whole number from 0"),
        ("--backend", "foo", r"argument --backend: .*'foo' \(choose from '?auto.*openvino.*torch"),
    ],
)
def test_an_option_that_cannot_be_is_named_before_a_model_is_loaded(
    study, clips, monkeypatch, capsys, option, value, said
):
    monkeypatch.setattr(core.backends, "by_torch", None)
    with pytest.raises(SystemExit) as left:
        cli.main(["detect", option, value, str(clips / "one.mp4")])
    assert left.value.code == 2 and re.search(said, capsys.readouterr().err)
    p, paths = study
    if option != "--seed":
        with pytest.raises(ParamsError, match=rf"detect.{option[2:]}: .*found '?{value}'? "):
            Detector(p, paths=paths, **{option[2:]: -1 if value == "-1" else value})


def test_a_folder_keeps_its_structure_and_names_in_any_language(command, clips, tmp_path):
    folder = tmp_path / "mine"
    names = ("Вася/видео 10:30:00.mp4", "b/clip.mp4", "写真.png")
    for name in (*names, "notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        source = clips / ("photo.png" if name.endswith("png") else "one.mp4")
        (folder / name).write_bytes(source.read_bytes())
    code, out, _ = command(folder, "--out", tmp_path / "out", "--frames", "2")
    assert code == 1
    written = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")}
    assert written == {f"{n}{e}" for n in names for e in (".json", ".csv", f".overlay{n[-4:]}")}
    assert "写真.png" in out and "forged" in out
    # two files of one name both get results
    paths = [folder / "b" / "clip.mp4", tmp_path / "out" / "clip.mp4"]
    paths[1].write_bytes(paths[0].read_bytes())
    command(*paths, "--out", tmp_path / "flat", "--no-overlay")
    found = {json.loads(p.read_text())["path"] for p in (tmp_path / "flat").glob("*.json")}
    assert found == {str(p) for p in paths}


def test_one_odd_file_does_not_end_a_batch(command, clips, portraits, tmp_path):
    """Its size changes, its name leaves no room for an ending, its name is no text."""
    folder = tmp_path / "in"
    folder.mkdir()
    parts = []
    for size in (320, 240):
        write_video(tmp_path / "x.mp4", moving(portraits[0], 5, size, size), 25.0, crf=20)
        remux(tmp_path / "x.mp4", tmp_path / "x.h264")
        parts.append((tmp_path / "x.h264").read_bytes())
    (folder / "changes.ts").write_bytes(b"".join(parts))
    for name in (b"l" * 249 + b".mp4", b"\xff.mp4", b"z.mp4"):
        (folder / os.fsdecode(name)).write_bytes((clips / "one.mp4").read_bytes())
    code, out, err = command("--frames", "4", "--json", folder, "-o", tmp_path / "o")
    assert code == 2
    assert re.fullmatch(r"acfd detect: .*l\.mp4: not written: .*too long.*\n", err)
    names = ("changes.ts", "l" * 249, "z.mp4", r"\udcff.mp4")
    for name, line in zip(names, out.splitlines(), strict=True):
        jsonschema.validate(json.loads(line), SCHEMA)
        assert name in json.loads(line)["path"] and json.loads(line)["verdict"] == "forged"
    names = {f"{n}{e}" for n in ("changes.ts", os.fsdecode(b"\xff.mp4"), "z.mp4")
             for e in (".csv", ".json", ".overlay.mp4")}  # fmt: skip
    assert {p.name for p in (tmp_path / "o").iterdir()} == names
