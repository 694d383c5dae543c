"""Disk and hours that a study of real videos will take, from a short measurement on this machine.

Rough on purpose: what is measured is the cost of a few videos and of a few training steps, and the
rest is arithmetic over the frames that `check.survey` has counted.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from acfd.datasets.check import Survey
from acfd.faces import choose_frames, extract_clip
from acfd.ffpp import REAL, Clip, Tree
from acfd.params import Faces, Params, digest
from acfd.paths import Paths

FRAMES = 24  # of a measured video
LEAST = 3  # videos measured
PAIRS = 4  # of a measured batch on a CPU, whose cost is proportional to it
STEPS = 2
FORWARD = 0.3  # a forward pass alone, as a part of a training step


@dataclass(frozen=True)
class Extraction:
    """What the stage `faces` will take."""

    videos: int
    pairs: int  # rows of shards, if every frame gives a face
    seconds: float  # on `jobs` processes
    bytes: float
    jobs: int
    measured: int  # videos that this was learnt from
    free: int  # bytes on the disk of the faces folder

    def __str__(self) -> str:
        return (
            f"faces: {self.pairs:,} pairs of {self.videos:,} videos, about "
            f"{self.bytes / 2**30:.1f} GiB ({self.free / 2**30:.0f} GiB are free there) and "
            f"{duration(self.seconds)} on {self.jobs} processes (from {self.measured} of them)"
        )

    @property
    def problem(self) -> str:
        """Why it cannot work, or ""."""
        if self.bytes < self.free:
            return ""
        return (
            f"the faces need about {self.bytes / 2**30:.1f} GiB, {self.free / 2**30:.1f} GiB are "
            "free; make room, or take fewer faces.frames or a smaller faces.size"
        )


def pairs(survey: Survey, params: Params, clip: Clip) -> int:
    """Pairs that a sound clip gives at most."""
    return min(params.faces.frames, survey.frames(clip))


def extraction(params: Params, survey: Survey) -> Extraction | None:
    """Extract a few frames of a few sound clips, as many at a time as `faces` will; None: no clip.

    The shards are written to a temporary folder on the disk of the faces folder, and removed.
    """
    sound = survey.sound
    if not sound:
        return None
    folder = Paths.of(params).faces
    there = next(p for p in folder.absolute().parents if p.exists())
    jobs = min(params.compute.jobs, os.cpu_count() or 1)
    chosen = np.unique(np.linspace(0, len(sound) - 1, max(LEAST, jobs)).astype(int))
    faces = params.faces.model_copy(update={"frames": min(FRAMES, params.faces.frames)})
    with tempfile.TemporaryDirectory(prefix=".estimate", dir=there) as out:
        rest = (faces, survey.high, survey.low, Path(out))
        task = joblib.delayed(_measure)
        costs = joblib.Parallel(jobs)(task(survey.tree, sound[i], *rest) for i in chosen)
    measured = [sound[i] for i in chosen]
    decode, each, size = np.sum(costs, axis=0)
    rate = decode / sum(_decoded(survey, c, faces) for c in measured)
    taken = sum(pairs(survey, params, c) for c in sound)
    frames = sum(pairs(survey, params.model_copy(update={"faces": faces}), c) for c in measured)
    seconds = rate * sum(_decoded(survey, c, params.faces) for c in sound) + taken * each / frames
    return Extraction(
        len(sound),
        taken,
        seconds / jobs,
        taken * size / frames,
        jobs,
        len(measured),
        shutil.disk_usage(there).free,
    )


def _measure(tree: Tree, clip: Clip, faces: Faces, high: str, low: str, out: Path) -> list[float]:
    """Seconds of reading a clip, seconds of all its faces, and bytes of its shard."""
    first = faces.model_copy(update={"frames": 1, "choice": "first"})
    extract_clip(tree, clip, first, high, low, out)  # compiles the detector for this shape
    t = extract_clip(tree, clip, faces, high, low, out).timing
    shard = sum(path.stat().st_size for path in out.glob(f"{clip.method}/{clip.video}.*"))
    return [t.hash + t.decode, t.detect + t.crop + t.write, float(shard)]


def _decoded(survey: Survey, clip: Clip, faces: Faces) -> int:
    """Pixels that are decoded of a clip's files: decoding stops after the last frame taken."""
    infos = survey.found[clip].values()
    last = max(choose_frames(survey.frames(clip), faces.frames, faces.choice), default=0) + 1
    return sum(last * info.width * info.height for info in infos)


