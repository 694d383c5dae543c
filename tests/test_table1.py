"""Table 1 on score files made by hand: every pair of people has the same scores, so that what a
measure must be can be counted, and every resample says the same."""

import json
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from project import STATE
from sklearn.metrics import roc_auc_score

from acfd import params, tables
from acfd.paths import Paths
from acfd.tables import TableError, markdown, table1

TOP = Path(__file__).parents[1]
PAIRS = {"val": 1, "test": 2}
PERFECT = {"original": (0.1, 0.2), "Deepfakes": (0.8, 0.9), "FaceSwap": (0.8, 0.9)}
# Scores of a pair's two real videos and of its two forgeries of each method, by row and quality.
SCORES = {
    ("xception", "c40"): {
        "original": (0.1, 0.6),
        "Deepfakes": (0.7, 0.7),
        "FaceSwap": (0.4, 0.4),
    },
    ("ours", "c40"): {
        "original": (0.1, 0.2),
        "Deepfakes": (0.9, 0.9),
        "FaceSwap": (0.9, 0.15),
    },
    ("left_xception", "c40"): {"original": (0.1, 0.2), "FaceSwap": (0.15, 0.05)},
    ("left_xception", "c23"): {"original": (0.1, 0.2), "FaceSwap": (0.3, 0.4)},
}
ROWS = ["meso4", "xception", "ours"]


def study(seeds=(0,), **setting) -> params.Params:
    """params.yaml with two manipulations and the rows above."""
    p = params.load(STATE / "params.yaml").model_dump(mode="json")
    p["data"]["methods"] = p["train"]["methods"] = ["Deepfakes", "FaceSwap"]
    p["rows"]["left_xception"]["set"]["train"]["methods"] = ["Deepfakes"]
    p["study"] |= {"seeds": list(seeds)}
    p["study"]["rows"] += [r for r in ("left_xception",) if r not in p["study"]["rows"]]
    p["table1"] |= {"rows": ROWS, "reference": "xception", "ours": "ours", "bootstrap": 50}
    p["table1"] |= {"compression": ["xception_c23", "xception", "ours"]}
    p["table1"] |= {"left_out": ["left_xception"]} | setting
    p["table1"] |= {"headline": ["meso4", setting.get("reference", "xception")]}
    return params.Params(**p)


def scores(row: str, seed: int = 0) -> pd.DataFrame:
    made, people = [], 0
    for split, pairs in PAIRS.items():
        for _ in range(pairs):
            a, b = f"{people:03d}", f"{people + 1:03d}"
            people += 2
            for compression in ("c40", "c23"):
                for method, values in SCORES.get((row, compression), PERFECT).items():
                    for (target, source), score in zip(((a, b), (b, a)), values):
                        real = method == "original"
                        video = target if real else f"{target}_{source}"
                        about = {"row": row, "seed": seed, "split": split, "method": method}
                        about |= {"video": video, "target": target, "frame": 0}
                        about |= {"source": "" if real else source, "label": int(not real)}
                        about |= {"compression": compression, "score": np.float32(score)}
                        made.append(about | dict.fromkeys(["tp", "fp", "fn", "tn"], 0))
    return pd.DataFrame(made).sample(frac=1, random_state=1)


def write(paths: Paths, table: pd.DataFrame, row: str, seed: int = 0):
    paths.scores(row, seed).parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(paths.scores(row, seed))


