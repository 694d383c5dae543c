"""Table 1 on score files made by hand: every pair of people has the same scores, so that what a
measure must be can be counted, and every resample says the same."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import write_params
from project import STATE, run_cells
from trained import people, put_scores, write_history

from acfd import params
from acfd.paths import Paths
from acfd.results import markdown, sentences, table1
from acfd.results.table import TableError, overall

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


def study(seeds=(0,), table1_seeds=(), headline_seeds=(), **setting) -> params.Params:
    """params.yaml with two manipulations and the rows above."""
    p = params.load(STATE / "params.yaml").model_dump(mode="json")
    p["train"]["methods"] = ["Deepfakes", "FaceSwap"]
    p["data"]["methods"] = [*p["train"]["methods"], *setting.get("unseen", [])]
    p["rows"]["left_xception"]["set"]["train"]["methods"] = ["Deepfakes"]
    p["study"] |= {"seeds": list(seeds), "headline_seeds": list(headline_seeds)}
    p["study"] |= {"table1_seeds": list(table1_seeds)}
    p["study"]["rows"] += [r for r in (*ROWS, "left_xception") if r not in p["study"]["rows"]]
    p["table1"] |= {"rows": ROWS, "reference": "xception", "ours": "ours", "bootstrap": 50}
    p["table1"] |= {"compression": ["xception_c23", "xception", "ours"]}
    p["table1"] |= {"left_out": ["left_xception"], "contrasts": [["ours", "xception"]]} | setting
    p["table1"] |= {"headline": ["meso4", setting.get("reference", "xception")]}
    return params.Params(**p)


def scores(row: str, seed: int = 0) -> pd.DataFrame:
    made = []
    for compression in ("c40", "c23"):
        given = SCORES.get((row, compression), PERFECT)
        for clip in people(3, [*given][1:]):
            second = int(clip["target"]) % 2  # of the pair
            about = clip | {"row": row, "seed": seed, "frame": 0, "compression": compression}
            about |= {"split": "test" if clip["pair"] else "val"}  # two pairs and one
            about |= {"score": np.float32(given[clip["method"]][second])}
            made.append(about | dict.fromkeys(["tp", "fp", "fn", "tn"], 0))
    return pd.DataFrame(made).sample(frac=1, random_state=1)


def write_info(paths: Paths, row: str, seed: int = 0, **info):
    path = paths.summary(row, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    said = {"collapsed": False, "deployed_parameters": 1000, "parameters": 2000}
    said |= {"seconds": 10.0 + 20 * seed, "machine": "2 cores"}
    path.write_text(json.dumps(said | info))


def change(paths: Paths, rows, how):
    for row in rows:
        put_scores(paths, how(pd.read_parquet(paths.scores(row, 0))), row)


@pytest.fixture
def paths(tmp_path) -> Paths:
    p = Paths("pocket", tmp_path)
    for row in (*ROWS, "xception_c23", "left_xception"):
        for seed in (0, 1):
            put_scores(p, scores(row, seed), row, seed)
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
    paper = t["paper_auc"].dropna()
    assert paper.to_dict() == {("c40", "all", "xception"): 90.3}


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


def test_a_row_that_still_rises_has_a_dagger(paths):
    """The gain over the last quarter of the steps, straight between validations, mean of seeds."""
    write_history(paths, "ours", 0, [0.5, 0.6, 0.7])  # at 22.5 of 30 steps: 0.625
    write_history(paths, "ours", 1, [0.5, 0.7, 0.7])
    write_history(paths, "meso4", 0, [0.6])  # fitted: validated once
    write_history(paths, "left_xception", 0, [0.5, 0.5, 0.5, 0.518])
    p = study(seeds=(0, 1))
    table = table1.table1(p, paths)
    assert (table[["parameters", "all_seconds", "seeds"]] == [1000, 40, "0 1"]).all(axis=None)
    gained = table.groupby("row")["rising"].first()
    assert gained["ours"] == pytest.approx(0.075 / 2) and gained["xception"] == 0
    assert np.isnan(gained["meso4"])
    marked = [line for line in markdown.table1(table).splitlines() if "†" in line]
    assert marked[0].startswith(f"| {p.rows['ours'].title} †") and len(marked) == 2  # and the note
    # less than 0.01, the mean of two seeds
    assert "†" not in markdown.left_out(table1.left_out(p, paths))
    write_history(paths, "left_xception", 1, [0.5, 0.5, 0.5, 0.55])
    assert "Xception † |" in markdown.left_out(table1.left_out(p, paths))


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


def test_what_compression_costs(paths):
    drops = table1.compression(study(), paths).set_index("row")
    assert drops.index.tolist() == ["xception_c23", "xception", "ours"]
    assert drops["trained_on"].tolist() == ["c23", "c40", "c40 (E_H: c23)"]
    assert drops["auc_high"].tolist() == [1.0, 1.0, 1.0]
    assert drops["auc_low"].tolist() == [1.0, 0.75, 0.875]
    assert drops["drop_auc"].tolist() == [0.0, 0.25, 0.125]
    assert drops["drop_auc_lo"].tolist() == drops["drop_auc_hi"].tolist() == [0.0, 0.25, 0.125]
    assert drops["drop_balanced_acc"].tolist() == [0.0, 0.5, 0.125]
    assert drops.loc["ours", "diff_drop_auc"] == -0.125
    assert np.isnan(drops.loc["xception", "diff_drop_auc"])
    alone = table1.compression(study(compression=["ours"]), paths)  # without the reference
    assert alone["drop_auc"].tolist() == [0.125] and alone["diff_drop_auc"].isna().all()


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
    # of two rows that saw it, the one that is trained on the same quality
    t = table1.left_out(study(rows=["xception_c23", *ROWS]), paths)
    assert t["compression"].tolist() == ["c40", "c23"] and set(t["method"]) == {"FaceSwap"}
    assert t["seen_row"].tolist() == ["xception"] * 2
    assert t["auc"].tolist() == [0.25, 1.0] and t["seen_auc"].tolist() == [0.5, 1.0]
    assert t["diff_auc"].tolist() == [-0.25, 0.0]
    alone = study(rows=["meso4", "ours"], reference="ours", compression=[])
    t = table1.left_out(alone, paths)
    assert t["auc"].tolist() == [0.25, 1.0]
    assert t[["seen_row", "seen_auc", "diff_auc"]].isna().all(axis=None)


def test_one_change_is_compared_manipulation_by_manipulation(paths):
    t = table1.contrasts(study(), paths)
    assert t["method"].tolist() == ["all", "Deepfakes", "FaceSwap"]
    assert t["diff_auc"].tolist() == [0.125, 0.0, 0.25]
    said = markdown.contrasts(t).splitlines()[2]
    assert said.startswith(f"| {t['title'][0]} − {t['other_title'][0]} | +12.5 (")
    assert table1.contrasts(study(contrasts=[]), paths).empty


def test_a_network_that_says_one_thing_of_most_real_faces_is_named(paths):
    change(paths, ["ours"], lambda s: s.assign(score=s["score"].where(s["label"] == 1, 0.45)))
    table = table1.table1(study(), paths)
    tied = overall(table).set_index("row")["tied"]
    assert tied.to_dict() == {"meso4": 0.5, "xception": 0.5, "ours": 1.0}
    said = markdown.tied(table)
    assert f"“{study().rows['ours'].title}” 100 percent" in said and said.endswith("at most 50.")


def test_further_seeds_of_the_rows_that_are_compared_first(paths):
    for row in ("meso4", "xception"):
        given = scores(row, 1)
        put_scores(paths, given.assign(score=1 - given["score"]), row, 1)
    p = study(headline_seeds=[1])
    few = overall(table1.table1(study(), paths)).set_index("row")
    table = overall(table1.table1(p, paths))
    more = table.set_index("row")
    assert more["seeds"].to_dict() == {"meso4": "0 1", "xception": "0 1", "ours": "0"}
    assert few["auc"].to_dict() == {"meso4": 1.0, "xception": 0.75, "ours": 0.875}
    assert more["auc"].to_dict() == {"meso4": 0.5, "xception": 0.5, "ours": 0.875}
    assert more.loc["meso4", "diff_auc"] == 0  # of two seeds, as both rows have them
    assert more.loc["ours", "diff_auc"] == few.loc["ours", "diff_auc"] == 0.125  # of one
    assert table["by_seed"].dropna().tolist() == ["+25.0, -25.0"]
    said = markdown.caption(table)
    assert "; seed 0 (“" in said and "”: 0, 1); " in said and "both rows have" in said


def test_further_seeds_of_the_rows_of_table_1(paths):
    for row in ROWS:
        given = scores(row, 1)
        put_scores(paths, given.assign(score=1 - given["score"]), row, 1)
    p = study(table1_seeds=[1])
    assert set(overall(table1.table1(p, paths))["seeds"]) == {"0 1"}
    drops = table1.compression(p, paths).set_index("row")["seeds"]
    assert drops["ours"] == "0 1" and drops["xception_c23"] == "0"  # no row of Table 1


def test_forgeries_that_no_row_was_trained_on(paths):
    assert table1.unseen(study(), paths).empty
    p = study(seeds=(0, 1), unseen=["Wide"])
    assert p.tested("ours") == ["Deepfakes", "FaceSwap", "Wide"]
    assert p.tested("cls_at") == p.for_row("cls_at").train.methods  # a row of Table 2
    seen = table1.table1(p, paths)
    with pytest.raises(TableError, match=r"meso4-s0: nothing of Wide"):
        table1.unseen(p, paths)

    def with_wide(s):
        return pd.concat([s, s[s["method"] == "FaceSwap"].assign(method="Wide")])

    change(paths, ROWS, with_wide)  # of seed 0 alone: seed 1 was scored before there were any
    wide = table1.unseen(p, paths)
    assert set(wide["method"]) == {"Wide"} and set(wide["seeds"]) == {"0"}
    swapped = seen[seen["method"] == "FaceSwap"].reset_index(drop=True)
    for name in ("compression", "row", "auc", "balanced_acc", "diff_auc", "diff_ours_auc"):
        assert wide[name].equals(swapped[name]), name
    assert table1.table1(p, paths).equals(seen)  # the other tables are without them
    said = markdown.unseen(wide).splitlines()
    assert len(said) == 2 + len(ROWS) and "87.5" not in said[3] and "75.0" in said[4]
    assert "; seed 0." in sentences.unseen(wide)


@pytest.mark.parametrize("setting", [{}, {"compression": [], "left_out": []}])
def test_the_notebook_makes_everything_and_its_claims_hold(paths, monkeypatch, setting):
    write_params(study(**setting), paths.top)
    monkeypatch.chdir(paths.top)
    run_cells("04_table1")
    drawn = {"curves", "table1", "methods"}
    drawn |= set() if setting else {"compression", "left_out"}
    assert {f.stem for f in (paths.figures / "table1").iterdir()} == drawn
    made = ("table1", "compression", "left_out", "unseen", "contrasts")
    assert {f.name for f in paths.tables.iterdir()} == {f"{name}.csv" for name in made}
    folder = paths.metrics / "table1"
    found = {path.stem: json.loads(path.read_text()) for path in folder.iterdir()}
    assert found["ours"]["auc"] == 0.875 and "drop_auc" not in found["meso4"]
    assert ("drop_auc" in found["ours"]) == (not setting)
