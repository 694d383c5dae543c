"""The systems of Table 1 that gradients train: each trains, repeats and goes on."""

import numpy as np
import pandas as pd
import pytest
import torch
from trained import assert_same, changed, result, study_at

from acfd import registry
from acfd.params import Params
from acfd.runs import run
from acfd.scores import score


class Killed(BaseException):
    """As abrupt for a run as a process's end: nothing catches it, nothing is put away."""


@pytest.mark.parametrize(
    "row", ["rahmouni", "mesoinception4", "f3net", "xray_c40", "cls_at_dis_gan"]
)
def test_it_is_scored_and_a_run_cut_short_ends_as_a_whole_one(
    small_params, toy_faces, tmp_path, monkeypatch, row
):
    """Cut after the third of four steps, in the middle of the second epoch."""
    train, compute = {"steps": 4, "epoch_steps": 2}, {"checkpoint_steps": 1}
    raw = changed(small_params, train=train, compute=compute, faces={"size": 64}).model_dump()
    raw["rows"]["mesoinception4"]["set"]["model"]["input"] = 40
    p = Params(**raw)
    whole, paths = (study_at(tmp_path / name, toy_faces.folder) for name in ("whole", "cut"))
    expected = result(run.run(p, row, 0, whole, progress=False))
    assert len(expected[1]) == 4
    assert np.isfinite(expected[0][["train_loss", "val_loss", "val_auc"]]).all(axis=None)
    scores = score.score(p, row, 0, whole, progress=False)
    assert scores["score"].between(0, 1).all() and scores["score"].nunique() > 2
    if row == "f3net":
        return  # it takes longest, and has nothing of its own to resume
    pd.testing.assert_frame_equal(scores, score.score(p, row, 0, whole, progress=False))

    seen, system = [], registry.find(p.rows[row].system)
    original = system.terms

    def cut(self, outputs, batch):
        seen.append(1)
        if len(seen) == 4:
            raise Killed
        return original(self, outputs, batch)

    monkeypatch.setattr(system, "terms", cut)
    with pytest.raises(Killed):
        run.run(p, row, 0, paths, progress=False)
    assert not (paths.run(row, 0) / "run.json").exists()
    monkeypatch.undo()
    torch.manual_seed(12345)  # a new process starts with another global generator
    assert_same(expected, result(run.run(p, row, 0, paths, progress=False)))
