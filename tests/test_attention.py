"""Stored maps: which fit best and worst, what they show on average, and looking around in them."""

import numpy as np
import pandas as pd
import pytest
from trained import changed, study_at

from acfd.figures import explore
from acfd.paths import Paths
from acfd.results.maps import (
    averages,
    extremes,
    faces,
    gallery,
    real_beside_forged,
    summary,
)
from acfd.results.table import TableError

SIDE = 4
COLUMNS = ["split", "method", "video", "target", "source", "frame", "label"]


def packed(values: np.ndarray) -> bytes:
    return (values * 255).round().astype(np.uint8).tobytes()


@pytest.fixture
def params(small_params):
    return changed(small_params, table2={"rows": ["cls_c40", "cls_at"]})


@pytest.fixture
def paths(tmp_path, toy_faces, params) -> Paths:
    """Score and map files of two runs on toy_faces: cls_at has maps, cls_c40 has none.

    Forged face n of the test split is found to n / 8 of its cells at c40, and wholly at c23; the
    high-quality branch says 0.75 on forged cells and 0.25 elsewhere.
    """
    paths = study_at(tmp_path, toy_faces.folder, "pocket")
    index = toy_faces.index[toy_faces.index["split"] != "train"]
    scores, maps = [], []
    for compression in ("c23", "c40"):
        forged = 0
        for _, at in index.iterrows():
            mask = np.kron([[0, 1], [0, 1]], np.ones((2, 2))) * at["label"]  # the right half
            low = mask.copy()
            if at["label"] and at["split"] == "test":
                if compression == "c40":
                    low.ravel()[np.flatnonzero(mask)[forged % 9 :]] = 0.1
                forged += 1
            said, true = low >= 0.5, mask >= 0.5
            counts = {"tp": said & true, "fp": said & ~true, "fn": ~said & true}
            counts["tn"] = ~said & ~true
            about = at[COLUMNS].to_dict() | {"compression": compression}
            scores.append(about | {"score": 0.5 + 0.4 * at["label"]}
                          | {k: int(v.sum()) for k, v in counts.items()})  # fmt: skip
            high = packed(0.25 + 0.5 * mask) if compression == "c23" else None
            maps.append(about | {"side": SIDE, "map": packed(low), "mask": packed(mask)}
                        | {"map_high_branch": high})  # fmt: skip
    for row in ("cls_at", "cls_c40"):
        for path in (paths.scores(row, 0), paths.maps(row, 0)):
            path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(scores).to_parquet(paths.scores(row, 0))
    pd.DataFrame(maps).to_parquet(paths.maps("cls_at", 0))
    pd.DataFrame(columns=[*COLUMNS, "compression", "side"]).to_parquet(paths.maps("cls_c40", 0))
    return paths


def test_faces_join_scores_maps_and_pictures(params, paths, toy_faces):
    found = faces(params, paths, "cls_at", 0)
    assert len(found) == 2 * 16 and set(found["split"]) == {"test"}
    for r in found.itertuples():
        pair = toy_faces.index.loc[r.face]
        assert (pair["video"], pair["frame"], pair["label"]) == (r.video, r.frame, r.label)
        assert r.high_branch[0, 0] == pytest.approx(
            0.25, abs=0.01
        )  # at both compressions: it saw c23
    forged = found[(found["label"] == 1) & (found["compression"] == "c40")]
    assert forged["iou"].tolist() == [n / 8 for n in range(8)]
    overlap = [(n + (8 - n) * 26 / 255) / 8 for n in range(8)]
    np.testing.assert_allclose(forged["overlap"], overlap, atol=0.01)
    assert found.loc[found["label"] == 0, "iou"].isna().all()


def test_best_and_worst_are_of_different_videos(params, paths):
    found = faces(params, paths, "cls_at", 0)
    low = found[found["compression"] == "c40"]
    picked = extremes(low)
    assert picked["case"].tolist() == ["best", "worst"]
    assert picked["iou"].tolist() == [7 / 8, 0] and picked["video"].is_unique
    many = extremes(low, each=9)
    assert many["video"].nunique() == len(many) == 4  # a video is best or worst, never both
    nothing = extremes(low[low["label"] == 0])
    assert len(nothing) == 0 and "case" in nothing


