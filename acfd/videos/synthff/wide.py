"""Wide: each method is a family, as wide as its namesake in FaceForensics++ may ever be.

In every family some clips put the person's own face back in, degraded: what is then left to see is
the blending itself. Wide families teach a detector something about forgeries from elsewhere.
"""

import numpy as np

from acfd.media import artefacts


def _pick(rng: np.random.Generator, **weights: float) -> str:
    p = np.array(list(weights.values()))
    return str(rng.choice(list(weights), p=p / p.sum()))


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _sharpness(rng: np.random.Generator, low: float, high: float) -> artefacts.Recipe:
    """A loss of resolution, and perhaps what a network or a person does against it."""
    way = int(rng.choice(artefacts.UPSCALES[:3], p=(0.45, 0.4, 0.15)))
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
        "light": float(rng.random() < 0.5),
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
    recipe: artefacts.Recipe = ()
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
        "light": float(rng.random() < 0.5),
        "recipe": recipe,
        "offset": rng.uniform(0.03, 0.2),
        "shake": rng.uniform(0.005, 0.05),
        "flicker": rng.uniform(0, 1.5),
    }


def _face2face(rng: np.random.Generator) -> dict:
    look = _pick(rng, soft=0.45, sharp=0.3, contrast=0.25)
    recipe: artefacts.Recipe = (("contrast", float(np.exp(rng.uniform(-0.2, 0.2)))),)
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
        "recipe": recipe,
        "offset": rng.uniform(0, 0.08),
        "shake": rng.uniform(0, 0.04),
        "flicker": rng.uniform(0, 1.5),
    }


def _neural_textures(rng: np.random.Generator) -> dict:
    recipe: artefacts.Recipe = (("smooth", rng.uniform(15, 60)),)
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
        "recipe": recipe,
        "offset": rng.uniform(0, 0.05),
        "shake": rng.uniform(0, 0.03),
        "flicker": rng.uniform(0, 1.0),
    }


def draw(method: str, rng: np.random.Generator) -> dict:
    """What differs from Forgery's usual values in one clip of a family."""
    own = FAMILIES[method](rng)
    if rng.random() < 0.3:  # what any of them may suffer besides
        own["recipe"] += artefacts.random_recipe(rng, rng.uniform(0.3, 0.8))
    noise = rng.choice([0.0, rng.uniform(0.3, 0.9), 1.0, 1.5], p=(0.35, 0.3, 0.3, 0.05))
    return {"noise": float(noise)} | own


FAMILIES = {
    "Deepfakes": _deepfakes,
    "FaceSwap": _faceswap,
    "Face2Face": _face2face,
    "NeuralTextures": _neural_textures,
}
