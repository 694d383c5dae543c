"""Stored maps: which fit best and worst, what they show on average, and looking around in them."""

from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from ruamel.yaml import YAML

from acfd import attention
from acfd.attention import AttentionError, explore, features
from acfd.paths import Paths

TOP = Path(__file__).parents[1]
SIDE = 4
COLUMNS = ["split", "method", "video", "target", "source", "frame", "label"]


def packed(values: np.ndarray) -> bytes:
    return (values * 255).round().astype(np.uint8).tobytes()


@pytest.fixture
def params(small_params):
    table2 = small_params.table2.model_copy(update={"rows": ["cls_c40", "cls_at"]})
    return small_params.model_copy(update={"table2": table2})


@pytest.fixture
def paths(tmp_path, toy_faces, params) -> Paths:
    """Score and map files of two runs on toy_faces: cls_at has maps, cls_c40 has none.

    Forged face n of the test split is found to n / 8 of its cells at c40, and wholly at c23; the
    high-quality branch says 0.75 on forged cells and 0.25 elsewhere.
    """
    paths = Paths("pocket", tmp_path)
    paths.data.mkdir(parents=True)
    paths.faces.symlink_to(toy_faces.folder)
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
    found = attention.faces(params, paths, "cls_at", 0)
    assert len(found) == 2 * 16 and set(found["split"]) == {"test"}
    for r in found.itertuples():
        pair = toy_faces.index.loc[r.face]
        assert (pair["video"], pair["frame"], pair["label"]) == (r.video, r.frame, r.label)
        high = attention.unpack(pd.Series([r.high_branch]), SIDE)[0]
        assert high[0, 0] == pytest.approx(0.25, abs=0.01)  # at both compressions: it saw c23
    forged = found[(found["label"] == 1) & (found["compression"] == "c40")]
    assert forged["iou"].tolist() == [n / 8 for n in range(8)]
    overlap = [(n + (8 - n) * 26 / 255) / 8 for n in range(8)]
    np.testing.assert_allclose(forged["overlap"], overlap, atol=0.01)
    assert found.loc[found["label"] == 0, "iou"].isna().all()


def test_best_and_worst_are_of_different_videos(params, paths):
    found = attention.faces(params, paths, "cls_at", 0)
    low = found[found["compression"] == "c40"]
    picked = attention.extremes(low)
    assert picked["case"].tolist() == ["best", "worst"]
    assert picked["iou"].tolist() == [7 / 8, 0] and picked["video"].is_unique
    many = attention.extremes(low, each=9)
    assert many["video"].nunique() == len(many) == 4  # a video is best or worst, never both
    ties = low.assign(iou=np.where(low["label"] == 1, 0.5, np.nan))
    assert attention.extremes(ties)["overlap"].tolist() == pytest.approx([0.887, 0.1], abs=0.01)
    nothing = attention.extremes(low[low["label"] == 0])
    assert len(nothing) == 0 and "case" in nothing


def claims(**known) -> None:
    """The last cells of the notebook, on tables made here."""
    cells = nbformat.read(TOP / "notebooks" / "06_attention.ipynb", as_version=4).cells
    known = {"np": np, "features": features} | known
    for cell in cells[-2:]:
        exec(cell.source, known)


def test_the_notebooks_claims_hold_and_can_fail(params, paths):
    found = attention.faces(params, paths, "cls_at", 0)
    low = found[found["compression"] == "c40"]
    lines = [
        {"row": "cls_at", "method": "Deepfakes", "video": v, "frame": 0, "own": float(n)}
        | {"state": state, "quality": quality}
        for n, v in enumerate("ab")
        for state in features.STATES
        for quality in features.QUALITIES
    ]
    setting = params.attention.model_copy(update={"rows": ["cls_at"]})
    p = params.model_copy(update={"attention": setting})
    sound = {
        "p": p,
        "at_low": low,
        "picked": attention.extremes(low),
        "stored": pd.DataFrame(lines),
    }
    claims(**sound)
    claims(**sound | {"at_low": low.assign(iou=np.nan), "picked": attention.extremes(low[:0])})
    wrong = attention.extremes(low[low["iou"] < 0.5])
    with pytest.raises(AssertionError, match="a better one of Deepfakes"):
        claims(**sound | {"picked": wrong})
    with pytest.raises(AssertionError, match="a manipulation is missing"):
        claims(**sound | {"picked": wrong[:0]})
    for spoilt in (lines[:-1], [lines[0] | {"own": 7.0}, *lines[1:]]):
        with pytest.raises(AssertionError, match="Deepfakes"):
            claims(**sound | {"stored": pd.DataFrame(spoilt)})


