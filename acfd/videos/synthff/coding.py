"""Coding as varied as what a detector meets: each clip has its own scale, colours and H.264.

FaceForensics++ codes every clip alike, at c23 and c40; a network that saw nothing else takes other
scales and other codings for forgeries. Real and forged clips are drawn alike.
"""

from pathlib import Path

import cv2
import numpy as np

from acfd.media import artefacts
from acfd.media.video import read_frames, write_video

CRF = (17, 29), (30, 43)  # c23, c40
SMALLEST = 0.5  # of the frame's sides, before they are enlarged again
TWICE = 0.5  # share of c40's clips that are coded from c23's, not from the frames


def write(high: Path, low: Path, frames: list[np.ndarray], fps: float, rng) -> None:
    """Write c23 and c40 of RGB uint8 frames of even sides, both anew, since one may be made of the
    other; what is coded follows from `rng` alone."""
    frames = _filmed(frames, rng)
    how = {"pix_fmt": str(rng.choice(("yuv420p", "yuv444p"), p=(0.75, 0.25)))}
    how["preset"] = str(rng.choice(("veryfast", "medium")))
    crfs = [int(rng.integers(*ends)) for ends in CRF]
    write_video(high, frames, fps, crf=crfs[0], **how)
    if rng.random() < TWICE:
        frames = [frame for _, frame in read_frames(high, range(len(frames)))]
    write_video(low, frames, fps, crf=crfs[1], **how)


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
