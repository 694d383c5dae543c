"""acfd.media.blend: masks, colour, degradations and the one blending."""

import cv2
import numpy as np
import pytest

from acfd.media import artefacts, blend

POINTS = blend.CANON * 14 + (64, 54)  # a face in a picture of 128 x 128


def picture(seed: int, size: int = 128) -> np.ndarray:
    """A smooth coloured picture with some texture."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 215, (8, 8, 3)).astype(np.uint8)
    smooth = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)


def detail(image: np.ndarray) -> float:
    return float(cv2.Laplacian(image.astype(np.float32), cv2.CV_32F).std())


@pytest.mark.parametrize("kind", blend.KINDS)
def test_masks_lie_on_the_face_and_end_in_zero(kind):
    mask = blend.random_mask(POINTS, (128, 128), kind, np.random.default_rng(1), softness=0.5)
    assert mask.dtype == np.float32 and mask.shape == (128, 128)
    assert mask.min() == 0 and mask.max() > 0.9
    assert not mask[:8].any() and not mask[:, :8].any() and not mask[-4:].any()
    y, x = np.nonzero(mask > 0.5)
    low, high = POINTS.min(0) - 40, POINTS.max(0) + 40
    assert x.min() > low[0] and x.max() < high[0] and y.min() > low[1] and y.max() < high[1]


def test_softness_is_the_width_of_the_edge():
    def edge(softness, inward=False):
        rng = np.random.default_rng(3)
        mask = blend.random_mask(
            POINTS, (128, 128), "oval", rng, wobble=0, softness=softness, inward=inward
        )
        return int(((mask > 0.02) & (mask < 0.98)).sum()), int((mask > 0).sum())

    assert edge(0.1)[0] * 3 < edge(1.0)[0]
    assert edge(1.0, inward=True)[1] <= edge(0.0)[1] * 1.02 < edge(1.0)[1]


def test_colour_match_meets_the_target_inside_the_mask():
    target, source = picture(1), cv2.convertScaleAbs(picture(2), alpha=0.7, beta=40)
    mask = blend.random_mask(POINTS, (128, 128), "hull", np.random.default_rng(0))
    inside = mask > 0.5

    def distance(image):
        return np.abs(image[inside].mean(0) - target[inside].mean(0)).max()

    gone = [distance(blend.match_colour(source, target, mask, s)) for s in (0, 0.5, 1)]
    assert gone[0] > 8 and gone[2] < gone[0] / 5 and gone[2] < gone[1] < gone[0]
    assert blend.match_colour(source, target, np.zeros_like(mask)) is source


def test_blend_keeps_the_target_where_the_mask_is_zero():
    target, source = picture(1), picture(2)
    mask = blend.random_mask(POINTS, (128, 128), "oval", np.random.default_rng(0))
    mixed = blend.blend(target, source, mask)
    assert (mixed[mask == 0] == target[mask == 0]).all()
    assert (mixed[mask == 1] == source[mask == 1]).all()
    ten, twenty = (np.full((4, 4, 3), n, np.uint8) for n in (10, 20))
    assert (blend.blend(ten, twenty, np.full((4, 4), 0.5, np.float32)) == 15).all()


@pytest.mark.parametrize(
    ("step", "changes"),
    [
        (("shift", 12.0, 0.0, -9.0), lambda a, b: b.mean((0, 1))[0] > a.mean((0, 1))[0] + 8),
        (("contrast", 0.7), lambda a, b: b.std() < 0.8 * a.std()),
        (("gamma", 1.3), lambda a, b: b.mean() < a.mean() - 5),
        (("saturation", 0.4), lambda a, b: np.ptp(b, axis=2).mean() < np.ptp(a, axis=2).mean() / 2),
        (("rescale", 3.0, cv2.INTER_LINEAR), lambda a, b: detail(b) < 0.5 * detail(a)),
        (("blur", 1.5), lambda a, b: detail(b) < 0.3 * detail(a)),
        (("sharpen", 1.0, 1.0), lambda a, b: detail(b) > 1.3 * detail(a)),
        (("smooth", 40.0), lambda a, b: detail(b) < 0.7 * detail(a)),
        (("jpeg", 30), lambda a, b: 1 < np.abs(a.astype(float) - b).mean() < 12),
        (("noise", 5.0, 0.0), lambda a, b: 4 < (b.astype(float) - a).std() < 6),
    ],
    ids=lambda v: v[0] if isinstance(v, tuple) else "",
)
def test_each_degradation_does_what_it_says(step, changes):
    image = picture(5)
    after = artefacts.degrade(image, np.random.default_rng(0), (step,))
    assert after.shape == image.shape and after.dtype == np.uint8
    assert changes(image, after)


def test_forgeries_are_drawn_afresh_and_reproducible_and_show_inside_their_masks():
    face = picture(1)  # blended with itself

    def made(seed):
        return blend.blended_forgery(face, face, POINTS, np.random.default_rng(seed))

    images, masks = map(np.stack, zip(*(made(k) for k in range(40))))
    again, same = made(0)
    assert (images[0] == again).all() and (masks[0] == same).all()
    assert images.dtype == np.uint8 and masks.dtype == np.float32
    sizes = (masks > 0.1).mean((1, 2))
    assert sizes.min() < 0.06 and sizes.max() > 0.25  # from mouths to whole faces
    assert len(np.unique(masks.max((1, 2)).round(2))) >= 3  # opacities
    for image, mask in zip(images, masks):
        assert np.abs(image.astype(float) - face).mean(2)[mask > 0.4].mean() > 0.3
    recipes = [artefacts.random_recipe(np.random.default_rng(k)) for k in range(200)]
    assert len({step[0] for r in recipes for step in r}) == 10


def test_skin_is_the_face_without_hair_and_background():
    face = np.full((128, 128, 3), (60, 90, 160), np.uint8)
    cv2.ellipse(face, ((64, 68), (80, 104), 0), (205, 160, 135), -1)
    face[:, :40] = (40, 28, 22)  # hair down one cheek
    cv2.circle(face, tuple(map(int, POINTS[0])), 4, (30, 20, 20), -1)  # an eye
    weight = blend.skin(face, POINTS)
    unit = blend.unit(POINTS)
    for x, y in POINTS:
        assert weight[round(y), round(x)] > 0.9
    right = POINTS[1] + (0.5 * unit, unit)
    assert weight[round(right[1]), round(right[0])] > 0.9, "the bare cheek"
    assert weight[64, 30] == 0 and weight[4, 64] == 0, "hair, and what is behind"
