"""Batches are balanced and repeatable; a pair and its mask are augmented as one."""

from itertools import product

import numpy as np
import pytest
import torch

from acfd.runs.pairs import FORGED_AFRESH, REAL_AFRESH, STORED, BalancedBatches, Pairs
from acfd.sections import Augment

AUGMENT = Augment(flip=0.5, shift=0.1, brightness=0.2, contrast=0.2, blend=0.0, degrade=0.0)


def test_batches_are_balanced_and_reals_repeat():
    labels = np.array([0] * 5 + [1] * 20)
    batches = BalancedBatches(labels, 8, 0, seed=1)
    seen = [row for batch in batches for _, _, row, _ in batch]
    assert len(batches) == 5 and len(seen) == 40
    for batch in batches:
        assert sum(labels[row] for _, _, row, _ in batch) == 4
    counts = np.bincount(seen, minlength=25)
    assert (counts[5:] == 1).all()  # every forgery once
    assert (counts[:5] == 4).all()  # reals repeated alike


def test_short_epochs_deal_every_pair_in_turn():
    labels = np.array([0] * 12 + [1] * 12)
    batches = BalancedBatches(labels, 4, 2, seed=0)
    seen = []
    for epoch in range(3):
        batches.epoch = epoch
        seen += [row for batch in batches for _, _, row, _ in batch]
    assert sorted(seen) == list(range(24))


@pytest.mark.parametrize("blend", [0.5, 1.0])
def test_a_share_of_both_classes_is_made_afresh_from_real_rows(blend):
    labels = np.array([0] * 30 + [1] * 60)
    stored = [at for batch in BalancedBatches(labels, 8, 50, seed=2) for at in batch]
    batches = BalancedBatches(labels, 8, 50, seed=2, blend=blend)
    seen = [at for batch in batches for at in batch]
    counts = np.bincount([how for *_, how in seen], minlength=3) / len(seen)
    assert np.allclose(counts, [1 - blend, blend / 2, blend / 2], atol=0.05)
    for (_, position, row, how), (_, _, was, _) in zip(seen, stored, strict=True):
        assert how in (STORED, FORGED_AFRESH if position % 2 else REAL_AFRESH)
        if how == STORED:
            assert row == was
        else:
            assert labels[row] == 0
    assert list(batches) == list(batches)


def test_pair_and_mask_move_together(toy_faces):
    """The toy mask is bright where its picture is: after any flip and crop still."""
    data = Pairs(toy_faces, AUGMENT, seed=0)
    forged = int(toy_faces.index.index[toy_faces.index["label"] == 1][0])
    changed = 0
    for position in range(8):
        item = data[0, position, forged, 0]
        assert item["high"].shape == item["low"].shape == (3, 64, 64)
        assert item["high"].dtype == torch.uint8 and set(item["mask"].unique().tolist()) <= {0, 1}
        inside = item["mask"][0] == 1
        for quality in ("high", "low"):
            grey = item[quality].float().mean(0)
            assert grey[inside].mean() > grey[~inside].mean() + 20
        plain = Pairs(toy_faces, None, seed=0)[0, position, forged, 0]
        changed += not torch.equal(plain["mask"], item["mask"])
    assert changed >= 4


def test_shifts_move_whole_pixels(toy_faces):
    """What compression left in a picture is still there: every value is one of the picture's."""
    shift = Augment(flip=0.0, shift=0.1, brightness=0.0, contrast=0.0, blend=0.0, degrade=0.0)
    data, plain = Pairs(toy_faces, shift, seed=0), Pairs(toy_faces, None, seed=0)
    moved, pad, side, kinds = 0, 6, 52, ("high", "low", "mask")  # 6: 0.1 of 64
    for position in range(8):
        item, stored = data[0, position, 3, 0], plain[0, position, 3, 0]
        inner = [item[k][:, pad:-pad, pad:-pad] for k in kinds]
        fits = [
            (y, x)
            for y, x in product(range(2 * pad + 1), repeat=2)
            if all(map(torch.equal, inner, (stored[k][:, y:, x:][:, :side, :side] for k in kinds)))
        ]
        assert fits
        moved += (pad, pad) not in fits
    assert moved
