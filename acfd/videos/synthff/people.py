"""People who do not exist: portraits by MobileStyleGAN (Belousov 2021, arXiv 2104.04767; OpenVINO
files of the wheel `random_face`), and their five landmarks. The network's last layer is an inverse
Haar transform from four 512 px bands to 1024 px; the low band alone, halved, is the 2 x 2 average
of the full picture, so the graph is cut there."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import openvino as ov
from openvino import opset13 as opset

from acfd.media import blend
from acfd.media.artefacts import to_uint8
from acfd.media.centerface import FaceDetector
from acfd.media.inference import core, one_thread
from acfd.media.wheels import wheel_file
from acfd.paths import atomic

FILES = {
    "MappingNetwork.bin": "212dd716bdb556e18db603ea97300d4fa3c872b878c726b2402fea80820e7305",
    "MappingNetwork.xml": "73e2096cad6e696e4af47df2477e048ab4c42c0e0dec83c7c66604822689e55b",
    "SynthesisNetwork.bin": "c7da15fa22d508c82e1c30dd6b4cdf67fe3ccdddaf85b310ee764dbf0c289645",
    "SynthesisNetwork.xml": "7918fce515243954d3e06628cb39a23902d6b1d5d02932cc0c2faee7a2aeeedd",
}
LOW_BAND = "Slice_764/Split"  # the node whose first output is the low band, 1 x 3 x 512 x 512
SIDE = 512
ATTEMPTS = 20  # drafts of a pair; four of five will do
TURNED, APART = 0.25, 0.15  # how far a face may be turned, and its partner's differ (blend.turned)
BASE, DRIFT, EXPRESSION = 0, 1, 2  # the three portraits of a person


class PeopleError(RuntimeError):
    """The generator makes no face; the message says what to do."""


@dataclass(frozen=True)
class Person:
    """Three portraits of one person, aligned as in FFHQ. faces: uint8, 3 x side x side x 3, RGB:
    BASE, DRIFT (what its own videos move towards) and EXPRESSION (what a reenactment moves it to).
    points: float32, 3 x 5 x 2, the landmarks (eyes, nose, mouth corners) as x, y in units of the
    side."""

    faces: np.ndarray
    points: np.ndarray


class Generator:
    """The two networks, on one thread of the CPU: the study's parallelism is over people."""

    def __init__(self):
        files = {k: wheel_file("random_face", f"data/{k}", sha) for k, sha in FILES.items()}
        mapping = core().read_model(files["MappingNetwork.xml"])
        self._mapping = one_thread(mapping)
        mapping.reshape([2048, 512])
        many = np.random.default_rng(0).standard_normal((2048, 512), dtype=np.float32)
        self.mean = one_thread(mapping)({0: many})[0].mean(0)
        half = _up_to_low_band(core().read_model(files["SynthesisNetwork.xml"]))
        self._synthesis = one_thread(half)

    def styles(self, variables: np.ndarray) -> np.ndarray:
        """N x 512 normal variables -> N x 512 styles, float32."""
        rows = np.asarray(variables, np.float32)
        return np.stack([self._mapping({0: row[None]})[0][0] for row in rows])

    def render(self, style: np.ndarray) -> np.ndarray:
        """A style (512,) -> its portrait, uint8 512 x 512 x 3 RGB."""
        band = self._synthesis({0: np.asarray(style, np.float32)[None]})[0][0] / 2  # about [-1, 1]
        return to_uint8((band.transpose(1, 2, 0) + 1) * 127.5)


def _up_to_low_band(network: ov.Model) -> ov.Model:
    """The network as far as it is needed. Its splits into bands become gathers of the same
    channels: OpenVINO's split copies number by number here, two fifths of a portrait's time."""
    low = None
    for split in network.get_ordered_ops():
        if split.get_type_name() != "VariadicSplit":
            continue
        data, axis, lengths = (split.input_value(i) for i in range(3))
        ends = np.cumsum(lengths.get_node().data)
        for output, start, end in zip(split.outputs(), [0, *ends], ends):
            band = opset.gather(data, np.arange(start, end), axis).output(0)
            output.replace(band)
            if split.get_friendly_name() == LOW_BAND:
                low = low or band
    return ov.Model([low], network.get_parameters(), "half")


