"""Four methods of forgery, after their namesakes in FaceForensics++ and unlike one another: another
person's face as an autoencoder has it, of low resolution with a soft mask (Deepfakes), or by a
landmark fit, sharp with a hard edge and poor colours (FaceSwap); the same person with another
expression, the whole inner face rendered anew (Face2Face), or with another mouth, a small smoothed
region (NeuralTextures). All is drawn once a clip (`varieties.draw`), then done frame by frame."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from acfd.media import artefacts, blend
from acfd.videos.synthff import motion
from acfd.videos.synthff.motion import Morph, Take, smooth_path
from acfd.videos.synthff.people import BASE, DRIFT, EXPRESSION, Person


@dataclass(frozen=True, kw_only=True)
class Forgery:
    """What is drawn for one forged clip. Lengths are in half eye distances of the target."""

    source: str  # other (another person), shifted (the same, another expression), self, frame
    fit: str  # similarity, affine, piecewise
    expression: float = 0.0  # spread of local shifts about the landmarks
    kind: str  # of mask, one of blend.KINDS
    scale: float
    wobble: float = 0.02
    softness: float
    inward: bool = True
    skin: bool = False  # nothing but skin is pasted: no hair, no background
    opacity: float = 1.0
    colour: float  # strength of the colour match
    light: float = 0.0  # how unlike the target's the light is that the source was filmed in
    recipe: artefacts.Recipe  # of the forged side alone
    noise: float = 0.0  # of the forged side, times the target's sensor noise
    offset: float  # constant misfit
    shake: float = 0.0  # misfit that changes from frame to frame
    flicker: float = 0.0  # grey levels


def forge(
    take: Take, other: Person, drawn: Forgery, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (frame, mask) of the forged clip: uint8 size x size x 3, and uint8 size x size. Where
    the mask is 0, the frame is exactly the take's."""
    count, size = len(take.frames), take.scene.size
    x0, y0, x1, y1 = _region(take.points, size)
    person, ends, path = _acting(take, other, drawn, rng)
    morph = Morph(person, *ends, motion.prescaled(take.scene.cameras))
    expression = drawn.expression * _expression(rng)
    offset = blend.jitter(rng, np.zeros(2), drawn.offset)
    shape_seed = int(rng.integers(2**31))
    look = motion.draw_look(rng, drawn.light) if drawn.light else take.scene.look
    wander = np.stack([smooth_path(rng, count) for _ in range(2)], axis=1)
    sigma, grain = take.scene.noise
    for t, target in enumerate(take.frames):
        points = take.points[t] - (x0, y0)
        here = target[y0:y1, x0:x1]
        unit, middle = blend.unit(points), points.mean(0)
        misfit = _about(middle, unit, offset, drawn.shake * (wander[t] + rng.standard_normal(2)))
        if drawn.source == "frame":
            source = cv2.warpAffine(here, misfit, here.shape[1::-1], borderMode=1)
        else:
            amount = float(path[t])
            fit = _fit(morph.points(amount), points, drawn.fit)
            camera = misfit @ np.vstack([fit, (0, 0, 1)])
            source = motion.render(morph.at(amount), camera, here.shape[:2])
            source = motion.apply_look(source, look, (x0, y0), size)
            if drawn.source == "self":
                source = artefacts.degrade(source, rng, take.scene.finish)
        moved = unit * expression * (1 + 0.3 * wander[t, 0])
        if drawn.fit == "piecewise" and drawn.source != "frame":
            moved = moved + points - (morph.points(amount) @ fit[:, :2].T + fit[:, 2])
        source = _locally_shifted(source, points, moved, unit)
        mask = blend.random_mask(
            points,
            here.shape[:2],
            drawn.kind,
            np.random.default_rng(shape_seed),  # the same outline in every frame
            scale=drawn.scale,
            wobble=drawn.wobble,
            softness=drawn.softness,
            inward=drawn.inward,
        )
        if drawn.skin:
            mask *= blend.skin(source, points)
        source = artefacts.degrade(source, rng, drawn.recipe)
        source = blend.match_colour(source, here, mask, drawn.colour)
        flicker = float(drawn.flicker * rng.standard_normal())
        extra: artefacts.Recipe = (("shift", flicker, flicker, flicker),)
        if drawn.noise:
            extra += (("noise", sigma * drawn.noise, grain),)
        source = artefacts.degrade(source, rng, extra)
        mask = np.rint(255 * drawn.opacity * mask)
        frame, weight = target.copy(), np.zeros((size, size), np.uint8)
        frame[y0:y1, x0:x1] = blend.blend(here, source, mask.astype(np.float32) / 255)
        weight[y0:y1, x0:x1] = mask
        yield frame, weight


