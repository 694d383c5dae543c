"""A set whose forgeries have no masks, from scores to tables and notebooks."""

import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import write_faces, write_params
from project import run_cells

from acfd.faces.shards import encode_png, write_index
from acfd.params import Params
from acfd.paths import Paths
from acfd.results import table, table1, table2
from acfd.runs import run
from acfd.scores import features, score
from acfd.videos.ffpp import Clip

ROWS = ["xception", "ours"]


@pytest.fixture(scope="module")
def params(small_params) -> Params:
    """As docs/extraction.md says for a set without masks."""
    raw = small_params.model_dump(mode="json")
    raw["loss"] |= {"at": 0.0, "gan": 0.0}
    raw["train"] |= {"steps": 1, "epoch_steps": 1, "val_pairs": 4}
    raw["study"] |= {"rows": ["steg"], "seeds": [0]}  # Table 2 trains the others
    small = {"bootstrap": 20}
    raw["table1"] |= {"rows": ROWS, "compression": ROWS, "left_out": [], "contrasts": []} | small
    raw["table1"] |= {"reference": "xception", "ours": "ours", "headline": ["ours", "xception"]}
    raw["table2"] |= {"rows": ROWS, "reference": "xception"} | small
    raw["robustness"] |= {"rows": ROWS, "reference": "xception"}
    raw["attention"] |= {"rows": ["ours"], "frames": 1, "factorial": []}
    raw["detect"] |= {"row": "ours"}
    return Params(**raw)


@pytest.fixture(scope="module")
def paths(params, toy_faces, tmp_path_factory) -> Paths:
    """Runs, scores and features of the toy faces, of whose forgeries no mask is known."""
    paths = Paths.of(params, tmp_path_factory.mktemp("maskless"))
    made, index = [], toy_faces.index
    for _, of in index.groupby("shard", sort=False):
        at = of.iloc[0]
        clip = Clip(*(at[c] for c in ("method", "video", "target", "source", "split")))
        pairs = [toy_faces.read(i) for i in of.index]
        for pair in pairs:  # as the extraction leaves what it knows nothing of: empty
            pair["mask"] = np.zeros_like(pair["mask"])
            pair["landmarks"] = pair["landmarks"].ravel()
            pair |= {k: encode_png(pair[k]) for k in ("high", "low", "mask")}
        made.append((clip, pairs))
    index = write_faces(paths.faces, made).index
    write_index(paths.faces, index.assign(masked=index["label"] == 0))
    for row in params.trained:
        run.run(params, row, 0, paths, progress=False)
        score.score(params, row, 0, paths, progress=False)
    features.store(params, "ours", 0, paths, progress=False)
    return paths


def test_tables_leave_the_maps_out(params, paths):
    scores = pd.read_parquet(paths.scores("ours", 0))
    pixels = scores.groupby("label")[["tp", "fp", "fn", "tn"]].sum().sum(axis=1)
    assert pixels[0] > 0 and pixels[1] == 0  # real faces have maps, and an empty mask
    two = table2.table2(params, paths)
    assert two["row"].tolist() == ROWS * 2 and two[["acc", "auc"]].notna().all(axis=None)
    assert two[["pbca", "iou", "pbca_lo", "iou_hi"]].isna().all(axis=None)
    one = table1.table1(params, paths)
    assert one[["acc", "auc"]].notna().all(axis=None)


def test_a_test_split_alone_is_scored(params, paths, tmp_path):
    """By runs that were trained elsewhere."""
    alone = Paths.of(params, tmp_path)
    shutil.copytree(paths.faces, alone.faces)
    shutil.copytree(paths.data / "runs", alone.data / "runs")
    index = pd.read_parquet(alone.faces / "index.parquet")
    write_index(alone.faces, index[index["split"] == "test"].reset_index(drop=True))
    for row in ROWS:
        score.score(params, row, 0, alone, progress=False)
    found = table2.table2(params, alone)
    same = [c for c in found if not c.startswith("balanced_acc_val")]
    expected = table2.table2(params, paths)[same]
    pd.testing.assert_frame_equal(found[same], expected, atol=1e-4)
    assert found["balanced_acc_val"].isna().all()


@pytest.mark.parametrize("name", ["04_table1", "05_table2", "06_attention"])
def test_notebooks_go_on_without_masks(params, paths, monkeypatch, name, capsys):
    write_params(params, paths.top)
    monkeypatch.chdir(paths.top)
    run_cells(name)
    figures = paths.figures / name[3:]
    drawn = "averages" if name == "06_attention" else name[3:]
    assert (figures / f"{drawn}.png").is_file()
    if name == "06_attention":
        assert "have no masks" in capsys.readouterr().out
        assert not (figures / "cases.png").exists()
        fit = table.read_table(paths.tables / "attention.csv")
        assert fit["iou"].isna().all() and np.isfinite(fit["low_branch_outside"]).all()
