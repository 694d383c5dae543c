"""One face a video: which one to start with, how to stay on it, and the square cut around it."""

import numpy as np

from acfd.media.centerface import iou

# Chosen frames may lie seconds apart, so a face that moves can leave most of its old box. A
# bystander's face is farther off, since two faces hardly ever share their boxes, or much smaller.
_IOU = 0.1
_CENTRE = 0.5  # of the side of the box followed
_GROWTH = 2.0
_COVER = 1 / 3  # of a mask; it may be larger than the detector's box (forehead, neck)


def largest(boxes: np.ndarray) -> np.ndarray:
    """The box (4) of the largest area out of N x 4."""
    return boxes[np.argmax(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))]


def cover(boxes: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray | None, str]:
    """The box that holds most of the mask (H x W bool), of equal ones the smaller; or None, and
    why there is none."""
    total = int(mask.sum())
    if not total:
        return None, "the mask is empty before any face was found under it"
    edges = np.round(boxes).astype(int)
    held = np.array([int(mask[y0:y1, x0:x1].sum()) for x0, y0, x1, y1 in edges])
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    best = np.lexsort((area, -held))[0]
    if held[best] < _COVER * total:
        return None, (
            f"{len(boxes)} face(s) found, none under the mask (the best holds "
            f"{held[best] / total:.0%} of it)"
        )
    return boxes[best], ""


def follow(track: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, str]:
    """The box out of N x 4 that goes on with `track` (4); else `track` again, and why. The rule is
    the same for real and forged videos: a mask that helped to find a lost face again would give
    forged videos frames that real ones lose."""
    overlap = iou(track[None], boxes)[0]
    side = (track[2:] - track[:2]).max()
    others = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    shift = np.linalg.norm(_centre(boxes) - _centre(track[None]), axis=1)
    alike = np.maximum(others, side) <= _GROWTH * np.minimum(others, side)
    same = alike & ((overlap > _IOU) | (shift < _CENTRE * side))
    if not same.any():
        return track, f"{len(boxes)} face(s) found, none where the one that is followed was"
    return boxes[np.lexsort((shift, -overlap, ~same))[0]], ""


def square(box: np.ndarray, margin: float, width: int, height: int) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 in whole pixels: a square, its side `margin` times the box's longer one,
    shifted into the frame (width x height) where it sticks out, and shrunk to it if larger."""
    side = round(float((box[2:4] - box[:2]).max()) * margin)
    side = max(1, min(side, width, height))
    centre = _centre(box[None])[0]
    x0 = min(max(round(float(centre[0]) - side / 2), 0), width - side)
    y0 = min(max(round(float(centre[1]) - side / 2), 0), height - side)
    return x0, y0, x0 + side, y0 + side


def _centre(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, :2] + boxes[:, 2:4]) / 2
