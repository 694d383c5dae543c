import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scipy.stats import ttest_1samp
from sklearn import metrics as reference
from trained import people

from acfd.results import metrics as m


def scored(pairs=12, frames=4, seed=0, spread=1.0, gap=1.0, rounded=None):
    """Frames of `pairs` pairs of people; a pair's frames are about equally easy (`spread`)."""
    rng = np.random.default_rng(seed)
    rows = []
    ease = gap + spread * rng.normal(size=pairs)
    for clip in people(pairs):
        for frame in range(frames):
            z = ease[clip["pair"]] * (2 * clip["label"] - 1) + rng.normal()
            counts = dict(zip(m.PIXELS, rng.integers(1, 50, 4) * clip["label"]))
            rows.append(clip | counts | {"frame": frame, "score": 1 / (1 + np.exp(-z))})
    table = pd.DataFrame(rows)
    if rounded is not None:
        table["score"] = table["score"].round(rounded)
    return table.assign(unit=m.identity_units(table))


def measured(samples, val_threshold=None):
    """Every metric of the samples as they are."""
    weights = np.ones((1, samples["unit"].nunique()))
    return {k: v.item() for k, v in m.measure(samples, weights, val_threshold).items()}


def equal_error_rate(label, score):
    """By scikit-learn's ROC curve: where the straight line between its points meets FPR = FNR."""
    fpr, tpr, _ = reference.roc_curve(label, score, drop_intermediate=False)
    return brentq(lambda x: 1 - x - np.interp(x, fpr, tpr), 0, 1)


@pytest.mark.parametrize("rounded", [None, 1])
@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_scikit_learn(seed, rounded):
    s = scored(seed=seed, rounded=rounded)
    label, score, said = s["label"], s["score"], s["score"] >= 0.5
    balanced = reference.balanced_accuracy_score(label, said)
    area = reference.roc_auc_score(label, score)
    found = measured(s)
    assert found["acc"] == pytest.approx(reference.accuracy_score(label, said))
    assert [found["balanced_acc"], found["auc"]] == pytest.approx([balanced, area])
    if rounded is None:  # with ties the ROC's vertical steps make the reference ambiguous
        assert found["eer"] == pytest.approx(equal_error_rate(label, score), abs=1e-9)


def few(label, score, **counts):
    """Samples of one unit, each of a video of its own."""
    s = pd.DataFrame({"label": label, "score": score, "unit": 0, "method": label, "frame": 0})
    return s.assign(video=range(len(s)), **dict.fromkeys(m.PIXELS, 0) | counts)


def test_pixels_are_pooled_over_forged_faces_only():
    counts = {"tp": [3, 1, 0], "fp": [1, 0, 9], "fn": [0, 5, 0], "tn": [6, 4, 0]}
    found = measured(few([1, 1, 0], [0.9, 0.8, 0.1], **counts))
    assert found["pbca"] == 14 / 20 and found["iou"] == 4 / 10
    assert found["pbca_empty"] == 11 / 20


@pytest.mark.parametrize("label", [[], [1, 1]])
def test_a_single_class_is_an_error(label):
    with pytest.raises(m.MetricError, match=f"{len(label)} of {len(label)} samples are forged"):
        m.choose_threshold(few(label, [0.5] * len(label)))


def test_units_are_pairs_of_people():
    s = pd.DataFrame(
        [
            ("original", "000", "000", "", 0),
            ("original", "001", "001", "", 0),
            ("Deepfakes", "000_001", "000", "001", 1),
            ("FaceSwap", "001_000", "001", "000", 1),
            ("original", "002", "002", "", 0),
            ("Deepfakes", "003_002", "003", "002", 1),
            ("original", "009", "009", "", 0),
        ],
        columns=["method", "video", "target", "source", "label"],
    )
    assert m.identity_units(s).tolist() == [0, 0, 0, 0, 1, 1, 2]
    with pytest.raises(m.MetricError, match="Deepfakes 003_002: a fake without source"):
        m.identity_units(s.assign(source=s["source"].where(s["video"] != "003_002", "")))


def test_a_resample_equals_the_samples_written_out():
    s = scored(pairs=6, frames=3, rounded=2)
    weights = m.resample(6, 5, seed=3)
    got = m.measure(s, weights, val_threshold=0.4)
    assert all(len(values) == 6 for values in got.values())
    for r, drawn in enumerate(weights.astype(int)):
        parts = [s[s["unit"] == u].assign(copy=k) for u in range(6) for k in range(drawn[u])]
        out = pd.concat(parts)
        out["video"] += "/" + out["copy"].astype(str)  # drawn twice, they are two videos
        expected = measured(out.assign(unit=0), 0.4)
        assert {k: values[r] for k, values in got.items()} == pytest.approx(expected)


