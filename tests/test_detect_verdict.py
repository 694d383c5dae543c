"""From log-odds to what is said: worked out by hand, and never more than is known."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from acfd.detector import verdict
from acfd.detector.faces import Seen
from acfd.detector.media import Media
from acfd.detector.report import Flag, ModelReport
from acfd.sections import Detect

REAL = {of: {"c23": [-3.5, -3.0]} for of in ("frames", "videos")}
FIXED = {"calibrated": True, "temperature": 1.0, "low": 1.0, "high": 1.0}


@pytest.fixture(scope="module")
def p(make_params) -> Detect:
    return make_params(detect={"min_frames": 4, "certainty": 0.7, "confidence": 0.95}).detect


def calibration(scatter=0.5, **fits):
    said = {"frames": FIXED, "videos": FIXED, "scatter": scatter, "ranges": {}, "real": REAL}
    return said | fits


def clip(**changes) -> Media:
    said = {
        "path": Path("a.mp4"), "kind": "video", "width": 320, "height": 240, "codec": "h264",
        "frames": 10, "duration": 0.4, "bits_per_pixel": 0.1,
    }  # fmt: skip
    return Media(**(said | changes))


def test_four_frames_by_hand(p):
    logits = np.array([1.0, 2.0, 3.0, 2.0])
    found = verdict.judge(logits, calibration(scatter=0.5), p)
    # four frames of the scatter of validation beside these four: (4 * 0.25 + 2) / (4 + 4 - 1)
    error = np.sqrt(3 / 7) / 2
    reach = norm.ppf(0.975) * error
    assert found["log_odds"] == 2 and found["probability"] == pytest.approx(expit(2.0))
    assert found["interval"] == pytest.approx((expit(2 - reach), expit(2 + reach)))
    # one frame scatters as those of validation do
    found = verdict.judge(np.array([0.4]), calibration(scatter=0.8), p)
    reach = norm.ppf(0.975) * 0.8
    assert found["interval"] == pytest.approx((expit(0.4 - reach), expit(0.4 + reach)))


def test_the_temperature_and_its_interval_count(p):
    hot = FIXED | {"temperature": 2.0, "high": 4.0}
    found = verdict.judge(np.full(8, 3.0), calibration(scatter=0.0, videos=hot), p)
    assert found["probability"] == pytest.approx(expit(1.5))
    assert found["interval"] == pytest.approx((expit(0.75), expit(3.0)))
    # few frames have the temperature of frames
    for n, said in ((3, expit(3.0)), (4, expit(1.5))):
        found = verdict.judge(np.full(n, 3.0), calibration(videos=hot), p)
        assert found["probability"] == pytest.approx(said)


def test_more_frames_narrow_the_interval_and_frames_that_repeat_do_not(p):
    rng = np.random.default_rng(1)
    few, many = rng.normal(1, 1, 8), rng.normal(1, 1, 200)

    def width(logits):
        low, high = verdict.judge(logits, calibration(), p)["interval"]
        return high - low

    assert width(many) < 0.5 * width(few)
    slow = np.repeat(rng.normal(1, 1, 20), 10)
    assert width(slow) > 2 * width(rng.permutation(slow))


def decide(p, logits, flags=(), media=None, known=None, **fits):
    known = known or calibration(scatter=0.1, **fits)
    found = verdict.decide(np.asarray(logits, float), list(flags), media or clip(), known, p)
    return found["verdict"], found["why"]


def test_verdicts(p):
    assert decide(p, np.full(8, 2.0))[0] == "forged"
    assert decide(p, np.full(8, -2.0))[0] == "no_forgery_found"
    assert decide(p, [4.0], media=clip(kind="image"))[0] == "forged"  # not too few frames
    own = FIXED | {"calibrated": False}
    said, reason = decide(p, np.full(8, 2.0), videos=own)
    assert said == "forged" and reason.endswith("uncalibrated")
    assert "uncalibrated" not in decide(p, [4.0], media=clip(kind="image"), videos=own)[1]


def test_when_it_does_not_know_it_says_so(p):
    for logits, why in [
        (np.full(8, 0.5), "too weak for a verdict"),  # 0.62, surely above 0.5
        ([6, -4] * 4, "leaves both open"),
        (np.full(3, 4.0), "only 3 frame"),
    ]:
        said, reason = decide(p, logits)
        assert said == "inconclusive" and why in reason
    said, reason = decide(p, np.full(8, 4.0), known=verdict.UNKNOWN)
    assert said == "inconclusive" and "no calibration" in reason
    flag = Flag(code="small_face", outside=True, text="the face is tiny")
    said, reason = decide(p, np.full(8, 4.0), [flag])
    assert said == "inconclusive" and "the face is tiny" in reason
    note = Flag(code="codec", outside=False, text="another codec")
    assert decide(p, np.full(8, 4.0), [note])[0] == "forged"


def test_what_real_validation_videos_reach_is_not_called_forged(p):
    """The least share that n real videos can show is 1 / (n + 1); the worse compression counts."""
    few, many = [*[-1.0] * 8, 1.0], [*[-1.0] * 196, 1.5, 2.5, 4.0]
    for real, odds, said, share in (
        ({"c23": few}, 2.0, "forged", 0.1),
        ({"c23": few}, 1.0, "inconclusive", 0.2),
        ({"c40": many}, 3.0, "forged", 0.01),
        ({"c40": many}, 2.0, "inconclusive", 0.015),
        ({"c23": few, "c40": many}, 2.0, "inconclusive", 0.1),
    ):
        known = calibration(scatter=0.1, real={"videos": real})
        found = verdict.decide(np.full(8, odds), [], clip(), known, p)
        assert (found["verdict"], found["real_as_high"]) == (said, pytest.approx(share))
    assert decide(p, np.full(8, -2.0))[0] == "no_forgery_found"


def frames(lost=0, why="", **changes):
    return SimpleNamespace(media=clip(**changes), chosen=range(8), lost=lost, why=why)


def report_of(p, *faces):
    """The report of a file with these faces, whose log-odds are given, 8 frames each."""
    seen, odds = [], []
    for n in range(8):
        for face, logits in enumerate(faces):
            square = np.array([0.0, 0, 99, 99])
            seen.append(Seen(n, n / 25, face, square, (0, 0, 99, 99), 0.9, 5.0, None))
            odds.append(logits[n])
    judge = ModelReport(
        run="a-s0", preset="a", title="a", system="a", folder="a", weights_sha256="",
        backend="torch", calibrated=True, temperature=1.0, trained_on="a",
    )  # fmt: skip
    return verdict.of_file(frames(), seen, np.array(odds), calibration(scatter=0.1), p, judge)


def test_a_face_that_may_be_forged_goes_before_one_without_a_finding(p):
    clean, open_ = np.full(8, -1.1), np.array([6, -9] * 4) + 0.1  # probabilities 0.25 and 0.20
    found = report_of(p, clean, open_)
    assert [f.verdict for f in found.faces] == ["no_forgery_found", "inconclusive"]
    assert found.faces[0].probability > found.faces[1].probability
    assert (found.verdict, found.decided_by) == ("inconclusive", 1)
    assert found.probability == found.faces[1].probability
    assert "face 1, the least clear of 2" in found.why
    forged = report_of(p, clean, open_, np.full(8, 1.0))
    assert (forged.verdict, forged.decided_by) == ("forged", 2)
    two = report_of(p, clean, np.full(8, -3.0))
    assert (two.verdict, two.decided_by) == ("no_forgery_found", 0)
    assert "face 0, the most suspicious of 2" in two.why


def codes(flags):
    return {flag.code: flag.outside for flag in flags}


def test_flags_of_a_file():
    ranges = {"bits_per_pixel": [0.02, 0.3]}
    assert codes(verdict.media_flags(frames(), ranges)) == {}
    for changes, expected in [
        ({"bits_per_pixel": 0.01}, {"compression": True}),
        ({"bits_per_pixel": 0.9}, {"light_compression": False}),
        ({"codec": "vp9", "bits_per_pixel": 0.001}, {"codec": False}),
        ({"hdr": True}, {"hdr": True}),
        ({"damage": "cut"}, {"damaged": False}),
        ({"kind": "image", "codec": "png", "bits_per_pixel": 9}, {"still": False}),
    ]:
        assert codes(verdict.media_flags(frames(**changes), ranges)) == expected
    (flag,) = verdict.media_flags(frames(lost=3, why="damaged: bad"), {})
    assert "3 chosen frame(s) could not be read" in flag.text and "bad" in flag.text


def test_flags_of_a_face():
    for what, value, expected in [
        ("crop_pixels", 100, {}),
        ("crop_pixels", 40, {"small_face": True}),
        ("crop_pixels", 400, {"large_face": False}),
        ("detail", 1, {"smooth": True}),
        ("detail", 40, {"sharp": True}),
    ]:
        ranges = {"crop_pixels": [50, 300], "detail": [3, 20]}
        assert codes(verdict.beyond(what, value, ranges)) == expected
        assert verdict.beyond(what, value, {}) == []