def _draft(generator: Generator, seed: int, pair: int, attempt: int) -> np.ndarray:
    """The styles of a pair's portraits, 2 x 3 x 512. The two share half of their style, and so are
    about as old, dark and bearded, and look the same way. A step towards somebody else's style
    changes expression, and a little of the person."""
    rng = np.random.default_rng([seed, pair, attempt, 1])
    shared, *others = generator.styles(rng.standard_normal((7, 512))) - generator.mean
    both = []
    for own, moved, spoken in (others[:3], others[3:]):
        base = rng.uniform(0.65, 0.9) * np.sqrt(0.5) * (shared + own)
        drift = base + rng.uniform(0.08, 0.2) * (moved - base)
        both.append([base, drift, base + rng.uniform(0.18, 0.32) * (spoken - base)])
    return generator.mean + np.array(both)


def _cast(generator: Generator, detector: FaceDetector, seed: int, pair: int) -> list[Person]:
    """The two people of a pair, drafted until faces are seen that look to the front."""
    for attempt in range(ATTEMPTS):
        styles = _draft(generator, seed, pair, attempt)
        faces = [generator.render(style) for style in styles[:, BASE]]
        points = [_landmarks(detector, face) for face in faces]
        if any(p is None for p in points):
            continue
        turned = [blend.turned(p) for p in points]
        if np.abs(turned).max() > TURNED or abs(turned[0] - turned[1]) > APART:
            continue
        faces += [generator.render(style) for style in styles[:, 1:].reshape(4, -1)]
        points += [_landmarks(detector, face) for face in faces[2:]]
        if all(p is not None for p in points):
            every, marks = np.stack(faces), np.stack(points)
            return [Person(every[own], marks[own]) for own in ([0, 2, 3], [1, 4, 5])]
    raise PeopleError(
        f"people {2 * pair} and {2 * pair + 1} of seed {seed}: no two faces to the front "
        f"were found in {ATTEMPTS} drafts; choose another synthff.seed"
    )


@cache
def _studio() -> tuple[Generator, FaceDetector]:
    return Generator(), FaceDetector(min_score=0.5, detect_size=320)


def make_pair(folder: Path, pair: int, seed: int, side: int) -> None:
    """Write <folder>/<index>.npz of persons 2 x pair and 2 x pair + 1, who depend on (seed, pair)
    alone, unless they are there. side: of the stored portraits, pixels, at most 512. Raises
    WheelError without the generator's files, PeopleError if no draft of the pair will do."""
    paths = [person_path(folder, 2 * pair + i) for i in (0, 1)]
    if all(path.exists() for path in paths):
        return
    for person, path in zip(_cast(*_studio(), seed, pair), paths, strict=True):
        small = (cv2.resize(f, (side, side), None, 0, 0, cv2.INTER_AREA) for f in person.faces)
        with atomic(path) as temporary:
            np.savez(temporary, faces=list(small), points=person.points)


def _landmarks(detector: FaceDetector, face: np.ndarray) -> np.ndarray | None:
    """5 x 2 float32 in units of the side, rounded to a quarter of a pixel, so that a last bit's
    difference between machines is lost; None if there is no face in the middle."""
    found = detector.detect(face)
    if not len(found):
        return None
    points = np.rint(found[0, 5:15].reshape(5, 2) * 4) / 4
    if np.abs(points.mean(0) / SIDE - (0.5, 0.57)).max() > 0.12:
        return None
    return ((points + 0.5) / SIDE).astype(np.float32)


def person_path(folder: Path, index: int) -> Path:
    return folder / f"{index:03d}.npz"


def load_person(folder: Path, index: int) -> Person:
    with np.load(person_path(folder, index)) as stored:
        return Person(faces=stored["faces"], points=stored["points"])
