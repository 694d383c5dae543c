"""Narrow: each method is one program, as in FaceForensics++, with a small spread from clip to clip.

`k` scales all that a program leaves: at 0.5 its forgeries are subtle, at 1.5 crude.
"""

from __future__ import annotations

import cv2
import numpy as np


def _deepfakes(rng: np.random.Generator, k: float) -> dict:
    return {
        "source": "other",
        "fit": "similarity",
        "kind": str(rng.choice(["box", "oval"])),
        "scale": rng.uniform(0.9, 1.0),
        "softness": rng.uniform(0.35, 0.6) / np.sqrt(k),
        "colour": max(1 - k * rng.uniform(0.1, 0.3), 0),
        "skin": True,
        "light": 0.5 * k,
        "recipe": (("rescale", 1 + k * rng.uniform(0.9, 1.6), cv2.INTER_CUBIC),),
        "offset": 0.05 * k,
        "shake": 0.02 * k,
        "flicker": k,
    }


def _faceswap(rng: np.random.Generator, k: float) -> dict:
    return {
        "source": "other",
        "fit": "piecewise",
        "expression": 0.1 * k,
        "kind": "hull",
        "scale": rng.uniform(0.9, 1.05),
        "softness": rng.uniform(0.06, 0.15) / np.sqrt(k),
        "colour": max(1 - k * rng.uniform(0.3, 0.6), 0),
        "skin": True,
        "light": 0.5 * k,
        "recipe": (("sharpen", 0.6 * k, 1.0),),
        "noise": 0.3,
        "offset": 0.1 * k,
        "shake": 0.03 * k,
        "flicker": k,
    }


def _face2face(rng: np.random.Generator, k: float) -> dict:
    return {
        "source": "shifted",
        "fit": "affine",
        "expression": 0.15 * k,
        "kind": str(rng.choice(["inner", "hull"])),
        "scale": rng.uniform(0.95, 1.05),
        "softness": rng.uniform(0.2, 0.35) / np.sqrt(k),
        "colour": max(1 - 0.4 * k, 0),
        "recipe": (("contrast", 1 + 0.12 * k), ("rescale", 1 + 0.5 * k, cv2.INTER_CUBIC)),
        "offset": 0.06 * k,
    }


def _neural_textures(rng: np.random.Generator, k: float) -> dict:
    return {
        "source": "shifted",
        "fit": "affine",
        "expression": 0.16 * k,
        "kind": "lower",
        "scale": rng.uniform(0.95, 1.1),
        "softness": rng.uniform(0.3, 0.5) / np.sqrt(k),
        "colour": max(1 - 0.2 * k, 0),
        "recipe": (("smooth", 40.0 * k), ("rescale", 1 + 0.7 * k, cv2.INTER_CUBIC)),
        "offset": 0.04 * k,
    }


PROGRAMS = {
    "Deepfakes": _deepfakes,
    "FaceSwap": _faceswap,
    "Face2Face": _face2face,
    "NeuralTextures": _neural_textures,
}
