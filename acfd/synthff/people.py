"""People who do not exist: portraits by a distilled StyleGAN2, and their five landmarks.

The network is MobileStyleGAN (Belousov 2021, arXiv 2104.04767) as OpenVINO files inside the wheel
`random_face`. Only the files are used; the package is never imported (its engine calls an OpenVINO
interface that no longer exists). The last layer is an inverse Haar transform from four 512 px bands
to 1024 px; its low band alone, halved, is exactly the 2 x 2 average of the full picture, so the
graph is cut there.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import openvino as ov
from tqdm import tqdm

from acfd.detector import FaceDetector
from acfd.paths import atomic

FILES = {
    "MappingNetwork.bin": "212dd716bdb556e18db603ea97300d4fa3c872b878c726b2402fea80820e7305",
    "MappingNetwork.xml": "73e2096cad6e696e4af47df2477e048ab4c42c0e0dec83c7c66604822689e55b",
    "SynthesisNetwork.bin": "c7da15fa22d508c82e1c30dd6b4cdf67fe3ccdddaf85b310ee764dbf0c289645",
    "SynthesisNetwork.xml": "7918fce515243954d3e06628cb39a23902d6b1d5d02932cc0c2faee7a2aeeedd",
}
LOW_BAND = "Slice_764/Split"  # the node whose first output is the low band, 1 x 3 x 512 x 512
SIDE = 512
ATTEMPTS = 6  # new drafts of a person in whom the detector sees no face
BASE, DRIFT, EXPRESSION = 0, 1, 2  # the three portraits of a person


class PeopleError(RuntimeError):
    """The face generator cannot be had, or makes no face; the message says what to do."""


@dataclass(frozen=True)
class Person:
    """Three portraits of one person, aligned as in FFHQ.

    faces: uint8, 3 x side x side x 3, RGB: base, drift (what its own videos move towards) and
    expression (what a reenactment moves it to). points: float32, 3 x 5 x 2, the landmarks (eyes,
    nose, mouth corners) as x, y in units of the side.
    """

    faces: np.ndarray
    points: np.ndarray


@lru_cache(maxsize=1)
def _folder() -> Path:
    """The wheel's data folder, its files checked against their hashes."""
    spec = importlib.util.find_spec("random_face")
    if spec is None or not spec.submodule_search_locations:
        raise PeopleError(
            "the wheel random-face==2021.7.21.1, whose network draws the people, is not installed; "
            "install it without its dependencies: pip install --no-deps -r weights.lock"
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / "data"
    for name, expected in FILES.items():
        path = folder / name
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "no such file"
        if found != expected:
            raise PeopleError(
                f"{path}: sha256 {found}, expected {expected}; reinstall random-face==2021.7.21.1"
            )
    return folder


class Generator:
    """The two networks on the CPU. One thread a stream, so that sums do not depend on `streams`."""

    def __init__(self, streams: int = 1):
        folder, core = _folder(), ov.Core()
        settings = {
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": streams,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        mapping = core.read_model(folder / "MappingNetwork.xml")
        self._mapping = core.compile_model(mapping, "CPU", settings)
        mapping.reshape([2048, 512])
        many = np.random.default_rng(0).standard_normal((2048, 512), dtype=np.float32)
        self.mean = core.compile_model(mapping, "CPU", settings)({0: many})[0].mean(0)
        whole = core.read_model(folder / "SynthesisNetwork.xml")
        cut = {op.get_friendly_name(): op for op in whole.get_ordered_ops()}[LOW_BAND]
        half = ov.Model([cut.output(0)], whole.get_parameters(), "half")
        self._synthesis = core.compile_model(half, "CPU", settings)
        self._streams = streams

    def styles(self, variables: np.ndarray) -> np.ndarray:
        """N x 512 normal variables -> N x 512 styles, float32."""
        rows = np.asarray(variables, np.float32)
        return np.stack([self._mapping({0: row[None]})[0][0] for row in rows])

    def render(self, styles: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Styles (512,) -> portraits, uint8 512 x 512 x 3 RGB, in order, `streams` at a time."""
        waiting = []
        for style in styles:
            request = self._synthesis.create_infer_request()
            request.start_async({0: np.asarray(style, np.float32)[None]})
            waiting.append(request)
            if len(waiting) > self._streams:
                yield _picture(waiting.pop(0))
        for request in waiting:
            yield _picture(request)


def _picture(request) -> np.ndarray:
    request.wait()
    band = request.get_output_tensor().data[0] / 2  # in about [-1, 1]
    return np.clip(np.rint((band.transpose(1, 2, 0) + 1) * 127.5), 0, 255).astype(np.uint8)


def _draft(generator: Generator, seed: int, index: int, attempt: int) -> np.ndarray:
    """The styles of one person's three portraits, 3 x 512.

    A step towards somebody else's style changes expression, and a little of the person.
    """
    rng = np.random.default_rng([seed, index, attempt, 1])
    styles = generator.styles(rng.standard_normal((3, 512))) - generator.mean
    base = rng.uniform(0.65, 0.9) * styles[0]
    drift = base + rng.uniform(0.08, 0.2) * (styles[1] - base)
    expression = base + rng.uniform(0.18, 0.32) * (styles[2] - base)
    return generator.mean + np.stack([base, drift, expression])


def make_people(
    folder: Path, indices: list[int], seed: int, side: int, jobs: int, *, progress: bool = True
) -> None:
    """Write <folder>/<index>.npz for every person that is not there yet.

    side: of the stored portraits, pixels, at most 512. Person i depends on (seed, i) alone.
    Raises PeopleError if the generator's files are missing or changed.
    """
    todo = [i for i in indices if not person_path(folder, i).exists()]
    if not todo:
        return
    generator, detector = Generator(jobs), FaceDetector(min_score=0.5, detect_size=320)
    bar = tqdm(
        total=len(indices),
        initial=len(indices) - len(todo),
        desc="people",
        unit="person",
        disable=not progress,
    )
    for attempt in range(ATTEMPTS):
        drafts = (style for i in todo for style in _draft(generator, seed, i, attempt))
        pictures, failed = generator.render(drafts), []
        for index in todo:
            faces = [next(pictures) for _ in range(3)]
            points = [_landmarks(detector, face) for face in faces]
            if any(p is None for p in points):
                failed.append(index)
                continue
            if side < SIDE:
                faces = [cv2.resize(f, (side, side), interpolation=cv2.INTER_AREA) for f in faces]
            with atomic(person_path(folder, index)) as path:
                np.savez(path, faces=np.stack(faces), points=np.stack(points))
            bar.update()
        todo = failed
        if not todo:
            break
    bar.close()
    if todo:
        raise PeopleError(
            f"people {todo} of seed {seed}: no face was found in {ATTEMPTS} drafts of each; "
            "choose another synthff.seed"
        )


def _landmarks(detector: FaceDetector, face: np.ndarray) -> np.ndarray | None:
    """5 x 2 float32 in units of the side; None if there is no face in the middle.

    Rounded to a quarter of a pixel, so that a last bit's difference between machines is lost.
    """
    found = detector.detect(face)
    if not len(found):
        return None
    points = np.rint(found[0, 5:15].reshape(5, 2) * 4) / 4
    if np.abs(points.mean(0) / SIDE - (0.5, 0.57)).max() > 0.12:
        return None
    return ((points + 0.5) / SIDE).astype(np.float32)


def person_path(folder: Path, index: int) -> Path:
    return Path(folder) / f"{index:03d}.npz"


def load_person(folder: Path, index: int) -> Person:
    with np.load(person_path(folder, index)) as stored:
        return Person(faces=stored["faces"], points=stored["points"])
