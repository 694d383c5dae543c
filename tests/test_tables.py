import json

import numpy as np
import pandas as pd
import pytest
from project import STATE
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from trained import changed, people, put_scores, write_history

from acfd import params
from acfd.detector import calibrate
from acfd.paths import BrokenError, Paths, digest_of
from acfd.results import markdown, metrics, table2
from acfd.results.table import (
    TableError,
    load_scores,
    overall,
    read_table,
    write_metrics,
    write_table,
)
from acfd.runs.run import RunError, load_run
from acfd.scores import score

ROWS, SEEDS = ["cls_c40", "cls_at", "eq5_literal"], [0, 1]


def study(**changes) -> params.Params:
    setting = {"rows": ROWS, "reference": "cls_c40", "bootstrap": 200}
    same = {"table2": setting, "study": {"seeds": SEEDS}, "train": {"methods": ["Deepfakes"]}}
    return changed(params.load(STATE / "params.yaml"), **same | changes)


def scores(row, seed, gap, pairs=6, frames=3):
    """A score file: two splits, two compressions, and a method that Table 2 does not count."""
    rng = np.random.default_rng([seed, ROWS.index(row)])
    made = []
    for clip in people(pairs, ("Deepfakes", "FaceSwap")):
        mapped = clip["label"] if row != "cls_c40" else 0
        about = {"run": f"{row}-s{seed}", "row": row, "seed": seed, "norm": np.float32("nan")}
        about |= clip | {"split": "val" if clip["pair"] < 2 else "test"}
        about |= {"tp": 6 * mapped, "fp": 2 * mapped, "fn": 4 * mapped, "tn": 24 * mapped}
        for compression, easier in (("c23", 0.5), ("c40", 0.0)):
            for frame in range(frames):
                z = (gap + easier * (gap > 0)) * (2 * clip["label"] - 1) + rng.normal()
                z = -9 if clip["method"] == "FaceSwap" else z  # would spoil the table if it counted
                score = {"frame": frame, "score": np.float32(1 / (1 + np.exp(-z)))}
                made.append(about | {"compression": compression} | score)
    return pd.DataFrame(made).sample(frac=1, random_state=seed)


@pytest.fixture
def paths(tmp_path):
    p = Paths("pocket", tmp_path)
    for row, gap in zip(ROWS, (0.8, 1.5, 0.0)):
        for seed in SEEDS:
            put_scores(p, scores(row, seed, gap), row, seed)
            write_history(p, row, seed)
            info = p.summary(row, seed)
            info.parent.mkdir(parents=True, exist_ok=True)
            said = {"collapsed": row == "eq5_literal" and seed == 1, "seconds": 10.4}
            said |= {"machine": "2 cores", "deployed_parameters": 1000}
            info.write_text(json.dumps(said))
    return p


def change(paths, row, seed, how):
    put_scores(paths, how(pd.read_parquet(paths.scores(row, seed))), row, seed)


def test_table2_numbers(paths):
    t = table2.table2(study(), paths)
    assert t["row"].tolist() == ROWS * 2
    assert t["compression"].tolist() == ["c40"] * 3 + ["c23"] * 3
    assert (t["units"] == 4).all() and (t["frames"] == 4 * 4 * 3).all()
    for compression in ("c40", "c23"):
        for row in ROWS:
            want = {"auc": [], "balanced_acc": [], "video_auc": [], "balanced_acc_val": []}
            for seed in SEEDS:
                s = pd.read_parquet(paths.scores(row, seed))
                s = s[(s["compression"] == compression) & (s["method"] != "FaceSwap")]
                test, val = s[s["split"] == "test"], s[s["split"] == "val"]
                v = test.groupby(["method", "video"])[["label", "score"]].mean()
                want["auc"] += [roc_auc_score(test["label"], test["score"])]
                want["video_auc"] += [roc_auc_score(v["label"], v["score"])]
                for name, cut in (("", 0.5), ("_val", metrics.choose_threshold(val))):
                    said = test["score"] >= cut
                    want["balanced_acc" + name] += [balanced_accuracy_score(test["label"], said)]
            line = t[(t["row"] == row) & (t["compression"] == compression)].iloc[0]
            for name, values in want.items():
                assert line[name] == pytest.approx(np.mean(values)), (row, compression, name)
                assert line[f"{name}_lo"] <= line[name] <= line[f"{name}_hi"]
    low = t.iloc[:3].set_index("row")
    assert low.loc["cls_at", "diff_auc"] == pytest.approx(
        low.loc["cls_at", "auc"] - low.loc["cls_c40", "auc"]
    )
    assert low.loc["cls_at", "pbca"] == pytest.approx(30 / 36)
    assert low.loc["cls_at", "iou"] == pytest.approx(6 / 12)
    assert low.loc["cls_c40", ["pbca", "iou", "diff_auc", "diff_balanced_acc_lo"]].isna().all()
    assert low.loc["cls_at", "pbca_empty"] == pytest.approx(26 / 36)
    above = low["auc"].diff()
    assert low["diff_above_auc"].tolist() == pytest.approx(above.tolist(), nan_ok=True)
    assert (low["diff_auc_p"].dropna() <= low["diff_auc_p_holm"].dropna()).all()
    assert low["collapsed"].tolist() == [0, 0, 1]
    assert low["paper_auc"].tolist()[:2] == [98.87, 99.26] and np.isnan(low["paper_acc"].iloc[2])


