"""A take: one person before one camera, as the frames that its real clip and its forgeries share,
with all that a camera does, and for some takes an earlier life of the video. Forging happens on a
take's finished frames, so that outside the mask real and forged pixels are the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy.interpolate import CubicSpline

from acfd.media import artefacts, blend
from acfd.media.video import recoded
from acfd.videos.synthff.people import BASE, DRIFT, Person

CROP = 0.95  # side of a face crop (detector's box, square, x1.3) in units of the portrait
FILL = 1.6  # how far a portrait is continued on each side, in units of its side
BADLY = ("rescale", "blur", "sharpen", "jpeg", "smooth")  # what bad filming or storing does


@dataclass(frozen=True)
class Look:
    """How a camera renders light. gains: red, green, blue; slope: brightness across the frame."""

    gains: tuple[float, float, float]
    gamma: float
    contrast: float
    saturation: float
    slope: tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """What is drawn for one person's video. cameras: frames x 2 x 3, from portrait units to frame
    pixels. mood: frames, 0 to 1, from the base portrait to the drift. earlier: CRF of an H.264 pass
    before, or 0."""

    size: int
    cameras: np.ndarray
    mood: np.ndarray
    look: Look
    finish: artefacts.Recipe
    noise: tuple[float, float]  # sigma in grey levels, grain in pixels
    earlier: int


@dataclass(frozen=True)
class Take:
    """A scene, filmed: frames uint8 size x size x 3, points frames x 5 x 2 in pixels."""

    scene: Scene
    person: Person
    frames: list[np.ndarray] = field(repr=False)
    points: np.ndarray = field(repr=False)


def smooth_path(rng: np.random.Generator, frames: int) -> np.ndarray:
    """A smooth random path of unit spread, one value a frame, a new direction every few frames."""
    knots = max(-(-frames // 9) + 2, 4)
    at = np.arange(knots) - rng.random()
    return CubicSpline(at, rng.standard_normal(knots))(np.arange(frames) / 9)


def draw_look(rng: np.random.Generator, spread: float) -> Look:
    """A camera's rendering; spread: 0 for one that changes nothing, 1 for all kinds of cameras."""
    warm, tint = 0.07 * spread * rng.standard_normal(2)
    return Look(
        gains=(float(np.exp(warm)), float(np.exp(tint / 2)), float(np.exp(-warm))),
        gamma=float(np.exp(0.22 * spread * rng.standard_normal())),
        contrast=float(np.exp(spread * rng.uniform(-0.3, 0.12))),
        saturation=float(np.exp(spread * rng.uniform(-0.6, 0.2))),
        slope=tuple((0.2 * spread * rng.standard_normal(2)).tolist()),
    )


@dataclass(frozen=True)
class Footage:
    """What a data set's videos are like. crop: side of a face crop against the frame's. badly,
    coded: share of people filmed or stored badly, and coded once before. noise: grey levels. light:
    spread of their light (`draw_look`)."""

    crop: tuple[float, float]
    badly: float
    coded: float
    crf: tuple[int, int]
    noise: tuple[float, float]
    light: float


FOOTAGE = {
    "narrow": Footage((0.5, 0.64), badly=0.1, coded=0.5, crf=(16, 25), noise=(1, 3), light=0.5),
    "wide": Footage((0.42, 0.85), badly=0.35, coded=0.35, crf=(16, 31), noise=(0.5, 6), light=1),
}


