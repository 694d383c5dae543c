"""One blending of two aligned faces: a source face, degraded on its own, over a target face through
a soft random mask. SynthFF's forgeries, Face X-ray's training images (Li et al. 2020, arXiv
1912.13458) and self-blended images (Shiohara and Yamasaki 2022, arXiv 2204.08376) are all this.

Images are uint8 H x W x 3 RGB. Landmarks are 5 x 2 (x, y) in pixels: left and right eye as seen,
nose, left and right mouth corner. Masks are float32 H x W in [0, 1].
"""

from collections.abc import Iterable

import cv2
import numpy as np

from acfd.media.artefacts import degrade, to_uint8

# The face in its own units: origin between the eyes, which are at (-1, 0) and (1, 0).
CANON = np.float32([[-1, 0], [1, 0], [0, 1.04], [-0.78, 1.91], [0.78, 1.91]])
# ahead of ears and hair, above the chin's rim: what a program pastes is skin
JAW = [[-1.95, -0.2], [-1.9, 0.7], [-1.75, 1.6], [-1.35, 2.4], [-0.75, 3.0], [0, 3.2]]
BROWS = [[1.75, -0.9], [1.0, -1.15], [0, -1.1], [-1.0, -1.15], [-1.75, -0.9]]
HAIRLINE = [[1.95, -1.2], [1.2, -2.0], [0, -2.3], [-1.2, -2.0], [-1.95, -1.2]]
INNER = [[-1.7, -0.7], [-1.75, 0.6], [-1.3, 2.1], [-0.6, 2.6], [0, 2.7]]
LOWER = [[-1.5, 0.9], [-1.6, 1.7], [-1.2, 2.6], [-0.6, 3.1], [0, 3.2]]

KINDS = ("oval", "hull", "full", "box", "inner", "band", "eyes", "mouth", "lower", "half")


def _mirrored(left: list, top: list | None = None) -> np.ndarray:
    """A closed outline from its left side (top to bottom) and, right to left, what closes it."""
    right = [[-x, y] for x, y in reversed(left) if x]
    return np.float32(left + right + (top or []))


OUTLINES = {
    "hull": _mirrored(JAW, BROWS),
    "half": _mirrored(JAW, BROWS),
    "full": _mirrored(JAW, HAIRLINE),
    "inner": _mirrored(INNER, [[0, -0.5]]),
    "lower": _mirrored(LOWER),
    "band": _mirrored([[-2.0, -0.7], [-2.0, 0.55], [-0.55, 0.6], [-0.6, 1.4]]),
}
ELLIPSES = {  # centre x, y, half axes
    "oval": [(0, 1.0, 1.95, 2.5)],
    "eyes": [(-1, 0, 0.75, 0.5), (1, 0, 0.75, 0.5)],
    "mouth": [(0, 1.98, 1.25, 0.75)],
    "nose": [(0, 1, 0.9, 0.5)],
    "features": [(-1, -0.25, 0.7, 0.55), (1, -0.25, 0.7, 0.55), (0, 1.2, 1.4, 1.4)],
}
ANGLE = np.linspace(0, 2 * np.pi, 24, endpoint=False)
CIRCLE = np.c_[np.cos(ANGLE), np.sin(ANGLE)]
BOX = np.array([[-1.95, -1.4], [1.95, 3.3]])  # two corners


def to_face(landmarks: np.ndarray) -> np.ndarray:
    """The affine 2 x 3 that takes the face's own units to pixels (least squares over 5 points)."""
    return np.linalg.lstsq(np.c_[CANON, np.ones(5)], landmarks.astype(float), rcond=None)[0].T


def unit(landmarks: np.ndarray) -> float:
    """Half the distance of the eyes, pixels; from the mouth's distance if the face is turned."""
    p = np.asarray(landmarks, float)
    eyes, mouth = (p[0] + p[1]) / 2, (p[3] + p[4]) / 2
    across, down = np.hypot(*(p[1] - p[0])) / 2, np.hypot(*(mouth - eyes)) / 1.91
    return float(max(across, down, 1.0))


