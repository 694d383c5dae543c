"""Speed and memory on this machine: training against the plain passes it contains, extraction.

make bench      or: python benchmarks/speed.py [--size 112] [--batch 32] [--rounds 5]
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import machine
import numpy as np
import psutil
import torch

from acfd import params, videos
from acfd.faces import extract
from acfd.faces.shards import PairTable
from acfd.params import Params
from acfd.runs import pairs
from acfd.runs.distributed import make_fabric
from acfd.runs.loop import Loop
from acfd.runs.run import make_system
from acfd.videos import synthff

HERE = Path(__file__).parent


def small(p: Params, size: int, batch: int, jobs: int, root: Path) -> Params:
    """The study's parameters with a data set of 10 people at `root`."""
    raw = p.model_dump()
    raw["data"]["root"] = str(root)
    raw["synthff"]["identities"] = {"train": 4, "val": 2, "test": 4}
    raw["faces"]["size"] = size
    raw["train"]["batch"] = batch
    raw["compute"]["jobs"] = jobs
    return Params(**raw)


def training(p: Params, table: PairTable, rounds: int) -> dict:
    """Milliseconds a pair, each of three steps measured in turn, and their ratio round by round."""
    size, batch = p.faces.size, p.train.batch
    p = p.for_row("cls_at_dis_gan")
    device = torch.device("cpu")
    labels = table.index["label"].to_numpy()
    batches = pairs.BalancedBatches(labels, batch, 2 * rounds + 4, 0)
    loader = iter(pairs.loader(pairs.Pairs(table, p.augment, 0), batches, p.compute.workers))
    two = make_system(p, "cls_at_dis_gan", 0)
    loop = Loop(two, p, make_fabric(p.compute), Path())
    two.net.train()
    plain = make_system(p, "cls_c40", 0)
    plain.net.to(memory_format=torch.channels_last).train()

    def two_plain_passes():
        """Forward and backward of a plain Xception, twice, data already there; no optimiser."""
        for quality in ("high", "low"):
            outputs = plain.net(fixed[quality])
            plain.loss(plain.terms(outputs, fixed)).backward()
            plain.net.zero_grad()

    def our_step():
        """As in training: loading, both branches, critic, all losses, both optimisers."""
        loop.step(pairs.prepare(next(loader), device, True), (0, 0, 0))

    fixed = pairs.prepare(next(loader), device, True)
    times: dict = {two_plain_passes: [], our_step: []}
    for i in range(rounds + 1):
        for step, seen in times.items():
            began = time.perf_counter()
            step()
            if i:  # the first round warms up
                seen.append((time.perf_counter() - began) / batch * 1000)
    ratios = [b / a for a, b in zip(times[two_plain_passes], times[our_step], strict=True)]
    return {
        "size": size,
        "batch": batch,
        "two_plain_passes_ms_a_pair": round(statistics.median(times[two_plain_passes]), 1),
        "our_step_ms_a_pair": round(statistics.median(times[our_step]), 1),
        "ratio_median": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
    }


def peak_memory(kind: str, size: int, batch: int) -> int:
    """Peak resident MiB of a fresh process that trains two steps of one kind."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_two_steps, (kind, size, batch))


def _two_steps(kind: str, size: int, batch: int) -> int:
    p = params.load(HERE.parent / "params.yaml")
    row = {"one plain Xception": "cls_c40", "two branches and critic": "cls_at_dis_gan"}[kind]
    system = make_system(p, row, 0)
    system.net.to(memory_format=torch.channels_last).train()
    loop = Loop(system, p, make_fabric(p.compute), Path())
    image = torch.rand(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    data = {"high": image, "low": image, "label": torch.arange(batch) % 2}
    data["mask"] = torch.zeros(batch, 1, size, size)
    for _ in range(2):
        loop.step(data, (0, 0, 0))
    # not getrusage: its peak is inherited from the process that started this one
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in status if line.startswith("VmHWM"))) // 1024


def extraction(p: Params, folder: Path) -> dict:
    """Frames a second with 1 and 2 processes, and where the seconds of one frame go."""
    found = {}
    for jobs in (1, 2):
        out = folder / f"faces{jobs}"
        shutil.rmtree(out, ignore_errors=True)
        q = p.model_copy(update={"compute": p.compute.model_copy(update={"jobs": jobs})})
        before = cpu_seconds()
        _, _, timing = extract.extract(q, videos.tree(q), out, progress=False)
        busy = cpu_seconds() - before
        stages = {k: getattr(timing, k) for k in ("decode", "detect", "crop", "write")}
        found[f"jobs_{jobs}"] = {
            "frames_a_second": round(timing.frames / timing.wall, 1),
            "busy_cores": round(busy / timing.wall, 2),
            "ms_a_frame": {k: round(1000 * v / timing.frames, 2) for k, v in stages.items()},
        }
    rates = [found[f"jobs_{jobs}"]["frames_a_second"] for jobs in (1, 2)]
    return found | {"two_against_one": round(rates[1] / rates[0], 2)}


def cpu_seconds() -> float:
    """Of this process and those that it started; unlike the stages' seconds, no waiting."""
    me = psutil.Process()
    times = [process.cpu_times() for process in (me, *me.children(recursive=True))]
    return sum(t.user + t.system for t in times)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        base = params.load(HERE.parent / "params.yaml")
        p = small(base, args.size, args.batch, 2, folder / "videos")
        began = time.perf_counter()
        synthff.build(p, folder / "videos", scratch=folder / "scratch")
        built = time.perf_counter() - began
        said = {"extraction": extraction(p, folder)}
        said["synthff_seconds_a_person"] = round(built / 10, 2)
        said["training"] = training(p, PairTable(folder / "faces2"), args.rounds)
        said["peak_memory_mib"] = {
            kind: peak_memory(kind, args.size, args.batch)
            for kind in ("one plain Xception", "two branches and critic")
        }
    machine.write(
        said,
        HERE / "results" / "cpu.json",
        threads=torch.get_num_threads(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        torch=torch.__version__,
        numpy=np.__version__,
    )


if __name__ == "__main__":
    main()
