"""A released run: the answers of the run from half the bytes, replaced by better ones alone."""

import json

import cv2
import numpy as np
import pytest
from scipy.special import expit
from trained import detect_study, write_run, write_scores

from acfd import cli
from acfd.detector import core, release
from acfd.detector.core import Detector
from acfd.detector.files import DeployError
from acfd.faces.shards import PairTable
from acfd.runs.run import load_run

SIZE = 64


@pytest.fixture(scope="module")
def study(make_params, toy_faces, tmp_path_factory):
    """(params, paths) with a scored run."""
    p, paths = detect_study(make_params, toy_faces.folder, tmp_path_factory.mktemp("study"))
    write_scores(PairTable(paths.faces), paths, "cls_at", 1.0)
    return p, paths


@pytest.fixture(scope="module")
def picture(portraits, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "portrait.png"
    assert cv2.imwrite(str(path), portraits[0][..., ::-1])
    return path


@pytest.fixture
def released(study, tmp_path):
    release.write(*study, "cls_at", 0, tmp_path / "detector")
    return tmp_path / "detector"


def test_it_answers_as_the_run_does_from_half_the_bytes(study, released, picture):
    sizes = [
        f.stat().st_size for f in (study[1].run("cls_at", 0), released) for f in f.glob("*.s*")
    ]
    assert sizes[1] < 0.51 * sizes[0]
    run, small = (
        Detector(study[0], paths=study[1], backend="torch")(picture),
        Detector(model=released, backend="torch")(picture),
    )
    assert run.report.verdict == small.report.verdict != "error"
    assert np.abs(expit(run.log_odds) - expit(small.log_odds)).max() < release.TOLERANCE
    assert small.report.interval and small.report.model.calibrated


def test_the_card_says_what_these_weights_do_outside_and_nothing_of_others(released):
    weights = json.loads((released / "run.json").read_text())["weights_sha256"]
    found = {"a set": {"weights_sha256": weights, "c23": {"auc": 0.9}}}
    found["of other weights"] = {"weights_sha256": "0" * 64, "c23": {"auc": 1.0}}
    (released / "outside.json").write_text(json.dumps(found))
    card = Detector(model=released, backend="torch").about["card"]
    assert card["outside"] == {"a set": {"c23": {"auc": 0.9}}}


def test_it_is_what_the_command_takes_unless_told_otherwise(
    released, picture, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(core, "RELEASED", released)
    monkeypatch.chdir(tmp_path)  # no params.yaml here
    code = cli.main(["detect", "--json", "--backend", "torch", str(picture)])
    said = json.loads(capsys.readouterr().out)
    assert code in (0, 1) and said["model"]["folder"] == released.as_posix()
    assert cli.main(["detect", "--row", "cls_at", str(picture)]) == 2
    assert "params.yaml: no such file" in capsys.readouterr().err


def test_a_worse_run_does_not_take_its_place_and_a_better_one_does(study, tmp_path):
    """By what both say of the same validation faces, whatever either was validated on before."""
    p, paths = study
    aucs = {}
    for seed in (1, 2):
        write_run(p, paths, "cls_at", seed)
        write_scores(PairTable(paths.faces), paths, "cls_at", 1.0, seed)
        system = load_run(paths.run("cls_at", seed), p)[0]
        aucs[seed] = release.validation_auc(system, p, paths)
    worse, better = sorted(aucs, key=aucs.get)
    assert aucs[worse] < aucs[better]
    for seed in (worse, better):
        assert release.write(p, paths, "cls_at", seed, tmp_path)["seed"] == seed
    weights = (tmp_path / "model.safetensors").read_bytes()
    # that of the one there is told of its weights in float16, which few faces can move
    with pytest.raises(DeployError, match=rf"AUC of .*cls_at-s{worse} {aucs[worse]:.4f}"):
        release.write(p, paths, "cls_at", worse, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == weights


def test_weights_that_are_not_its_own_are_refused(released):
    path = released / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DeployError, match=r"model\.safetensors: sha256 is .* run\.json says"):
        Detector(model=released)


def test_a_run_without_scores_is_not_released(study, make_params, tmp_path):
    p, paths = study
    write_run(p, paths, "cls_both")
    with pytest.raises(DeployError, match=r"cls_both-s0\.parquet: no such file"):
        release.write(p, paths, "cls_both", 0, tmp_path / "detector")
    assert not (tmp_path / "detector").exists()
