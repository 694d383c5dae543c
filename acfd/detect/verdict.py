"""From log-odds of frames to a probability, its interval and a verdict that claims no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from acfd.deploy.calibrate import sigmoid
from acfd.detect.media import Media
from acfd.detect.report import Flag, Verdict
from acfd.params import Detect

_PRIOR = 4  # frames that the scatter seen in validation counts for, beside a face's own
_LAGGED = 8  # frames from which on their correlation in time can be told


@dataclass(frozen=True)
class Judgement:
    """What is said of one face."""

    log_odds: float  # mean over its frames
    probability: float
    interval: tuple[float, float]
    temperature: float
    calibrated: bool


def judge(logits: np.ndarray, calibration: dict[str, Any] | None, p: Detect) -> Judgement:
    """The mean log-odds of n frames (in order of time) as a probability with its interval.

    The interval covers what a mean over these frames leaves open, and what the choice of validation
    people leaves open of the temperature. Frames of one face are alike: their number is reduced by
    their correlation from one to the next. Few frames show too little of how far they scatter, so
    the scatter of validation videos goes in as `_PRIOR` more of them; for a single frame it is all
    there is.
    """
    logits = np.asarray(logits, np.float64)
    n, mean = len(logits), float(logits.mean())
    scale = of_size(calibration, n, p)
    scatter = (calibration or {}).get("scatter", 0.0)
    spread = _PRIOR * scatter**2 + float(np.sum((logits - mean) ** 2))
    deviation = np.sqrt(spread / (_PRIOR + n - 1))
    error = deviation / np.sqrt(n / _inflation(logits))
    reach = norm.ppf(0.5 + p.confidence / 2) * error
    ends = [
        sigmoid((mean + side * reach) / t)
        for side in (-1, 1)
        for t in (scale["low"], scale["temperature"], scale["high"])
    ]
    probability = float(sigmoid(mean / scale["temperature"]))
    interval = (float(min(ends)), float(max(ends)))
    return Judgement(mean, probability, interval, scale["temperature"], scale["calibrated"])


def of_size(calibration: dict[str, Any] | None, n: int, p: Detect) -> dict[str, float]:
    """The temperature for a mean over n frames: that of videos, or of single frames for few."""
    if calibration is None:
        return {"temperature": 1.0, "low": 1.0, "high": 1.0, "calibrated": False}
    return calibration["videos" if n >= p.min_frames else "frames"]


def _inflation(logits: np.ndarray) -> float:
    """By how much correlation in time swells the variance of a mean (first-order model)."""
    if len(logits) < _LAGGED:
        return 1.0
    d = logits - logits.mean()
    total = float(np.sum(d**2))
    lag = float(np.sum(d[1:] * d[:-1])) / total if total > 0 else 0.0
    lag = min(max(lag, 0.0), 0.95)
    return (1 + lag) / (1 - lag)


def decide(
    found: Judgement, frames: int, flags: list[Flag], media: Media, tried: bool, p: Detect
) -> tuple[Verdict, str]:
    """The verdict on one face, and why, in a sentence; tried: on validation videos."""
    low, high = found.interval
    span = f"{p.confidence:.0%} interval {low:.2f} to {high:.2f}"
    span += "" if found.calibrated else ", uncalibrated"
    if not tried:
        return "inconclusive", (
            "this run has no calibration: what its score is worth is not known (`acfd calibrate`)"
        )
    if media.kind == "video" and frames < p.min_frames:
        return "inconclusive", (
            f"only {frames} frame(s) with this face; a verdict needs {p.min_frames}"
        )
    outside = [flag.text for flag in flags if flag.outside]
    if outside:
        return "inconclusive", f"outside what the model was tried on: {'; '.join(outside)}"
    if low <= 0.5 <= high:
        return "inconclusive", f"the {span} leaves both open"
    if 1 - p.certainty < found.probability < p.certainty:
        return "inconclusive", (
            f"a probability between {1 - p.certainty:.2f} and {p.certainty:.2f} is too weak for a "
            "verdict"
        )
    if found.probability > 0.5:
        return "forged", f"like the forgeries that the model was trained on; {span}"
    return "no_forgery_found", (
        f"unlike the forgeries that the model was trained on; {span}. Other forgeries are possible"
    )


def media_flags(media: Media, lost: int, why: str, ranges: dict[str, Any]) -> list[Flag]:
    """What must be known of the whole file."""
    flags = []
    if media.damage or lost:
        missing = f"{lost} chosen frame(s) could not be read" if lost else "those before were read"
        text = "; ".join(dict.fromkeys(t for t in (media.damage, why if lost else "") if t))
        flags.append(_flag("damaged", f"the file is damaged ({text}): {missing}"))
    if media.hdr:
        flags.append(_flag("hdr", "HDR colours, which the model has never seen", True))
    if media.kind == "image":
        flags.append(_flag("still", "a still image: the model was calibrated on frames of video"))
    elif media.codec != "h264":
        flags.append(_flag("codec", f"coded as {media.codec}; the model was trained on H.264"))
    span = ranges.get("bits_per_pixel")
    if span and media.kind == "video" and media.codec == "h264":
        bits = media.bits_per_pixel
        text = f"{bits:.3g} bits a pixel, trained on {span[0]:.3g} to {span[1]:.3g}"
        if bits < span[0]:
            flags.append(_flag("compression", f"more compressed than trained on: {text}", True))
        elif bits > span[1]:
            flags.append(_flag("light_compression", f"less compressed than trained on: {text}"))
    return flags


def face_flags(sides: np.ndarray, details: np.ndarray, ranges: dict[str, Any]) -> list[Flag]:
    """What must be known of one face; sides: of the squares cut, pixels; details: of the crops."""
    flags = []
    if span := ranges.get("crop_pixels"):
        side = float(np.median(sides))
        text = f"{side:.0f} pixels, trained on {span[0]:.0f} to {span[1]:.0f}"
        if side < span[0]:
            flags.append(_flag("small_face", f"the face is smaller than trained on: {text}", True))
        elif side > span[1]:
            flags.append(_flag("large_face", f"the face is larger than trained on: {text}"))
    if span := ranges.get("detail"):
        detail = float(np.median(details))
        text = f"detail {detail:.2f}, trained on {span[0]:.2f} to {span[1]:.2f}"
        if detail < span[0]:
            text = f"the face is smoother (compressed, blurred or enlarged) than trained on: {text}"
            flags.append(_flag("smooth", text, True))
        elif detail > span[1]:
            text = f"the face is sharper or noisier than trained on: {text}"
            flags.append(_flag("sharp", text, True))
    return flags


def _flag(code: str, text: str, outside: bool = False) -> Flag:
    return Flag(code=code, outside=outside, text=text)
