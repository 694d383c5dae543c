"""The faces of a clip: found, followed from frame to frame, and cut as in training."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

import cv2
import numpy as np

from acfd.faces.crops import resize
from acfd.media.centerface import FaceDetector
from acfd.media.timing import Stages
from acfd.media.track import follow, square

# A face that was not seen for so long may be anyone when one comes back to its place.
_FORGET = 3.0  # seconds, or ...
_MISSES = 2  # ... searches, whichever is more: chosen frames may lie a minute apart
_WAITING = 2**28  # bytes of frames that may wait for the next search


class Timing(Stages):
    """Seconds by stage; stages overlap, so they can add up to more than `wall`."""

    look = decode = find = crop = judge = wall = 0.0  # judge: the network


@dataclass
class Seen:
    """One face in one frame, ready for the network."""

    frame: int
    time: float  # seconds
    face: int  # which of the clip's faces, from 0
    box: np.ndarray  # x0, y0, x1, y1 of the detector, pixels of the frame
    square: tuple[int, int, int, int]  # what was cut
    confidence: float  # of the detector; NaN where the box lies between two that were found
    detail: float
    crop: np.ndarray = field(repr=False)  # S x S x 3 RGB uint8

    @property
    def side(self) -> float:
        """Longer side of the face, pixels of the frame."""
        return float((self.box[2:] - self.box[:2]).max())


class Tracker:
    """Tells the faces of a clip apart by where they are, as `track.follow` does for one of them;
    whoever takes another's place at a cut goes on under their number."""

    def __init__(self):
        self._known: dict[int, tuple[np.ndarray, float, int]] = {}  # last box, time and search
        self._search = 0
        self._numbers = count()

    def update(self, moment: float, boxes: np.ndarray) -> list[int]:
        """The face that each of N x 4 boxes belongs to; known ones take the nearest box first."""
        self._search += 1
        self._known = {
            face: (last, when, search)
            for face, (last, when, search) in self._known.items()
            if moment - when <= _FORGET or self._search - search <= _MISSES
        }
        shifts = sorted(
            (np.abs(box - last).max() / (last[2:] - last[:2]).max(), face, i)
            for face, (last, _, _) in self._known.items()
            for i, box in enumerate(boxes)
            if not follow(last, box[None])[1]  # it may go on there
        )
        faces: dict[int, int] = {}
        for _, face, i in shifts:
            if i not in faces and face not in faces.values():
                faces[i] = face
        for i, box in enumerate(boxes):
            if i not in faces:
                faces[i] = next(self._numbers)
            self._known[faces[i]] = (box, moment, self._search)
        return [faces[i] for i in range(len(boxes))]


@dataclass
class Finder:
    """Cuts the faces out of frames that come in order of time. Searching costs more than judging,
    and heads move little within a few frames: the detector runs at most every `every` seconds, and
    the boxes in between are interpolated."""

    margin: float
    size: int
    detector: FaceDetector
    every: float  # seconds
    timing: Timing

    def cut(self, frames: Iterable[tuple[int, float, np.ndarray]]) -> Iterator[Seen]:
        """(index, seconds, H x W x 3 RGB uint8) -> every face of every frame."""
        tracker, before, since = Tracker(), {}, 0.0
        for *between, (index, moment, picture) in self._stretches(iter(frames)):
            with self.timing.stage("find"):
                found = self.detector.detect(picture)
            boxes = found[:, :4]
            after = dict(zip(tracker.update(moment, boxes), zip(boxes, found[:, 4])))
            for i, m, p in between:
                share = (m - since) / (moment - since)
                for face in sorted(after.keys() & before.keys()):
                    box = (1 - share) * before[face][0] + share * after[face][0]
                    yield self._seen(i, m, p, face, box, np.nan)
            for face, (box, confidence) in sorted(after.items()):
                yield self._seen(index, moment, picture, face, box, float(confidence))
            before, since = after, moment

    def _stretches(self, frames: Iterator[tuple]) -> Iterator[list[tuple]]:
        """Frames in stretches, each up to the next one that is searched: the first and the last of
        all are."""
        waiting, since = [], -np.inf
        while True:
            with self.timing.stage("decode"):
                frame = next(frames, None)
            if frame is None:
                break
            waiting.append(frame)
            _, moment, picture = frame
            if moment - since >= self.every or len(waiting) * picture.nbytes > _WAITING:
                yield waiting
                waiting, since = [], moment
        if waiting:
            yield waiting

    def _seen(self, index, moment, picture, face, box, confidence) -> Seen:
        with self.timing.stage("crop"):
            height, width = picture.shape[:2]
            x0, y0, x1, y1 = cut = square(box, self.margin, width, height)
            crop = resize(picture[y0:y1, x0:x1], self.size)
            return Seen(index, moment, face, box, cut, confidence, detail(crop), crop)


def detail(crop: np.ndarray) -> float:
    """How much a crop (S x S x 3 uint8) changes from pixel to pixel: mean |Laplacian| of its grey
    levels. Strong compression and enlarging lower it, noise and sharpening raise it."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_16S)).mean())