def draw_scene(
    rng: np.random.Generator, variety: str, size: int, frames: int, points: np.ndarray
) -> Scene:
    """A scene for a face with these landmarks (5 x 2, portrait units), `size` pixels square."""
    footage = FOOTAGE[variety]
    crop = size * np.exp(rng.uniform(*np.log(footage.crop)))
    scale = crop / CROP * np.exp(0.025 * smooth_path(rng, frames))
    turn = np.deg2rad(rng.normal(0, 5) + 2.0 * smooth_path(rng, frames))
    middle = points.mean(0)
    room = (size - crop) / 2  # how far the crop may be from the frame's middle
    # the portrait ends where the frame does: what it lacks is beside and above the person
    low = size - (1 - middle[1]) * crop / CROP
    place = np.array([size / 2 + rng.normal(0, 0.35) * room, low + rng.uniform(0, 0.1) * crop])
    sway = rng.uniform(0.005, 0.03) * size
    shake = rng.choice([0, 0.0015]) * size
    path = np.stack([at + sway * smooth_path(rng, frames) for at in place], axis=1)
    path = np.clip(path, crop / 2, [size - crop / 2, low + 0.1 * crop])
    cameras = np.empty((frames, 2, 3))
    for t in range(frames):
        c, s = scale[t] * np.cos(turn[t]), scale[t] * np.sin(turn[t])
        linear = np.array([[c, -s], [s, c]])
        cameras[t] = np.c_[linear, path[t] - linear @ middle + shake * rng.standard_normal(2)]
    mood = np.clip(rng.uniform(0, 1) + 0.35 * smooth_path(rng, frames), 0, 1)
    finish: artefacts.Recipe = ()
    if rng.random() < footage.badly:
        finish = tuple(d for d in artefacts.random_recipe(rng, 0.8) if d[0] in BADLY)
    look = draw_look(rng, footage.light)
    noise = float(np.exp(rng.uniform(*np.log(footage.noise)))), float(rng.choice([0, 0.5, 0.8]))
    earlier = int(rng.integers(*footage.crf)) if rng.random() < footage.coded else 0
    return Scene(size, cameras, mood, look, finish, noise, earlier)


class Morph:
    """Between two portraits of one person along their optical flow: `at(0)` first, `at(1)` second.
    side: pixels to which the portraits are reduced first."""

    def __init__(self, person: Person, first: int, second: int, side: int):
        self.ends = person.points[[first, second]]
        pair = person.faces[[first, second]]
        self.side = side = min(side, pair.shape[1])
        self.pair = [cv2.resize(f, (side, side), interpolation=cv2.INTER_AREA) for f in pair]
        grey = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in self.pair]
        flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self.flow = cv2.blur(flow.calc(grey[0], grey[1], None), (9, 9))
        self.grid = np.stack(np.meshgrid(*[np.arange(side, dtype=np.float32)] * 2), axis=2)
        # nothing moves at the portrait's edge, beyond which it is continued by a still picture
        near = np.minimum(self.grid.min(2), side - 1 - self.grid.max(2))
        self.window = np.clip(near / (0.08 * side), 0, 1)

    def points(self, amount: float) -> np.ndarray:
        """5 x 2 landmarks in portrait units."""
        return (1 - amount) * self.ends[0] + amount * self.ends[1]

    def at(self, amount: float, *, still_edge: bool = False) -> np.ndarray:
        """The portrait, uint8 side x side x 3."""
        if amount == 0:
            return self.pair[0]
        window = self.window if still_edge else np.ones_like(self.window)
        weight = (np.float32(amount) * window)[..., None]
        grids = self.grid - weight * self.flow, self.grid + (1 - weight) * self.flow
        first, second = (
            cv2.remap(picture, grid, None, cv2.INTER_LINEAR, borderMode=1)
            for picture, grid in zip(self.pair, grids)
        )
        return blend.blend(first, second, weight[..., 0])


