"""Training on a GPU: pairs a second by batch, precision and compilation, against a plain loop of
the same model; what the loader keeps up with; peak memory.

python benchmarks/training.py                       # 299 px, batches of 32, 64 and 128
python benchmarks/training.py --device cpu --size 112 --batches 8 --steps 4 --ways 32-true
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import machine
import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader

from acfd import params
from acfd.faces.shards import (
    INDEX_COLUMNS,
    PairTable,
    encode_png,
    shard_name,
    write_index,
    write_shard,
)
from acfd.params import Params
from acfd.runs import distributed
from acfd.runs.loop import Loop
from acfd.runs.pairs import BalancedBatches, Pairs, loader, prepare
from acfd.runs.run import make_system
from acfd.videos.ffpp import REAL, Clip

HERE = Path(__file__).parent
ROW = "cls_at_dis_gan"  # both branches, the critic and all losses; begun without ImageNet weights
PAIRS = 256  # stored; an epoch deals them again and again
# what params.compute may say; the first is the default
WAYS = {
    "32-true": {"precision": "32-true", "compile": False},
    "32-true compiled": {"precision": "32-true", "compile": True},
    "bf16-mixed": {"precision": "bf16-mixed", "compile": False},
    "bf16-mixed compiled": {"precision": "bf16-mixed", "compile": True},
}
MARKS = [0.35, 0.4, 0.65, 0.4, 0.5, 0.6, 0.38, 0.75, 0.62, 0.75]


def make_params(size: int, batch: int, device: str, workers: int, way: dict) -> Params:
    """The study's parameters for ROW, with stored pairs alone."""
    raw = params.load(HERE.parent / "params.yaml").for_row(ROW).model_dump()
    raw["faces"]["size"] = size
    raw["train"]["batch"] = batch
    raw["augment"] |= {"blend": 0.0, "degrade": 0.0}
    raw["compute"] |= {"accelerator": device, "devices": 1, "workers": workers} | way
    return Params(**raw)


