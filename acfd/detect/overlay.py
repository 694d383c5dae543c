"""A detection as a picture or a video: the frame with its boxes, what the network saw of the most
suspicious face and where it looked, and the probability over time.

Only frames that were judged are shown, each until the next, so that nothing on the screen is made
up between them; `frames: 0` judges, and shows, every one.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import matplotlib
import numpy as np

from acfd.crops import resize
from acfd.deploy.calibrate import sigmoid
from acfd.detect.core import Detection
from acfd.detect.frames import Frames
from acfd.paths import atomic
from acfd.video import write_video

COLOURS = {  # of verdicts, RGB; Okabe and Ito's
    "forged": (213, 94, 0),
    "no_forgery_found": (0, 114, 178),
    "inconclusive": (120, 120, 120),
}
INK, QUIET, PAPER, LINE = (25, 25, 25), (110, 110, 110), (255, 255, 255), (215, 215, 215)
_FRAME = (480, 540, 960)  # least and most height, most width of the frame on the canvas
_HEAD, _FOOT, _CHART, _GAP = 64, 30, 128, 12
_HEAT = (np.array(matplotlib.colormaps["inferno"].colors) * 255).round().astype(np.uint8)
_FASTEST = 60.0  # frames a second of an overlay
_CRF = 20


def write(found: Detection, path: Path) -> Path:
    """Write a picture (.png) of an image, or of a video's most suspicious frame; or a video
    (.mp4). Raises ValueError for another ending, or where there is no face to show."""
    if not found.seen:
        raise ValueError(f"{found.report.path}: no judged face, so there is nothing to show")
    if path.suffix == ".png":
        at = max(range(len(found.seen)), key=lambda i: _suspicion(found, i))
        index, picture = next(iter(Frames(found.media, [found.seen[at].frame])))
        canvas = draw(found, index, picture)
        _, data = cv2.imencode(".png", cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR))
        with atomic(path) as temporary:
            temporary.write_bytes(data.tobytes())
    elif path.suffix == ".mp4":
        frames = Frames(found.media, found.chosen)
        rate = len(found.chosen) / found.media.duration if found.media.duration else 1.0
        drawn = (draw(found, index, picture) for index, picture in frames)
        write_video(path, drawn, min(rate, _FASTEST), crf=_CRF, pix_fmt="yuv420p", preset="fast")
    else:
        raise ValueError(f"{path}: an overlay is a .png or an .mp4")
    return path


def draw(found: Detection, index: int, picture: np.ndarray) -> np.ndarray:
    """The canvas for one frame (H x W x 3 RGB uint8): even sides, the same for every frame."""
    height, width = picture.shape[:2]
    scale = min(max(_FRAME[0] / height, 1), _FRAME[1] / height)
    scale = min(scale, _FRAME[2] / width)
    w, h = round(width * scale), round(height * scale)
    tall = max(h, 360)
    side = (tall - 2 * 20 - _GAP) // 2 if found.maps is not None else tall // 2
    video = found.media.kind == "video"
    total = (w + side + 3 * _GAP, _HEAD + tall + (_CHART if video else 0) + _FOOT + 2 * _GAP)
    canvas = np.full((total[1] + total[1] % 2, total[0] + total[0] % 2, 3), 255, np.uint8)
    here = [i for i, s in enumerate(found.seen) if s.frame == index]
    canvas[_HEAD : _HEAD + h, _GAP : _GAP + w] = _boxed(found, here, picture, (w, h))
    _panels(found, here, picture, canvas, (w + 2 * _GAP, _HEAD), side)
    _head(found, canvas)
    if video:
        top = _HEAD + tall + _GAP
        _chart(found, index, canvas, (_GAP + 30, top), (canvas.shape[1] - _GAP, top + _CHART - 24))
    _foot(found, index, canvas)
    return canvas


def _boxed(found: Detection, here: list[int], picture: np.ndarray, size: tuple[int, int]):
    """The frame with the squares that were cut out of it."""
    scale = size[0] / picture.shape[1]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    frame = cv2.resize(picture, size, interpolation=how)
    faces = {f.face: f for f in found.report.faces}
    for i in here:
        s = found.seen[i]
        x0, y0, x1, y1 = (round(v * scale) for v in s.square)
        colour = COLOURS[faces[s.face].verdict]
        cv2.rectangle(frame, (x0, y0), (x1 - 1, y1 - 1), PAPER, 4, cv2.LINE_AA)
        cv2.rectangle(frame, (x0, y0), (x1 - 1, y1 - 1), colour, 2, cv2.LINE_AA)
        number = f"face {s.face}  " if len(faces) > 1 else ""
        text = f"{number}{_probability(found, i):.2f}"
        wide = _width(text, 15) + 10
        top = y0 - 22 if y0 >= 22 else y1
        top = min(max(top, 0), size[1] - 22)
        left = min(max(x0, 0), size[0] - wide)
        cv2.rectangle(frame, (left, top), (left + wide, top + 22), colour, -1)
        _text(frame, text, (left + 5, top + 16), 15, PAPER)
    return frame


def _panels(found: Detection, here: list[int], picture, canvas, corner, side: int) -> None:
    """What the network saw of one face, and where it looked."""
    x, y = corner
    _text(canvas, "what the network sees", (x, y + 14), 13, QUIET)
    face = found.report.decided_by
    shown = [i for i in here if found.seen[i].face == face] or here[:1]
    if not shown:
        _text(canvas, "no face in this frame", (x, y + 44), 14, QUIET)
        return
    x0, y0, x1, y1 = found.seen[shown[0]].square
    crop = resize(picture[y0:y1, x0:x1], found.crop_size)
    large = cv2.resize(crop, (side, side), interpolation=cv2.INTER_CUBIC)
    top = y + 20
    canvas[top : top + side, x : x + side] = large
    if found.maps is None:
        _text(canvas, "this network has no attention map", (x, top + side + 18), 13, QUIET)
        return
    top += side + _GAP + 20
    _text(canvas, "where it looks", (x, top - 6), 13, QUIET)
    attention = cv2.resize(found.maps[shown[0]], (side, side), interpolation=cv2.INTER_CUBIC)
    # grey, or the face's colours would mix with the map's
    grey = cv2.cvtColor(large, cv2.COLOR_RGB2GRAY)[:, :, None].astype(np.float32)
    heat = _HEAT[attention].astype(np.float32)
    canvas[top : top + side, x : x + side] = np.clip(0.45 * grey + 0.6 * heat, 0, 255)
    _scale(canvas, (x + _width("where it looks", 13) + 14, top - 17), side)


def _scale(canvas: np.ndarray, corner: tuple[int, int], side: int) -> None:
    """What the map's colours mean."""
    x, y = corner
    wide = min(70, side // 3)
    bar = _HEAT[np.linspace(0, 255, wide).astype(int)]
    _text(canvas, "0", (x, y + 11), 12, QUIET)
    canvas[y + 2 : y + 11, x + 12 : x + 12 + wide] = bar
    _text(canvas, "1", (x + 18 + wide, y + 11), 12, QUIET)


def _head(found: Detection, canvas: np.ndarray) -> None:
    r = found.report
    title = r.verdict.replace("_", " ").upper()
    _text(canvas, title, (_GAP, 28), 22, COLOURS.get(r.verdict, INK), 700)
    if r.probability is not None:
        low, high = r.interval
        text = f"probability of forged {r.probability:.2f}  ({low:.2f} to {high:.2f})"
        _text(canvas, text, (_GAP + _width(title, 22, 700) + 18, 27), 16, INK)
    outside = [f.text for f in r.flags if f.outside]
    _text(canvas, _fit("; ".join(outside) or r.why, 14, canvas.shape[1] - 2 * _GAP), (_GAP, 52),
          14, QUIET)  # fmt: skip


def _foot(found: Detection, index: int, canvas: np.ndarray) -> None:
    r, m = found.report, found.report.model
    moment = f"{found.media.times[index]:.2f} s, frame {index}" if found.media.duration else ""
    name = Path(r.path).name
    parts = [name, moment, f"acfd {r.acfd}, {m.preset} {m.run}", f"trained on {m.trained_on}"]
    text = "   ".join(p for p in parts if p)
    y = canvas.shape[0] - 10
    _text(canvas, _fit(text, 12, canvas.shape[1] - 2 * _GAP), (_GAP, y), 12, QUIET)


def _chart(found: Detection, index: int, canvas, low_corner, high_corner) -> None:
    """Probability of every judged frame over time, and which one is shown."""
    (left, top), (right, bottom) = low_corner, high_corner
    span = max(found.media.duration, 1e-6)

    def at(moment: float, p: float) -> tuple[int, int]:
        return round(left + (right - left) * moment / span), round(bottom - (bottom - top) * p)

    r = found.report
    if r.interval is not None:
        a, b = at(0, r.interval[1]), at(span, r.interval[0])
        band = canvas[a[1] : b[1] + 1, a[0] : b[0]].astype(np.float32)
        tint = np.array(COLOURS[r.verdict], np.float32)
        canvas[a[1] : b[1] + 1, a[0] : b[0]] = 0.82 * band + 0.18 * tint
    for p in (0.0, 0.5, 1.0):
        cv2.line(canvas, at(0, p), at(span, p), LINE, 1)
        _text(canvas, f"{p:g}", (left - 26, at(0, p)[1] + 5), 12, QUIET)
    now = at(float(found.media.times[index]), 0)[0]
    cv2.line(canvas, (now, top), (now, bottom), QUIET, 1)
    faces = {f.face: f for f in r.faces}
    order = {frame: n for n, frame in enumerate(found.chosen)}
    for face in sorted(faces, key=lambda face: face == r.decided_by):
        of = [i for i, s in enumerate(found.seen) if s.face == face]
        points = [at(found.seen[i].time, _probability(found, i)) for i in of]
        colour = COLOURS[faces[face].verdict] if face == r.decided_by else LINE
        for p, q, i, j in zip(points, points[1:], of, of[1:]):
            if order[found.seen[j].frame] - order[found.seen[i].frame] <= 2:
                cv2.line(canvas, p, q, colour, 1, cv2.LINE_AA)
        for p in points:
            cv2.circle(canvas, p, 3, colour, -1, cv2.LINE_AA)
    text = "probability of forged, frame by frame; band: interval of the mean"
    _text(canvas, text, (left, bottom + 18), 12, QUIET)
    end = f"{span:.1f} s"
    _text(canvas, end, (right - _width(end, 12), bottom + 18), 12, QUIET)


def _probability(found: Detection, i: int) -> float:
    return float(sigmoid(found.log_odds[i] / found.temperature))


def _suspicion(found: Detection, i: int) -> tuple[bool, float]:
    """Frames of the face that decided before others, then by their score."""
    return (found.seen[i].face == found.report.decided_by, float(found.log_odds[i]))


# OpenCV's own font, which has more than ASCII: file names may be in any language.
def _text(canvas, text: str, where: tuple[int, int], size: int, colour, weight: int = 400) -> None:
    cv2.putText(canvas, text, where, colour, cv2.FontFace("sans"), size, weight)


def _width(text: str, size: int, weight: int = 400) -> int:
    box = cv2.getTextSize((0, 0), text, (0, 0), cv2.FontFace("sans"), size, weight)
    return int(box[2])


def _fit(text: str, size: int, width: int) -> str:
    """As much of a text as is that wide."""
    if _width(text, size) <= width:
        return text
    while text and _width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"