def test_resamples_that_lost_a_class_are_counted_and_left_out():
    label, unit = np.array([0, 1, 0, 1]), np.array([0, 1, 2, 1])
    s = few(label, [0.1, 0.9, 0.2, 0.8]).assign(unit=unit)
    got = m.measure(s, np.array([[1.0, 1, 1], [3, 0, 0], [0, 3, 0], [1, 2, 0], [0, 1, 2]]))
    for values in got.values():
        assert np.isnan(values).tolist() == [False, True, True, False, False]
    many = np.concatenate([got["auc"], got["auc"][3:], [1.0]])
    assert m.interval(many, 3).left_out == 2
    with pytest.raises(m.MetricError, match="2 of 4 resamples of 3 units have lost a class"):
        m.interval(got["auc"], 3)


def test_threshold_from_validation():
    val = pd.DataFrame({"label": [0, 0, 0, 1, 1], "score": [0.6, 0.7, 0.8, 0.9, 0.95]})
    assert m.choose_threshold(val) == pytest.approx(0.85)
    for seed in range(3):
        s = scored(seed=seed, rounded=2)
        real, forged = (s.loc[s["label"] == label, "score"].to_numpy() for label in (0, 1))
        tried = [*np.linspace(0, 1, 501), m.choose_threshold(s)]
        *rest, chosen = ((real < t).mean() + (forged >= t).mean() for t in tried)
        assert chosen == pytest.approx(max(rest))
    assert m.choose_threshold(val.assign(score=0.3)) == 0.5  # nothing to choose by
    separated = pd.DataFrame({"label": [0, 1, 1], "score": [0.2, 0.9, 0.95]})
    assert m.choose_threshold(separated) == 0.5  # as good as any between, and nearest


@pytest.mark.parametrize(("spread_people", "spread_seeds"), [(0.2, 0.5), (0.8, 0.2)])
@pytest.mark.parametrize("paired", [False, True])
def test_coverage_over_people_and_seeds(spread_people, spread_seeds, paired):
    """Nominal 95 percent, whichever varies more, of a level and of a paired difference."""
    rng, trials = np.random.default_rng(5), 1500
    spread_own = 0.3  # a unit may be harder for one of two rows
    everyone = rng.normal(0, spread_people, (trials, 24))

    def row(people, gap):
        own = people + rng.normal(0, spread_own, people.shape)
        ease = 0.4 - gap + own[:, None] + rng.normal(0, spread_seeds, (trials, 3, 1))
        spread = np.linalg.norm([spread_people, spread_own, spread_seeds])
        of_all = 0.4 - gap + rng.normal(size=200_000) * spread
        hits = rng.binomial(20, 1 / (1 + np.exp(-ease))) / 20
        return hits, (1 / (1 + np.exp(-of_all))).mean()

    shares, truth = row(everyone, 0.0)
    if paired:
        other, its = row(everyone, 0.3)
        shares, truth = shares - other, truth - its
    weights = m.resample(24, 200)
    found = [m.interval(study @ weights.T / 24, 24, bounds=(-1, 1)) for study in shares]
    hit = np.mean([f.low <= truth <= f.high for f in found])
    assert 0.93 <= hit <= 0.985
    # p says of zero what the interval says of it
    assert all((f.p < 0.05) == (f.low > 0 or f.high < 0) for f in found)
    one = [m.interval(study[:1] @ weights.T / 24, 24, bounds=(-1, 1)) for study in shares]
    assert np.mean([f.low <= truth <= f.high for f in one]) < hit  # of people only


def test_p_of_a_difference_of_one_seed_is_that_of_students_t():
    differences = np.random.default_rng(2).normal(0.4, 1, 12)
    weights = m.resample(12, 100_000)
    found = m.interval(weights @ differences / 12, 12, bounds=(-9, 9))
    test = ttest_1samp(differences, 0)
    assert found.p == pytest.approx(test.pvalue, rel=0.02)
    assert [found.low, found.high] == pytest.approx(list(test.confidence_interval()), rel=0.02)
    half = m.interval(weights @ differences / 12, 12, confidence=0.5, bounds=(-9, 9))
    assert [half.low, half.high] == pytest.approx(list(test.confidence_interval(0.5)), rel=0.02)
    assert m.interval(np.zeros(9), 4).p == 1 and m.interval(np.ones(9), 4).p == 0
    with pytest.raises(m.MetricError, match="at least 2"):
        m.resample(1, 10)


def test_holm():
    p = np.array([0.01, np.nan, 0.04, 0.03, 0.005])  # the example of R's p.adjust
    assert m.holm(p) == pytest.approx([0.03, np.nan, 0.06, 0.06, 0.02], nan_ok=True)
    assert m.holm([0.9, 0.8]).tolist() == [1, 1]
