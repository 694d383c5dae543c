"""Calibration: temperatures that are known, an error worked out by hand, ranges of real inputs."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import moving
from scipy.special import expit
from trained import changed, study_at, write_about, write_scores

from acfd import videos
from acfd.detector import calibrate
from acfd.detector.calibrate import best_temperature, expected_error, losses
from acfd.detector.files import DeployError
from acfd.detector.media import look
from acfd.media.video import write_video
from acfd.results.metrics import MetricError

ROW = "cls_c40"


def even(n: int) -> np.ndarray:
    return np.full(n, 1 / n)


def drawn(n: int, temperature: float, seed: int = 0):
    """Labels and log-odds that are `temperature` times too large."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 2, n)
    label = (rng.random(n) < expit(logit)).astype(int)
    return label, logit * temperature


def test_finds_the_temperature_that_spoilt_the_scores_and_no_other_is_better():
    for temperature in (0.5, 3.0):
        label, logit = drawn(20000, temperature)
        assert best_temperature(label, logit, even(20000)) == pytest.approx(temperature, rel=0.05)
    label, logit = drawn(500, 2.0, seed=4)
    best = best_temperature(label, logit, even(500))
    least = losses(label, logit / best).mean()
    assert all(least <= losses(label, logit / t).mean() for t in np.geomspace(0.1, 50, 60))
    label, logit = drawn(2000, 1.0)  # scores that say the opposite become even odds
    hot = best_temperature(1 - label, logit, even(2000))
    assert hot > 50
    assert np.abs(expit(logit / hot) - 0.5).max() < 0.05


def test_log_loss_and_expected_error_by_hand():
    label, logit = np.array([1, 0]), np.log([3.0, 3.0])  # p(forged) = 0.75 for both
    assert losses(label, logit) == pytest.approx(-np.log([0.75, 0.25]))
    assert losses(1, -800.0) == pytest.approx(800)
    # bin 0.2 ... 0.3: said 0.25, found 0.5, half of the weight; bin 0.9 ... 1: said 0.95, found 1
    label = np.array([0, 1, 1, 1])
    said = np.array([0.25, 0.25, 0.95, 0.95])
    assert expected_error(label, said, even(4)) == pytest.approx(0.5 * 0.25 + 0.5 * 0.05)
    weight = np.array([0.1, 0.1, 0.4, 0.4])
    assert expected_error(label, said, weight) == pytest.approx(0.2 * 0.25 + 0.8 * 0.05)
    assert expected_error(np.ones(2), np.ones(2), even(2)) == 0  # the last bin has its end


def scores(**changes) -> pd.DataFrame:
    """Two videos of two frames at one compression, one real and one forged."""
    columns = {
        "split": "val",
        "method": ["original", "original", "Deepfakes", "Deepfakes"],
        "video": ["0", "0", "0_1", "0_1"],
        "target": "0",
        "source": ["", "", "1", "1"],
        "frame": [0, 1, 0, 1],
        "label": [0, 0, 1, 1],
        "compression": "c40",
        "score": [0.5, 0.2, 0.8, 1.0],
    }
    return pd.DataFrame(columns | changes)


def test_samples_have_finite_log_odds_and_balanced_weights():
    found = calibrate.samples(scores())
    assert found["logit"].iloc[:3].tolist() == pytest.approx([0, np.log(0.25), np.log(4)])
    assert 10 < found["logit"].iloc[3] < 20
    assert found["weight"].tolist() == [0.25] * 4
    lopsided = calibrate.samples(pd.concat([scores()] + [scores(split="val").iloc[2:]] * 3))
    by_label = lopsided.groupby("label")["weight"].sum()
    assert by_label.tolist() == pytest.approx([0.5, 0.5])
    with pytest.raises(MetricError, match="found 2 real and 0 forged"):
        calibrate.samples(scores().iloc[:2])
    videos = calibrate.by_video(calibrate.samples(scores()))
    assert videos.loc[videos["label"] == 0, "logit"].item() == pytest.approx(np.log(0.25) / 2)
    both = pd.concat([scores(), scores(compression="c23")])
    assert len(videos) == 2 and len(calibrate.by_video(calibrate.samples(both))) == 4


def test_scatter_is_within_videos_and_of_single_images_between_them():
    found = calibrate.temperatures(calibrate.samples(scores()))
    odds = calibrate.samples(scores())["logit"].to_numpy()
    within = [(odds[0] - odds[1]) ** 2 / 2, (odds[2] - odds[3]) ** 2 / 2]
    assert found["scatter"] == pytest.approx(np.sqrt(np.mean(within)))
    images = scores(video=["0", "1", "0_1", "1_0"])
    assert calibrate.temperatures(calibrate.samples(images))["scatter"] > 0


def people(temperature: float, n: int = 24, seed: int = 1) -> pd.DataFrame:
    """`samples` of n pairs of people, 20 each, whose log-odds are too large by `temperature`."""
    label, logit = drawn(20 * n, temperature, seed)
    unit, weight = np.arange(20 * n) // 20, even(20 * n)
    return pd.DataFrame({"label": label, "logit": logit, "weight": weight, "unit": unit})


def test_a_temperature_is_used_only_if_it_helps_on_other_people():
    found = calibrate.fit(people(3.0))
    assert found["calibrated"] and found["temperature"] == pytest.approx(3, rel=0.2)
    assert found["log_loss"] < found["log_loss_before"] and found["ece"] < found["ece_before"]
    # one that does not help there is left out
    right = calibrate.fit(people(1.0))
    lone = calibrate.fit(people(3.0, n=1))  # nobody else to try it on
    for found in (right, lone):
        assert not found["calibrated"] and found["temperature"] == 1
        assert found["low"] <= 1 <= found["high"]
        assert found["log_loss"] >= found["log_loss_before"] - 0.005


