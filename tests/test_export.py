"""Export: the same scores as PyTorch from every file, a folder that needs nothing else, and no
claim that was not checked."""

import hashlib
import json
import shutil
from itertools import count

import cv2
import numpy as np
import onnxruntime
import openvino
import pytest
import torch
from conftest import write_params
from safetensors.torch import load_model
from scipy.special import expit
from torch import nn
from trained import detect_study, write_about, write_run

from acfd import cli
from acfd.detector import export
from acfd.detector.backends import Backend, by_openvino, by_torch
from acfd.detector.core import Detector
from acfd.detector.files import DeployError
from acfd.method.model import Output
from acfd.paths import Paths
from acfd.runs.pairs import prepare
from acfd.runs.run import RunError, load_run, make_system

SIZE = 64


@pytest.fixture(scope="module")
def study(make_params, toy_faces, tmp_path_factory):
    """(params, paths) with runs of a two-branch system and of Meso-4."""
    p, paths = detect_study(make_params, toy_faces.folder, tmp_path_factory.mktemp("study"))
    write_run(p, paths, "meso4")
    return p, paths


@pytest.fixture(scope="module")
def exported(study, tmp_path_factory):
    """A folder as `acfd export` leaves it, of the two-branch system."""
    p, paths = study
    folder = tmp_path_factory.mktemp("export") / "cls_at"
    export.export(p, paths, "cls_at", 0, folder)
    return folder