def turned(landmarks: np.ndarray) -> float:
    """How far a face is turned to its right as seen, or left (below 0): the nose from the middle,
    in eye distances; a profile has about 0.6."""
    p = np.asarray(landmarks, float)
    across = p[1] - p[0]
    middle = (p[:2].mean(0) + p[3:].mean(0)) / 2
    return float((p[2] - middle) @ across / max(across @ across, 1e-9))


def random_mask(
    landmarks: np.ndarray,
    shape: tuple[int, int],
    kind: str,
    rng: np.random.Generator,
    *,
    scale: float = 1.0,
    wobble: float = 0.06,
    softness: float = 0.5,
    inward: bool = False,
) -> np.ndarray:
    """A soft mask of the given kind (one of KINDS), float32 of `shape`, exactly 0 far outside.
    scale: size against the face's own outline; wobble: how irregular it is; softness: width of the
    edge, in half eye distances; `inward`: the edge lies within the outline, not across it."""
    affine, turn = to_face(landmarks), 2 * turned(landmarks)
    outlines = _outlines(kind, scale, wobble, rng)
    for outline in outlines:  # less is seen of the cheek that a face turns away
        outline[:, 0] *= 1 - np.clip(0.6 * turn * np.sign(outline[:, 0]), 0, 0.5)
    mask = _filled(outlines, affine, shape)
    if kind == "half":
        mask *= _half_plane(affine, shape, rng)
    return soften(mask, softness * unit(landmarks), inward=inward)


