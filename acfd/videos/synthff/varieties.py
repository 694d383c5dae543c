"""What is drawn once for a forged clip. Narrow: each method is one program, as in FaceForensics++,
with a small spread from clip to clip; its strength k scales all that a program leaves: at 0.5 its
forgeries are subtle, at 1.8 crude. Wide: each method is a family, as wide as its namesake may ever
be, to teach a detector something about forgeries from elsewhere. In every family some clips put the
person's own face back in, degraded: what is then left to see is the blending itself. The columns of
both tables are COLUMNS. The method Wide is of any of the wide families, in every variety."""

from collections.abc import Mapping

import cv2
import numpy as np

from acfd.media import artefacts
from acfd.sections import ANY
from acfd.videos.synthff.forgeries import Forgery

COLUMNS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
METHODS = (*COLUMNS, ANY)  # what SynthFF has
MISMATCH = 1.1  # the most that k counts for in light and colour: of more a person would laugh

NARROW = {
    "source": ("other", "shifted", "other", "shifted"),
    "fit": ("similarity", "affine", "piecewise", "affine"),
    "skin": (True, False, True, False),
    "noise": (0.0, 0.0, 0.3, 0.0),
    # any of these
    "kind": (["box", "oval"], ["inner", "hull"], ["hull"], ["lower"]),
    # from, to; nothing is drawn where they are equal
    "scale": ((0.9, 1.0), (0.95, 1.05), (0.9, 1.05), (0.95, 1.1)),
    "softness": ((0.28, 0.45), (0.15, 0.25), (0.03, 0.07), (0.22, 0.36)),  # by the root of k
    "colour": ((0.15, 0.4), (0.6, 0.6), (0.6, 0.9), (0.35, 0.35)),  # times k, not matched
    # times k; of light, as of colour, MISMATCH at most
    "expression": (0, 0.18, 0.14, 0.18),
    "light": (1, 0, 1, 0),
    "offset": (0.1, 0.12, 0.2, 0.07),
    "shake": (0.04, 0, 0.05, 0),
    "flicker": (2, 0, 2, 0),
}

WIDE = {
    # what, and how often
    "source": (
        {"other": 0.66, "shifted": 0.16, "self": 0.09, "frame": 0.09},
        {"shifted": 0.65, "self": 0.25, "frame": 0.1},
        {"other": 0.65, "shifted": 0.1, "self": 0.15, "frame": 0.1},
        {"shifted": 0.65, "self": 0.25, "frame": 0.1},
    ),
    "fit": (
        {"similarity": 0.6, "affine": 0.4},
        {"similarity": 0.3, "affine": 0.4, "piecewise": 0.3},
        {"affine": 0.5, "piecewise": 0.5},
        {"affine": 0.4, "piecewise": 0.6},
    ),
    "kind": (
        {"oval": 0.4, "hull": 0.3, "box": 0.15, "full": 0.1, "inner": 0.05},
        {"inner": 0.5, "hull": 0.4, "oval": 0.1},
        {"hull": 0.75, "inner": 0.2, "full": 0.05, "half": 0.3},
        {"mouth": 0.5, "lower": 0.5},
    ),
    # from, to
    "expression": ((0, 0.12), (0.05, 0.2), (0, 0.15), (0.05, 0.25)),
    "scale": ((0.78, 1.08), (0.9, 1.05), (0.85, 1.1), (0.85, 1.2)),
    "wobble": ((0, 0.06), (0, 0.05), (0, 0.09), (0, 0.08)),
    "softness": ((0.3, 1.2), (0.15, 0.6), (0.04, 0.3), (0.25, 0.8)),  # of which the logarithm
    "offset": ((0, 0.12), (0, 0.08), (0.03, 0.2), (0, 0.05)),
    "shake": ((0, 0.05), (0, 0.04), (0.005, 0.05), (0, 0.03)),
    "flicker": ((0, 2.5), (0, 1.5), (0, 1.5), (0, 1.0)),
    # how often, and then from, to
    "inward": (0.5, 0.5, 0.5, 0.4),
    "opacity": ((0.4, 0.75, 1), (0.3, 0.85, 1), None, (0.3, 0.8, 1)),
    "colour": ((0.85, 0.5, 1), (0.8, 0.4, 1), (0.75, 0.3, 0.9), (0.9, 0.6, 1)),
    "light": (0.5, None, 0.5, None),
}


def draw(method: str, variety: str, strength: float, rng: np.random.Generator) -> Forgery:
    """One forgery of one of METHODS. variety: narrow or wide; strength: of narrow alone."""
    if method == ANY:
        method, variety = str(rng.choice(COLUMNS)), "wide"
    column = COLUMNS.index(method)
    if variety == "narrow":
        of = {name: columns[column] for name, columns in NARROW.items()}
        return Forgery(**_narrow(method, of, strength, rng))
    of = {name: columns[column] for name, columns in WIDE.items()}
    return Forgery(**_wide(method, of, rng))


