"""A FaceForensics++ look-alike: the official tree in miniature, with what goes wrong in real ones.

Ten people in five pairs, four methods with masks and one without, each pair of another frame size,
chroma format and rate. `build` plants one fault of each kind and says what must come of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from conftest import inner_face, moving, remux

from acfd.media.video import read_frames, write_video
from acfd.videos.ffpp import REAL, Clip, Tree, write_splits

METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
FRAMES = 5
SPLITS = {
    "train": [("000", "003"), ("071", "054")],
    "val": [("720", "672")],
    "test": [("953", "974"), ("000123", "004567")],
}


@dataclass(frozen=True)
class Style:
    """How a pair's videos are coded: pixels, pixel format, frames a second."""

    width: int
    height: int
    pix_fmt: str
    fps: float


STYLES = {
    "000": Style(131, 97, "yuv444p", 24000 / 1001),
    "071": Style(128, 96, "yuv420p", 25),
    "720": Style(97, 131, "yuv444p", 30),
    "953": Style(192, 96, "yuv420p", 30000 / 1001),
    "000123": Style(128, 128, "yuv444p", 25),
}
TWO_FACES = ("953", "974")  # a bystander stands beside them, larger than they are
FACELESS = "672"


@dataclass
class LookAlike:
    """The tree, and what is to be said of it when 4 frames a video are asked for."""

    tree: Tree
    left_out: dict[tuple[str, int | str], str] = field(default_factory=dict)  # part of the reason
    problems: dict[str, tuple[str, str]] = field(default_factory=dict)  # kind, part of the text
    undecodable: dict[str, tuple[str, str]] = field(default_factory=dict)  # seen by decoding it
    notes: list[str] = field(default_factory=list)  # parts of the texts

    def clip(self, name: str) -> Clip:
        return next(c for c in self.tree.clips(METHODS) if str(c) == name)


def build(portraits: np.ndarray, root: Path) -> LookAlike:
    """Write the look-alike below `root`, then do the harm. portraits: 3 x S x S x 3 RGB uint8."""
    write_splits(root, SPLITS)
    made = LookAlike(Tree(root))
    for clip in made.tree.clips(METHODS):
        _write(made.tree, clip, *_film(portraits, clip))
    _beside(made)
    _harm(made)
    return made


def style(clip: Clip) -> Style:
    return next(STYLES[a] for pairs in SPLITS.values() for a, b in pairs if clip.target in (a, b))