def test_the_gallery_goes_from_good_to_bad(params, paths):
    found = faces(params, paths, "cls_at", 0)
    low = found[found["compression"] == "c40"].reset_index(drop=True)
    low["score"] = np.linspace(0, 1, len(low))
    picked = gallery(low)
    assert picked["label"].tolist() == [1] * 3 + [0] * 3
    assert picked["score"][:3].is_monotonic_decreasing  # forged: the surest first
    assert picked["score"][3:].is_monotonic_increasing  # real: the best judged first
    assert not picked.duplicated(["method", "video"]).any()
    assert len(gallery(low, each=99)) == 8  # videos


def test_summary_and_averages_by_hand(params, paths):
    found = faces(params, paths, "cls_at", 0)
    fit = summary(found).set_index(["compression", "method"])
    forged = fit.loc[("c40", "Deepfakes")]
    assert forged["faces"] == 8 and forged["iou"] == pytest.approx(28 / 64)
    assert forged["high_branch_inside"] == pytest.approx(0.75, abs=0.005)
    assert forged["low_branch_inside"] == pytest.approx((28 + 36 * 0.1) / 64, abs=0.005)
    assert forged["low_branch_outside"] == 0
    assert fit.loc[("c23", "Deepfakes"), "iou"] == 1
    assert np.isnan(fit.loc[("c40", "original"), "iou"])
    mean = averages(found[found["compression"] == "c40"])
    assert list(mean) == ["Deepfakes", "original"]
    right_half = np.kron([[0, 1], [0, 1]], np.ones((2, 2)))
    np.testing.assert_allclose(mean["Deepfakes"]["mask"], right_half)
    assert mean["original"]["low_branch"].max() == 0
    np.testing.assert_allclose(mean["original"]["high_branch"], 0.25, atol=0.005)


def test_real_faces_beside_forged_ones_by_hand(params, paths):
    found = faces(params, paths, "cls_at", 0)
    made = real_beside_forged(params, found).set_index(["compression", "branch"])
    assert set(made.index) == {("c23", "high"), ("c23", "low"), ("c40", "low")}
    high = made.loc[("c23", "high")]  # 0.75 on forged regions, 0.25 elsewhere and on real faces
    means = high[["forged", "elsewhere", "real"]].tolist()
    assert means == pytest.approx([0.75, 0.25, 0.25], abs=0.005)
    assert high["ratio"] == pytest.approx(3, abs=0.05) and np.isnan(high["iou"])
    assert high["ratio_lo"] <= high["ratio"] <= high["ratio_hi"] and high["units"] == 2
    low = made.loc[("c40", "low")]
    assert low["iou"] == pytest.approx(28 / 64) and low["iou_lo"] < low["iou"] < low["iou_hi"]
    assert low["real"] == 0 and np.isnan(low["ratio"])  # nothing to divide by


def test_a_run_without_maps_is_left_out_or_named(params, paths):
    with pytest.raises(TableError, match=r"cls_c40-s0\.parquet: no maps .* \(xception\)"):
        faces(params, paths, "cls_c40", 0)
    paths.maps("cls_at", 0).unlink()
    with pytest.raises(TableError, match=r"cls_at-s0\.parquet: no such file; the stage `score`"):
        explore.Explorer(params, paths)


def test_the_explorer_shows_what_is_chosen(params, paths):
    shown = explore.Explorer(params, paths)
    assert shown.run.value == ("cls_at", 0) and shown.compression.value == "c40"
    assert shown.method.options == ("Deepfakes", "original")
    shown.method.value = "original"
    assert set(shown.video.options) == {"008", "009", "010", "011"}
    shown.method.value, shown.video.value, shown.frame.value = "Deepfakes", "008_009", 0
    at_c40 = shown.figure.get_suptitle()
    assert at_c40 == "008_009, frame 0: forged (Deepfakes), score 0.90, IoU 0.00"
    shown.compression.value = "c23"
    assert shown.figure.get_suptitle().endswith("IoU 1.00")