def _narrow(method: str, of: dict, k: float, rng: np.random.Generator) -> dict:
    own = {name: of[name] for name in ("source", "fit", "skin", "noise")}
    own["kind"] = str(rng.choice(of["kind"])) if len(of["kind"]) > 1 else of["kind"][0]
    own["scale"] = rng.uniform(*of["scale"])
    own["softness"] = rng.uniform(*of["softness"]) / np.sqrt(k)
    least, most = of["colour"]
    mismatch = min(k, MISMATCH)
    own["colour"] = max(1 - mismatch * (rng.uniform(least, most) if least < most else least), 0)
    own["light"] = mismatch * of["light"]
    own |= {name: k * of[name] for name in ("expression", "offset", "shake", "flicker")}
    loss = rng.uniform(1.6, 2.8) if method == "Deepfakes" else 1.5  # of resolution
    rescale = ("rescale", 1 + k * loss, cv2.INTER_CUBIC)
    own["recipe"] = {
        "Deepfakes": (rescale,),
        "Face2Face": (("contrast", 1 + 0.2 * k), rescale),
        "FaceSwap": (("contrast", 1 + 0.25 * k), ("sharpen", 0.3 * k, 1.0)),
        "NeuralTextures": (("smooth", 80.0 * k), rescale),
    }[method]
    return own


def _wide(method: str, of: dict, rng: np.random.Generator) -> dict:
    own = {}  # drawn in this order, from which the pixels of every seed follow
    if method in ("Face2Face", "NeuralTextures"):
        own["recipe"] = _rendered(method, rng)
    own["source"] = _pick(rng, of["source"])
    kinds = of["kind"]
    if method == "FaceSwap":
        own["recipe"] = _refocused(rng)
        if own["source"] == "other":  # half another person's face would be a cartoon
            kinds = {kind: often for kind, often in kinds.items() if kind != "half"}
    own["fit"] = _pick(rng, of["fit"])
    own["expression"] = rng.uniform(*of["expression"])
    own["kind"] = _pick(rng, kinds)
    own |= {name: rng.uniform(*of[name]) for name in ("scale", "wobble")}
    own["softness"] = _log(rng, *of["softness"])
    own["inward"] = rng.random() < of["inward"]
    for name, otherwise in (("opacity", 1.0), ("colour", 0.0)):
        if of[name]:
            often, *limits = of[name]
            own[name] = rng.uniform(*limits) if rng.random() < often else otherwise
    if of["light"]:
        own["light"] = float(rng.random() < of["light"])
    if method == "Deepfakes":
        own["recipe"] = _sharpness(rng, 1.6, 4.5)
    own |= {name: rng.uniform(*of[name]) for name in ("offset", "shake", "flicker")}
    if rng.random() < 0.3:  # what any of them may suffer besides
        own["recipe"] += artefacts.random_recipe(rng, rng.uniform(0.3, 0.8))
    noise = rng.choice([0.0, rng.uniform(0.3, 0.9), 1.0, 1.5], p=(0.35, 0.3, 0.3, 0.05))
    return own | {"noise": float(noise)}


def _sharpness(rng: np.random.Generator, low: float, high: float) -> artefacts.Recipe:
    """A loss of resolution, and perhaps what a network or a person does against it."""
    way = int(rng.choice(artefacts.UPSCALES[:3], p=(0.45, 0.4, 0.15)))
    recipe = (("rescale", _log(rng, low, high), way),)
    after = rng.random()
    if after < 0.35:
        recipe += (("sharpen", rng.uniform(0.3, 2.0), rng.uniform(0.7, 2.0)),)
    elif after < 0.55:
        recipe += (("blur", rng.uniform(0.4, 1.2)),)
    return recipe


def _refocused(rng: np.random.Generator) -> artefacts.Recipe:
    """Hard edges that shake cost bits; as often softer as sharper, or file sizes would tell."""
    if (sharpness := rng.random()) < 0.25:
        return (("sharpen", rng.uniform(0.2, 0.9), rng.uniform(0.6, 1.2)),)
    return (("blur", rng.uniform(0.4, 0.9)),) if sharpness < 0.6 else ()


def _rendered(method: str, rng: np.random.Generator) -> artefacts.Recipe:
    """How a face that a program draws anew differs from one that is filmed."""
    if method == "NeuralTextures":
        smooth = (("smooth", rng.uniform(15, 60)),)
        return smooth + (_sharpness(rng, 1.1, 1.9) if rng.random() < 0.6 else ())
    look = _pick(rng, {"soft": 0.45, "sharp": 0.3, "contrast": 0.25})
    contrast = float(np.exp(rng.uniform(-0.2, 0.2)))
    if look == "soft":
        return _sharpness(rng, 1.15, 2.0)
    if look == "sharp":
        return (("sharpen", rng.uniform(0.3, 1.3), rng.uniform(0.6, 1.6)),)
    return (("contrast", contrast),)


def _pick(rng: np.random.Generator, often: Mapping[str, float]) -> str:
    p = np.array(list(often.values()))
    return str(rng.choice(list(often), p=p / p.sum()))


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
