"""Curves and areas: numbers by hand, pairs, and what is said of files that do not fit."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from trained import people, write_history

from acfd.media.degrade import FAMILIES
from acfd.paths import Paths
from acfd.results import curves
from acfd.results.table import TableError

ROWS = ["xception", "ours_one"]
LEVELS = {f: [] for f in FAMILIES} | {"jpeg": [90, 50], "blur": [1.0]}
STEPS = [("none", 0.0), ("jpeg", 90.0), ("jpeg", 50.0), ("blur", 1.0)]
GAPS = {"xception": (2.0, 1.0, 0.0, 0.5), "ours_one": (2.0, 1.5, 1.0, 0.5)}  # a step each


@pytest.fixture
def params(make_params):
    r = {"rows": ROWS, "reference": "ours_one", "levels": LEVELS, "bootstrap": 300}
    return make_params(robustness=r, study={"seeds": [0, 1, 2]})


def scores(row: str, seed: int, pairs: int = 8) -> pd.DataFrame:
    made = []
    for (family, level), gap in zip(STEPS, GAPS[row]):
        rng = np.random.default_rng([seed, 7])  # the same people at every step and in both rows
        for clip in people(pairs):
            z = gap * (2 * clip["label"] - 1) + rng.normal()
            said = clip | {"split": "test", "frame": 3, "made_of": "raw"}
            said |= {"family": family, "level": level, "score": 1 / (1 + np.exp(-z))}
            made.append({"row": row, "seed": seed} | said)
    return pd.DataFrame(made)


@pytest.fixture
def paths(tmp_path) -> Paths:
    found = Paths("pocket", tmp_path)
    found.robustness("ours_one", 0).parent.mkdir(parents=True)
    for row in ROWS:
        for seed in (0, 1, 2):
            scores(row, seed).to_parquet(found.robustness(row, seed))
            write_history(found, row, seed)
    return found


def made(params, paths):
    loaded = curves.load(params, paths)
    draws, found = curves.resampled(params, loaded)
    tables = [f(params, loaded, draws, found) for f in (curves.curves, curves.areas)]
    return loaded, *tables


def test_curves_hold_every_level_in_order_and_its_auc(params, paths):
    loaded, table, _ = made(params, paths)
    assert len(table) == 2 * (3 + 2)
    jpeg = table[(table["row"] == "xception") & (table["family"] == "jpeg")]
    assert jpeg["position"].tolist() == [0, 1, 2]
    assert np.isnan(jpeg["level"].iloc[0]) and jpeg["level"].tolist()[1:] == [90.0, 50.0]
    for (family, level), line in zip(STEPS[:3], jpeg.itertuples()):
        of = loaded[(loaded["row"] == "xception") & (loaded["family"] == family)]
        of = of[of["level"] == level]
        seeds = [s for _, s in of.groupby("seed")]
        expected = [roc_auc_score(s["label"], s["score"]) for s in seeds]
        assert line.auc == pytest.approx(np.mean(expected))
        assert line.auc_lo <= line.auc <= line.auc_hi
        expected = [balanced_accuracy_score(s["label"], s["score"] >= 0.5) for s in seeds]
        assert line.balanced_acc == pytest.approx(np.mean(expected))
    assert (table[["units", "frames"]] == [8, 32]).all(axis=None)
    assert table["seeds"].eq("0 1 2").all()
    assert curves.title(params, "xray_c23").endswith(curves.AFRESH)  # saw degraded pictures
    assert set(table["title"]) == {params.rows[row].title for row in ROWS}


def test_areas_are_trapezoids_and_families_count_alike(params, paths):
    _, table, areas = made(params, paths)
    lines = areas.set_index(["row", "family"])
    for row in ROWS:
        value = table[table["row"] == row].set_index(["family", "position"])["auc"]
        jpeg = (value["jpeg", 0] / 2 + value["jpeg", 1] + value["jpeg", 2] / 2) / 2
        blur = (value["blur", 0] + value["blur", 1]) / 2
        assert lines.loc[(row, "jpeg"), "auc"] == pytest.approx(jpeg)
        assert lines.loc[(row, "blur"), "auc"] == pytest.approx(blur)
        assert lines.loc[(row, "all"), "auc"] == pytest.approx((jpeg + blur) / 2)


def test_differences_are_paired(params, paths):
    """Rows that agree on a family differ by nothing there, in every resample."""
    _, _, areas = made(params, paths)
    lines = areas.set_index(["row", "family"])
    blur = lines.loc[("xception", "blur"), ["diff_auc", "diff_auc_lo", "diff_auc_hi"]]
    assert (blur == 0).all()
    jpeg = lines.loc[("xception", "jpeg")]
    gap = jpeg["auc"] - lines.loc[("ours_one", "jpeg"), "auc"]
    assert jpeg["diff_auc"] == pytest.approx(gap) and gap < -0.05
    assert jpeg["diff_auc_lo"] < jpeg["diff_auc"] < jpeg["diff_auc_hi"] < 0
    assert 0 < jpeg["diff_auc_p"] < 0.05
    assert jpeg["diff_auc_p_holm"] == jpeg["diff_auc_p"]  # one row is compared with the reference
    width = jpeg["auc_hi"] - jpeg["auc_lo"]
    assert jpeg["diff_auc_hi"] - jpeg["diff_auc_lo"] < width * 1.5
    assert lines.loc["ours_one", "diff_auc"].isna().all()


def test_a_family_without_scores_is_left_out(params, paths):
    for row in ROWS:
        for seed in (0, 1, 2):
            of = scores(row, seed)
            of[of["family"] != "jpeg"].to_parquet(paths.robustness(row, seed))
    _, table, areas = made(params, paths)
    assert set(table["family"]) == {"blur"} and set(areas["family"]) == {"all", "blur"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.assign(score=np.nan), r"ours_one-s1\.parquet: scores that are not finite"),
        (lambda t: t.iloc[1:], "128 scores of xception-s0 and 127 of ours_one-s1 are not"),
        (lambda t: t.assign(made_of="c23"), "128 of ours_one-s1 .* the stage `robustness`"),
    ],
)
def test_a_file_that_does_not_fit_is_named(params, paths, change, says):
    path = paths.robustness("ours_one", 1)
    change(pd.read_parquet(path)).to_parquet(path)
    with pytest.raises(TableError, match=says):
        curves.load(params, paths)
