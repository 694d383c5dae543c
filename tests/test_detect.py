"""The detector on real H.264 and real faces, with a network that was not trained: what is said of
one face, two, none, of damaged and odd files; what is written; exit codes."""

import csv
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import av
import cv2
import jsonschema
import numpy as np
import pytest
from conftest import moving, remux
from ruamel.yaml import YAML
from trained import write_calibration, write_run

from acfd import cli, crops
from acfd.crops import ClipResult
from acfd.detect import report
from acfd.detect.ahead import ahead, batches
from acfd.detect.backends import in_batches
from acfd.detect.core import Detection, Detector
from acfd.ffpp import REAL, Clip
from acfd.paths import Paths
from acfd.video import write_video

TOP = Path(__file__).parents[1]
SCHEMA = json.loads((TOP / "docs" / "detect.schema.json").read_text())


@pytest.fixture(scope="module")
def study(make_params, tmp_path_factory):
    """(params, paths): runs that call everything forged (cls_at, meso4), nothing (meso4, seed 1),
    and one without calibration (meso4, seed 2); params.yaml in the folder."""
    p = make_params(
        faces={"size": 64},
        model={"weights": "wheel"},
        detect={
            "row": "cls_at", "backend": "torch", "frames": 6, "batch": 4, "detect_size": 320,
            "find_every": 0.0, "min_face": 24,
        },
    )  # fmt: skip
    top = tmp_path_factory.mktemp("study")
    paths = Paths(p.preset, top)
    write_run(p, paths, "cls_at", bias=8.0)
    write_run(p, paths, "meso4", bias=8.0)
    write_run(p, paths, "meso4", seed=1, bias=-8.0)
    write_run(p, paths, "meso4", seed=2)
    write_calibration(paths, "cls_at")
    raw = p.model_dump(mode="json")
    raw["study"]["seeds"] = [0, 1]
    with (top / "params.yaml").open("w") as f:
        YAML().dump(raw, f)
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
    said = json.loads(found.report.to_json())
    jsonschema.validate(said, SCHEMA)
    return said


def test_the_documented_schema_is_that_of_the_code():
    how = "python -c \"from acfd.detect import report; print(report.schema(), end='')\""
    assert (TOP / "docs" / "detect.schema.json").read_text() == report.schema(), how
    text = (TOP / "docs" / "detect.md").read_text()
    for record in (report.Report, report.FaceReport, report.MediaReport, report.ModelReport):
        for name in record.model_fields:
            assert f"`{name}`" in text or name in ("format", "acfd"), f"docs/detect.md: {name}"
    for column in report.CSV_COLUMNS:
        assert f"`{column}`" in text


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


def test_two_faces_have_a_verdict_each_and_the_worst_decides(detector, clips):
    said = check(detector(clips / "two.mp4"))
    assert [f["face"] for f in said["faces"]] == [0, 1]
    assert [f["frames"] for f in said["faces"]] == [6, 6]
    worst = max(said["faces"], key=lambda f: f["probability"])
    assert said["decided_by"] == worst["face"] and said["probability"] == worst["probability"]
    assert "the most suspicious of 2" in said["why"]
    assert said["faces"][0]["log_odds"] != said["faces"][1]["log_odds"]


def test_no_face_and_a_brief_one_get_no_verdict(detector, clips):
    said = check(detector(clips / "none.mp4"))
    assert said["verdict"] == "no_face" and said["probability"] is None and said["faces"] == []
    assert "6 frame(s)" in said["why"]
    said = check(detector(clips / "brief.mp4"))
    assert said["verdict"] == "inconclusive" and said["probability"] is None
    assert "a verdict needs 4" in said["why"]
    assert said["faces"][0]["probability"] > 0.9  # it is told all the same


def test_an_image(detector, clips):
    found = detector(clips / "photo.png")
    said = check(found)
    assert said["verdict"] == "forged" and said["media"]["kind"] == "image"
    assert [flag["code"] for flag in said["flags"]] == ["still"]
    path = found.overlay(clips / "out" / "photo.overlay.png")
    drawn = cv2.imread(str(path))
    assert drawn.shape[0] > 400 and drawn.shape[1] > 600


def test_faces_below_the_least_size_are_told_and_not_judged(study, clips):
    p, paths = study
    found = Detector(p, paths=paths, row="meso4", min_face=400)(clips / "one.mp4")
    said = check(found)
    assert said["verdict"] == "inconclusive" and "too small to be judged" in said["why"]
    assert said["faces"][0]["probability"] is None and found.seen == []
    with pytest.raises(ValueError, match="nothing to show"):
        found.overlay("x.png")