def store_faces(folder: Path, size: int) -> PairTable:
    """PAIRS pairs in two shards: smooth shapes coded as JPEG, so that their PNGs take about as long
    to read as those of decoded video."""
    rng = np.random.default_rng(0)
    index = []
    for clip in (
        Clip(REAL, "000", "000", "", "train"),
        Clip("F", "000_001", "000", "001", "train"),
    ):
        rows = [_stored(frame, size, clip.label, rng) for frame in range(PAIRS // 2)]
        write_shard(folder / shard_name(clip), clip, rows, "benchmark", {})
        about = {name: getattr(clip, name) for name in INDEX_COLUMNS[:6]}
        index += [
            about | {"frame": n, "shard": shard_name(clip), "row": n} for n in range(len(rows))
        ]
    write_index(folder, pd.DataFrame(index)[list(INDEX_COLUMNS)])
    return PairTable(folder)


def _stored(frame: int, size: int, label: int, rng: np.random.Generator) -> dict:
    picture = np.zeros((size, size, 3), np.float32)
    for cells in (4, 16, 64):
        noise = rng.uniform(0, 340 / cells**0.5, (cells, cells, 3)).astype(np.float32)
        picture += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    picture = picture.clip(0, 255).astype(np.uint8)
    mask = np.zeros((size, size), np.uint8)
    if label:
        cv2.circle(mask, (size // 2, size // 2), size // 4, 255, -1)
    stored = {"frame": frame, "box": [0, 0, size, size], "landmarks": [size * m for m in MARKS]}
    for name, quality in (("high", 90), ("low", 35)):
        code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        stored[name] = encode_png(cv2.imdecode(code, cv2.IMREAD_COLOR_RGB))
    return stored | {"mask": encode_png(mask)}


def plain_step(p: Params, device: torch.device) -> Callable[[dict], float]:
    """The loop one writes first: float32, NCHW, default Adam, a loss read at every step.

    Of the same model and losses; PyTorch's own settings, TF32 in convolutions among them.
    """
    system = make_system(p, ROW, 0, weights=None)
    net, critic = system.net.to(device).train(), system.critic.to(device)
    optimiser = torch.optim.Adam(system.groups())
    critic_optimiser = torch.optim.Adam(
        critic.parameters(), lr=p.train.critic_lr, betas=(0.5, 0.999)
    )
    generator = torch.Generator().manual_seed(0)

    def step(batch: dict) -> float:
        outputs = net(*system.inputs(batch))
        critic_optimiser.zero_grad()
        system.critic_loss(outputs, generator).backward()
        critic_optimiser.step()
        optimiser.zero_grad()
        loss = system.loss(system.terms(outputs, batch))
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def our_step(p: Params, scratch: Path) -> Callable[[dict], float]:
    """A step of `acfd train`."""
    system = make_system(p, ROW, 0, weights=None)
    loop = Loop(system, p, distributed.make_fabric(p.compute), scratch)
    system.net.train()
    return lambda batch: loop.step(batch, (0, 0, 0))["loss"]


def rate(step: Callable[[dict], float], batches: Iterator[dict], steps: int, batch: int) -> dict:
    """Pairs a second by the median step after some to warm up, and MiB at the peak (of a GPU)."""
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    losses = [step(next(batches)) for _ in range(max(2, steps // 4))]  # reading a loss waits for it
    warm, seconds = time.perf_counter() - began, []
    for _ in range(steps):
        began = time.perf_counter()
        losses.append(step(next(batches)))
        seconds.append(time.perf_counter() - began)
    return {
        "pairs_a_second": round(batch / statistics.median(seconds), 1),
        "pairs_a_second_overall": round(steps * batch / sum(seconds), 1),
        "warm_up_seconds": round(warm, 1),
        "peak_mib": torch.cuda.max_memory_allocated() >> 20 if gpu else None,
        "losses": [round(loss, 5) for loss in losses],
    }


def same_batch(p: Params, table: PairTable, device: torch.device, channels_last: bool) -> Iterator:
    """One batch again and again, on the device already."""
    data = _loader(p, table, 1, workers=0)
    batch = prepare(next(iter(data)), device, channels_last)
    while True:
        yield dict(batch)


def loaded(p: Params, table: PairTable, device: torch.device, steps: int) -> Iterator:
    """Batches as in training: read, augmented, moved to the device."""
    for item in _loader(p, table, steps, p.compute.workers):
        yield prepare(item, device, p.compute.channels_last)


def _loader(p: Params, table: PairTable, steps: int, workers: int) -> DataLoader:
    labels = table.index["label"].to_numpy()
    batches = BalancedBatches(labels, p.train.batch, steps, 0)
    pin = torch.cuda.is_available()
    return loader(Pairs(table, p.augment, 0), batches, workers, pin)


def measure(args: argparse.Namespace, batch: int, table: PairTable, scratch: Path) -> dict:
    """Every way at one batch size."""
    device = torch.device(args.device)

    def with_way(way: dict) -> Params:
        return make_params(args.size, batch, args.device, args.workers, way)

    p = with_way(WAYS["32-true"])
    found = {"plain float32 NCHW loop": rate(
        plain_step(p, device), same_batch(p, table, device, False), args.steps, batch
    )}  # fmt: skip
    for name in args.ways:
        p = with_way(WAYS[name])
        step = our_step(p, scratch)
        found[name] = rate(step, same_batch(p, table, device, True), args.steps, batch)
        steps = 3 * args.steps
        fed = rate(step, loaded(p, table, device, 2 * steps), steps, batch)
        found[name]["loaded_pairs_a_second"] = fed["pairs_a_second_overall"]
        found[name]["loader_keeps_up"] = round(
            fed["pairs_a_second_overall"] / found[name]["pairs_a_second_overall"], 3
        )
        del step
        torch.compiler.reset()
    plain = found["plain float32 NCHW loop"]
    for of in found.values():
        of["against_plain"] = round(of["pairs_a_second"] / plain["pairs_a_second"], 2)
        # what else than speed a way changes: rounding, and what grows of it from step to step
        apart = np.abs(np.subtract(of["losses"], plain["losses"]))
        of["loss_apart_at_first"], of["loss_apart_at_most"] = (
            round(float(x), 5) for x in (apart[0], apart.max())
        )
        print(f"batch {batch}:", {k: v for k, v in of.items() if k != "losses"}, flush=True)
    return found


def loader_alone(args: argparse.Namespace, table: PairTable) -> dict:
    """Pairs a second that loader processes give when nothing else is done."""
    found = {}
    for workers in sorted({1, args.workers}):
        p = make_params(args.size, 32, args.device, workers, WAYS["32-true"])
        steps = 8 * workers
        batches = iter(_loader(p, table, steps + 4 * workers, workers))
        for _ in range(4 * workers):  # what they prepare ahead
            next(batches)
        began = time.perf_counter()
        for _ in range(steps):
            next(batches)
        found[f"workers_{workers}"] = round(32 * steps / (time.perf_counter() - began), 1)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--size", type=int, default=299)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--to", type=Path, default=HERE / "results" / "gpu.json")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.exit(1, "training.py: PyTorch finds no GPU here; --device cpu tries it without\n")
    with tempfile.TemporaryDirectory() as temporary:
        table = store_faces(Path(temporary, "faces"), args.size)
        said = {"size": args.size, "loader_alone_pairs_a_second": loader_alone(args, table)}
        for batch in args.batches:
            said[f"batch_{batch}"] = measure(args, batch, table, Path(temporary))
    about = {"device": "CPU", "torch": torch.__version__, "workers": args.workers}
    if args.device == "cuda":
        about |= {"device": torch.cuda.get_device_name(), "cuda": torch.version.cuda,
                  "tf32_in_convolutions": torch.backends.cudnn.allow_tf32}  # fmt: skip
    machine.write(said, args.to, **about)


if __name__ == "__main__":
    main()
