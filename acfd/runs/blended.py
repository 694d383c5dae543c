"""Pairs made afresh in training: a real crop into which the same face, another frame of it or
another person's is blended (`blend.blended_forgery`), and both qualities made of that one picture
by compression. A real picture goes the same way, so that nothing but the seam between two histories
within one picture tells the classes apart."""

import cv2
import numpy as np

from acfd.faces.shards import PairTable
from acfd.media import artefacts, blend
from acfd.media.video import h264, still
from acfd.params import Params

SOURCES = {"self": 0.4, "frame": 0.2, "other": 0.4}
CANDIDATES = 32  # faces among which another person's is the one with the nearest landmarks
EXPRESSION = 0.2  # most that landmarks of the person's own face move, in half eye distances
# Share of real pictures that are resampled as a source is: the mean weight of a forgery's mask, so
# that pictures of both classes are equally sharp on the whole.
AS_SOURCE = 0.2

STILL = 0.25  # share of pairs compressed as stills; the others are H.264
CRF = {"high": (15, 29), "low": (30, 44)}
QUALITY = {"high": (75, 97), "low": (15, 50)}  # of JPEG and WebP
CODED_SIDE = 180  # pixels, up to which a crop is enlarged before it is compressed
MIN_SCALE, MAX_SCALE = 0.9, 1.8
DOWNSCALE = 0.35  # least size against the crop's own in `Blended.degrade`