def render(picture: np.ndarray, camera: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Warp a picture (portrait units 0 to 1 over its side) by a camera; shape: height, width."""
    side = picture.shape[0]
    # pixel centres are at half units on both sides
    linear = camera[:, :2] / side
    shift = camera[:, 2] + linear @ (0.5, 0.5) - 0.5
    return cv2.warpAffine(picture, np.c_[linear, shift], shape[1::-1], borderMode=1)


def prescaled(cameras: np.ndarray) -> int:
    """The portrait side, pixels, from which these cameras neither alias nor lose much."""
    return round(1.2 * np.sqrt(np.abs(np.linalg.det(cameras[:, :, :2])).max()))


def _continued(portrait: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """The person's surroundings out of focus (side + 2 pad square), the weight of the portrait
    itself (side square: head and shoulders, softly cut), and the pad in pixels."""
    side, n = portrait.shape[0], 64
    unit, (x, eyes) = blend.unit(points * n), n * points[:2].mean(0)
    small = cv2.resize(portrait, (n, n), interpolation=cv2.INTER_AREA).astype(np.float32)
    person = np.zeros((n, n), np.float32)
    chin = eyes + 3.2 * unit
    head = (x, eyes + 0.4 * unit), (6 * unit, 7 * unit), 0
    cv2.ellipse(person, head, 1.0, -1)
    around = person.copy()  # what must not be spread over the background: head, hair and neck
    for rows, half in ((slice(round(eyes)), 3.4 * unit), (slice(round(eyes), n), 2.2 * unit)):
        around[rows, max(round(x - half), 0) : round(x + half)] = 1
    low = 0.88 * n
    shoulders = [(x - unit, chin), (x + unit, chin), (n, low), (n, n), (0, n), (0, low)]
    cv2.fillPoly(person, [np.int32(np.rint(shoulders))], 1.0)
    pad = round(FILL * side)
    reach = round(FILL * n)
    known = 1 - cv2.dilate(around, np.ones((3, 3)))
    wide = cv2.copyMakeBorder(np.dstack([small * known[..., None], known]), *[reach] * 4, 1)
    near, far = (cv2.GaussianBlur(wide, (0, 0), s * n) for s in (0.06, 0.3))
    everywhere = (small * known[..., None]).sum((0, 1)) / known.sum()
    blurred = near + 0.03 * far + 1e-4 * np.append(everywhere, 1)
    fill = blurred[..., :3] / blurred[..., 3:]
    total = side + 2 * pad
    fill = cv2.resize(artefacts.to_uint8(fill), (total, total), interpolation=cv2.INTER_LINEAR)
    weight = cv2.resize(cv2.GaussianBlur(person, (0, 0), 0.05 * n), (side, side))
    at = np.arange(side)
    ramp = np.clip(np.minimum(at, side - 1 - at) / (0.1 * side), 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    down = np.where(at < side / 2, ramp, 1)  # the lower edge is that of the frame
    return fill, weight * np.outer(down, ramp).astype(np.float32), pad


def apply_look(image: np.ndarray, look: Look, origin: Sequence[int], size: int) -> np.ndarray:
    """Light a picture that lies at `origin` (x, y) of a frame `size` pixels square."""
    values = np.arange(256, dtype=np.float32)[:, None] / 255
    curve = (values**look.gamma - 0.45) * look.contrast + 0.45
    table = np.clip(np.rint(255 * curve * np.float32(look.gains)), 0, 255).astype(np.uint8)
    image = artefacts.degrade(cv2.LUT(image, table[None]), None, (("saturation", look.saturation),))
    height, width = image.shape[:2]
    x = (np.arange(width, dtype=np.float32) + origin[0]) / size - 0.5
    y = (np.arange(height, dtype=np.float32) + origin[1]) / size - 0.5
    light = 1 + look.slope[0] * x + look.slope[1] * y[:, None]
    return cv2.multiply(image, cv2.merge([light] * 3), dtype=cv2.CV_8U)


def film(scene: Scene, person: Person, rng: np.random.Generator) -> Take:
    """Make a scene's frames, finished but not yet encoded. `rng` is for sensor noise alone."""
    morph = Morph(person, BASE, DRIFT, prescaled(scene.cameras))
    fill, weight, pad = _continued(morph.pair[0], morph.ends[0])
    side, total = morph.side, len(fill)
    # from units of the continued portrait to units of the portrait
    widen = np.array([[total / side, 0, -pad / side], [0, total / side, -pad / side], [0, 0, 1]])
    frames, points = [], []
    middle = (slice(pad, pad + side),) * 2
    for camera, mood in zip(scene.cameras, scene.mood):
        canvas = fill.copy()
        canvas[middle] = blend.blend(fill[middle], morph.at(mood, still_edge=True), weight)
        frame = render(canvas, camera @ widen, (scene.size, scene.size))
        frame = apply_look(frame, scene.look, (0, 0), scene.size)
        frame = artefacts.degrade(frame, rng, (*scene.finish, ("noise", *scene.noise)))
        frames.append(frame)
        points.append(morph.points(mood) @ camera[:, :2].T + camera[:, 2])
    if scene.earlier:  # H.264 as the web stores it, with chroma at half resolution
        how = {"crf": scene.earlier, "pix_fmt": "yuv420p", "preset": "veryfast"}
        frames = recoded(frames, 25.0, **how)
    return Take(scene, person, frames, np.stack(points))
