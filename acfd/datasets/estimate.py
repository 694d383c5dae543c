"""Disk and hours that the faces of real videos will take, from a few of them on this machine.

Rough on purpose: what is measured is the cost of a few videos, and the rest is arithmetic over the
frames that `check.survey` has counted. `acfd plan` reckons what is trained on them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np

from acfd.datasets.check import Survey
from acfd.faces import choose_frames, extract_clip
from acfd.ffpp import Clip, Tree
from acfd.params import Faces, Params
from acfd.paths import Paths

FRAMES = 24  # of a measured video
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
