"""From log-odds of frames to a probability, its interval and a verdict that claims no more; from
judged faces to the report of a file."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, ndtri

from acfd.detector.faces import Seen
from acfd.detector.files import DeployError
from acfd.detector.media import Frames, Media
from acfd.detector.report import FaceReport, Flag, FramesReport, ModelReport, Report
from acfd.sections import Detect

_PRIOR = 4  # frames that the scatter seen in validation counts for, beside a face's own
_LAGGED = 8  # frames from which on their correlation in time can be told
# A file is not called clean while one of its faces may be forged.
_RANK = ("no_forgery_found", "inconclusive", "forged")
_AS_IT_IS = {"calibrated": False, "temperature": 1.0, "low": 1.0, "high": 1.0}
# of a run that was not scored
UNKNOWN: dict = {what: _AS_IT_IS for what in ("frames", "videos")}
UNKNOWN |= {"scatter": 0.0, "ranges": {}, "real": {"frames": {}, "videos": {}}}
OWN = "own"  # beside the compressions, where a calibration has the scores of real samples
_OUTSIDE = {"hdr", "compression", "small_face", "smooth", "sharp"}
# what is measured: its name, the flag below the range, and the one above it
_BEYOND = {
    "bits_per_pixel": ("bits a pixel", "compression", "light_compression"),
    "crop_pixels": ("pixels of the face's square", "small_face", "large_face"),
    "detail": ("detail (blur and compression lower it, noise raises it)", "smooth", "sharp"),
}


def judge(logits: np.ndarray, known: dict[str, Any], p: Detect) -> dict[str, Any]:
    """log_odds (the mean of n frames, in order of time), probability and its interval.

    The interval covers what a mean over these frames leaves open, and what the choice of validation
    people leaves open of the temperature. Frames of one face are alike: their number is reduced by
    their correlation from one to the next (first-order model). The scatter of validation videos
    goes in as `_PRIOR` more frames; for a single frame it is all there is. Fewer than p.min_frames
    have the temperature of single frames.
    """
    logits = np.asarray(logits, np.float64)
    n, mean, fit = len(logits), float(logits.mean()), known[_of(len(logits), p)]
    off = logits - mean
    spread = float(off @ off)
    told = n >= _LAGGED and spread > 0
    lag = np.clip(off[1:] @ off[:-1] / spread, 0, 0.95) if told else 0.0
    variance = (_PRIOR * known["scatter"] ** 2 + spread) / (_PRIOR + n - 1)
    reach = ndtri(0.5 + p.confidence / 2) * np.sqrt(variance / n * (1 + lag) / (1 - lag))
    fits = [fit["low"], fit["temperature"], fit["high"]]
    ends = expit(np.divide.outer([mean - reach, mean + reach], fits))
    probability = float(expit(mean / fit["temperature"]))
    interval = (float(ends.min()), float(ends.max()))
    return {"log_odds": mean, "probability": probability, "interval": interval}


def _of(frames: int, p: Detect) -> str:
    return "videos" if frames >= p.min_frames else "frames"


def as_high(odds: float, real: dict[str, list[float]], p: Detect) -> tuple[float, bool]:
    """How often a real sample scores as high as `odds`, at the compression at which that is more
    often; and whether that is rare enough to call it forged. real: `calibrate.real_odds` of frames
    or of videos.

    Of n real validation samples k score as high, so another real one does with a probability of at
    most (k + 1) / (n + 1) (split conformal prediction; Vovk et al., "Algorithmic learning in a
    random world", 2005). Rare enough is p.false_alarms, or k = 0 where n is too small for that.
    """
    above = [(sum(one >= odds for one in of), len(of)) for of in real.values()]
    rates = [(k + 1) / (n + 1) for k, n in above]
    rare = all(k == 0 or rate <= p.false_alarms for (k, _), rate in zip(above, rates))
    return max(rates, default=1.0), rare


def with_own(known: dict[str, Any], folder: Path, weights: str, p: Detect) -> dict[str, Any]:
    """A calibration with files of the user's own that are known to be real: their scores, from the
    reports that `acfd detect` wrote of them into a folder, stand beside those of real validation
    samples, so that `as_high` asks them too. weights: SHA-256 of the network's. Raises DeployError
    for a file that is no report or of another network, and for a folder without a judged face."""
    real = {kind: dict(of) for kind, of in known["real"].items()}
    again = f"judge them again: `acfd detect FILES -o {folder}`"
    for path in sorted(folder.rglob("*.json")):
        try:
            report = Report.model_validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            why = str(error).splitlines()[0]
            raise DeployError(f"{path}: not a report of this version ({why}); {again}") from None
        if report.model.weights_sha256 != weights:
            raise DeployError(f"{path}: of another network ({report.model.run}); {again}")
        for face in report.faces:
            if face.log_odds is not None:
                real[_of(face.frames, p)].setdefault(OWN, []).append(face.log_odds)
    if not any(OWN in of for of in real.values()):
        raise DeployError(f"{folder}: no report of a judged face; {again}")
    return known | {"real": real}


def decide(
    logits: np.ndarray, flags: list[Flag], media: Media, known: dict[str, Any], p: Detect
) -> dict[str, Any]:
    """What `judge` says of one face, with the verdict, and why, in a sentence."""
    found, frames = judge(logits, known, p), len(logits)
    of = _of(frames, p)
    found["real_as_high"], rare = as_high(found["log_odds"], known["real"][of], p)
    low, high = found["interval"]
    span = f"{p.confidence:.0%} interval {low:.2f} to {high:.2f}"
    span += "" if known[of]["calibrated"] else ", uncalibrated"
    weak, strong = 1 - p.certainty, p.certainty
    outside = "; ".join(flag.text for flag in flags if flag.outside)
    said = "inconclusive"
    if known is UNKNOWN:
        why = "this run has no calibration: what its score is worth is not known (`acfd calibrate`)"
    elif media.kind == "video" and frames < p.min_frames:
        why = f"only {frames} frame(s) with this face; a verdict needs {p.min_frames}"
    elif outside:
        why = f"outside what the model was tried on: {outside}"
    elif low <= 0.5 <= high:
        why = f"the {span} leaves both open"
    elif weak < found["probability"] < strong:
        why = f"a probability between {weak:.2f} and {strong:.2f} is too weak for a verdict"
    elif found["probability"] > 0.5 and not rare:
        why = f"{found['real_as_high']:.0%} of real {of}, of validation at one of the compressions "
        why += f"or of your own, score as high; a verdict allows {p.false_alarms:.0%}"
    elif found["probability"] > 0.5:
        said, why = "forged", f"like the forgeries that the model was trained on; {span}"
    else:
        said = "no_forgery_found"
        why = f"unlike the forgeries that the model was trained on; {span}. Other forgeries are "
        why += "possible"
    return found | {"verdict": said, "why": why}


def media_flags(frames: Frames, ranges: dict[str, Any]) -> list[Flag]:
    """What must be known of the whole file, after its frames were read."""
    flags, media, lost = [], frames.media, frames.lost
    if media.damage or lost:
        missing = f"{lost} chosen frame(s) could not be read" if lost else "those before were read"
        text = "; ".join(dict.fromkeys(t for t in (media.damage, frames.why if lost else "") if t))
        flags.append(_flag("damaged", f"the file is damaged ({text}): {missing}"))
    if media.hdr:
        flags.append(_flag("hdr", "HDR colours, which the model has never seen"))
    if media.kind == "image":
        flags.append(_flag("still", "a still image: the model was calibrated on frames of video"))
    elif media.codec != "h264":
        flags.append(_flag("codec", f"coded as {media.codec}; the model was trained on H.264"))
    else:
        flags += beyond("bits_per_pixel", media.bits_per_pixel, ranges)
    return flags


def beyond(what: str, value: float, ranges: dict[str, Any]) -> list[Flag]:
    """A flag if the value is out of its range."""
    name, below, above = _BEYOND[what]
    low, high = ranges.get(what, (value, value))
    if low <= value <= high:
        return []
    code, where = (below, "below") if value < low else (above, "above")
    text = f"{name}: {value:.4g}, {where} the {low:.4g} to {high:.4g} that it was trained on"
    return [_flag(code, text)]


def _flag(code: str, text: str) -> Flag:
    return Flag(code=code, outside=code in _OUTSIDE, text=text)


def model(about: dict[str, Any], folder: Path, backend: str) -> ModelReport:
    """What judges, from a run's model.json."""
    run, fit = about["run"], (about["calibration"] or UNKNOWN)["videos"]
    return ModelReport(
        run=f"{run['row']}-s{run['seed']}",
        **{k: run[k] for k in ("preset", "title", "system", "weights_sha256")},
        folder=folder.as_posix(),
        backend=backend,
        **{k: fit[k] for k in ("calibrated", "temperature")},
        trained_on=about["card"]["trained_on"]["data"],
    )


def of_file(
    frames: Frames, seen: list[Seen], odds: np.ndarray, known: dict, p: Detect, judge: ModelReport
) -> Report:
    """The report; seen: every face of every frame; odds: log-odds of those of p.min_face and more;
    known: the run's calibration, or UNKNOWN. Of the faces that were seen for long enough, a forged
    one decides before one of which nothing is certain, that before one without a finding; then the
    higher probability."""
    media = frames.media
    flags = media_flags(frames, known["ranges"])
    judged = np.array([s.face for s in seen if s.side >= p.min_face])
    faces = [
        _face([s for s in seen if s.face == n], odds[judged == n], flags, media, known, p)
        for n in sorted({s.face for s in seen})
    ]
    least = 1 if media.kind == "image" else p.min_frames
    enough = [f for f in faces if f.frames >= least]
    read = len(frames.chosen) - frames.lost
    decided = {}
    if enough:
        worst = max(enough, key=lambda f: (_RANK.index(f.verdict), f.probability))
        said, why = worst.verdict, worst.why
        decided = {"probability": worst.probability, "interval": worst.interval}
        decided["decided_by"] = worst.face
        if len(enough) > 1:
            most = worst.probability == max(f.probability for f in enough)
            which = "most suspicious" if most else "least clear"
            why = f"face {worst.face}, the {which} of {len(enough)}: {why}"
        if others := len(faces) - len(enough):
            text = f"{others} more face(s) seen too briefly, or too small, to be judged"
            flags = [*flags, _flag("unjudged_faces", text)]
    elif faces:
        said, why = "inconclusive", max(faces, key=lambda f: f.frames).why
    else:
        said, why = "no_face", f"no face found in the {read} frame(s) that were looked at"
    counts = FramesReport(
        chosen=len(frames.chosen),
        read=read,
        with_face=len({s.frame for s in seen}),
        judged=len(judged),
    )
    about = {"faces": faces, "flags": flags, "media": media, "frames": counts, "model": judge}
    return Report(path=str(media.path), verdict=said, why=why, **decided, **about)


def _face(
    of: list[Seen], odds: np.ndarray, flags: list[Flag], media: Media, known: dict, p: Detect
) -> FaceReport:
    """One face; of: all that was seen of it; odds: log-odds of what is large enough."""
    large = [s for s in of if s.side >= p.min_face]
    shown = large or of
    side = float(np.median([s.square[2] - s.square[0] for s in shown]))
    about = {"face": of[0].face, "frames": len(large), "crop_pixels": side}
    about |= {"first": shown[0].time, "last": shown[-1].time}
    if not large:
        size = np.median([s.side for s in of])
        why = f"a face of {size:.0f} pixels is too small to be judged (least: {p.min_face})"
        return FaceReport(verdict="inconclusive", why=why, **about)
    detail = float(np.median([s.detail for s in large]))
    own = beyond("crop_pixels", side, known["ranges"]) + beyond("detail", detail, known["ranges"])
    return FaceReport(flags=own, **about, **decide(odds, flags + own, media, known, p))