def test_the_gallery_goes_from_good_to_bad(params, paths):
    found = attention.faces(params, paths, "cls_at", 0)
    low = found[found["compression"] == "c40"].reset_index(drop=True)
    low["score"] = np.linspace(0, 1, len(low))
    picked = attention.gallery(low)
    assert picked["label"].tolist() == [1] * 3 + [0] * 3
    assert picked["score"][:3].is_monotonic_decreasing  # forged: the surest first
    assert picked["score"][3:].is_monotonic_increasing  # real: the best judged first
    assert not picked.duplicated(["method", "video"]).any()
    for label, of in picked.groupby("label"):
        every = low[low["label"] == label].sort_values("score", ascending=not label)
        ends = every.drop_duplicates("video")["score"].iloc[[0, -1]].tolist()
        assert of["score"].iloc[[0, -1]].tolist() == ends
    assert len(attention.gallery(low, each=99)) == 8  # videos


def test_summary_and_averages_by_hand(params, paths):
    found = attention.faces(params, paths, "cls_at", 0)
    fit = attention.summary(found).set_index(["compression", "method"])
    forged = fit.loc[("c40", "Deepfakes")]
    assert forged["faces"] == 8 and forged["iou"] == pytest.approx(28 / 64)
    assert forged["high_branch_inside"] == pytest.approx(0.75, abs=0.005)
    assert forged["high_branch_outside"] == pytest.approx(0.25, abs=0.005)
    assert forged["low_branch_inside"] == pytest.approx((28 + 36 * 0.1) / 64, abs=0.005)
    assert forged["low_branch_outside"] == 0
    assert fit.loc[("c23", "Deepfakes"), "iou"] == 1
    assert np.isnan(fit.loc[("c40", "original"), "iou"])
    mean = attention.averages(found[found["compression"] == "c40"])
    assert list(mean) == ["Deepfakes", "original"]
    right_half = np.kron([[0, 1], [0, 1]], np.ones((2, 2)))
    np.testing.assert_allclose(mean["Deepfakes"]["mask"], right_half)
    assert mean["original"]["low_branch"].max() == 0
    np.testing.assert_allclose(mean["original"]["high_branch"], 0.25, atol=0.005)


def test_real_faces_beside_forged_ones_by_hand(params, paths):
    found = attention.faces(params, paths, "cls_at", 0)
    made = attention.real_beside_forged(params, found).set_index(["compression", "branch"])
    assert set(made.index) == {("c23", "high"), ("c23", "low"), ("c40", "low")}
    high = made.loc[("c23", "high")]  # 0.75 on forged regions, 0.25 elsewhere and on real faces
    means = high[["forged", "elsewhere", "real"]].tolist()
    assert means == pytest.approx([0.75, 0.25, 0.25], abs=0.005)
    assert high["ratio"] == pytest.approx(3, abs=0.05) and np.isnan(high["iou"])
    assert high["ratio_lo"] <= high["ratio"] <= high["ratio_hi"] and high["units"] == 2
    low = made.loc[("c40", "low")]
    assert low["iou"] == pytest.approx(28 / 64) and low["iou_lo"] < low["iou"] < low["iou_hi"]
    assert low["real"] == 0 and np.isnan(low["ratio"])  # nothing to divide by


def test_course_counts_steps_through_epochs(params, paths):
    steps = {"epoch": [1, 1, 2], "step": [1, 2, 3], "loss": 1.0}
    steps |= {"attention_inside": [0.5, 0.6, 0.7], "attention_outside": [0.5, 0.4, 0.3]}
    paths.steps("cls_at", 0).parent.mkdir(parents=True)
    pd.DataFrame(steps).to_parquet(paths.steps("cls_at", 0))
    pd.DataFrame(steps).iloc[:, :3].to_parquet(paths.steps("cls_c40", 0))
    assert attention.rows_with_course(paths, ["cls_c40", "cls_at"], 0) == ["cls_at"]
    course = attention.course(params, paths, ["cls_at"], 0)
    assert course["step"].tolist() == [1, 2, 3] and course["inside"].tolist() == [0.5, 0.6, 0.7]
    assert set(course["run"]) == {params.rows["cls_at"].title}