def test_csv_gives_the_same_table_back_and_metrics_are_a_file_a_row(paths):
    t = table2.table2(study(), paths)
    write_table(t, paths.tables / "table2.csv")
    back = read_table(paths.tables / "table2.csv")
    pd.testing.assert_frame_equal(t, back, check_exact=True, check_dtype=False)
    folder = paths.metrics / "table2"
    write_metrics(overall(t).assign(row="of_yesterday"), folder)
    write_metrics(overall(t), folder)
    found = {path.stem: json.loads(path.read_text()) for path in folder.iterdir()}
    assert set(found) == set(ROWS)
    assert found["cls_at"]["auc"] == round(t["auc"].iloc[1], 4)
    assert set(found["cls_at"]) == {"auc", "auc_lo", "auc_hi", "balanced_acc", "eer"}
    assert "(collapsed in 1 of 2 seeds) | – |" in markdown.table2(t).splitlines()[4]


def test_the_machines_are_those_that_trained(paths):
    p = study()
    for row, machine in zip(ROWS, ("2 cores", "a GPU", "2 cores")):
        for seed in SEEDS:
            said = json.loads(paths.summary(row, seed).read_text())
            paths.summary(row, seed).write_text(json.dumps(said | {"machine": machine}))
    said = markdown.caption(overall(table2.table2(p, paths)))
    assert said.endswith("Training took 1 min in all on 2 cores and a GPU.")
    assert "With 2 seeds the largest of 2 differences has to be 25 standard errors large" in said


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda s: s.drop(columns=["label", "score"]), r"at-s1.parquet: no column label, score; m"),
        (lambda s: s.assign(score=np.nan), r"cls_at-s1.parquet: scores that are not finite"),
        (lambda s: s[:-7], r"209 of cls_at-s1 are not of the same samples"),
        (lambda s: s.assign(label=1), r"of cls_at-s0 and 216 of cls_at-s1 are not of the same"),
    ],
)
def test_bad_score_files(paths, how, said):
    change(paths, "cls_at", 1, how)
    with pytest.raises(TableError, match=said):
        load_scores(paths, "cls_at", SEEDS)


def test_scores_of_another_run_than_the_summary_says_are_named(paths):
    said = {"collapsed": False, "scores": digest_of(paths.scores("cls_at", 1))}
    paths.summary("cls_at", 1).write_text(json.dumps(said))
    load_scores(paths, "cls_at", SEEDS)
    change(paths, "cls_at", 1, lambda s: s.assign(score=s["score"] / 2))
    with pytest.raises(TableError, match=r"cls_at-s1.parquet: its digest is .* not of one"):
        load_scores(paths, "cls_at", SEEDS)


@pytest.mark.parametrize("file", ["scores", "history"])
@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_file_that_was_cut_short_names_what_makes_it(paths, file, share):
    path = getattr(paths, file)("cls_c40", 0)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    said = r"cls_c40-s0\.(parquet|csv): broken, perhaps cut short .*run `dvc repro` \(stage `score`"
    with pytest.raises(BrokenError, match=said):
        table2.table2(study(), paths)
    if file == "scores":
        with pytest.raises(BrokenError, match=said):
            calibrate.of_scores(study(), paths, "cls_c40", 0)


@pytest.mark.parametrize("name", ["history.csv", "steps.csv"])
def test_a_run_whose_course_was_cut_short_passes_nothing_on(paths, name):
    folder = paths.run("cls_c40", 7)
    folder.mkdir(parents=True)
    for each in ("history.csv", "steps.csv"):
        (folder / each).write_text("step,loss\n1,0.5\n" if each != name else "step,loss\n1,0.")
    with pytest.raises(BrokenError, match=rf"{name}: .*`acfd train --row cls_c40 --seed 7`"):
        score._keep_course(paths, "cls_c40", 7)
    assert not paths.steps("cls_c40", 7).exists()
    with pytest.raises(RunError, match=r"run.json: no such file; there are the runs: none"):
        load_run(folder, study())


def test_missing_files_name_the_stage(paths):
    with pytest.raises(TableError, match=r"cls_at-s7.parquet: no such file; the stage `score`"):
        load_scores(paths, "cls_at", [0, 7])