def _acting(take: Take, other: Person, drawn: Forgery, rng) -> tuple[Person, tuple, np.ndarray]:
    """Whose portraits are shown, which two of them, and where between them in each frame."""
    count = len(take.frames)
    if drawn.source == "other":
        path = np.clip(rng.uniform(0, 1) + 0.35 * smooth_path(rng, count), 0, 1)
        return other, (BASE, DRIFT), path
    if drawn.source == "shifted":
        path = np.clip(rng.uniform(0.6, 1) + 0.2 * smooth_path(rng, count), 0.4, 1)
        return take.person, (BASE, EXPRESSION), path
    return take.person, (BASE, DRIFT), take.scene.mood


def _expression(rng: np.random.Generator) -> np.ndarray:
    """Shifts of the five landmarks, 5 x 2: left and right move alike, and the mouth most."""
    eyes, nose, mouth = rng.uniform(-1.5, 1.5, (3, 2)) * [[0.2, 0.3], [0.2, 0.3], [1, 0.8]]
    mirror = np.array([[-1, 1], [1, 1]])
    return np.stack([*(eyes * mirror), nose, *(mouth * mirror)]) + 0.2 * rng.standard_normal((5, 2))


def _region(points: np.ndarray, size: int) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the part of the frame that holds every mask of a clip."""
    reach = 4.2 * max(blend.unit(p) for p in points)
    middle = (points[:, :2].mean(1) + points[:, 3:].mean(1)) / 2
    low = np.floor(np.maximum(middle.min(0) - reach, 0)).astype(int)
    high = np.ceil(np.minimum(middle.max(0) + reach, size)).astype(int)
    return (*low.tolist(), *high.tolist())


def _about(middle: np.ndarray, unit: float, offset: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The misfit `offset` (about 0, in face units) and a shift, as an affine about `middle`."""
    linear = offset[:, :2]
    return np.c_[linear, middle - linear @ middle + unit * (offset[:, 2] + shift)]


def _fit(source: np.ndarray, target: np.ndarray, kind: str) -> np.ndarray:
    """The 2 x 3 that takes source landmarks to target landmarks best (least squares)."""
    if kind != "similarity":
        return np.linalg.lstsq(np.c_[source, np.ones(5)], target, rcond=None)[0].T
    z, w = (p[:, 0] + 1j * p[:, 1] for p in (source, target))
    a = np.vdot(z - z.mean(), w - w.mean()) / np.vdot(z - z.mean(), z - z.mean())
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def _locally_shifted(
    image: np.ndarray, points: np.ndarray, shifts: np.ndarray, unit: float
) -> np.ndarray:
    """Move what is at each landmark by its shift (pixels), fading out over one unit around it."""
    if np.abs(shifts).max() < 0.1:
        return image
    height, width = image.shape[:2]
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    field = np.zeros((height, width, 2), np.float32)
    for (px, py), shift in zip(np.float32(points), np.float32(shifts)):
        near = np.outer(np.exp(-(((y - py) / unit) ** 2)), np.exp(-(((x - px) / unit) ** 2)))
        field += near[..., None] * shift
    grid = np.stack(np.meshgrid(x, y), axis=2)
    return cv2.remap(image, grid - field, None, cv2.INTER_LINEAR, borderMode=1)