def test_every_file_gives_the_scores_and_maps_of_the_run_itself(study, exported, portraits):
    """Against the branch as `evaluate` calls it: images prepared by `pairs`, Output.score."""
    p, paths = study
    small = [cv2.resize(p, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for p in portraits]
    crops = np.stack([*small, *(c // 3 for c in small), *(cv2.blur(c, (5, 5)) for c in small)])
    system = make_system(p, "cls_at", 0, weights=None)
    load_model(system.net, paths.run("cls_at", 0) / "model.safetensors")
    system.net.eval()
    item = {"low": torch.from_numpy(crops).permute(0, 3, 1, 2)}
    with torch.inference_mode():
        out = system.deployed(prepare(item, torch.device("cpu"), True)["low"])
    session = onnxruntime.InferenceSession(exported / "model.onnx")  # as a user may deploy it
    for backend in (
        by_openvino(exported),
        Backend("onnx", lambda crops: session.run(None, {"faces": crops})),
    ):
        odds, maps = backend(crops, 4)
        assert np.abs(expit(odds) - out.score.numpy()).max() < export.TOLERANCE
        assert np.abs(maps - out.attention[:, 0].numpy()).max() < export.TOLERANCE
        for batch in (1, 9):  # the number of crops is left open in the files
            assert backend(crops, batch)[0] == pytest.approx(odds, abs=1e-4)


def test_the_folder_says_what_is_in_it(exported):
    said = json.loads((exported / "model.json").read_text())
    assert {p.name for p in exported.iterdir()} == {*said["files"], "model.json"}
    for name, sha256 in said["files"].items():
        assert hashlib.sha256((exported / name).read_bytes()).hexdigest() == sha256
    assert said["difference"] <= export.TOLERANCE and said["input"]["size"] == SIZE
    assert said["calibration"]["videos"]["temperature"] == 1.0
    assert said["card"]["trained_on"]["compression"] == ["c40"]  # of the branch that is used


def test_an_export_is_all_that_detection_needs(exported, portraits, tmp_path, monkeypatch):
    cv2.imwrite(str(tmp_path / "face.png"), cv2.cvtColor(portraits[0], cv2.COLOR_RGB2BGR))
    monkeypatch.chdir(tmp_path)  # no params.yaml, no study
    detector = Detector(model=exported)
    assert detector.backend.name == "openvino"
    found = detector("face.png")
    assert found.report.verdict != "error" and found.report.probability is not None


def test_without_settings_detect_starts_at_once_and_is_faster_from_then_on(study, monkeypatch):
    p, paths = study
    calls, about = [], export.about
    monkeypatch.setattr(export, "about", lambda *of: calls.append(of) or about(*of))
    detector = Detector(p, paths=paths, row="meso4")
    assert detector.backend.name == "torch"  # at once
    assert len(calls) == 1  # a calibration may have to be computed for it
    detector.make_ready()
    for ready in (detector, Detector(p, paths=paths, row="meso4")):
        assert ready.backend.name == ready.model.backend == "openvino"
    folder = export.cached(p, paths, detector.about)
    made = (folder / "model.json").stat().st_mtime_ns
    assert export.cached(p, paths, detector.about) == folder
    assert (folder / "model.json").stat().st_mtime_ns == made  # once for each state of a run
    said = json.loads((paths.run("meso4", 0) / "run.json").read_text())
    (paths.run("meso4", 0) / "run.json").write_text(json.dumps(said | {"key": "f" * 16}))
    new = export.cached(p, paths, about(p, paths, "meso4", 0))
    assert new != folder and not folder.exists()


def test_a_run_without_its_weights_names_them_and_what_makes_them(study, tmp_path):
    p, paths = study
    alone = Paths(paths.preset, tmp_path)
    shutil.copytree(paths.run("cls_at", 0), alone.run("cls_at", 0))
    (alone.run("cls_at", 0) / "model.safetensors").unlink()
    said = r"cls_at-s0/model.safetensors: .*train it again: `acfd train --row cls_at --seed 0`"
    with pytest.raises(DeployError, match=said):
        export.about(p, alone, "cls_at", 0)
    with pytest.raises(RunError, match=said):
        load_run(alone.run("cls_at", 0), p)


def test_a_file_of_another_export_is_refused(exported, tmp_path):
    shutil.copytree(exported, tmp_path / "mixed")
    weights = tmp_path / "mixed" / "model.bin"
    data = bytearray(weights.read_bytes())
    data[1000] ^= 1
    weights.write_bytes(data)
    with pytest.raises(DeployError, match=r"model\.bin: sha256 is .*, model\.json says"):
        Detector(model=tmp_path / "mixed")
    weights.unlink()
    with pytest.raises(DeployError, match=r"model\.bin: sha256 is that of no file"):
        Detector(model=tmp_path / "mixed")


def test_an_export_that_is_killed_leaves_no_description_of_the_one_before(
    study, exported, tmp_path, monkeypatch
):
    p, paths = study
    folder = tmp_path / "out"
    shutil.copytree(exported, folder)

    def killed(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.onnx, "export", lambda _, f, **__: f.write_bytes(b"new weights"))
    monkeypatch.setattr(openvino, "convert_model", killed)
    with pytest.raises(KeyboardInterrupt):
        export.export(p, paths, "meso4", 0, folder)
    assert (folder / "model.onnx").read_bytes() == b"new weights"
    with pytest.raises(DeployError, match=r"model\.json: no such file"):
        Detector(model=folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: [s],
        *(lambda s, p=p: {k: s[k] for k in s if k != p} for p in ("files", "calibration", "run")),
        *(lambda s, p=p: s | {p: {}} for p in ("files", "input", "run")),
        lambda s: s | {"detect": []},
    ],
)
def test_a_model_json_that_is_broken_or_lacks_a_part_is_named(exported, tmp_path, change):
    shutil.copytree(exported, tmp_path / "model")
    about = tmp_path / "model" / "model.json"
    about.write_text(json.dumps(change(json.loads(about.read_text()))))
    with pytest.raises(DeployError, match=r"model\.json: broken"):
        Detector(model=tmp_path / "model")


class Net(nn.Module):
    """A branch whose log-odds are twice the values (N) of a function."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def forward(self, images):
        values = self.values(images)[:, None]
        return Output(torch.cat([-values, values], 1), values, None, None)


ODD = Net(lambda images: torch.linalg.eigvals(images.mean(1)).abs().mean(1))  # not in ONNX
CALLS = count()
WRONG = Net(lambda images: images.mean((1, 2, 3)) + 0.1 * next(CALLS))  # never the same twice


@pytest.mark.parametrize(("net", "why"), [(ODD, "cannot be exported"), (WRONG, "differ from")])
def test_a_file_that_would_not_be_right_is_no_export(study, tmp_path, monkeypatch, net, why):
    p, paths = study
    monkeypatch.setattr(export, "judge_of", lambda *_: export.as_judge(net))
    with pytest.raises(DeployError, match=why):
        export.export(p, paths, "meso4", 0, tmp_path / "out")
    assert not (tmp_path / "out" / "model.json").exists()


def test_a_network_that_cannot_be_written_runs_as_it_was_trained(study, monkeypatch):
    p, paths = study
    monkeypatch.setattr(export, "judge_of", lambda *_: export.as_judge(ODD))
    monkeypatch.setattr(export, "_RECIPE", -1)  # not what is there from before
    detector = Detector(p, paths=paths, row="meso4")
    detector.make_ready()
    assert detector.backend.name == "torch"
    with pytest.raises(DeployError):
        Detector(p, paths=paths, row="meso4", backend="openvino")


@pytest.mark.parametrize("system", ["meso4", "mesoinception4", "rahmouni", "steg"])  # the fast ones
def test_the_other_systems_are_judged_alike(system, study, tmp_path):
    """Every network of Table 1, by whichever backend it gets, has the scores of PyTorch."""
    p, _ = study
    row = next(name for name, r in p.rows.items() if r.system == system)
    paths = Paths(p.preset, tmp_path)
    folder = write_run(p, paths, row)
    crops = np.random.default_rng(0).integers(0, 256, (6, SIZE, SIZE, 3), np.uint8)
    expected, maps = by_torch(export.judge_of(p, folder))(crops, 3)
    detector = Detector(p, paths=paths, row=row)
    detector.make_ready()
    odds, same = detector.backend(crops, 3)
    assert np.abs(expit(odds) - expit(expected)).max() <= export.TOLERANCE
    assert (maps is None) == (same is None)


def test_the_command_writes_an_export(study, monkeypatch, capsys):
    p, paths = study
    write_about(p, paths, "cls_both")  # a folder without weights is no run
    write_params(p, paths.top)
    monkeypatch.chdir(paths.top)
    assert cli.main(["export", "--row", "meso4", "--out", "out"]) == 0
    written = capsys.readouterr().out.split()
    assert {"out/model.onnx", "out/model.xml"} <= set(written)
    assert Detector(model="out").calibration is None  # as that of the run, which was not scored
