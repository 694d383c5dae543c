"""From judged faces to the report of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import acfd
from acfd.detect import verdict
from acfd.detect.faces import Seen
from acfd.detect.frames import Frames
from acfd.detect.media import Media
from acfd.detect.report import (
    FaceReport,
    Flag,
    FramesReport,
    MediaReport,
    ModelReport,
    Report,
    Verdict,
)
from acfd.params import Detect

# A file is not called clean while one of its faces may be forged.
_RANK = {"no_forgery_found": 0, "inconclusive": 1, "forged": 2}


def model(about: dict[str, Any], folder: Path, backend: str) -> ModelReport:
    """What judges, from a run's model.json."""
    run, calibration = about["run"], about["calibration"]
    return ModelReport(
        run=f"{run['row']}-s{run['seed']}",
        preset=run["preset"],
        title=run["title"],
        system=run["system"],
        folder=folder.as_posix(),
        weights_sha256=run["weights_sha256"],
        backend=backend,
        calibrated=bool(calibration and calibration["videos"]["calibrated"]),
        temperature=calibration["videos"]["temperature"] if calibration else 1.0,
        trained_on=about["card"]["trained_on"]["data"],
    )


def of_file(
    media: Media,
    frames: Frames,
    seen: list[Seen],
    odds: np.ndarray,
    calibration: dict[str, Any] | None,
    p: Detect,
    judge: ModelReport,
) -> Report:
    """The report; seen: every face of every frame; odds: log-odds of those of p.min_face and more.

    Of the faces that were seen for long enough, one decides: a forged one before one of which
    nothing is certain, and that before one without a finding; then the higher probability.
    """
    ranges = (calibration or {}).get("ranges", {})
    flags = verdict.media_flags(media, frames.lost, frames.why, ranges)
    judged = [s for s in seen if s.side >= p.min_face]
    faces = []
    for number in sorted({s.face for s in seen}):
        of = [s for s in judged if s.face == number]
        if of:
            here = np.array([s.face == number for s in judged])
            faces.append(_judged(of, odds[here], flags, media, calibration, p))
        else:
            faces.append(_too_small([s for s in seen if s.face == number], p))
    read = len(frames.chosen) - frames.lost
    more = {
        "faces": faces,
        "flags": flags,
        "media": MediaReport(**{n: getattr(media, n) for n in MediaReport.model_fields}),
        "frames": FramesReport(
            chosen=len(frames.chosen),
            read=read,
            with_face=len({s.frame for s in seen}),
            judged=len(judged),
        ),
    }
    if not faces:
        why = f"no face found in the {read} frame(s) that were looked at"
        return plain(media.path, "no_face", why, judge, **more)
    least = 1 if media.kind == "image" else p.min_frames
    enough = [f for f in faces if f.frames >= least]
    if not enough:
        most = max(faces, key=lambda f: f.frames)
        return plain(media.path, "inconclusive", most.why, judge, **more)
    worst = max(enough, key=lambda f: (_RANK[f.verdict], f.probability))
    why, others = worst.why, len(faces) - len(enough)
    if len(enough) > 1:
        most = worst.probability == max(f.probability for f in enough)
        which = "most suspicious" if most else "least clear"
        why = f"face {worst.face}, the {which} of {len(enough)}: {why}"
    if others:
        text = f"{others} more face(s) seen too briefly, or too small, to be judged"
        more["flags"] = [*flags, Flag(code="unjudged_faces", outside=False, text=text)]
    more |= {"probability": worst.probability, "interval": worst.interval}
    return plain(media.path, worst.verdict, why, judge, decided_by=worst.face, **more)


def plain(path: Path | str, said: Verdict, why: str, judge: ModelReport, **more: Any) -> Report:
    """A report in which whatever is not given is empty."""
    empty = dict.fromkeys(("probability", "interval", "decided_by", "media", "frames"))
    fields = empty | {"faces": [], "flags": [], "seconds": {}} | more
    return Report(
        acfd=acfd.__version__, path=str(path), verdict=said, why=why, model=judge, **fields
    )


def _judged(
    of: list[Seen],
    odds: np.ndarray,
    flags: list[Flag],
    media: Media,
    calibration: dict[str, Any] | None,
    p: Detect,
) -> FaceReport:
    sides = np.array([s.square[2] - s.square[0] for s in of], float)
    details = np.array([s.detail for s in of])
    own = verdict.face_flags(sides, details, (calibration or {}).get("ranges", {}))
    said = verdict.judge(odds, calibration, p)
    decision, why = verdict.decide(said, len(of), flags + own, media, calibration is not None, p)
    return FaceReport(
        face=of[0].face,
        verdict=decision,
        why=why,
        probability=said.probability,
        interval=said.interval,
        log_odds=said.log_odds,
        frames=len(of),
        first=of[0].time,
        last=of[-1].time,
        crop_pixels=float(np.median(sides)),
        flags=own,
    )


def _too_small(of: list[Seen], p: Detect) -> FaceReport:
    side = float(np.median([s.side for s in of]))
    return FaceReport(
        face=of[0].face,
        verdict="inconclusive",
        why=f"a face of {side:.0f} pixels is too small to be judged (least: {p.min_face})",
        probability=None,
        interval=None,
        log_odds=None,
        frames=0,
        first=of[0].time,
        last=of[-1].time,
        crop_pixels=float(np.median([s.square[2] - s.square[0] for s in of])),
        flags=[],
    )
