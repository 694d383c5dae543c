"""What the method reaches, from step files made here: ends and sentences counted by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from trained import people, put_scores, write_history

from acfd.paths import Paths
from acfd.results import maps, method

ROWS = ["cls_at", "cls_at_dis_gan"]


@pytest.fixture
def params(make_params):
    p = make_params(table2={"rows": ["cls_c40", *ROWS], "reference": "cls_c40"})
    setting = p.attention.model_copy(update={"factorial": ["factorial_moves"]})
    study = p.study.model_copy(update={"rows": ["steg", "factorial_moves"], "seeds": [0]})
    return p.model_copy(update={"attention": setting, "study": study})


@pytest.fixture
def paths(tmp_path) -> Paths:
    """100 steps: |C| falls by 0.1 a step, the critic wins at step 30, M goes out."""
    paths, step = Paths("pocket", tmp_path), np.arange(1, 101)
    paths.steps("cls_at", 0).parent.mkdir(parents=True)
    for row in (*ROWS, "factorial_moves"):
        said = {"step": step, "norm_real": 20 - step / 10, "norm_forged": 14.0}
        said |= {"hinge_real": (step > 90) / 2, "hinge_forged": 0.0}
        said |= {"pair_distance": 8.0 + (step > 50), "other_distance": 12.0}
        said |= {"attention_inside": 0.6, "attention_outside": 0.1, "attention_real": 0.2}
        if row == "cls_at_dis_gan":
            said["critic"] = np.where(step < 30, 9.0, -7.0)
        pd.DataFrame(said).to_parquet(paths.steps(row, 0))
        write_history(paths, row, 0)
    return paths


def test_ends_are_means_over_the_last_tenth(params, paths):
    assert method.rows(params) == ROWS
    table = method.ends(params, method.course(params, paths, ROWS)).set_index("row")
    line = table.loc["cls_at_dis_gan"]
    assert line["norm_real"] == pytest.approx(20 - 9.55)
    assert line[["radius_real", "radius_fake", "hinge_real"]].tolist() == [5, 75, 0.5]
    assert line["ratio"] == 0.75 and line["pair_distance_first"] == 8
    assert line[["critic_first", "critic"]].tolist() == [9, -7]
    assert np.isnan(table.loc["cls_at", "critic"])
    said = method.reached(table.reset_index())
    assert "with L_Dis, r+ = 75 |C| is 10.4 on real faces and 14 on forged ones" in said


def test_what_collapsed_is_said_by_factor(params, paths):
    path = paths.summary("factorial_moves", 0)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"collapsed": True}))
    table = method.collapse(params, paths, params.attention.factorial)
    assert table["title"].tolist() == ["L1, product, rate x1, M_H moves"]
    course, checks = maps.course(params, paths, ["cls_at", "factorial_moves"])
    titles = [params.rows["cls_at"].title, *table["title"]]
    assert course["run"].unique().tolist() == titles and len(course) == 200
    assert (course["inside"] == 0.6).all() and (course["outside"] == 0.1).all()
    assert checks["run"].unique().tolist() == titles
    assert table["collapsed"].tolist() == table["runs"].tolist() == [1]
    assert list(method.collapse(params, paths, [])) == list(table)


def test_a_run_that_says_one_thing_of_real_faces_loses_what_it_has_not_learnt(params, paths):
    table1 = params.table1.model_copy(update={"rows": ROWS})
    data = params.data.model_copy(update={"methods": ["Deepfakes", "FaceSwap"]})
    params = params.model_copy(update={"table1": table1, "data": data})
    for row, real in (("cls_at", (0.1, 0.2)), ("cls_at_dis_gan", (0.4, 0.4))):
        said = {"original": real, "Deepfakes": (0.9, 0.9), "FaceSwap": (real[1], 0.9)}
        made = [
            clip
            | {"row": row, "seed": 0, "frame": 0, "compression": c, "split": "test"}
            | {"score": said[clip["method"]][int(clip["target"]) % 2]}
            for c in ("c40", "c23")
            for clip in people(2, data.methods)
        ]
        put_scores(paths, pd.DataFrame(made), row)
    runs = method.emptied(params, paths, method.course(params, paths, ROWS)).set_index("row")
    assert set(runs["method"]) == {"FaceSwap"}
    assert runs["auc"].tolist() == [0.875, 0.75] and runs["tied"].tolist() == [0.5, 1]
    assert runs["norm_real"].tolist() == pytest.approx([20 - 9.55] * 2)
    said = method.emptied_said(runs.reset_index())
    assert "by run: 75 in 1 with L_Dis that give most" in said and "87.5 in 1 without" in said
    no_rows = params.model_copy(update={"table1": table1.model_copy(update={"rows": ["steg"]})})
    assert not len(method.emptied(no_rows, paths, method.course(params, paths, ROWS)))