def write_info(paths: Paths, row: str, seed: int = 0, **info):
    path = paths.summary(row, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    said = {"collapsed": False, "deployed_parameters": 1000, "parameters": 2000}
    said |= {"seconds": 10.0 + 20 * seed, "images_per_second": 50.0}
    path.write_text(json.dumps(said | info))


def change(paths: Paths, rows, how):
    for row in rows:
        write(paths, how(pd.read_parquet(paths.scores(row, 0))), row)


@pytest.fixture
def paths(tmp_path, write_history) -> Paths:
    p = Paths("pocket", tmp_path)
    for row in (*ROWS, "xception_c23", "left_xception"):
        for seed in (0, 1):
            write(p, scores(row, seed), row, seed)
            write_info(p, row, seed)
            write_history(p, row, seed)
    return p


def test_numbers_counted_by_hand(paths):
    t = table1.table1(study(), paths).set_index(["compression", "method", "row"])
    assert list(t.index) == [
        (c, m, r) for c in ("c40", "c23") for m in ("all", "Deepfakes", "FaceSwap") for r in ROWS
    ]
    # 2 reals (0.1, 0.6), 2 Deepfakes (0.7 twice), 2 FaceSwaps (0.4 twice); all twice over
    x = t.loc["c40"].xs("xception", level="row")
    assert x["frames"].tolist() == [12, 8, 8] and (x["units"] == 2).all()
    assert x["always_forged"].tolist() == [pytest.approx(2 / 3), 0.5, 0.5]
    assert x["auc"].tolist() == [0.75, 1.0, 0.5]
    assert x["acc"].tolist() == [0.5, 0.75, 0.25]
    assert x["balanced_acc"].tolist() == [0.5, 0.75, 0.25]
    assert x["video_auc"].tolist() == x["auc"].tolist()
    # validation says 0.65 (nearer to 0.5 than 0.25, which is as good), for each manipulation too;
    # FaceSwap alone would have chosen 0.25 and had 0.75
    assert x["balanced_acc_val"].tolist() == [0.75, 1.0, 0.5]
    ours = t.loc["c40"].xs("ours", level="row")
    assert ours["auc"].tolist() == [0.875, 1.0, 0.75]
    for m in ("auc", "acc", "balanced_acc_val"):  # every resample is the same
        assert (x[m] == x[f"{m}_lo"]).all() and (x[m] == x[f"{m}_hi"]).all()


def test_differences_are_to_the_reference_and_to_ours(paths):
    t = table1.table1(study(), paths)
    low = t[t["compression"] == "c40"]
    every, swapped = (low[low["method"] == m].set_index("row") for m in ("all", "FaceSwap"))
    assert every.loc["ours", "diff_auc"] == every.loc["ours", "diff_auc_hi"] == 0.125
    assert every.loc["xception", "diff_ours_auc"] == -0.125
    assert every.loc["meso4", ["diff_auc", "diff_ours_auc"]].tolist() == [0.25, 0.125]
    assert swapped.loc["ours", "diff_balanced_acc"] == 0.75 - 0.25
    assert np.isnan(every.loc["xception", "diff_auc"])
    assert np.isnan(every.loc["ours", "diff_ours_auc"])


def test_a_row_that_still_rises_has_a_dagger_in_every_table(paths, write_history):
    """The gain over the last quarter of the steps, straight between validations, mean of seeds."""
    write_history(paths, "ours", 0, [0.5, 0.6, 0.7])  # at 22.5 of 30 steps: 0.625
    write_history(paths, "ours", 1, [0.5, 0.7, 0.7])
    write_history(paths, "meso4", 0, [0.6])  # fitted: validated once
    write_history(paths, "left_xception", 0, [0.5, 0.5, 0.5, 0.518])
    p = study(seeds=(0, 1))
    table, drops = table1.table1(p, paths), table1.compression(p, paths)
    gained = table.groupby("row")["rising"].first()
    assert gained["ours"] == pytest.approx(0.075 / 2) and gained["xception"] == 0
    assert np.isnan(gained["meso4"])
    for text in (f(of) for f, of in ((markdown.table1, table), (markdown.methods, table),
                                     (markdown.compression, drops))):  # fmt: skip
        marked = [line.split(" | ")[0] for line in text.splitlines() if "†" in line]
        assert marked[0] == f"| {p.rows['ours'].title} †" and len(marked) == 2  # and the note
    assert "†" not in markdown.left_out(
        table1.left_out(p, paths)
    )  # less than 0.01, the mean of two seeds
    write_history(paths, "left_xception", 1, [0.5, 0.5, 0.5, 0.55])
    assert "Xception † |" in markdown.left_out(table1.left_out(p, paths))


def test_a_plain_xception_beside_what_was_published(paths):
    p = study()
    beside, order = markdown.miniature(table1.table1(p, paths), table1.compression(p, paths))
    numbers = [line.split(" | ")[1:] for line in beside.splitlines()[2:]]
    assert [line[0].split()[0] for line in numbers] == ["100.0", "100.0", "75.0"]
    assert [line[1] for line in numbers] == ["99 |", "about 82 |", "90.3 |"]
    assert "Deepfakes 100.0, FaceSwap 50.0" in order and "not so here" in order
    write(paths, scores("xception").assign(score=0.5), "xception")
    no_rows = study(rows=["meso4", "ours"], reference="ours", compression=[])
    made = [f(no_rows, paths) for f in (table1.table1, table1.compression)]
    assert markdown.miniature(*made)[1] == ""


def test_a_history_that_is_missing_or_of_another_version_is_named(paths):
    path = paths.history("ours", 0)
    path.write_text("epoch,val_auc\n1,0.5\n")
    with pytest.raises(TableError, match=r"ours-s0.csv: no column step; found epoch, val_auc"):
        table1.table1(study(), paths)
    path.unlink()
    with pytest.raises(TableError, match=r"ours-s0.csv: no such file; the stage `score`"):
        table1.table1(study(), paths)


def test_all_comparisons_but_the_headline_are_corrected(paths):
    rng = np.random.default_rng(1)  # people differ, or no p is between 0 and 1
    change(paths, ROWS, lambda s: s.assign(score=s["label"] / 4 + rng.random(len(s))))
    headline = table1.table1(study(), paths).set_index(["compression", "method", "row"])
    named = headline.loc["c40", "all", "meso4"]
    assert headline["headline"].dropna().to_dict() == {("c40", "all", "meso4"): "diff_auc"}
    assert named["diff_auc_p_holm"] == named["diff_auc_p"]
    # of the two rows that are compared, the other one is then alone
    other = headline.loc["c40", "all", "ours"]
    assert other["diff_auc_p_holm"] == other["diff_auc_p"]
    for place, name in ((("c40", "all"), "balanced_acc"), (("c23", "FaceSwap"), "auc")):
        part = headline.loc[place]
        p, raised = part[f"diff_{name}_p"], part[f"diff_{name}_p_holm"]
        assert raised.min() == min(1, 2 * p.min()) and raised.max() >= p.max()
        assert p.isna().tolist() == raised.isna().tolist() == [False, True, False]


def test_the_papers_numbers_stand_where_the_paper_has_them(paths):
    t = table1.table1(study(), paths)
    said = t[t["paper_auc"].notna()]
    assert said["row"].tolist() == ["xception"]
    assert said["paper_auc"].tolist() == [90.3]
    assert set(said["method"]) == {"all"} and set(said["compression"]) == {"c40"}


def test_seeds_are_averaged(paths):
    other = scores("ours", 1)
    rng = np.random.default_rng(0)
    write(paths, other.assign(score=rng.random(len(other))), "ours", 1)
    t = table1.table1(study(seeds=(0, 1)), paths)
    line = t[(t["row"] == "ours") & (t["method"] == "FaceSwap")].iloc[0]
    want = []
    for seed in (0, 1):
        s = pd.read_parquet(paths.scores("ours", seed))
        s = s[(s["split"] == "test") & (s["compression"] == "c40") & (s["method"] != "Deepfakes")]
        want.append(roc_auc_score(s["label"], s["score"]))
    assert line["auc"] == pytest.approx(np.mean(want))
    assert line["auc_lo"] < line["auc"] < line["auc_hi"]
    assert line["train_seconds"] == 20.0 and line["parameters"] == 1000
    assert line["images_per_second"] == 50.0 and line["seeds"] == "0 1"


def test_what_compression_costs(paths):
    drops = table1.compression(study(), paths).set_index("row")
    assert drops.index.tolist() == ["xception_c23", "xception", "ours"]
    assert drops["trained_on"].tolist() == ["c23", "c40", "c23 + c40"]
    assert drops["auc_high"].tolist() == [1.0, 1.0, 1.0]
    assert drops["auc_low"].tolist() == [1.0, 0.75, 0.875]
    assert drops["drop_auc"].tolist() == [0.0, 0.25, 0.125]
    assert drops["drop_auc_lo"].tolist() == drops["drop_auc_hi"].tolist() == [0.0, 0.25, 0.125]
    assert drops["drop_balanced_acc"].tolist() == [0.0, 0.5, 0.125]
    assert drops.loc["ours", "diff_drop_auc"] == -0.125
    assert np.isnan(drops.loc["xception", "diff_drop_auc"])


def test_without_the_reference_drops_are_not_compared(paths):
    drops = table1.compression(study(compression=["ours"]), paths)
    assert drops["drop_auc"].tolist() == [0.125] and drops["diff_drop_auc"].isna().all()


def test_the_drop_is_paired(paths):
    """Faces that are hard at both qualities move both ends, and not the distance."""
    rng = np.random.default_rng(3)
    rows, hard = ["xception_c23", "xception", "ours"], {}

    def how(s):
        keys = list(zip(s["method"], s["video"]))
        noise = [hard.setdefault(key, rng.normal(0, 0.4)) for key in keys]
        return s.assign(score=0.5 * s["label"] + noise)  # the same at c23 and c40

    change(paths, rows, how)
    drops = table1.compression(study(), paths)
    assert (drops["auc_low_lo"] < drops["auc_low_hi"]).all()
    assert (drops[["drop_auc", "drop_auc_lo", "drop_auc_hi"]] == 0).all(axis=None)


def test_a_manipulation_left_out(paths):
    t = table1.left_out(study(), paths)
    assert t["compression"].tolist() == ["c40", "c23"] and set(t["method"]) == {"FaceSwap"}
    assert t["seen_row"].tolist() == ["xception"] * 2
    assert t["auc"].tolist() == [0.25, 1.0] and t["seen_auc"].tolist() == [0.5, 1.0]
    assert t["diff_auc"].tolist() == [-0.25, 0.0]
    alone = study(rows=["meso4", "ours"], reference="ours", compression=[])
    t = table1.left_out(alone, paths)
    assert t["auc"].tolist() == [0.25, 1.0]
    assert t[["seen_row", "seen_auc", "diff_auc"]].isna().all(axis=None)


def test_the_row_that_saw_it_is_the_most_alike(paths):
    p = study(rows=["xception_both", "xception_c23", *ROWS])
    assert table1._seen(p, "left_xception", "FaceSwap") == "xception"
    p = study(rows=["xception_c23", "meso4", "ours"], reference="ours")
    assert table1._seen(p, "left_xception", "FaceSwap") == "xception_c23"


@pytest.mark.parametrize("make", [table1.table1, table1.compression, table1.left_out])
def test_csv_gives_the_same_table_back(paths, make):
    t = make(study(), paths)
    tables.write_table(t, paths.tables / "t.csv")
    back = tables.read_table(paths.tables / "t.csv")
    pd.testing.assert_frame_equal(t, back, check_exact=True, check_dtype=False)


def test_tables_without_rows_have_their_columns(paths):
    none = study(compression=[], left_out=[])
    for make in (table1.compression, table1.left_out):
        tables.write_table(make(none, paths), paths.tables / "t.csv")
        back = tables.read_table(paths.tables / "t.csv")
        assert not len(back) and list(back) == list(make(study(), paths))


def test_json_has_the_measures_and_the_drops(paths):
    p = study()
    made = table1.to_json(table1.table1(p, paths), table1.compression(p, paths))
    found = json.loads(json.dumps(made, allow_nan=False))
    assert list(found) == [*ROWS, "xception_c23"]
    assert found["ours"]["auc"] == 0.875 and found["ours"]["drop_auc_hi"] == 0.125
    assert "drop_auc" not in found["meso4"] and "auc" not in found["xception_c23"]


def test_missing_files_name_the_stage(paths):
    paths.scores("ours", 0).unlink()
    for make in (table1.table1, table1.compression):
        with pytest.raises(TableError, match=r"ours-s0.parquet: no such file; the stage `score`"):
            make(study(), paths)


def test_runs_that_do_not_say_what_they_cost(paths):
    paths.summary("ours", 0).write_text('{"collapsed": false, "seconds": 1}')
    said = r"ours-s0.json: no deployed_parameters, images_per_second; make it again"
    with pytest.raises(TableError, match=said):
        table1.table1(study(), paths)


def no_faceswap(s):
    return s[s["method"] != "FaceSwap"]


def no_real_test(s):
    return s[(s["label"] == 1) | (s["split"] == "val")]


def no_c23(s):
    return s[s["compression"] == "c40"]


def no_004_at_c23(s):
    return s[(s["video"] != "004") | (s["compression"] == "c40")]


@pytest.mark.parametrize(
    ("rows", "how", "said"),
    [
        (["ours"], no_004_at_c23, r"ours-s0 are not of the same samples: 1 only in meso4-s0"),
        (ROWS, no_004_at_c23, r"meso4-s0 at c40 and meso4-s0 at c23 are not.*original 004 frame 0"),
        (ROWS, no_faceswap, r"meso4-s0.parquet: nothing of FaceSwap in test c23"),
        (ROWS, no_real_test, r"meso4-s0.parquet: nothing of original in test c23"),
        (ROWS, no_c23, r"meso4-s0.parquet: no scores at c23, found c40"),
    ],
)
def test_scores_that_cannot_be_compared(paths, rows, how, said):
    change(paths, rows, how)
    with pytest.raises(TableError, match=said):
        table1.table1(study(), paths)


@pytest.mark.parametrize("setting", [{}, {"compression": [], "left_out": []}])
def test_the_notebook_makes_everything_and_its_claims_hold(
    paths, write_params, monkeypatch, setting
):
    write_params(study(**setting))
    monkeypatch.chdir(paths.top)
    known = {}
    for cell in nbformat.read(TOP / "notebooks" / "04_table1.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(cell.source, known)
    made = {f.relative_to(paths.results).as_posix() for f in paths.results.rglob("*.*")}
    names = ["curves", "table1", "methods", "cost"] + (
        [] if setting else ["compression", "left_out"]
    )
    assert {f for f in made if f.startswith("figures")} == {
        f"figures/table1/{name}.{ending}" for name in names for ending in ("png", "svg")
    }
    assert {f for f in made if f.startswith("tables")} == {
        f"tables/{name}.csv" for name in ("table1", "compression", "left_out")
    }
    assert json.loads((paths.metrics / "table1.json").read_text())["ours"]["auc"] == 0.875