def _film(portraits: np.ndarray, clip: Clip) -> tuple[list[np.ndarray], list[np.ndarray] | None]:
    """Frames of a clip, and its masks if it is forged."""
    s = style(clip)
    if clip.target == FACELESS and not clip.label:
        return [np.full((s.height, s.width, 3), 110, np.uint8)] * FRAMES, None
    person = int(clip.target)
    wide = clip.target in TWO_FACES
    width, height = (s.width // 2, s.height - 20) if wide else (s.width, s.height)
    shown = moving(portraits[person % 3], FRAMES, width, height)
    masks = None
    if clip.label:
        others = moving(portraits[(person + 1) % 3], FRAMES, width, height)
        masks = [inner_face(width, height, 2 * n - FRAMES) for n in range(FRAMES)]
        shown = [np.where(m[..., None] > 0, o, f) for m, o, f in zip(masks, others, shown)]
    if wide:
        other = cv2.resize(portraits[(person + 2) % 3], (s.width // 2, s.height))
        shown = [np.hstack([_down(f, s.height, 110), other]) for f in shown]
        masks = masks and [np.hstack([_down(m, s.height, 0), 0 * other[..., 0]]) for m in masks]
    return shown, masks


def _down(picture: np.ndarray, height: int, grey: int) -> np.ndarray:
    """The picture at the bottom of one that is `height` high."""
    top = np.full((height - picture.shape[0], *picture.shape[1:]), grey, np.uint8)
    return np.vstack([top, picture])


def _write(tree: Tree, clip: Clip, frames: Sequence, masks: Sequence | None) -> None:
    s = style(clip)
    how = {"pix_fmt": s.pix_fmt, "preset": "ultrafast"}
    for quality, crf in (("c23", 23), ("c40", 40)):
        write_video(tree.video_path(clip, quality), frames, s.fps, crf=crf, **how)
    if clip.target == "000" and not clip.label:
        write_video(tree.video_path(clip, "raw"), frames, s.fps, crf=0, **how)
    if masks is not None:
        write_video(tree.mask_path(clip), masks, s.fps, crf=10, **how)


def _beside(made: LookAlike) -> None:
    """What the download brings beside: a method without masks, DeepFakeDetection, leftovers."""
    root = made.tree.root
    sequences = root / "manipulated_sequences"
    for quality in ("c23", "c40"):
        shutil.copytree(sequences / "Deepfakes" / quality, sequences / "FaceShifter" / quality)
        videos = sequences / "DeepFakeDetection" / quality / "videos"
        videos.mkdir(parents=True)
        any_video = made.tree.video_path(made.clip("original/000"), quality)
        shutil.copy(any_video, videos / "01_02__meeting_serious__YVGY8LOK.mp4")
        actors = root / "original_sequences" / "actors" / quality / "videos"
        actors.mkdir(parents=True)
        shutil.copy(any_video, actors / "01__meeting_serious.mp4")
    originals = root / "original_sequences" / "youtube" / "c23" / "videos"
    shutil.copy(originals / "000.mp4", originals / "999.mp4")
    (originals / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (sequences / "FaceSwap" / "c40" / "videos" / "tmpq3x_81d").write_bytes(b"half a vid")


def _harm(made: LookAlike) -> None:
    tree, clip = made.tree, made.clip

    def harmed(name: str, kind: str, text: str, left_out: str = "") -> None:
        made.problems[name] = (kind, text)
        made.left_out[name, ""] = left_out or text

    tree.video_path(clip("original/071"), "c40").unlink()
    harmed("original/071", "missing", "no c40", "c40/videos/071.mp4: no such video file")

    cut(tree.video_path(clip("FaceSwap/054_071"), "c23"), 0.5)
    harmed("FaceSwap/054_071", "damaged", "c23/videos/054_071.mp4: not a readable video")

    path = tree.video_path(clip("Face2Face/054_071"), "c40")
    header_first(path)
    cut(path, 0.9)
    harmed("Face2Face/054_071", "damaged", "the video is cut short or damaged")

    path = tree.mask_path(clip("Deepfakes/000_003"))
    masks = [m for _, m in read_frames(path)]
    write_video(path, masks[:3], 24000 / 1001, crf=10)
    note = "c23 has 5 frames, c40 5, mask 3: only the first 3 used"
    harmed("Deepfakes/000_003", "frames", "c23 5, c40 5, mask 3: only the first 3 can", note)

    path = tree.video_path(clip("Deepfakes/003_000"), "c40")
    frames = [f for _, f in read_frames(path)]
    write_video(path, frames[:4], 24000 / 1001, crf=40)
    made.left_out["Deepfakes/003_000", ""] = "c40 4, mask 5: only the first 4 used"
    made.notes.append(
        "Deepfakes/003_000: frames differ: c23 5, c40 4, mask 5: only the first 4 can"
    )

    path = tree.video_path(clip("NeuralTextures/953_974"), "c40")
    small = [cv2.resize(f, (96, 48)) for _, f in read_frames(path)]
    write_video(path, small, 30000 / 1001, crf=40)
    note = "frames are 96x48, those of c23 are 192x96"
    harmed("NeuralTextures/953_974", "size", "c23 192x96, c40 96x48, mask 192x96", note)

    tree.mask_path(clip("NeuralTextures/720_672")).write_bytes(b"")
    empty = "masks/videos/720_672.mp4: the file is empty"
    harmed("NeuralTextures/720_672", "damaged", empty[:-3], empty)

    page = b"<!DOCTYPE html><title>503 Service Unavailable</title>" * 20
    tree.video_path(clip("Face2Face/003_000"), "c23").write_bytes(page)
    harmed("Face2Face/003_000", "damaged", "not a readable video")

    # whole files, in which only decoding, or looking at the pictures, finds something wrong
    path = tree.video_path(clip("NeuralTextures/000_003"), "c40")
    data = bytearray(path.read_bytes())
    end = data.index(b"moov") - 4  # of the coded frames
    data[end - 300 : end - 20] = bytes(b ^ 0x5A for b in data[end - 300 : end - 20])
    path.write_bytes(data)
    made.undecodable["NeuralTextures/000_003"] = ("damaged", "were expected")
    made.left_out["NeuralTextures/000_003", ""] = "were expected"

    path = tree.mask_path(clip("FaceSwap/974_953"))
    write_video(path, [0 * m for _, m in read_frames(path)], 30000 / 1001, crf=10)
    nothing = "no frame of the video gives a face"
    for name, why in (
        ("FaceSwap/974_953", "the mask is empty before any face was found under it"),
        (f"{REAL}/{FACELESS}", "no face scores above 0.5"),
    ):
        made.left_out |= {(name, n): why for n in (0, 1, 3, 4)} | {(name, ""): nothing}


def cut(path: Path, share: float) -> None:
    """Keep the first `share` of a file, as a download that broke off."""
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])


def header_first(path: Path) -> None:
    """Move an MP4's table of contents to its start, where cutting the file leaves it whole."""
    target = path.with_suffix(".first.mp4")
    remux(path, target, movflags="faststart")
    target.replace(path)