def test_a_run_without_maps_is_left_out_or_named(params, paths):
    assert attention.rows_with_maps(params, paths) == [("cls_at", 0)]
    with pytest.raises(AttentionError, match=r"cls_c40-s0\.parquet: no maps .* \(xception\)"):
        attention.faces(params, paths, "cls_c40", 0)
    paths.maps("cls_at", 0).unlink()
    with pytest.raises(AttentionError, match="no maps of two branches"):
        explore.Explorer(params, paths)


def test_the_explorer_shows_what_is_chosen(params, paths):
    shown = explore.Explorer(params, paths)
    assert isinstance(shown.figure, Figure)
    assert shown.run.value == ("cls_at", 0) and shown.compression.value == "c40"
    assert shown.method.options == ("Deepfakes", "original")
    shown.method.value = "original"
    assert set(shown.video.options) == {"008", "009", "010", "011"}
    shown.video.value = "010"
    shown.frame.value = 1
    assert shown.figure.get_suptitle() == "010, frame 1: real, score 0.50"
    shown.method.value = "Deepfakes"
    shown.video.value = "008_009"
    shown.frame.value = 0
    at_c40 = shown.figure
    assert at_c40.get_suptitle() == "008_009, frame 0: forged (Deepfakes), score 0.90, IoU 0.00"
    shown.compression.value = "c23"
    assert shown.figure is not at_c40 and shown.figure.get_suptitle().endswith("IoU 1.00")
    assert len(shown.widget.children) == 3


@pytest.fixture
def study(params, paths, write_history, write_params, toy_faces, monkeypatch):
    """All that the notebook reads, small: steps and features of every row that it asks for."""
    places = Paths.of(params, paths.top)
    rng = np.random.default_rng(0)
    for row in params.trained:
        write_history(places, row, 0)
        if params.rows[row].system == "two_branch":
            watched = ["norm_real", "norm_forged", "hinge_real", "hinge_forged", "pair_distance"]
            watched += [
                "other_distance",
                *(f"attention_{w}" for w in ("inside", "outside", "real")),
            ]
            steps = {"step": range(1, 5)} | {name: rng.random(4) for name in watched}
            places.steps(row, 0).parent.mkdir(parents=True, exist_ok=True)
            pd.DataFrame(steps).to_parquet(places.steps(row, 0))
        places.summary(row, 0).parent.mkdir(parents=True, exist_ok=True)
        places.summary(row, 0).write_text('{"collapsed": true}')
    forged = toy_faces.index.query("label == 1 and split == 'val'").index[:2]
    maps = [{"epoch": e, "face": f, "side": 2, "map": bytes(4)} for e in (1, 2) for f in forged]
    places.run("cls_at", 0).mkdir(parents=True)
    pd.DataFrame(maps).to_parquet(places.run("cls_at", 0) / "maps.parquet")
    lines = [
        {"method": "Deepfakes", "video": f"{n}", "frame": 0, "state": state, "quality": quality}
        | {"label": n % 2, "norm": 5.0 + n, "x": n, "y": -n, "own": 1.0 + n, "other": 9.0}
        | {"nearer": 0.0}
        for n in range(4)
        for state in features.STATES
        for quality in features.QUALITIES
    ]
    for row in params.attention.rows:
        places.features(row, 0).parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(lines).assign(row=row).to_parquet(places.features(row, 0))
    write_params(params)
    monkeypatch.chdir(places.top)
    return places


def test_the_notebook_makes_everything_and_its_claims_hold(study):
    known = {}
    for cell in nbformat.read(TOP / "notebooks" / "06_attention.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(cell.source, known)
    stages = YAML(typ="safe").load((TOP / "dvc.yaml").read_text())["stages"]
    outs = [str(*out) if isinstance(out, dict) else out for out in stages["attention"]["outs"]]
    for out in outs:
        if "/notebooks/" not in out:
            assert (study.top / out.replace("${item.preset}", "pocket")).exists(), out
    collapsed = pd.read_csv(study.tables / "collapse.csv")
    assert len(collapsed) == 9 and collapsed["title"].is_unique and collapsed["collapsed"].all()
    assert set(pd.read_csv(study.tables / "method.csv")["row"]) == {"cls_at", "cao", "ours"}
