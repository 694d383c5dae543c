"""Several processes train as one: gradients, validation, early stop, scores; and a killed one.

Two processes are started by Fabric itself (compute.devices) or by torchrun, on CPUs over gloo, with
the small net of two_processes.py; the same in one process is what they are compared with.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import trained
import two_processes
from conftest import write_params
from torch import nn
from trained import assert_same, changed, study_at

from acfd.method.two_branch import TwoBranchSystem
from acfd.params import Params, ParamsError
from acfd.runs import distributed, pairs, run
from acfd.runs.loop import Loop
from acfd.runs.run import make_system
from acfd.runs.train import TrainingError
from acfd.sections import Compute

ROW = two_processes.ROW
STEPS = {"checkpoint_steps": 1}
SCRIPT = two_processes.__file__
TRAIN = {
    "batch": 8,
    "epoch_steps": 2,
    "steps": 24,
    "optimiser": "adam",
    "schedule": "constant",
    "patience": 2,
    "val_pairs": 0,
    "critic_steps": 2,
    "on_collapse": "go_on",
    "lr": 0.003,
    "attention_lr_scale": 1.0,
}


@pytest.fixture(scope="module")
def small_net():
    """A two-branch system is one of two small branches, in this process as in the others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TwoBranchSystem, "network", None)
        two_processes.small()
        yield


@pytest.fixture(scope="module")
def make_study(small_params, toy_faces, tmp_path_factory):
    """make_study(devices=2) -> (params, its file, paths): a folder with the toy faces."""

    def make(**compute):
        p = changed(small_params, train=TRAIN, score={"batch": 3}, compute=compute | STEPS)
        paths = study_at(tmp_path_factory.mktemp("study"), toy_faces.folder)
        return p, write_params(p, paths.top), paths

    return make


def start(*arguments: str | Path, launcher: tuple[str, ...] = (), **env: str):
    """Run two_processes.py; returns the finished process with what it printed."""
    command = [sys.executable, *launcher, SCRIPT, *map(str, arguments)]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)} | env
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=500)


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def one(small_net, make_study):
    """What one process makes: paths."""
    _, file, paths = make_study()
    two_processes.main("step", str(file), str(paths.top))
    return paths


@pytest.fixture(scope="module")
def both(one, make_study):
    """What two processes make that Fabric starts: paths of their run, and of the run of one
    process as they score it."""
    _, file, paths = make_study(devices=2)
    _, _, again = make_study()
    again.run(ROW, 0).parent.mkdir(parents=True)
    again.run(ROW, 0).symlink_to(one.run(ROW, 0))
    done = start("step", file, paths.top, again.top)
    assert done.returncode == 0, done.stderr[-3000:]
    return paths, again


@pytest.fixture(scope="module")
def two(both):
    return both[0]


def result(paths):
    folder = paths.run(ROW, 0)
    return *trained.result(folder), json.loads((folder / "run.json").read_text())


def scores_of(paths):
    return pd.read_parquet(paths.scores(ROW, 0)), pd.read_parquet(paths.maps(ROW, 0))


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("processes", [1, 2])
def test_gradients_are_those_of_the_whole_batch(one, two, processes, accumulate):
    """The net's and the critic's, whose penalty has second derivatives and random points."""
    expected = torch.load(one.top / "steps1.pt", weights_only=True)
    found = torch.load((one if processes == 1 else two).top / f"steps{accumulate}.pt")
    assert "high.head.0.weight" in found[0]["net"]
    for a, b in zip(found, expected, strict=True):
        for module in ("net", "critic"):
            assert set(a[module]) == set(b[module])
            for name, gradient in b[module].items():
                # the critic's last bias takes part in both of its scores: no gradient
                nothing = (module, name) == ("critic", "rest.5.bias")
                assert (gradient.norm() == 0) == nothing
                error = (a[module][name] - gradient).norm()
                assert error <= 1e-4 * gradient.norm(), (module, name)
        assert set(a["record"]) == {*b["record"]}
        for name in ("critic", "loss", "cls", "at", "dis", "gan"):
            assert a["record"][name] == pytest.approx(b["record"][name], rel=1e-4, abs=1e-5)


def test_validation_and_early_stop_are_the_same(one, two):
    history, steps, _, said = result(two)
    expected, expected_steps, _, expected_said = result(one)
    assert expected_said["stopped"].startswith("validation loss did not fall")
    assert 3 <= len(expected) < TRAIN["steps"] / TRAIN["epoch_steps"]
    assert expected_said["epochs"] - expected_said["kept_epoch"] == TRAIN["patience"]
    for key in ("stopped", "kept_epoch", "epochs", "collapsed"):
        assert said[key] == expected_said[key]
    columns = ["train_loss", "train_gan", "critic_loss", "val_loss", "val_auc"]
    np.testing.assert_allclose(history[columns], expected[columns], rtol=2e-3, atol=1e-5)
    assert list(steps.columns) == list(expected_steps.columns)


