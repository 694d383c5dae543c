"""Coding as varied as what a detector meets: each clip has its own scale, colours and H.264.

FaceForensics++ codes every clip alike, at c23 and c40; a network that saw nothing else takes other
scales and other codings for forgeries. Real and forged clips are drawn alike.
"""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from acfd.media import artefacts
from acfd.media.video import read_frames, write_video

CRF = {"c23": (17, 29), "c40": (30, 43)}
SMALLEST = 0.5  # of the frame's sides, before they are enlarged again
TWICE = 0.5  # share of c40's clips that are coded from c23's, not from the frames


def write(
    paths: Mapping[str, Path], frames: list[np.ndarray], fps: float, rng: np.random.Generator
) -> None:
    """Write what of c23 and c40 is in `paths`, from RGB uint8 frames of even sides; what is coded
    follows from `rng` alone."""
    frames = _filmed(frames, rng)
    how = {"pix_fmt": str(rng.choice(("yuv420p", "yuv444p"), p=(0.75, 0.25)))}
    how["preset"] = str(rng.choice(("veryfast", "medium")))
    crf = {name: int(rng.integers(*ends)) for name, ends in CRF.items()}
    twice = rng.random() < TWICE
    for name in ("c23", "c40"):
        if name in paths:
            write_video(paths[name], frames, fps, crf=crf[name], **how)
        if twice and "c23" in paths:
            frames = [frame for _, frame in read_frames(paths["c23"], range(len(frames)))]


def _filmed(frames: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """As another camera or an earlier upload left them: of less resolution, of other colours."""
    height, width = frames[0].shape[:2]
    if rng.random() < 0.5:
        small = [round(rng.uniform(SMALLEST, 1) * side) for side in (width, height)]
        way = int(rng.choice(artefacts.UPSCALES[:3]))
        frames = [cv2.resize(f, small, interpolation=cv2.INTER_AREA) for f in frames]
        frames = [cv2.resize(f, (width, height), interpolation=way) for f in frames]
    if rng.random() < 0.4:
        recipe = artefacts.random_recipe(rng, 0.5)
        frames = [artefacts.degrade(f, rng, recipe) for f in frames]
    return frames