def training(
    params: Params, survey: Survey, *, steps: int = STEPS, progress: bool = True
) -> pd.DataFrame:
    """Time a few steps of every kind of row on noise: row, runs, pairs (a run), seconds, hours.

    seconds: of one pair; hours: of all seeds, if no run stops early and loading, which other
    processes do, keeps up. Both are NaN for a system that is not trained by steps. Rows that cost
    the same are measured once.
    """
    measured: dict[str, float] = {}
    rows = []
    for row in tqdm(params.trained, desc="steps", unit="row", disable=not progress):
        p = params.for_row(row)
        kind = _kind(p, row)
        if kind not in measured:
            measured[kind] = _seconds_a_pair(p, row, steps)
        count, checked = _trained(p, survey)
        seeds = len(p.study.seeds)
        hours = seeds * (count + FORWARD * checked) * measured[kind] / 3600
        rows.append((row, seeds, count, measured[kind], hours))
    return pd.DataFrame(rows, columns=["row", "runs", "pairs", "seconds", "hours"])


def _kind(p: Params, row: str) -> str:
    terms = {k: v > 0 for k, v in p.loss.model_dump().items() if k in ("cls", "gan", "at", "dis")}
    images = "both" if p.rows[row].system == "two_branch" else len(p.train.qualities)
    said = [p.rows[row].system, images, p.model.model_dump(), terms, p.train.critic_steps]
    return digest(said)


def _trained(p: Params, survey: Survey) -> tuple[int, int]:
    """Pairs that one run is trained on, and pairs that it is validated on, in all epochs."""
    t = p.train
    epochs = t.most_epochs()
    counts = {}
    for clip in survey.sound:
        if clip.method in (REAL, *t.methods):
            key = (clip.split, clip.label)
            counts[key] = counts.get(key, 0) + pairs(survey, p, clip)
    largest = max((n for (split, _), n in counts.items() if split == "train"), default=0)
    val = sum(n for (split, _), n in counts.items() if split == "val")
    return epochs * (t.epoch_steps * t.batch or 2 * largest), epochs * min(t.val_pairs or val, val)


def _seconds_a_pair(p: Params, row: str, steps: int) -> float:
    from acfd import systems
    from acfd.loop import Loop
    from acfd.train import make_fabric

    fabric = make_fabric(p.compute)
    batch = p.train.batch if fabric.device.type == "cuda" else min(PAIRS, p.train.batch)
    system = systems.make(p, row, 0)
    if system.fit is not None:
        return float("nan")
    with tempfile.TemporaryDirectory() as scratch:
        loop = Loop(system, p, fabric, Path(scratch))
        system.net.train()
        noise = _noise(batch, p.faces.size, fabric.device, p.compute.channels_last)
        for step in range(steps + 1):
            if step == 1:  # the first one warmed up; Loop.step ends with a transfer, so it waits
                start = time.perf_counter()
            loop.step(noise, (0, 0, step))
        seconds = time.perf_counter() - start
    return seconds / (steps * batch)


def _noise(batch: int, size: int, device, channels_last: bool) -> dict:
    import torch

    generator = torch.Generator().manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    images = torch.rand(2, batch, 3, size, size, generator=generator) * 2 - 1
    high, low = (x.to(device, memory_format=layout) for x in images)
    label = torch.arange(batch, device=device) % 2
    mask = torch.zeros(batch, 1, size, size, device=device)
    mask[label == 1, :, size // 4 : size // 2] = 1
    return {"high": high, "low": low, "label": label, "mask": mask, "soft": mask}


def duration(seconds: float) -> str:
    """Seconds, minutes, hours or days, in words."""
    for unit, name, most in (
        (1, "seconds", 90),
        (60, "minutes", 90 * 60),
        (3600, "hours", 48 * 3600),
    ):
        if seconds < most:
            return f"{seconds / unit:.{0 if unit < 3600 else 1}f} {name}"
    return f"{seconds / 86400:.1f} days"
