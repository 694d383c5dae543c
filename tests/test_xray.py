"""Face X-ray: the seam is what it draws, the drawing alone is what it judges by, and it trains."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from trained import study_at

from acfd import params
from acfd.baselines import xray
from acfd.baselines.xray import XrayBranch, boundary
from acfd.method.backbone import imagenet_weights
from acfd.results.maps import unpack
from acfd.runs import run
from acfd.runs.run import make_system
from acfd.scores import score

ROW = "xray_c40"


def batch(soft: torch.Tensor) -> dict:
    """Noise with a brighter face wherever soft is; labels by whether there is any."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(len(soft), 3, *soft.shape[-2:], generator=generator) - 0.5 + soft / 2
    return {"low": images, "high": images, "soft": soft, "label": (soft.amax((1, 2, 3)) > 0).long()}


def squares(n: int = 8, side: int = 64) -> torch.Tensor:
    """Blending weights: none for even n, a soft-edged square for odd."""
    soft = torch.zeros(n, 1, side, side)
    for k in range(1, n, 2):
        soft[k, :, 16 + k : 44 + k, 12:44] = 1
    return F.avg_pool2d(soft, 5, 1, 2)


def test_the_boundary_is_one_where_both_pictures_weigh_the_same():
    m = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
    assert boundary(m).tolist() == [0.0, 0.75, 1.0, 0.75, 0.0]


@pytest.mark.parametrize(("size", "side", "grid"), [(64, 0, 15), (112, 0, 27), (64, 96, 23)])
def test_it_draws_a_map_of_a_quarter_of_the_side_and_judges_by_its_mean(size, side, grid):
    torch.manual_seed(0)
    net = XrayBranch(side, imagenet_weights(None))
    out = net(torch.rand(2, 3, size, size) * 2 - 1)
    assert out.attention.shape == (2, 1, grid, grid) and out.mid is None
    assert out.attention.min() > 0 and out.attention.max() < 1
    assert torch.allclose(out.feature[:, 0], out.attention.mean((1, 2, 3)))
    assert torch.allclose(out.logits, net.fc(out.feature))
    # more seam is more forged, and it starts undecided
    less, more = net.fc(torch.tensor([[0.0], [0.2]])).softmax(1)[:, 1]
    assert less < 0.2 and more > 0.8
    assert net.fc(torch.tensor([[xray.SEAM]])).softmax(1)[0, 1].item() == pytest.approx(0.5)


def test_the_loss_is_the_published_one(small_params):
    system = make_system(small_params, ROW, 0)
    assert system.weights == {"cls": 1.0, "xray": 100.0}
    assert system.map_is_mask is False and system.judged == "low"
    item = batch(squares())
    outputs = system.net(*system.inputs(item))
    terms = system.terms(outputs, item)
    drawn, said = outputs[0].attention, outputs[0].logits
    wanted = F.adaptive_avg_pool2d(boundary(item["soft"]), drawn.shape[-2:])
    by_hand = -(wanted * drawn.log() + (1 - wanted) * (1 - drawn).log()).mean()
    assert terms["xray"].item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert terms["cls"].item() == pytest.approx(F.cross_entropy(said, item["label"]).item())
    whole = terms["cls"] + 100 * terms["xray"]
    assert system.loss(terms).item() == pytest.approx(whole.item())


def test_every_weight_learns_and_the_classifier_takes_longer_steps(small_params):
    system = make_system(small_params, ROW, 0)
    rest, last = system.groups()
    lr = system.params.train.lr
    assert (rest["lr"], last["lr"]) == (lr, lr * xray.FC_LR_SCALE)
    assert len(rest["params"]) + len(last["params"]) == len(list(system.net.parameters()))
    item = batch(squares(4))
    terms = system.terms(system.net(*system.inputs(item)), item)
    terms["cls"].backward(retain_graph=True)
    assert system.net.low.fc.weight.grad.abs().min() > 0
    assert system.net.low.draw.weight.grad.abs().max() > 0  # L_c alone reaches the drawing
    system.loss(terms).backward()
    assert all(x.grad is not None and x.grad.any() for x in system.net.parameters())


def test_stored_forgeries_are_refused(small_params):
    raw = small_params.model_dump()
    raw["rows"][ROW]["set"]["augment"] = {"blend": 0.5}
    with pytest.raises(params.ParamsError, match=r"augment\.blend is 0\.5.*made afresh alone"):
        make_system(params.Params(**raw), ROW, 0)


def test_its_drawing_is_no_mask_and_its_mean_is_its_feature(small_params, toy_faces, tmp_path):
    p = small_params
    paths = study_at(tmp_path, toy_faces.folder)
    folder = run.run(p, ROW, 0, paths, progress=False)
    history = pd.read_csv(folder / "history.csv")
    assert np.isfinite(history["train_xray"]).all()
    assert history["attention_inside"].isna().all()  # its map is no mask, and cannot collapse
    assert json.loads((folder / "run.json").read_text())["collapsed"] is False
    scores = score.score(p, ROW, 0, paths, progress=False)
    assert (scores[["tp", "fp", "fn", "tn"]] == 0).all(axis=None)
    maps = pd.read_parquet(paths.maps(ROW, 0))
    assert (maps["side"] == 15).all() and maps["map"].str.len().eq(225).all()
    low = maps["compression"] == p.data.low
    drawn = unpack(maps.loc[low, "map"]).mean((1, 2))
    norm = scores.loc[scores["compression"] == p.data.low, "norm"]
    assert np.allclose(drawn, norm, atol=0.005)
