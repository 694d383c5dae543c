"""What happens to a video on its way to a viewer: coded again, made smaller, blurred, noisy. Every
degradation takes whole frames (H x W x 3 RGB uint8), before a face is cut. Video codecs need the
clip, since most of its frames are coded by their neighbours."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np

from acfd.media.artefacts import to_uint8
from acfd.media.codecs import still
from acfd.media.video import read_frames, write_video

Frames = list[np.ndarray]
NONE = "none"  # stands for the frame as it is where a family is named

# H.264 as FaceForensics++ codes it, with full chroma. The others as the web sends them: 4:2:0.
# One thread each, so that the same frames give the same bytes.
_X265, _AV1 = "log-level=none:pools=none:frame-threads=1", {"svtav1-params": "lp=1"}
CODECS = {
    "h264": {"codec": "libx264"},
    "h265": {"codec": "libx265", "pix_fmt": "yuv420p", "options": {"x265-params": _X265}},
    "av1": {"codec": "libsvtav1", "pix_fmt": "yuv420p", "preset": "8", "options": _AV1},
    "double": {"codec": "libx264", "pix_fmt": "yuv420p"},
}
FIRST_CRF, LAST_CRF = 23, 28  # of the family `double`


@dataclass(frozen=True)
class Family:
    """One kind of degradation: its name, and what a level counts (for an axis, and as a phrase)."""

    title: str
    unit: str
    phrase: str
    run: Callable[[Frames, float, float, np.random.Generator], Frames]  # frames, level, fps, rng


def degrade(
    frames: Sequence[np.ndarray],
    family: str,
    level: float,
    *,
    wanted: Sequence[int] | None = None,
    fps: float = 25.0,
    seed: int | Sequence[int] = 0,
) -> Frames:
    """The frames `wanted` (positions in `frames`; None: all) of a clip, degraded; `scale` and
    `double` give smaller ones. The same arguments give the same pixels; `seed` is used by `noise`
    alone. Raises ValueError for a codec that this PyAV cannot write (`missing` says so before)."""
    wanted = range(len(frames)) if wanted is None else wanted
    rng, run = np.random.default_rng(seed), FAMILIES[family].run
    if family in CODECS:
        done = run(list(frames), level, fps, rng)
        return [done[i] for i in wanted]
    return run([frames[i] for i in wanted], level, fps, rng)


def label(family: str, level: float) -> str:
    """What was done, in two short lines."""
    if family == NONE:
        return "as it is"
    return f"{FAMILIES[family].title}\n{FAMILIES[family].phrase.format(level)}"


def missing() -> dict[str, str]:
    """Families that cannot be had here, and why: their encoder is not in this build of PyAV."""
    found = {}
    for family, how in CODECS.items():
        try:
            av.codec.Codec(how["codec"], "w")
        except av.codec.codec.UnknownCodecError:
            found[family] = f"PyAV {av.__version__} has no encoder {how['codec']}"
    return found


def _coded(frames, crf, fps, rng, codec):
    """Through an encoder and back. Odd sides get a line more, which 4:2:0 needs, and lose it."""
    os.environ.setdefault("SVT_LOG", "1")  # AV1's encoder prints its settings otherwise
    count = len(frames)
    if codec == "h265":
        # x265 leaves time stamps unset in a clip shorter than its delay; no container takes them
        frames = frames + frames[-1:] * (4 - count)
    height, width = frames[0].shape[:2]
    odd = (0, height % 2, 0, width % 2)
    even = (cv2.copyMakeBorder(f, *odd, cv2.BORDER_REPLICATE) for f in frames)
    with TemporaryDirectory(prefix="acfd") as folder:
        path = Path(folder) / "clip.mp4"
        write_video(path, even, fps, crf=int(crf), **CODECS[codec])
        return [frame[:height, :width] for _, frame in read_frames(path, range(count))]


def _double(frames, factor, fps, rng):
    """Coded at c23, made smaller, coded again at CRF 28: what a social platform does."""
    once = _coded(frames, FIRST_CRF, fps, rng, "double")
    return _coded(_scale(once, factor, fps, rng), LAST_CRF, fps, rng, "double")


def _scale(frames, factor, fps, rng):
    if factor == 1:
        return list(frames)
    height, width = (max(2, 2 * round(n * factor / 2)) for n in frames[0].shape[:2])
    return [cv2.resize(f, (width, height), interpolation=cv2.INTER_AREA) for f in frames]


def _picture(frames, quality, fps, rng, codec):
    return [still(frame, codec, int(quality)) for frame in frames]


def _chroma(frames, factor, fps, rng):
    """Colour at 1 / factor of the resolution on either side, brightness as it is; 2 is 4:2:0."""
    height, width = frames[0].shape[:2]
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    planes = [cv2.cvtColor(frame, cv2.COLOR_RGB2YCrCb) for frame in frames]
    for plane in planes:
        colour = cv2.resize(plane[:, :, 1:], small, interpolation=cv2.INTER_AREA)
        plane[:, :, 1:] = cv2.resize(colour, (width, height), interpolation=cv2.INTER_LINEAR)
    return [cv2.cvtColor(plane, cv2.COLOR_YCrCb2RGB) for plane in planes]


def _blur(frames, sigma, fps, rng):
    return [cv2.GaussianBlur(f, (0, 0), sigma, borderType=cv2.BORDER_REFLECT) for f in frames]


def _noise(frames, sigma, fps, rng):
    return [to_uint8(f + rng.normal(0, sigma, f.shape)) for f in frames]


FAMILIES = {
    "h264": Family("H.264", "CRF", "CRF {:g}", partial(_coded, codec="h264")),
    "h265": Family("H.265", "CRF", "CRF {:g}", partial(_coded, codec="h265")),
    "av1": Family("AV1", "CRF", "CRF {:g}", partial(_coded, codec="av1")),
    "double": Family("Coded twice", "size in between, times", "at {:g} × its size", _double),
    "jpeg": Family("JPEG", "quality", "quality {:g}", partial(_picture, codec=".jpg")),
    "webp": Family("WebP", "quality", "quality {:g}", partial(_picture, codec=".webp")),
    "scale": Family("Made smaller", "size, times", "to {:g} × its size", _scale),
    "chroma": Family("Chroma subsampling", "factor (2 is 4:2:0)", "by {:g}", _chroma),
    "blur": Family("Gaussian blur", "sigma, pixels", "sigma {:g}", _blur),
    "noise": Family("Gaussian noise", "sigma, grey levels", "sigma {:g}", _noise),
}
