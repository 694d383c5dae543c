"""What happens to a video on its way to a viewer: coded again, made smaller, blurred, noisy.

Every degradation takes whole frames (H x W x 3 RGB uint8), before a face is cut, and knows nothing
of labels: real and forged clips go through exactly the same. A level's meaning is the family's own
(`Family.unit`). Video codecs need the clip, since most of its frames are coded by their neighbours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np

from acfd.media.video import read_frames, write_video

Frames = list[np.ndarray]
NONE = "none"  # stands for the frame as it is where a family is named

# H.264 as FaceForensics++ codes it, with full chroma. The others as the web sends them: 4:2:0.
# One thread each, so that the same frames give the same bytes.
CODECS = {
    "h264": {"codec": "libx264", "pix_fmt": "yuv444p"},
    "h265": {
        "codec": "libx265",
        "pix_fmt": "yuv420p",
        "options": {"x265-params": "log-level=none:pools=none:frame-threads=1"},
    },
    "av1": {
        "codec": "libsvtav1",
        "pix_fmt": "yuv420p",
        "preset": "8",
        "options": {"svtav1-params": "lp=1"},
    },
    "double": {"codec": "libx264", "pix_fmt": "yuv420p"},
}
FIRST_CRF, LAST_CRF = 23, 28  # of the family `double`


@dataclass(frozen=True)
class Family:
    """One kind of degradation: its name, what a level counts (for an axis, and as a phrase), and
    whether it needs the whole clip."""

    title: str
    unit: str
    phrase: str
    run: Callable[[Frames, float, float, np.random.Generator], Frames]  # frames, level, fps, rng
    whole_clip: bool = False


def degrade(
    frames: Sequence[np.ndarray],
    family: str,
    level: float,
    *,
    wanted: Sequence[int] | None = None,
    fps: float = 25.0,
    seed: int | Sequence[int] = 0,
) -> Frames:
    """The frames `wanted` (positions in `frames`; None: all) of a clip, degraded.

    `scale` and `double` give smaller frames, every other family frames of the same size. The same
    arguments give the same pixels; `seed` is used by `noise` alone.

    Raises ValueError for an unknown family or frames that are not RGB uint8, RuntimeError for a
    codec that this PyAV cannot write (`missing` says so before).
    """
    if family not in FAMILIES:
        raise ValueError(f"no family {family!r} of degradations; there are: {', '.join(FAMILIES)}")
    for n, frame in enumerate(frames):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(
                f"frame {n} is {frame.dtype} of shape {frame.shape}; expected uint8, H x W x 3 RGB"
            )
    if why := missing().get(family):
        raise RuntimeError(f"{family}: {why}")
    wanted = range(len(frames)) if wanted is None else wanted
    rng = np.random.default_rng(seed)
    how = FAMILIES[family]
    if how.whole_clip:
        done = how.run(list(frames), level, fps, rng)
        return [done[i] for i in wanted]
    return how.run([frames[i] for i in wanted], level, fps, rng)


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
        except ValueError:  # UnknownCodecError is one
            found[family] = f"PyAV {av.__version__} has no encoder {how['codec']}"
    return found


def _coded(frames: Frames, crf: float, fps: float, how: dict) -> Frames:
    """Through an encoder and back. Odd sides get a line more, which 4:2:0 needs, and lose it."""
    os.environ.setdefault("SVT_LOG", "1")  # AV1's encoder prints its settings otherwise
    count = len(frames)
    if how["codec"] == "libx265":
        # x265 leaves time stamps unset in a clip shorter than its delay; no container takes them
        frames = frames + frames[-1:] * (4 - count)
    height, width = frames[0].shape[:2]
    odd = (0, height % 2, 0, width % 2)
    even = (cv2.copyMakeBorder(f, *odd, cv2.BORDER_REPLICATE) for f in frames)
    with TemporaryDirectory(prefix="acfd") as folder:
        path = Path(folder) / "clip.mp4"
        write_video(path, even, fps, crf=int(crf), **how)
        return [frame[:height, :width] for _, frame in read_frames(path, range(count))]


def _codec(family: str) -> Callable[[Frames, float, float, np.random.Generator], Frames]:
    return lambda frames, crf, fps, rng: _coded(frames, crf, fps, CODECS[family])


def _double(frames, factor, fps, rng):
    """Coded at c23, made smaller, coded again at CRF 28: what a social platform does."""
    once = _coded(frames, FIRST_CRF, fps, CODECS["double"])
    return _coded(_scale(once, factor, fps, rng), LAST_CRF, fps, CODECS["double"])


def _scale(frames, factor, fps, rng):
    if factor == 1:
        return list(frames)
    height, width = (max(2, 2 * round(n * factor / 2)) for n in frames[0].shape[:2])
    return [cv2.resize(f, (width, height), interpolation=cv2.INTER_AREA) for f in frames]


def _picture(ending: str, flag: int) -> Callable[..., Frames]:
    def run(frames, quality, fps, rng):
        coded = [cv2.imencode(ending, _swap(f), [flag, int(quality)])[1] for f in frames]
        return [cv2.imdecode(c, cv2.IMREAD_COLOR_RGB) for c in coded]

    return run


def _swap(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)


def _chroma(frames, factor, fps, rng):
    """Colour at 1 / factor of the resolution on either side, brightness as it is; 2 is 4:2:0."""
    height, width = frames[0].shape[:2]
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    out = []
    for frame in frames:
        planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YCrCb)
        colour = cv2.resize(planes[:, :, 1:], small, interpolation=cv2.INTER_AREA)
        planes[:, :, 1:] = cv2.resize(colour, (width, height), interpolation=cv2.INTER_LINEAR)
        out.append(cv2.cvtColor(planes, cv2.COLOR_YCrCb2RGB))
    return out


def _blur(frames, sigma, fps, rng):
    return [cv2.GaussianBlur(f, (0, 0), sigma, borderType=cv2.BORDER_REFLECT) for f in frames]


def _noise(frames, sigma, fps, rng):
    noisy = [f + rng.normal(0, sigma, f.shape) for f in frames]
    return [np.clip(np.rint(f), 0, 255).astype(np.uint8) for f in noisy]


FAMILIES = {
    "h264": Family("H.264", "CRF", "CRF {:g}", _codec("h264"), True),
    "h265": Family("H.265", "CRF", "CRF {:g}", _codec("h265"), True),
    "av1": Family("AV1", "CRF", "CRF {:g}", _codec("av1"), True),
    "double": Family("Coded twice", "size in between, times", "at {:g} × its size", _double, True),
    "jpeg": Family("JPEG", "quality", "quality {:g}", _picture(".jpg", cv2.IMWRITE_JPEG_QUALITY)),
    "webp": Family("WebP", "quality", "quality {:g}", _picture(".webp", cv2.IMWRITE_WEBP_QUALITY)),
    "scale": Family("Made smaller", "size, times", "to {:g} × its size", _scale),
    "chroma": Family("Chroma subsampling", "factor (2 is 4:2:0)", "by {:g}", _chroma),
    "blur": Family("Gaussian blur", "sigma, pixels", "sigma {:g}", _blur),
    "noise": Family("Gaussian noise", "sigma, grey levels", "sigma {:g}", _noise),
}
