"""What a forger's tools leave on a face before it is pasted: colour, scale, blur, noise, a codec.
Images are uint8 H x W x 3 RGB."""

import cv2
import numpy as np

Recipe = tuple[tuple, ...]  # of degradations: (name, *values), applied in order
UPSCALES = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4, cv2.INTER_NEAREST)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Rounded and clipped to 0 to 255."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def degrade(image: np.ndarray, rng: np.random.Generator, recipe: Recipe | None = None):
    """Apply a recipe's degradations in order; None: draw one by `random_recipe`. Only noise takes
    anything from `rng` if the recipe is given."""
    for name, *values in random_recipe(rng) if recipe is None else recipe:
        image = _degraded(image, rng, name, *values)
    return image


def _degraded(image: np.ndarray, rng: np.random.Generator, name: str, *values) -> np.ndarray:
    levels = np.arange(256, dtype=np.float32)  # what is done to each is a table for all pixels
    match (name, *values):
        case "shift", *rgb:
            return cv2.LUT(image, to_uint8(np.arange(256)[:, None] + np.float32(rgb))[None])
        case "contrast", gain:
            middle = float(image.mean())
            return cv2.LUT(image, to_uint8((levels - middle) * gain + middle))
        case "gamma", power:
            return cv2.LUT(image, to_uint8(255 * (levels / 255) ** power))
        case "saturation", gain:
            grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            return cv2.addWeighted(image, gain, grey, 1 - gain, 0)
        case "rescale", factor, interpolation:
            size = image.shape[1::-1]
            small = [max(round(side / factor), 2) for side in size]
            small = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
            return cv2.resize(small, size, interpolation=interpolation)
        case "blur", sigma:
            return cv2.GaussianBlur(image, (0, 0), sigma)
        case "sharpen", amount, sigma:
            soft = cv2.GaussianBlur(image, (0, 0), sigma)
            return cv2.addWeighted(image, 1 + amount, soft, -amount, 0)
        case "smooth", strength:
            return cv2.bilateralFilter(image, 5, strength, 2.0)
        case "jpeg", quality:
            # Red counts as blue here: OpenCV takes BGR. Left so, or every SynthFF would be another.
            packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            return cv2.imdecode(packed, cv2.IMREAD_COLOR)
        case "noise", sigma, grain:
            noise = sigma * rng.standard_normal(image.shape, dtype=np.float32)
            if grain > 0:  # correlated, as demosaicing and earlier coding leave it, as strong
                noise = cv2.GaussianBlur(noise, (0, 0), grain)
                noise = noise * (2 * np.sqrt(np.pi) * max(grain, 0.3))
            return to_uint8(image + noise)
    raise ValueError(f"no degradation {name}")


def random_recipe(rng: np.random.Generator, strength: float = 1.0) -> Recipe:
    """One to four degradations of colour and of sharpness, of wide range; less wide below 1."""
    some = []

    def chance(p):
        return rng.random() < p * min(strength, 1)

    if chance(0.45):
        some.append(("shift", *(strength * rng.uniform(-16, 16, 3)).tolist()))
    if chance(0.35):
        some.append(("contrast", float(np.exp(strength * rng.uniform(-0.3, 0.3)))))
    if chance(0.25):
        some.append(("gamma", float(np.exp(strength * rng.uniform(-0.3, 0.3)))))
    if chance(0.2):
        some.append(("saturation", float(np.exp(strength * rng.uniform(-0.5, 0.4)))))
    sharpness = rng.random()
    if sharpness < 0.35:
        factor = 1 + strength * rng.uniform(0.3, 2.5)
        some.append(("rescale", factor, int(rng.choice(UPSCALES, p=(0.5, 0.3, 0.15, 0.05)))))
    elif sharpness < 0.5:
        some.append(("blur", strength * rng.uniform(0.4, 1.8)))
    elif sharpness < 0.75:
        some.append(("sharpen", strength * rng.uniform(0.3, 1.5), rng.uniform(0.6, 2.0)))
    if chance(0.15):
        some.append(("smooth", rng.uniform(10, 50)))
    if chance(0.25):
        some.append(("jpeg", int(rng.integers(35, 92))))
    if chance(0.3) or not some:
        some.append(("noise", strength * rng.uniform(1, 7), float(rng.choice([0, 0.6, 0.9]))))
    return tuple(some)