def _filled(outlines: Iterable[np.ndarray], affine: np.ndarray, shape: tuple[int, int]):
    """Closed outlines in the face's own units, filled: float32 of `shape`."""
    mask = np.zeros(shape, np.uint8)
    for outline in outlines:
        points = outline @ affine[:, :2].T + affine[:, 2]
        points = np.clip(points, -4 * max(shape), 5 * max(shape))
        cv2.fillPoly(mask, [np.rint(points * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    return mask.astype(np.float32) / 255


def _outlines(kind: str, scale: float, wobble: float, rng) -> list[np.ndarray]:
    """Closed outlines in the face's own units, scaled about their middles."""
    if kind in ELLIPSES:
        waves = wobble * rng.standard_normal(3)
        radius = scale * (1 + sum(w * np.cos((k + 2) * ANGLE + k) for k, w in enumerate(waves)))
        circle = CIRCLE * radius[:, None]
        return [np.array([x, y]) + circle * (a, b) for x, y, a, b in ELLIPSES[kind]]
    if kind == "box":
        low, high = BOX
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        power = rng.uniform(0.25, 0.6)  # a superellipse: rounded corners
        corner = np.c_[np.cos(angle), np.sin(angle)]
        corner = np.sign(corner) * np.abs(corner) ** power * (high - low) / 2
        return [(low + high) / 2 + scale * corner + wobble * rng.standard_normal(2)]
    outline = OUTLINES[kind]
    middle = outline.mean(0)
    uneven = 1 + wobble * rng.standard_normal((len(outline), 1))
    return [middle + scale * (outline - middle) * uneven]


def _half_plane(affine: np.ndarray, shape: tuple[int, int], rng) -> np.ndarray:
    """1 on one side of a random line through about the nose, 0 on the other."""
    inverse = cv2.invertAffineTransform(affine)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    u, v = (r[0] * x + r[1] * y + r[2] for r in inverse)
    angle = rng.uniform(0, 2 * np.pi)
    distance = np.cos(angle) * u + np.sin(angle) * (v - 1.1) + rng.uniform(-0.4, 0.4)
    return (distance > 0).astype(np.float32)


def soften(mask: np.ndarray, width: float, *, inward: bool = False) -> np.ndarray:
    """Blur a mask's edge to about `width` pixels; two boxes, so that zero stays zero beyond."""
    size = round(width / 2) * 2 + 1
    if size > 1:
        for _ in range(2):
            mask = cv2.blur(mask, (size, size), borderType=cv2.BORDER_REPLICATE)
    if inward:
        mask = np.maximum(2 * mask - 1, 0)
    return np.clip(mask, 0, 1, out=mask)


def match_colour(
    source: np.ndarray, target: np.ndarray, mask: np.ndarray, strength: float = 1.0
) -> np.ndarray:
    """Give the source the target's mean and spread of colour within the mask, in LAB; strength: 0
    (not at all) to 1. An empty mask changes nothing."""
    inside = mask[::2, ::2] > 0.3  # every second pixel is plenty for a mean
    if strength == 0 or np.count_nonzero(inside) < 16:
        return source
    a = cv2.cvtColor(source.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    b = cv2.cvtColor(target[::2, ::2].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    here, there = a[::2, ::2][inside], b[inside]
    middle, spread = here.mean(0), there.std(0) / np.maximum(here.std(0), 1)
    gain = 1 + strength * (np.clip(spread, 0.5, 2) - 1)
    shift = strength * (there.mean(0) - middle)
    a = a * gain + (middle * (1 - gain) + shift)
    return to_uint8(cv2.cvtColor(a.astype(np.float32), cv2.COLOR_LAB2RGB) * 255)


def skin(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Where there is face and neither hair nor background, float32 H x W from 0 to 1: eyes, brows,
    nose and mouth, and around these what has the nose's colour."""
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    affine, soft = to_face(landmarks), 0.3 * unit(landmarks)
    nose, inner = (
        _filled([CIRCLE * (a, b) + (x, y) for x, y, a, b in ELLIPSES[name]], affine, lab.shape[:2])
        for name in ("nose", "features")
    )
    if not (nose > 0.5).any():
        return soften(inner, soft)
    away = np.abs(lab - np.median(lab[nose > 0.5], axis=0)) / (25, 12, 12)
    alike = np.clip(2 - away.max(axis=2), 0, 1).astype(np.float32)
    return np.maximum(soften(alike, soft), soften(inner, soft))


def blend(target: np.ndarray, source: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """target (1 - mask) + source mask. Where the mask is 0, the target stays exactly as it is."""
    return to_uint8(target + mask[..., None] * (source.astype(np.float32) - target))


def jitter(rng: np.random.Generator, centre: np.ndarray, amount: float) -> np.ndarray:
    """A small random affine 2 x 3 about `centre`: shifts of about `amount`, in its units, scale and
    rotation of a few per cent."""
    turn, shear = 0.02 * rng.standard_normal(2)
    sx, sy = 1 + 0.02 * rng.standard_normal(2)
    linear = np.array([[sx, -turn + shear], [turn, sy]])
    shift = amount * rng.standard_normal(2)
    return np.c_[linear, centre - linear @ centre + shift]


def blended_forgery(
    target: np.ndarray, source: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A forgery and its mask (uint8 H x W x 3, float32 H x W) from two aligned faces, everything
    drawn afresh. source: aligned to target (whose landmarks are given), of its shape; it may be the
    target itself. One of the two is degraded, and half of the time it is the target: then the
    pixels outside the mask differ from `target` too."""
    landmarks = np.asarray(landmarks, float)
    misfit = jitter(rng, landmarks.mean(0), rng.uniform(0, 0.12) * unit(landmarks))
    source = cv2.warpAffine(source, misfit, target.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
    kind = rng.choice(KINDS, p=(0.2, 0.2, 0.08, 0.07, 0.15, 0.06, 0.04, 0.1, 0.05, 0.05))
    mask = random_mask(
        landmarks,
        target.shape[:2],
        str(kind),
        rng,
        scale=rng.uniform(0.8, 1.15),
        wobble=rng.uniform(0, 0.08),
        softness=np.exp(rng.uniform(np.log(0.1), np.log(1.2))),
        inward=rng.random() < 0.5,
    )
    if rng.random() < 0.5:
        source = degrade(source, rng)
    else:
        target = degrade(target, rng)
    if rng.random() < 0.75:
        source = match_colour(source, target, mask, rng.uniform(0.5, 1))
    mask *= rng.choice((1.0, 0.75, 0.5), p=(0.6, 0.25, 0.15))
    return blend(target, source, mask), mask