class Blended:
    """Makes pairs out of the real rows of one split, and degrades pairs further; what is made
    follows from `rng` alone. A pair is as PairTable.read gives it: high, low (S x S x 3 uint8 RGB),
    landmarks (5 x 2, pixels of the crop), target (the person)."""

    def __init__(self, table: PairTable, rows: np.ndarray, params: Params):
        """rows: of the table, all real."""
        self.table = table
        self.rows = np.asarray(rows)
        self.people = table.index["target"].to_numpy()[self.rows].astype(str)
        self.threshold = params.faces.mask_threshold

    def forged(self, pair: dict, row: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """A forgery of a real pair: high, low; mask (S x S uint8, 0 or 1), soft (S x S uint8, the
        blending weight, 255 = forged altogether). row: the pair's place in the table. The source is
        the pair's own face, another frame of it or, by `SOURCES`, another person's; what the rows
        do not have falls back to the face itself."""
        source = self._source(pair, row, rng)
        picture, weight = blend.blended_forgery(pair["high"], source, pair["landmarks"], rng)
        return self._finished(picture, weight, rng)

    def real(self, pair: dict, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """A real pair that went through all that a forgery goes through; keys as of `forged`. It is
        degraded as often as either side of a forgery is, but as a whole."""
        picture = pair["high"]
        if rng.random() < AS_SOURCE:
            picture = _resampled(picture, pair["landmarks"], rng)
        if rng.random() < 0.5:  # the chance that the target of a forgery has
            picture = artefacts.degrade(picture, rng)
        return self._finished(picture, np.zeros(picture.shape[:2], np.float32), rng)

    def degrade(self, pair: dict, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """high and low of any pair after one more life: colour, scale, noise and a still codec, the
        same for both but the compression, which `low` suffers more from."""
        recipe, codec = _further(rng), str(rng.choice((".jpg", ".webp"), p=(0.8, 0.2)))
        noise = int(rng.integers(2**62))
        low = int(rng.integers(20, 96))
        quality = {"high": int(rng.integers(max(low, 60), 98)), "low": low}
        size = pair["high"].shape[1::-1]
        scale = np.exp(rng.uniform(np.log(DOWNSCALE), 0)) if rng.random() < 0.7 else 1.0
        small = tuple(max(round(side * scale), 8) for side in size)
        way, sent_small = int(rng.choice(artefacts.UPSCALES[:3])), rng.random() < 0.5
        made = {}
        for name in ("high", "low"):
            picture = artefacts.degrade(pair[name], np.random.default_rng(noise), recipe)
            picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
            if sent_small:
                picture = still(picture, codec, quality[name])
            picture = cv2.resize(picture, size, interpolation=way)
            made[name] = picture if sent_small else still(picture, codec, quality[name])
        return made

    def _source(self, pair: dict, row: int, rng) -> np.ndarray:
        """A face to blend in, aligned to the pair's."""
        kind = rng.choice(list(SOURCES), p=list(SOURCES.values()))
        points = np.asarray(pair["landmarks"], float)
        found = None
        if kind == "other":
            found = self._nearest(pair["target"], points, rng)
        elif kind == "frame":
            frames = self.rows[(self.people == pair["target"]) & (self.rows != row)]
            found = int(rng.choice(frames)) if len(frames) else None
        source = pair["high"]
        if found is not None:
            fit = fitted(self.table.landmarks(found), points, affine=rng.random() < 0.5)
            source = _moved(self.table.read(found)["high"], fit, cv2.INTER_CUBIC)
        if kind != "other" and rng.random() < 0.5:
            unit = blend.unit(points)
            shifts = unit * rng.uniform(0, EXPRESSION) * rng.standard_normal((5, 2))
            shifts[:3] *= 0.35  # mouths move more than eyes and noses
            source = _locally_shifted(source, points, shifts, unit)
        return source

    def _nearest(self, person: str, points: np.ndarray, rng) -> int | None:
        """Of a few rows of other people, the one whose landmarks lie most alike."""
        drawn = rng.integers(len(self.rows), size=CANDIDATES)
        rows = self.rows[drawn[self.people[drawn] != person]]
        if len(rows) == 0:
            return None
        wanted = _shape(points)
        shapes = _shape(np.stack([self.table.landmarks(int(row)) for row in rows]))
        return int(rows[np.abs(shapes - wanted).sum(axis=(1, 2)).argmin()])

    def _finished(self, picture: np.ndarray, weight: np.ndarray, rng) -> dict[str, np.ndarray]:
        soft = np.rint(255 * weight).astype(np.uint8)
        mask = (soft > 255 * self.threshold).astype(np.uint8)
        return compressed(picture, rng) | {"mask": mask, "soft": soft}


def compressed(picture: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A picture (H x W x 3 uint8 RGB) as high and low quality: H.264 (the last of one to three
    frames that move by about a pixel) or, more rarely, a still. Both are compressed at the same
    scale, as frames of videos in which the face is larger or smaller."""
    scale, (height, width) = _coded_scale(picture.shape[0], rng), picture.shape[:2]
    shape = (round(scale * width), round(scale * height))
    seen = picture if scale == 1 else cv2.resize(picture, shape, interpolation=cv2.INTER_CUBIC)
    if rng.random() < STILL:
        codec = str(rng.choice((".jpg", ".webp"), p=(0.75, 0.25)))
        made = {k: still(seen, codec, int(rng.integers(*q))) for k, q in QUALITY.items()}
    else:
        pix_fmt = str(rng.choice(("yuv420p", "yuv444p")))
        crfs = tuple(int(rng.integers(*crf)) for crf in CRF.values())
        made = dict(zip(CRF, h264(_clip(seen, rng), crfs, pix_fmt), strict=True))
    if scale == 1:
        return made
    way = cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC
    return {k: cv2.resize(v, (width, height), interpolation=way) for k, v in made.items()}


def fitted(source: np.ndarray, target: np.ndarray, affine: bool) -> np.ndarray:
    """The 2 x 3 that takes landmarks to landmarks (5 x 2 each) best, in least squares; affine:
    False allows a shift, a rotation and one scale only."""
    if affine:
        return np.linalg.lstsq(np.c_[source, np.ones(len(source))], target, rcond=None)[0].T
    x, y = np.asarray(source, float).T
    one, none = np.ones_like(x), np.zeros_like(x)
    rows = np.r_[np.c_[x, -y, one, none], np.c_[y, x, none, one]]
    a, b, dx, dy = np.linalg.lstsq(rows, np.asarray(target, float).T.ravel(), rcond=None)[0]
    return np.array([[a, -b, dx], [b, a, dy]])


def _moved(image: np.ndarray, fit: np.ndarray, way=cv2.INTER_LINEAR, border=cv2.BORDER_REFLECT):
    """Taken through a 2 x 3; the size stays."""
    return cv2.warpAffine(image, fit, image.shape[1::-1], flags=way, borderMode=border)


def _shape(points: np.ndarray) -> np.ndarray:
    """Landmarks (... x 5 x 2) without place and size: what is left is pose and whose face it is."""
    points = points - points.mean(axis=-2, keepdims=True)
    return points / np.sqrt(np.square(points).sum(axis=(-2, -1), keepdims=True))


def _locally_shifted(
    image: np.ndarray, points: np.ndarray, shifts: np.ndarray, unit: float
) -> np.ndarray:
    """Move what is at each landmark by its shift (pixels), fading out over one unit around it."""
    height, width = image.shape[:2]
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    across = np.exp(-(((x - points[:, :1]) / unit) ** 2))  # 5 x W
    down = np.exp(-(((y - points[:, 1:]) / unit) ** 2))  # 5 x H
    fields = [(down * shifts[:, k : k + 1]).T @ across for k in (0, 1)]
    at = [np.float32(x - fields[0]), np.float32(y[:, None] - fields[1])]
    return cv2.remap(image, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def _resampled(image: np.ndarray, landmarks: np.ndarray, rng) -> np.ndarray:
    """Moved as the source of a forgery is, and enlarged so far that no border comes into view."""
    height, width = image.shape[:2]
    amount = rng.uniform(0, 0.12) * blend.unit(landmarks)
    misfit = blend.jitter(rng, np.array([width, height]) / 2, amount)
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], float)
    moved = np.abs(corners @ misfit[:, :2].T + misfit[:, 2] - corners).max()
    middle, zoom = np.array([width, height]) / 2, 1 + 2 * moved / min(height, width)
    misfit = np.c_[zoom * misfit[:, :2], zoom * (misfit[:, 2] - middle) + middle]
    return _moved(image, misfit)


def _coded_scale(side: int, rng) -> float:
    if rng.random() < 0.25:
        return 1.0
    most = np.clip(CODED_SIDE / side, 1, MAX_SCALE)
    return float(np.exp(rng.uniform(np.log(MIN_SCALE), np.log(most))))


def _clip(picture: np.ndarray, rng) -> list[np.ndarray]:
    """One to three frames, the picture itself the last, so that inter coding shows in it."""
    count, step = int(rng.integers(1, 4)), rng.normal(0, 0.7, 2)
    frames = [picture]
    for back in range(1, count):
        shift = np.c_[np.eye(2), step * back]
        frames.insert(0, _moved(picture, shift, border=cv2.BORDER_REPLICATE))
    return frames


def _further(rng) -> artefacts.Recipe:
    """Colour of a whole picture, and at times a slight blur or noise."""
    recipe: list[tuple] = []
    if rng.random() < 0.4:
        recipe.append(("shift", *rng.uniform(-14, 14, 3).tolist()))
    for name, chance, least, most in (
        ("contrast", 0.4, -0.3, 0.25),
        ("gamma", 0.3, -0.3, 0.3),
        ("saturation", 0.3, -0.6, 0.3),
    ):
        if rng.random() < chance:
            recipe.append((name, float(np.exp(rng.uniform(least, most)))))
    finish = rng.random()
    if finish < 0.2:
        recipe.append(("blur", float(rng.uniform(0.3, 1.0))))
    elif finish < 0.4:
        recipe.append(("noise", float(rng.uniform(1, 6)), float(rng.choice((0, 0.6)))))
    elif finish < 0.55:
        recipe.append(("sharpen", float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.6, 1.5))))
    return tuple(recipe)
