"""Narrow: each method is one program, as in FaceForensics++, with a small spread from clip to clip.

`k` scales all that a program leaves: at 0.5 its forgeries are subtle, at 1.5 crude.
"""

import cv2
import numpy as np


def _deepfakes(rng: np.random.Generator, k: float) -> dict:
    return {
        "source": "other",
        "fit": "similarity",
        "kind": str(rng.choice(["box", "oval"])),
        "scale": rng.uniform(0.9, 1.0),
        "softness": rng.uniform(0.28, 0.45) / np.sqrt(k),
        "colour": max(1 - k * rng.uniform(0.15, 0.4), 0),
        "skin": True,
        "light": k,
        "recipe": (("rescale", 1 + k * rng.uniform(1.6, 2.8), cv2.INTER_CUBIC),),
        "offset": 0.1 * k,
        "shake": 0.04 * k,
        "flicker": 2 * k,
    }


def _faceswap(rng: np.random.Generator, k: float) -> dict:
    return {
        "source": "other",
        "fit": "piecewise",
        "expression": 0.14 * k,
        "kind": "hull",
        "scale": rng.uniform(0.9, 1.05),
        "softness": rng.uniform(0.03, 0.07) / np.sqrt(k),
        "colour": max(1 - k * rng.uniform(0.6, 0.9), 0),
        "skin": True,
        "light": k,
        "recipe": (("contrast", 1 + 0.25 * k), ("sharpen", 0.3 * k, 1.0)),
        "noise": 0.3,
        "offset": 0.2 * k,
        "shake": 0.05 * k,
        "flicker": 2 * k,
    }


def _face2face(rng: np.random.Generator, k: float) -> dict:
    return {
        "source": "shifted",
        "fit": "affine",
        "expression": 0.18 * k,
        "kind": str(rng.choice(["inner", "hull"])),
        "scale": rng.uniform(0.95, 1.05),
        "softness": rng.uniform(0.15, 0.25) / np.sqrt(k),
        "colour": max(1 - 0.6 * k, 0),
        "recipe": (("contrast", 1 + 0.2 * k), ("rescale", 1 + 1.5 * k, cv2.INTER_CUBIC)),
        "offset": 0.12 * k,
    }


def _neural_textures(rng: np.random.Generator, k: float) -> dict:
    return {
        "source": "shifted",
        "fit": "affine",
        "expression": 0.18 * k,
        "kind": "lower",
        "scale": rng.uniform(0.95, 1.1),
        "softness": rng.uniform(0.22, 0.36) / np.sqrt(k),
        "colour": max(1 - 0.35 * k, 0),
        "recipe": (("smooth", 80.0 * k), ("rescale", 1 + 1.5 * k, cv2.INTER_CUBIC)),
        "offset": 0.07 * k,
    }


PROGRAMS = {
    "Deepfakes": _deepfakes,
    "FaceSwap": _faceswap,
    "Face2Face": _face2face,
    "NeuralTextures": _neural_textures,
}