def test_every_temperature_is_of_other_people():
    of = people(1.0, n=2)
    of.loc[of["unit"] == 1, "logit"] *= 9
    first, second = (calibrate.held_out(of)[of["unit"] == n] for n in (0, 1))
    for n, found in ((1, first), (0, second)):
        rest = of[of["unit"] == n]
        expected = best_temperature(*(rest[c].to_numpy() for c in ("label", "logit", "weight")))
        assert found == pytest.approx(expected)


@pytest.fixture(scope="module")
def study(small_params, toy_faces, make_tree, tmp_path_factory):
    """(params, paths) of a scored run whose log-odds are three times too large."""
    paths = study_at(tmp_path_factory.mktemp("study"), toy_faces.folder)
    make_tree(paths.videos, frames=2)
    p = changed(small_params, detect={"row": ROW}, data={"root": str(paths.videos)})
    write_about(p, paths, ROW)
    write_scores(toy_faces, paths, ROW, temperature=3.0)
    return p, paths


def test_the_stage_writes_what_detect_reads(study):
    p, paths = study
    found = calibrate.write(p, paths)
    assert json.loads((paths.metrics / "calibration.json").read_text()) == found
    assert found["run"] == "cls_c40-s0"
    for what, samples in (("frames", 32), ("videos", 16)):
        fit = found[what]
        assert fit["samples"] == samples and fit["units"] == 2
        assert fit["low"] <= fit["temperature"] <= fit["high"]
        assert fit["calibrated"] or fit["temperature"] == 1
    assert set(found["test"]) == {"c23", "c40"}
    assert found["test"]["c40"]["videos"] == 8
    for odds in found["real"].values():  # 8 validation videos, half of them real
        assert len(odds["c40"]) == 4 and odds["c40"] == sorted(odds["c40"])
    assert 0 <= found["test"]["c40"]["verdict_fpr"] <= found["test"]["c40"]["verdict_tpr"]
    assert found["scatter"] > 0
    figure = paths.figures / "calibration" / "reliability.svg"
    before = figure.read_bytes()
    assert calibrate.write(p, paths) == found and figure.read_bytes() == before
    # a calibration of an older training is not used
    old = found | {"key": "f" * 16, "scatter": -1.0}
    (paths.metrics / "calibration.json").write_text(json.dumps(old))
    assert calibrate.of_run(p, paths, ROW, 0)["scatter"] > 0


def test_ranges_are_those_of_training_and_validation_at_both_compressions(study):
    p, paths = study
    found = calibrate.ranges(p, paths)
    assert found["crop_pixels"] == [64, 64]  # every box of the toy faces
    tree = videos.tree(p)
    clips = [c for c in tree.clips(["Deepfakes"]) if c.split != "test"]
    bits = {q: [look(tree.video_path(c, q)).bits_per_pixel for c in clips] for q in ("c23", "c40")}
    assert found["bits_per_pixel"] == [min(bits["c40"]), max(bits["c23"])]
    low, high = found["detail"]
    assert 0 < low < high
    gone = changed(p, data={"root": "nowhere"})
    assert set(calibrate.ranges(gone, paths)) == {"crop_pixels", "detail"}


def test_bits_are_only_those_of_h264_that_was_trained_on(study, portraits, tmp_path):
    p, paths = study
    names = [f"{s}/{kind}/{s}" for s in ("train", "val", "test") for kind in ("real", "fake")]
    files = [tmp_path / quality / f"{name}.mp4" for quality in ("c23", "c40") for name in names]
    frames = moving(portraits[0], 2, 64, 64)
    for n, file in enumerate(files):
        write_video(file, frames, 25.0, crf=20 + n)
    odd = files[6]  # of training, at c40
    write_video(odd, frames, 25.0, crf=5, pix_fmt="yuv420p", codec="libvpx-vp9")
    said = {"source": "folder", "root": str(tmp_path), "methods": ["Forged"]}
    data = type(p.data)(**p.data.model_dump() | said)
    found = calibrate.ranges(p.model_copy(update={"data": data}), paths)["bits_per_pixel"]
    expected = [look(f).bits_per_pixel for f in files if f != odd and f.stem != "test"]
    assert found == [min(expected), max(expected)]
    # c30 is made of the stored files: of what the network saw, no stream is left
    made = type(p.data)(**data.model_dump() | {"low": "c30"})
    found = calibrate.ranges(p.model_copy(update={"data": made}), paths)
    assert set(found) == {"crop_pixels", "detail"}


def test_scores_of_another_training_give_no_calibration(study, toy_faces):
    """As those that git has beside a run that was trained here; its own do, without a stage."""
    p, paths = study
    write_about(p, paths, "ours")
    assert calibrate.of_run(p, paths, "ours", 0) is None  # not yet scored
    scores = write_scores(toy_faces, paths, "ours", temperature=1.0)
    assert calibrate.of_run(p, paths, "ours", 0)["run"] == "ours-s0"
    for attrs in ({"key": "f" * 16}, {}):
        scores.attrs = attrs
        scores.to_parquet(paths.scores("ours", 0))
        with pytest.raises(DeployError) as error:
            calibrate.of_run(p, paths, "ours", 0)
        for said in (paths.scores("ours", 0), paths.run("ours", 0) / "run.json", "acfd score"):
            assert str(said) in str(error.value)


@pytest.mark.parametrize("text", ["{}", "[" * 9999, "\xff"])
def test_a_broken_file_is_named(study, text):
    p, paths = study
    for path in (paths.metrics / "calibration.json", paths.run(ROW, 0) / "run.json"):
        whole = path.read_bytes()
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(DeployError, match=f"{path}: broken"):
            calibrate.of_run(p, paths, ROW, 0)
        path.write_bytes(whole)
