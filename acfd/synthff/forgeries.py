"""Four families of forgery, each as wide as its namesake in FaceForensics++ and unlike the others.

Deepfakes       another person's face through an autoencoder's look: low resolution, soft mask
FaceSwap        another person's face by a landmark fit: full resolution, hard edge, poor colours
Face2Face       the same person with another expression: the whole inner face, rendered anew
NeuralTextures  the same person with another mouth: a small region, smoothed

Everything is drawn once a clip (`draw`), then done frame by frame (`forge`). In every family some
clips put the person's own face back in, degraded: what is then left to see is the blending itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from acfd import blend
from acfd.synthff.motion import Morph, Take, apply_look, draw_look, prescaled, render, smooth_path
from acfd.synthff.people import BASE, DRIFT, EXPRESSION, Person

METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")


@dataclass(frozen=True)
class Forgery:
    """What is drawn for one forged clip. Lengths are in half eye distances of the target."""

    method: str
    source: str  # other (another person), shifted (the same, another expression), self, frame
    fit: str  # similarity, affine, piecewise
    expression: float  # spread of local shifts about the landmarks
    kind: str  # of mask, one of blend.KINDS
    scale: float
    wobble: float
    softness: float
    inward: bool
    opacity: float
    colour: float  # strength of the colour match
    own_look: bool  # the source was filmed in another light
    recipe: blend.Recipe  # of the forged side alone
    noise: float  # of the forged side, times the target's sensor noise
    offset: float  # constant misfit
    shake: float  # misfit that changes from frame to frame
    flicker: float  # grey levels


def _pick(rng: np.random.Generator, **weights: float) -> str:
    p = np.array(list(weights.values()))
    return str(rng.choice(list(weights), p=p / p.sum()))


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def draw(method: str, rng: np.random.Generator) -> Forgery:
    """One forgery of a family, one of METHODS. Raises ValueError for another name."""
    families = {
        "Deepfakes": _deepfakes,
        "FaceSwap": _faceswap,
        "Face2Face": _face2face,
        "NeuralTextures": _neural_textures,
    }
    if method not in families:
        raise ValueError(f"SynthFF has no method {method!r}; it has: {', '.join(METHODS)}")
    own = families[method](rng)
    if rng.random() < 0.3:  # what any of them may suffer besides
        own["recipe"] += blend.random_recipe(rng, rng.uniform(0.3, 0.8))
    noise = rng.choice([0.0, rng.uniform(0.3, 0.9), 1.0, 1.5], p=(0.35, 0.3, 0.3, 0.05))
    common = {"expression": 0.0, "opacity": 1.0, "flicker": 0.0, "noise": float(noise)}
    return Forgery(method=method, **(common | own))


def _sharpness(rng: np.random.Generator, low: float, high: float) -> blend.Recipe:
    """A loss of resolution, and perhaps what a network or a person does against it."""
    way = int(rng.choice(blend.UPSCALES[:3], p=(0.45, 0.4, 0.15)))
    recipe: list[tuple] = [("rescale", _log(rng, low, high), way)]
    after = rng.random()
    if after < 0.35:
        recipe.append(("sharpen", rng.uniform(0.3, 2.0), rng.uniform(0.7, 2.0)))
    elif after < 0.55:
        recipe.append(("blur", rng.uniform(0.4, 1.2)))
    return tuple(recipe)


def _deepfakes(rng: np.random.Generator) -> dict:
    return {
        "source": _pick(rng, other=0.66, shifted=0.16, self=0.09, frame=0.09),
        "fit": _pick(rng, similarity=0.6, affine=0.4),
        "expression": rng.uniform(0, 0.12),
        "kind": _pick(rng, oval=0.4, hull=0.3, box=0.15, full=0.1, inner=0.05),
        "scale": rng.uniform(0.78, 1.08),
        "wobble": rng.uniform(0, 0.06),
        "softness": _log(rng, 0.3, 1.2),
        "inward": rng.random() < 0.5,
        "opacity": rng.uniform(0.75, 1) if rng.random() < 0.4 else 1.0,
        "colour": rng.uniform(0.5, 1) if rng.random() < 0.85 else 0.0,
        "own_look": rng.random() < 0.5,
        "recipe": _sharpness(rng, 1.6, 4.5),
        "offset": rng.uniform(0, 0.12),
        "shake": rng.uniform(0, 0.05),
        "flicker": rng.uniform(0, 2.5),
    }


def _faceswap(rng: np.random.Generator) -> dict:
    source = _pick(rng, other=0.65, shifted=0.1, self=0.15, frame=0.1)
    kinds = {"hull": 0.75, "inner": 0.2, "full": 0.05}
    if source != "other":
        kinds["half"] = 0.3  # half another person's face would be a cartoon
    # hard edges that shake cost bits; as often softer as sharper, or file sizes would tell
    recipe: blend.Recipe = ()
    if (sharpness := rng.random()) < 0.25:
        recipe = (("sharpen", rng.uniform(0.2, 0.9), rng.uniform(0.6, 1.2)),)
    elif sharpness < 0.6:
        recipe = (("blur", rng.uniform(0.4, 0.9)),)
    return {
        "source": source,
        "fit": _pick(rng, affine=0.5, piecewise=0.5),
        "expression": rng.uniform(0, 0.15),
        "kind": _pick(rng, **kinds),
        "scale": rng.uniform(0.85, 1.1),
        "wobble": rng.uniform(0, 0.09),
        "softness": _log(rng, 0.04, 0.3),
        "inward": rng.random() < 0.5,
        "colour": rng.uniform(0.3, 0.9) if rng.random() < 0.75 else 0.0,
        "own_look": rng.random() < 0.5,
        "recipe": recipe,
        "offset": rng.uniform(0.03, 0.2),
        "shake": rng.uniform(0.005, 0.05),
        "flicker": rng.uniform(0, 1.5),
    }


def _face2face(rng: np.random.Generator) -> dict:
    look = _pick(rng, soft=0.45, sharp=0.3, contrast=0.25)
    recipe: blend.Recipe = (("contrast", float(np.exp(rng.uniform(-0.2, 0.2)))),)
    if look == "soft":
        recipe = _sharpness(rng, 1.15, 2.0)
    elif look == "sharp":
        recipe = (("sharpen", rng.uniform(0.3, 1.3), rng.uniform(0.6, 1.6)),)
    return {
        "source": _pick(rng, shifted=0.65, self=0.25, frame=0.1),
        "fit": _pick(rng, similarity=0.3, affine=0.4, piecewise=0.3),
        "expression": rng.uniform(0.05, 0.2),
        "kind": _pick(rng, inner=0.5, hull=0.4, oval=0.1),
        "scale": rng.uniform(0.9, 1.05),
        "wobble": rng.uniform(0, 0.05),
        "softness": _log(rng, 0.15, 0.6),
        "inward": rng.random() < 0.5,
        "opacity": rng.uniform(0.85, 1) if rng.random() < 0.3 else 1.0,
        "colour": rng.uniform(0.4, 1) if rng.random() < 0.8 else 0.0,
        "own_look": False,
        "recipe": recipe,
        "offset": rng.uniform(0, 0.08),
        "shake": rng.uniform(0, 0.04),
        "flicker": rng.uniform(0, 1.5),
    }


def _neural_textures(rng: np.random.Generator) -> dict:
    recipe: blend.Recipe = (("smooth", rng.uniform(15, 60)),)
    if rng.random() < 0.6:
        recipe += _sharpness(rng, 1.1, 1.9)
    return {
        "source": _pick(rng, shifted=0.65, self=0.25, frame=0.1),
        "fit": _pick(rng, affine=0.4, piecewise=0.6),
        "expression": rng.uniform(0.05, 0.25),
        "kind": _pick(rng, mouth=0.5, lower=0.5),
        "scale": rng.uniform(0.85, 1.2),
        "wobble": rng.uniform(0, 0.08),
        "softness": _log(rng, 0.25, 0.8),
        "inward": rng.random() < 0.4,
        "opacity": rng.uniform(0.8, 1) if rng.random() < 0.3 else 1.0,
        "colour": rng.uniform(0.6, 1) if rng.random() < 0.9 else 0.0,
        "own_look": False,
        "recipe": recipe,
        "offset": rng.uniform(0, 0.05),
        "shake": rng.uniform(0, 0.03),
        "flicker": rng.uniform(0, 1.0),
    }


def forge(
    take: Take, other: Person, drawn: Forgery, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (frame, mask) of the forged clip: uint8 size x size x 3, and uint8 size x size.

    Where the mask is 0, the frame is exactly the take's.
    """
    count, size = len(take.frames), take.scene.size
    x0, y0, x1, y1 = _region(take.points, size)
    person, ends, path = _acting(take, other, drawn, rng)
    morph = Morph(person, *ends, prescaled(take.scene.cameras))
    expression = drawn.expression * rng.standard_normal((5, 2))
    expression[:3] *= 0.35  # mouths move more than eyes and noses
    offset = blend.jitter(rng, np.zeros(2), drawn.offset)
    shape_seed = int(rng.integers(2**31))
    look = draw_look(rng) if drawn.own_look else take.scene.look
    wander = np.stack([smooth_path(rng, count) for _ in range(2)], axis=1)
    sigma, grain = take.scene.noise
    for t, target in enumerate(take.frames):
        points = take.points[t] - (x0, y0)
        here = target[y0:y1, x0:x1]
        unit, middle = blend.unit(points), points.mean(0)
        misfit = _about(middle, unit, offset, drawn.shake * (wander[t] + rng.standard_normal(2)))
        if drawn.source == "frame":
            source = cv2.warpAffine(
                here, misfit, here.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=1
            )
        else:
            amount = float(path[t])
            fit = _fit(morph.points(amount), points, drawn.fit)
            camera = misfit @ np.vstack([fit, (0, 0, 1)])
            source = render(morph.at(amount), camera, here.shape[:2])
            source = apply_look(source, look, (x0, y0), size)
            if drawn.source == "self":
                source = blend.degrade(source, rng, take.scene.finish)
        moved = unit * expression * (1 + 0.3 * wander[t, 0])
        if drawn.fit == "piecewise" and drawn.source != "frame":
            moved = moved + points - _moved(morph.points(amount), fit)
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
        source = blend.degrade(source, rng, drawn.recipe)
        source = blend.match_colour(source, here, mask, drawn.colour)
        flicker = (drawn.flicker * rng.standard_normal() * np.ones(3)).tolist()
        extra: blend.Recipe = (("shift", *flicker),)
        if drawn.noise:
            extra += (("noise", sigma * drawn.noise, grain),)
        source = blend.degrade(source, rng, extra)
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


def _moved(points: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return points @ affine[:, :2].T + affine[:, 2]


def _locally_shifted(
    image: np.ndarray, points: np.ndarray, shifts: np.ndarray, unit: float
) -> np.ndarray:
    """Move what is at each landmark by its shift (pixels), fading out over one unit around it."""
    if np.abs(shifts).max() < 0.1:
        return image
    height, width = image.shape[:2]
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    field = np.zeros((height, width, 2), np.float32)
    for (px, py), shift in zip(points.astype(np.float32), shifts.astype(np.float32)):
        near = np.outer(np.exp(-(((y - py) / unit) ** 2)), np.exp(-(((x - px) / unit) ** 2)))
        field += near[..., None] * shift
    grid = np.stack(np.meshgrid(x, y), axis=2)
    return cv2.remap(image, grid - field, None, cv2.INTER_LINEAR, borderMode=1)
