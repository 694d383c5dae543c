"""What happens to a video on its way to a viewer: coded again, made smaller, blurred, noisy. Every
degradation takes whole frames (H x W x 3 RGB uint8), before a face is cut. Video codecs need the
clip, since most of its frames are coded by their neighbours."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import av
import cv2
import numpy as np

from acfd.media.artefacts import to_uint8
from acfd.media.video import recoded, still

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


class Family(NamedTuple):
    """One kind of degradation: its name, and what a level counts (for an axis, and as a phrase)."""

    title: str
    unit: str
    phrase: str


FAMILIES = {
    "h264": Family("H.264", "CRF", "CRF {:g}"),
    "h265": Family("H.265", "CRF", "CRF {:g}"),
    "av1": Family("AV1", "CRF", "CRF {:g}"),
    "double": Family("Coded twice", "size in between, times", "at {:g} × its size"),
    "jpeg": Family("JPEG", "quality", "quality {:g}"),
    "webp": Family("WebP", "quality", "quality {:g}"),
    "scale": Family("Made smaller", "size, times", "to {:g} × its size"),
    "chroma": Family("Chroma subsampling", "factor (2 is 4:2:0)", "by {:g}"),
    "blur": Family("Gaussian blur", "sigma, pixels", "sigma {:g}"),
    "noise": Family("Gaussian noise", "sigma, grey levels", "sigma {:g}"),
}


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
    if family not in CODECS:
        rng = np.random.default_rng(seed)
        return [_degraded(frames[i], family, level, rng) for i in wanted]
    if family == "double":  # c23, made smaller, CRF 28: what a social platform does
        once = _coded(frames, family, FIRST_CRF, fps)
        frames, level = [_degraded(frame, "scale", level) for frame in once], LAST_CRF
    done = _coded(frames, family, level, fps)
    return [done[i] for i in wanted]


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


def _coded(frames: Sequence[np.ndarray], family: str, crf: float, fps: float) -> Frames:
    """Through an encoder and back. Odd sides get a line more, which 4:2:0 needs, and lose it."""
    os.environ.setdefault("SVT_LOG", "1")  # AV1's encoder prints its settings otherwise
    count, frames = len(frames), list(frames)
    if family == "h265":
        # x265 leaves time stamps unset in a clip shorter than its delay; no container takes them
        frames += frames[-1:] * (4 - count)
    height, width = frames[0].shape[:2]
    odd = (0, height % 2, 0, width % 2)
    even = (cv2.copyMakeBorder(f, *odd, cv2.BORDER_REPLICATE) for f in frames)
    done = recoded(even, fps, crf=int(crf), **CODECS[family])
    return [frame[:height, :width] for frame in done[:count]]


def _degraded(frame: np.ndarray, family: str, level: float, rng=None) -> np.ndarray:
    """One frame by a family that needs no others."""
    height, width = frame.shape[:2]
    match family:
        case "jpeg":
            return still(frame, ".jpg", int(level))
        case "webp":
            return still(frame, ".webp", int(level))
        case "scale":
            size = [max(2, 2 * round(side * level / 2)) for side in (width, height)]
            return frame if level == 1 else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        case "chroma":  # colour at 1 / level of the resolution on either side; 2 is 4:2:0
            small = (max(1, round(width / level)), max(1, round(height / level)))
            plane = cv2.cvtColor(frame, cv2.COLOR_RGB2YCrCb)
            colour = cv2.resize(plane[:, :, 1:], small, interpolation=cv2.INTER_AREA)
            plane[:, :, 1:] = cv2.resize(colour, (width, height), interpolation=cv2.INTER_LINEAR)
            return cv2.cvtColor(plane, cv2.COLOR_YCrCb2RGB)
        case "blur":
            return cv2.GaussianBlur(frame, (0, 0), level, borderType=cv2.BORDER_REFLECT)
        case "noise":
            return to_uint8(frame + rng.normal(0, level, frame.shape))
    raise ValueError(f"no family {family}")