def test_files_that_cannot_be_judged_are_reported_not_raised(detector, tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "letter.mov").write_text("dear all")
    for name, why in (("empty.mp4", "0 bytes"), ("letter.mov", "neither"), ("no.mp4", "no such")):
        said = check(detector(tmp_path / name))
        assert said["verdict"] == "error" and why in said["why"]
        assert said["media"] is None and said["faces"] == []


def test_a_score_does_not_depend_on_what_came_with_it(detector, portraits):
    crops = np.stack([cv2.resize(p, (64, 64), interpolation=cv2.INTER_AREA) for p in portraits])
    crops = np.concatenate([crops, 255 - crops, crops[:, ::-1]])
    odds, maps = in_batches(detector.backend, crops, 4)
    assert odds.shape == (9,) and maps.shape == (9, 4, 4) and np.ptp(odds) > 0.01
    for batch in (1, 2, 9, 16):
        again, same = in_batches(detector.backend, crops, batch)
        assert again == pytest.approx(odds, abs=1e-4)
        assert same == pytest.approx(maps, abs=1e-5)
    assert in_batches(detector.backend, crops[5:6], 4)[0] == pytest.approx(odds[5:6], abs=1e-4)


def test_a_run_without_calibration_says_so(study, clips):
    p, paths = study
    found = Detector(p, paths=paths, row="meso4", seed=2)(clips / "one.mp4")
    said = check(found)
    assert said["verdict"] == "inconclusive" and "no calibration" in said["why"]
    assert not said["model"]["calibrated"] and found.maps is None
    found.overlay(clips / "out" / "flat.overlay.mp4")  # no map to draw: it is said


def test_files_that_are_written(detector, clips, tmp_path):
    found = detector(clips / "two.mp4")
    written = found.write(tmp_path, "sub/two.mp4")
    assert {k: p.name for k, p in written.items()} == {
        "csv": "two.mp4.csv", "json": "two.mp4.json", "overlay": "two.mp4.overlay.mp4",
    }  # fmt: skip
    assert sorted(p.name for p in (tmp_path / "sub").iterdir()) == sorted(
        p.name for p in written.values()
    )
    jsonschema.validate(json.loads(written["json"].read_text()), SCHEMA)
    with written["csv"].open(newline="") as f:
        rows = list(csv.DictReader(f))
    assert tuple(rows[0]) == report.CSV_COLUMNS
    assert len(rows) == 12 and {r["face"] for r in rows} == {"0", "1"}
    assert all(0 <= float(r["probability"]) <= 1 for r in rows)
    with av.open(str(written["overlay"])) as container:
        stream = container.streams.video[0]
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(stream)]
        assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
    assert len(frames) == 6
    # the clip is on it, and beside it the map and the chart
    picture = cv2.resize(frames[0][64:, 12:], None, fx=0.5, fy=0.5)
    assert picture.std() > 30


def test_faces_are_searched_as_those_of_the_run_were(study, portraits, tmp_path):
    """At the size that its faces were found at, whatever params.yaml says today."""
    p, paths = study
    video = tmp_path / "a.mp4"
    frames = [np.pad(f, ((90, 90), (90, 90), (0, 0))) for f in moving(portraits[0], 8, 220, 220)]
    write_video(video, frames, 25.0, crf=20, preset="ultrafast")
    faces = p.faces.model_copy(update={"frames": 6})
    result = ClipResult(Clip(REAL, "000", "000", "", "train"))
    expected = crops.rows(dict.fromkeys(("c23", "c40"), video), faces, result)
    boxes = [row["box"] for row in expected]
    today = p.model_copy(update={"faces": p.faces.model_copy(update={"detect_size": 480})})
    squares = {
        size: [list(s.square) for s in detector(video).seen]
        for size in (None, 320)
        for detector in [Detector(today, paths=paths, row="meso4", detect_size=size)]
    }
    assert len(boxes) == 6 and squares[None] == boxes
    assert squares[320] != boxes


def test_settings_that_make_no_sense_are_refused(study):
    p, paths = study
    with pytest.raises(ValueError, match="frames"):
        Detector(p, paths=paths, frames=-1)
    with pytest.raises(ValueError, match="frame_count"):
        Detector(p, paths=paths, frame_count=3)


def test_work_ahead_gives_every_item_and_raises_where_it_should():
    assert list(ahead(iter(range(50)), 3)) == list(range(50))

    def breaks():
        yield 1
        raise OSError("the disk is gone")

    got = ahead(breaks(), 3)
    assert next(got) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(got)
    before = threading.active_count()
    endless = ahead(iter(int, 1), 3)
    next(endless)
    endless.close()  # whoever stops early leaves no thread behind
    assert threading.active_count() <= before
    assert list(batches(range(5), 2)) == [[0, 1], [2, 3], [4]]


