"""Disk and hours that the faces of real videos will take, from a few of them on this machine.

Rough on purpose: a few videos are extracted, and the rest goes by the pairs that `check.survey`
lets expect. `acfd plan` reckons what is trained on them.
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

from acfd.faces.extract import extract_clip
from acfd.faces.shards import shard_name
from acfd.params import Params
from acfd.paths import Paths
from acfd.sections import Faces
from acfd.videos import FileSet
from acfd.videos.check import Survey
from acfd.videos.ffpp import Clip, Tree

LEAST = 3  # videos measured


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
        s = self.seconds
        long = f"{s / 60:.1f} minutes" if s < 5400 else f"{s / 3600:.1f} hours"
        return (
            f"faces: {self.pairs:,} pairs of {self.videos:,} videos, about "
            f"{self.bytes / 2**30:.1f} GiB ({self.free / 2**30:.0f} GiB are free there) and "
            f"{long} on {self.jobs} processes (from {self.measured} of them)\n{self.problem}"
        ).strip()

    @property
    def problem(self) -> str:
        """Why it cannot work, or ""."""
        if self.bytes < self.free:
            return ""
        return (
            f"the faces need about {self.bytes / 2**30:.1f} GiB, {self.free / 2**30:.1f} GiB are "
            "free; make room, or take fewer faces.frames or a smaller faces.size"
        )


def extraction(params: Params, survey: Survey) -> Extraction | None:
    """Extract a few sound clips, as many at a time as `faces` will; None: there is no sound clip.

    The shards are written to a temporary folder on the disk of the faces folder, and removed.
    """
    sound = survey.sound
    if not sound:
        return None
    pairs = np.array([min(params.faces.frames, survey.frames(clip)) for clip in sound])
    there = next(p for p in Paths.of(params).faces.absolute().parents if p.exists())
    jobs = min(params.compute.jobs, os.cpu_count() or 1)
    chosen = np.unique(np.linspace(0, len(sound) - 1, max(LEAST, jobs)).astype(int))
    with tempfile.TemporaryDirectory(prefix=".estimate", dir=there) as out:
        rest = (params.faces, survey.high, survey.low, Path(out))
        task = joblib.delayed(_measure)
        costs = joblib.Parallel(jobs)(task(survey.tree, sound[i], *rest) for i in chosen)
    seconds, size = np.sum(costs, axis=0) * pairs.sum() / pairs[chosen].sum()
    about = (len(sound), int(pairs.sum()), seconds / jobs, size, jobs, len(chosen))
    return Extraction(*about, shutil.disk_usage(there).free)


def _measure(tree: Tree | FileSet, clip: Clip, faces: Faces, *rest) -> tuple[float, int]:
    """Seconds that the faces of a clip take, and bytes of its shard."""
    first = faces.model_copy(update={"frames": 1, "choice": "first"})
    extract_clip(tree, clip, first, *rest)  # compiles the detector for this shape
    began = time.perf_counter()
    extract_clip(tree, clip, faces, *rest)
    taken = time.perf_counter() - began
    return taken, (rest[-1] / shard_name(clip)).stat().st_size
