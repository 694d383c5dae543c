"""Training: learns, and stops when it makes no sense. That it repeats bit for bit and goes on when
it was killed: test_baselines.py, test_distributed.py."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score
from trained import changed, result, study_at, write_run

from acfd.faces.shards import PairTable
from acfd.method import losses
from acfd.method.model import Output
from acfd.results import maps, table
from acfd.runs import run, train
from acfd.runs.distributed import make_fabric
from acfd.runs.loop import History, Loop, TrainingError, _parts
from acfd.runs.run import make_system
from acfd.scores import score


@pytest.fixture
def study(small_params, toy_faces, tmp_path):
    """(params, paths) of a study whose faces are the toy ones."""
    return small_params, study_at(tmp_path, toy_faces.folder)


@pytest.mark.parametrize(
    ("row", "branches"),
    [("cls_both", "separate"), ("cls_at_dis_gan", "shared_tail"), ("cls_at_dis_gan", "shared")],
)
def test_every_row_trains_and_scores(study, row, branches):
    p, paths = study
    p = changed(p, model={"branches": branches})
    folder = run.run(p, row, 0, paths, progress=False)
    history, steps, _ = result(folder)
    assert len(history) == p.train.most_epochs()
    assert np.isfinite(history[["train_loss", "val_loss", "val_auc"]]).all(axis=None)
    terms = "cls" if row == "cls_both" else "cls at dis gan"
    for term in train.TERMS:
        assert history[f"train_{term}"].notna().all() == (term in terms.split())
    assert ("critic" in steps) == (row == "cls_at_dis_gan")
    said = json.loads((folder / "run.json").read_text())
    assert said["kept_epoch"] == history["val_loss"].idxmin() + 1
    assert not list((paths.top / ".acfd").rglob("state.pt"))  # nothing left to resume

    scores = score.score(p, row, 0, paths, progress=False)
    assert sorted(scores["compression"].unique()) == ["c23", "c40"]
    assert scores["score"].between(0, 1).all() and scores["norm"].ge(0).all()
    side = 4 if row == "cls_at_dis_gan" else 0  # 4 x 4 cells at 64 px
    assert (scores[["tp", "fp", "fn", "tn"]].sum(axis=1) == side * side).all()
    assert set(table.load_scores(paths, row, [0])["split"]) == {"val", "test"}
    # the scores are those of the network that was kept
    val = scores[(scores["split"] == "val") & (scores["compression"] == "c40")]
    ce = np.where(val["label"] == 1, -np.log(val["score"]), -np.log1p(-val["score"]))
    mean = np.mean([ce[val["label"] == k].mean() for k in (0, 1)])
    assert mean == pytest.approx(said["val_loss"], rel=1e-3)
    of_both = pd.read_parquet(paths.maps(row, 0)).get("map_high_branch", pd.Series()).notna()
    assert of_both.any() == (side > 0)


def test_a_run_goes_on_from_the_weights_that_it_is_told(study):
    """At so low a rate that it stays where it starts; other weights are another run."""
    p, paths = study
    start = write_run(p, paths, "meso4", seed=7) / "model.safetensors"
    row = p.rows["meso4"].model_dump() | {"set": {}}  # its own rate is high
    p = changed(p, train={"start": str(start), "lr": 1e-12}, rows={"meso4": row})
    keys = []
    for weights in (load_file(start), {k: v + 0.01 for k, v in load_file(start).items()}):
        save_file(weights, start)
        folder = run.run(p, "meso4", 0, paths, progress=False)
        found = load_file(folder / "model.safetensors")
        learnt = [k for k in found if k.endswith(("weight", "bias"))]  # not what is counted
        apart = {k: float((found[k] - weights[k]).abs().max()) for k in learnt}
        assert max(apart.values()) < 1e-6, apart
        keys.append(json.loads((folder / "run.json").read_text())["key"])
    assert keys[0] != keys[1]
    of_another = write_run(p, paths, "rahmouni") / "model.safetensors"
    for other in (paths.top / "nowhere.safetensors", of_another):
        p = changed(p, train={"start": str(other)})
        with pytest.raises(run.RunError, match=rf"(?s)train\.start: {other}: .* expected model"):
            run.run(p, "meso4", 0, paths, progress=False)


def test_maps_are_kept_by_epoch(study):
    p, paths = study
    folder = run.run(p, "cls_at", 0, paths, progress=False)
    score.score(p, "cls_at", 0, paths, progress=False)
    faces, epochs = maps.by_epoch(PairTable(paths.faces), paths, "cls_at", 0)
    assert list(epochs) == list(range(1, p.train.most_epochs() + 1))
    index = PairTable(paths.faces).index.loc[faces]
    assert (index["split"] == "val").all() and (index["label"] == 1).all()
    # those of the epoch that was kept are what the kept network says
    stored = pd.read_parquet(paths.maps("cls_at", 0))
    stored = stored[stored["compression"] == "c40"].set_index(["method", "video", "frame"])
    wanted = stored.loc[pd.MultiIndex.from_frame(index[stored.index.names]), "map"]
    best = json.loads((folder / "run.json").read_text())["kept_epoch"]
    assert np.abs(epochs[best] - maps.unpack(wanted)).max() <= 1.01 / 255
    kept = pd.read_parquet(folder / "maps.parquet")
    kept.head(0).to_parquet(folder / "maps.parquet")
    with pytest.raises(table.TableError, match="cls_at has none"):
        maps.by_epoch(PairTable(paths.faces), paths, "cls_at", 0)


def test_it_learns_what_can_be_learnt(study):
    p, paths = study
    p = changed(p, train={"steps": 10, "epoch_steps": 5, "batch": 8, "lr": 0.0005})
    folder = run.run(p, "cls_c40", 0, paths, progress=False)
    assert pd.read_csv(folder / "history.csv")["val_auc"].max() > 0.9


def test_the_last_epoch_is_kept_if_so_told_whatever_its_loss(study, monkeypatch):
    p, paths = study
    validate, rising = Loop.validate, iter([1.0, 2.0])

    def worse(self, loader):
        found = validate(self, loader)
        return found._replace(rates=found.rates | {"val_loss": next(rising)})

    monkeypatch.setattr(Loop, "validate", worse)
    p = changed(p, train={"keep": "last"})
    folder = run.run(p, "cls_c40", 0, paths, progress=False)
    said, history = json.loads((folder / "run.json").read_text()), result(folder)[0]
    assert said["kept_epoch"] == said["epochs"] == 2 and said["val_loss"] == 2.0
    # the network is that epoch's: it judges as it did when it was validated
    scores = score.score(p, "cls_c40", 0, paths, progress=False)
    val = scores[(scores["split"] == "val") & (scores["compression"] == "c40")]
    assert roc_auc_score(val["label"], val["score"]) == pytest.approx(history["val_auc"].iloc[-1])


def test_the_rate_rises_and_falls_as_the_schedule_says(small_params, tmp_path):
    p = changed(small_params, train={"steps": 20, "epoch_steps": 10, "warm_up": 0.2})
    system = make_system(p, "cls_at", 0, weights=None)
    state = Loop(system, p, make_fabric(p.compute), tmp_path, steps=20)
    slow = state.optimiser.param_groups[1]["params"]
    assert sum(x.numel() for x in slow) == 2 * (728 * 9 + 1)  # the attention of both branches
    rates = []
    for _ in range(20):
        state.optimiser.step()
        rates.append([group["lr"] for group in state.optimiser.param_groups])
        state.schedule.step()
    rates = np.array(rates)
    assert rates[:, 0].argmax() == 4 and rates[4, 0] == pytest.approx(p.train.lr)
    assert np.allclose(np.diff(rates[:5, 0]), p.train.lr / 5) and (np.diff(rates[4:, 0]) < 0).all()
    assert 0 < rates[-1, 0] < 0.05 * p.train.lr
    assert np.allclose(rates[:, 1], rates[:, 0] * p.train.attention_lr_scale)
    constant = changed(p, train={"schedule": "constant", "optimiser": "adam"})
    state = Loop(system, constant, make_fabric(p.compute), tmp_path)
    assert state.schedule is None and type(state.optimiser.optimizer) is torch.optim.Adam


def test_what_a_two_branch_step_is_watched_by(small_params):
    """Norms, hinges met, distances: of features that are known."""
    system = make_system(small_params, "cls_at_dis", 0, weights=None)
    torch.manual_seed(0)
    c = torch.eye(4) * torch.tensor([3.0, 80.0, 6.0, 40.0])
    out = Output(torch.zeros(4, 2), c, torch.full((4, 1, 2, 2), 0.25), None)
    mask = torch.zeros(4, 1, 8, 8)
    mask[1::2, :, :4] = 1
    seen = system.monitored((out, out), {"mask": mask, "label": torch.tensor([0, 1, 0, 1])})
    assert seen["norm_real"] == 4.5 and seen["norm_forged"] == 60
    assert seen["hinge_real"] == 0.5 and seen["hinge_forged"] == 0.5  # 3 <= 5, 80 >= 75
    assert seen["pair_distance"] == 0 and seen["other_distance"] > 3
    assert seen["attention_inside"] == seen["attention_real"] == 0.25


def test_a_vanished_map_stops_the_run_unless_told(study, monkeypatch):
    """With the threshold above every map, each run counts as one whose map has vanished."""
    monkeypatch.setattr(train, "VANISHED", 1.1)
    p, paths = study
    p = changed(p, model={"attention_form": "product"})
    with pytest.raises(TrainingError, match=r"after epoch 1 .*loss\.attention to bce"):
        run.run(p, "cls_at", 0, paths, progress=False)
    assert not (paths.run("cls_at", 0) / "run.json").exists()
    folder = run.run(changed(p, train={"on_collapse": "go_on"}), "cls_at", 0, paths, progress=False)
    said = json.loads((folder / "run.json").read_text())
    assert said["collapsed"] is True and said["epochs"] == p.train.most_epochs()


@pytest.mark.parametrize(
    ("form", "inside", "outside", "collapsed", "stops"),
    [
        ("product", 0.60, 0.15, False, False),
        ("product", 0.04, 0.001, True, True),  # off, even if it still tells the two apart
        ("product", 0.08, 0.09, True, False),  # flat and low: reported, but it may be on its way
        ("product", 0.30, 0.30, False, False),  # flat at the start of a training
        ("product", np.nan, np.nan, False, False),  # no map
        ("normalised", 0.04, 0.001, False, False),  # V * M / mean(M) does not fade with M
        ("normalised", 0.04, 0.04, True, False),  # flat, it shows nothing either way
    ],
)
def test_what_counts_as_collapsed(small_params, form, inside, outside, collapsed, stops):
    last = {"attention_inside": inside, "attention_outside": outside}
    sound = {"attention_inside": 0.6, "attention_outside": 0.1}
    # of the weights that are kept, the last epoch's or sound ones
    for epochs, expected in (([last], collapsed), ([sound, last], False)):
        history = History(epochs=epochs, kept_epoch=1)
        train._judge(history, small_params.train, form)
        assert history.collapsed == expected
        assert (history.stopped == "collapsed") == stops


def test_a_loss_that_is_not_finite_stops_the_run(study):
    p, paths = changed(study[0], train={"lr": 1e30, "epoch_steps": 2}), study[1]
    with pytest.raises(TrainingError, match=r"not finite.*train\.lr"):
        run.run(p, "cls_c40", 0, paths, progress=False)


def test_row_terms_are_eq_1(small_params):
    """The weighted sum that is trained, against the terms put together by hand."""
    system = make_system(small_params, "cls_at_dis_gan", 0)
    torch.manual_seed(0)
    batch = {q: torch.rand(4, 3, 64, 64) * 2 - 1 for q in ("high", "low")}
    batch |= {"mask": (torch.rand(4, 1, 64, 64) > 0.7).float(), "label": torch.tensor([0, 1, 0, 1])}
    high, low = outputs = system.net(*system.inputs(batch))
    found = system.loss(system.terms(outputs, batch))
    y, p = batch["label"], small_params.loss
    target = torch.nn.functional.adaptive_avg_pool2d(batch["mask"], 4)
    cls = sum(torch.nn.functional.cross_entropy(o.logits, y) for o in (high, low)) / 2
    at = (high.attention.detach() - low.attention).abs().mean()
    at = at + torch.nn.functional.binary_cross_entropy(high.attention, target)
    dis = torch.linalg.vector_norm(high.feature - low.feature, dim=1).mean()
    assert high.feature.std() > 0 and dis > 0  # a network of zeros would say nothing
    for o in (high, low):
        dis = dis + losses.metric_hinge(o.feature, y, p.radius_real, p.radius_fake)
    gan = (system.critic(high.mid, low.mid) - system.critic(low.mid, high.mid)).mean()
    expected = p.cls * cls + p.at * at + p.dis * dis + p.gan * gan
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_what_a_run_is_scored_on_is_todays_choice(study):
    """A run keeps what it was trained with; methods come from params.yaml."""
    p, paths = study
    folder = write_run(p, paths, "cls_c40")
    today = changed(p, train={"lr": 1.0})
    system, _ = run.load_run(folder, today)
    assert system.params.train.lr == p.train.lr
    # a set that the run was not trained on, and whose forgeries the toy faces lack
    known = {"methods": ["Deepfakes", "FaceSwap"]}
    other = changed(today, data=known, score={"methods": ["FaceSwap"]})
    with pytest.raises(ValueError, match="no forged faces in the val split for FaceSwap"):
        score.score(other, "cls_c40", 0, paths, progress=False)


def test_a_glance_for_the_critic_leaves_no_trace_in_batch_norms(study):
    """In parts, a batch is seen twice; running statistics move once, as of the net's own look."""
    p, paths = study
    p = changed(p, train={"accumulate": 2, "batch": 8})
    system = make_system(p, "cls_at_dis_gan", 0)
    state = Loop(system, system.params, make_fabric(p.compute), paths.top)
    system.net.train()
    before = {k: v.clone() for k, v in system.net.state_dict().items() if "running" in k}
    images = torch.rand(8, 3, 64, 64)
    batch = {"high": images, "low": images, "label": torch.arange(8) % 2}
    state._glance(_parts(batch, 2))
    after = system.net.state_dict()
    assert all(torch.equal(v, after[k]) for k, v in before.items())
    system.net(images, images)  # its own look moves them
    assert not any(torch.equal(v, after[k]) for k, v in before.items())
    assert all(m.momentum for m in system.net.modules() if hasattr(m, "momentum"))