def test_importing_the_package_loads_nothing():
    code = (
        "import acfd, sys; heavy = {'torch', 'cv2', 'av', 'openvino', 'pandas', 'numpy'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules); "
        "from acfd import Detector; assert 'torch' not in sys.modules; print(Detector.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=TOP
    )
    assert done.stdout.strip() == "Detector", done.stderr


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


def test_exit_codes(command, clips, tmp_path):
    (tmp_path / "empty.mp4").touch()
    one, none, empty = clips / "one.mp4", clips / "none.mp4", tmp_path / "empty.mp4"
    assert command("--json", one, seed="1")[0] == 0  # nothing forged
    assert command("--json", none)[0] == 0
    assert command("--json", none, one)[0] == 1
    code, out, _ = command("--json", one, empty)
    assert code == 2 and len(out.splitlines()) == 2  # the others are judged all the same
    for arguments in ([tmp_path / "nowhere.mp4"], [], [tmp_path / "x", "--frames", "-1"]):
        assert command("--json", *arguments)[0] == 2
    code, _, err = command("--json", one, "--seed", "7")
    assert code == 2 and "no trained run" in err and "meso4-s0, meso4-s1, meso4-s2" in err
    code, _, err = command("--json", one, "--model", tmp_path)
    assert code == 2 and "acfd export" in err


def test_json_for_pipes_is_a_line_a_file_and_nothing_else(command, clips):
    code, out, _ = command("--json", clips / "two.mp4", clips / "photo.png")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert [Path(line["path"]).name for line in lines] == ["two.mp4", "photo.png"]
    for line in lines:
        jsonschema.validate(line, SCHEMA)
    assert not Path("detections").exists()


def test_a_folder_keeps_its_structure_and_names_in_any_language(command, clips, tmp_path):
    folder = tmp_path / "mine"
    for name in ("Вася/видео 1.mp4", "b/clip.mp4", "写真.png", "notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        source = clips / ("photo.png" if name.endswith("png") else "one.mp4")
        (folder / name).write_bytes(source.read_bytes())
    code, out, _ = command(folder, "--out", tmp_path / "out", "--frames", "2")
    assert code == 1
    written = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")}
    expected = {f"{n}{e}" for n in ("Вася/видео 1.mp4", "b/clip.mp4", "写真.png")
                for e in (".json", ".csv")}  # fmt: skip
    expected |= {"Вася/видео 1.mp4.overlay.mp4", "b/clip.mp4.overlay.mp4", "写真.png.overlay.png"}
    assert written == expected
    assert "写真.png" in out and "forged" in out
    # a second call passes its own overlays over, and two files of one name both get results
    code, *_ = command(clips / "one.mp4", folder / "b" / "clip.mp4", "--out", tmp_path / "flat")
    assert len(list((tmp_path / "flat").glob("*.json"))) == 2


def test_files_of_one_name_do_not_overwrite_each_other(command, clips, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "clip.mp4").write_bytes((clips / "none.mp4").read_bytes())
    paths = [tmp_path / n / "clip.mp4" for n in "ab"]
    command(*paths, "--out", tmp_path / "out", "--no-overlay")
    found = {json.loads(p.read_text())["path"] for p in (tmp_path / "out").glob("*.json")}
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
    for arguments in (["--json", folder], ["--json", folder, "-o", tmp_path / "o"], [folder]):
        code, out, err = command("--frames", "4", *arguments)
        assert code == (1 if "-o" not in arguments and "--json" in arguments else 2), err
        said = [line for line in out.splitlines() if not line.startswith(" ")]
        for name, line in zip(("changes.ts", "l" * 249, "z.mp4", r"\udcff.mp4"), said, strict=True):
            if "--json" in arguments:
                jsonschema.validate(json.loads(line), SCHEMA)
                assert name in json.loads(line)["path"] and json.loads(line)["verdict"] == "forged"
            else:
                assert name in line and "forged" in line
        assert code == 1 or re.fullmatch(r"acfd detect: .*l\.mp4: not written: .*too long.*\n", err)
    names = {f"{n}{e}" for n in ("changes.ts", os.fsdecode(b"\xff.mp4"), "z.mp4")
             for e in (".csv", ".json", ".overlay.mp4")}  # fmt: skip
    assert {p.name for p in (tmp_path / "o").iterdir()} == names


def test_the_card_says_what_it_was_trained_on(command):
    code, out, _ = command("--card")
    card = json.loads(out)
    assert code == 0
    assert "generated people" in card["trained_on"]["data"]
    assert card["results"]["c40"]["auc"] == 0.7
    assert any("real people" in line for line in card["not_for"])
    text = (TOP / "docs" / "detect.md").read_text()
    assert all(f"`{name}`" in text for name in (*card, *card["trained_on"]))
