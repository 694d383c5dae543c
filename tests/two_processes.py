"""What test_distributed.py runs in one process and, as a script, in two: a small two-branch net.

It has no batch norm, whose statistics two CPU processes do not share, and takes milliseconds.

Usage: two_processes.py TASK PARAMS FOLDER [OTHER]. `run` trains, and scores the run and OTHER's;
`step` does a few steps by themselves first. KILL=n in the environment: process 1 kills itself in
its n-th step.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from acfd import params
from acfd.faces.shards import PairTable
from acfd.method.backbone import FEATURES, MID_CHANNELS
from acfd.method.model import Branch, TwoBranch
from acfd.method.two_branch import TwoBranchSystem
from acfd.paths import Paths
from acfd.runs import distributed, run
from acfd.runs.loop import Loop
from acfd.runs.pairs import prepare
from acfd.runs.run import make_system
from acfd.scores import score

ROW = "cls_at_dis_gan"


def network(cls, p, weights, seed) -> TwoBranch:
    """In place of two Xceptions."""
    return TwoBranch(_branch(), _branch())


def _branch() -> Branch:
    head = nn.Sequential(
        nn.Conv2d(3, 8, 8, stride=8), nn.ReLU(), nn.Conv2d(8, MID_CHANNELS, 2, stride=2)
    )
    tail = nn.Sequential(
        nn.Conv2d(MID_CHANNELS, 8, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, FEATURES),
    )
    return Branch(head, tail, "normalised")


def small():
    TwoBranchSystem.network = classmethod(network)


def steps(p: params.Params, paths: Paths, seed: int = 0) -> list[dict]:
    """Gradients and numbers after each of two steps.

    seed: of the critic's random numbers.
    """
    p = p.for_row(ROW)
    fabric = distributed.make_fabric(p.compute)
    rank, world = fabric.global_rank, fabric.world_size
    data, batches, _ = run.training_data(PairTable(paths.faces), p, 0, rank, world)
    system = make_system(p, ROW, 0)
    loop = Loop(system, p, fabric, paths.top)
    found = []
    for n, at in enumerate(list(batches)[:2]):
        item = torch.utils.data.default_collate([data[a] for a in at])
        record = loop.step(prepare(item, fabric.device, False), (seed, 0, n))
        found.append({"record": record})
        for name, module in (("net", system.net), ("critic", system.critic)):
            grads = {k: x.grad for k, x in module.named_parameters() if x.grad is not None}
            found[-1][name] = {k: g.clone() for k, g in grads.items()}
    return found


def die_at(step: int):
    """Process 1 ends like one that was killed, in the middle of a run."""
    whole, done = Loop.step, []

    def counted(self, *args):
        done.append(1)
        if self.fabric.global_rank == 1 and len(done) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, *args)

    Loop.step = counted


def main(task: str, file: str, *folders: str):
    small()
    torch.set_num_threads(1)
    p, paths = params.load(file), Paths("toy", Path(folders[0]))
    if "KILL" in os.environ:
        die_at(int(os.environ["KILL"]))
    if task == "step":
        for accumulate in (1, 2):
            raw = p.model_dump()
            raw["train"]["accumulate"] = accumulate
            found = steps(params.Params(**raw), paths)
            if int(os.environ.get("LOCAL_RANK", 0)) == 0:
                torch.save(found, paths.top / f"steps{accumulate}.pt")
    run.run(p, ROW, 0, paths, progress=False)
    for folder in folders:
        score.score(p, ROW, 0, Paths("toy", Path(folder)), progress=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