def test_every_face_is_scored_once_and_alike_however_many_score(one, both, toy_faces):
    """The same run, scored by one process and by two: to the bit."""
    scores, _ = scores_of(one)
    wanted = toy_faces.index.query("split in ['val', 'test']")
    who = ["split", "method", "video", "frame", "compression"]
    assert len(scores) == 2 * len(wanted) and not scores.duplicated(who).any()
    for found, expected in zip(scores_of(both[1]), scores_of(one), strict=True):
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_a_killed_process_ends_the_job_and_it_resumes(two, make_study):
    """Killed under torchrun, gone on with as Fabric starts it."""
    _, file, paths = make_study(devices=2)
    # process 1 dies in its fourth step, the second epoch's second
    done = start("run", file, paths.top, launcher=TORCHRUN, KILL="4")
    assert done.returncode != 0
    assert "SIGKILL" in done.stderr or "-9" in done.stderr
    assert not (paths.run(ROW, 0) / "run.json").exists()
    (state,) = (paths.top / ".acfd").rglob("state.pt")
    assert len(torch.load(state, weights_only=True)["history"]["steps"]) in (2, 3)
    done = start("run", file, paths.top)
    assert done.returncode == 0, done.stderr[-3000:]
    expected, found = result(two), result(paths)
    assert_same(found, expected)


def test_the_stage_takes_over_what_several_processes_trained(small_net, two, monkeypatch):
    """The stage runs in one process; it must find the finished run, not train again."""
    before = result(two)
    p = changed(Params(**before[3]["params"]), compute={"devices": 1})
    for part in ("step", "validate"):  # either would be an error
        monkeypatch.setattr(Loop, part, None)
    run.run(p, ROW, 0, two, progress=False)
    after = result(two)
    pd.testing.assert_frame_equal(before[0], after[0])
    assert all(torch.equal(before[2][k], after[2][k]) for k in before[2])
    assert not list((two.top / ".acfd").rglob("state.pt"))


def test_shares_of_ordered_batches_are_a_partition():
    whole = list(pairs.InOrder(np.arange(11), 2, (0, 1)))
    for world in (1, 2, 3, 20):
        shares = [pairs.InOrder(np.arange(11), 2, (0, 1), r, world) for r in range(world)]
        assert [len(s) for s in shares] == [len(list(s)) for s in shares]
        dealt = [batch for share in shares for batch in share]
        assert dealt == whole if world in (1, 20) else dealt != whole
        assert sorted(dealt) == whole


def compute(**values) -> Compute:
    base = {"accelerator": "cpu", "devices": 1, "nodes": 1, "precision": "32-true"}
    base |= {"channels_last": False, "compile": False, "workers": 0, "jobs": 1}
    return Compute.model_construct(**base | values)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, (3, 1)),
        ({"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "8"}, (2, 4)),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2"}, (4, 2)),
        ({"SLURM_NTASKS": "8", "SLURM_NNODES": "2"}, (3, 1)),  # a batch script: one process
        ({"WORLD_SIZE": "3", "LOCAL_RANK": "1"}, (3, 1)),  # Fabric's own second process
    ],
)
def test_the_launcher_says_how_many(monkeypatch, env, expected):
    for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_NODES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert distributed.processes(compute(devices=3)) == expected


def test_a_notebook_is_told_that_it_cannot_start_processes(monkeypatch):
    monkeypatch.setattr(sys, "ps1", "In : ", raising=False)
    with pytest.raises(ParamsError, match=r"compute\.devices is 2.*docs/scale\.md"):
        distributed.make_fabric(compute(devices=2))


@pytest.mark.parametrize(
    ("kind", "world", "shared"), [("cuda", 2, True), ("cuda", 1, False), ("cpu", 2, False)]
)
def test_batch_norm_is_shared_on_gpus(kind, world, shared):
    """The same weights and names; what it does on GPUs is PyTorch's."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.BatchNorm2d(4, eps=1e-3)))
    before = net.state_dict(keep_vars=True)
    fabric = SimpleNamespace(world_size=world, device=torch.device(kind))
    distributed.share_batch_norm(net, fabric)
    assert isinstance(net[1][0], nn.SyncBatchNorm) == shared
    after = net.state_dict(keep_vars=True)
    assert list(after) == list(before) and all(after[k] is before[k] for k in before)


def test_a_batch_that_does_not_divide_is_named(small_net, small_params, tmp_path):
    p = changed(small_params, train={"batch": 6})
    system, fabric = make_system(p, ROW, 0), SimpleNamespace(world_size=2)
    with pytest.raises(TrainingError, match=r"train\.batch 6 .* 2 processes"):
        Loop(system, p, fabric, tmp_path)


def test_the_critic_and_its_penalty_stay_in_float32_under_bf16(small_net, make_study):
    p, _, paths = make_study(precision="bf16-mixed")
    dtypes = {}

    def see(name):
        def hook(module, args, out):
            dtypes.setdefault(name, set()).update(x.dtype for x in (*args, out))

        return hook

    make = run.make_system

    def watched(*args, **kwargs):
        system = make(*args, **kwargs)
        for name, module in system.critic.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(see(f"critic.{name}"))
        system.net.high.head[0].register_forward_hook(see("head"))
        return system

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(two_processes, "make_system", watched)
        found = two_processes.steps(p, paths)[1]
    assert torch.bfloat16 in dtypes.pop("head")  # mixed precision is on ...
    assert len(dtypes) == 4 and all(d == {torch.float32} for d in dtypes.values())  # ... not here
    assert all(g.dtype == torch.float32 for g in found["critic"].values())
