"""Pairs for training: data set, balanced batches, one augmentation for a pair and its mask."""

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from acfd.faces.shards import PairTable
from acfd.sections import Augment

# How an item is had: as it lies in its shard, or made afresh from a real row (see `blended`).
STORED, REAL_AFRESH, FORGED_AFRESH = 0, 1, 2
At = tuple[int, int, int, int]  # epoch, position in it, row, how


class Pairs(Dataset):
    """Pairs of crops by (epoch, position, row, how). An item draws its augmentation from (seed,
    epoch, position) alone: not from which process loads it, nor from what was loaded before. So a
    resumed run sees what an unbroken one does. augment: None leaves the crops as they are. blended:
    a `blended.Blended`, which makes and degrades pairs."""

    def __init__(self, table: PairTable, augment: Augment | None, seed: int, blended=None):
        self.table = table
        self.seed = seed
        self.blended = blended
        self.degrade = augment.degrade if augment and blended else 0.0
        self.augment = augment

    def __len__(self) -> int:
        return len(self.table.index)

    def __getitem__(self, at: At) -> dict[str, Tensor | int]:
        """high, low: 3 x S x S uint8; mask: 1 x S x S uint8; label; row. With `blended` also soft,
        1 x S x S uint8: the blending weight, 255 = all forged."""
        epoch, position, row, how = at
        pair = self.table.read(row)
        label = int(pair["label"])
        if self.blended is not None:
            rng = np.random.default_rng(mix(self.seed, epoch, position, 1))
            label = int(how == FORGED_AFRESH) if how else label
            pair = self._afresh(pair, row, how, rng)
        pictures = {k: pair[k] for k in ("high", "low", "mask", "soft") if k in pair}
        if self.augment is not None:
            rng = np.random.default_rng(mix(self.seed, epoch, position))
            pictures = _augmented(pictures, self.augment, rng)
        planes = {k: np.atleast_3d(x).transpose(2, 0, 1) for k, x in pictures.items()}
        tensors = {k: torch.from_numpy(np.ascontiguousarray(x)) for k, x in planes.items()}
        return tensors | {"label": label, "row": row}

    def _afresh(self, pair: dict, row: int, how: int, rng: np.random.Generator) -> dict:
        if how == FORGED_AFRESH:
            pair = self.blended.forged(pair, row, rng)
        elif how == REAL_AFRESH:
            pair = self.blended.real(pair, rng)
        if rng.random() < self.degrade:
            pair = pair | self.blended.degrade(pair, rng)
        return {"soft": 255 * pair["mask"]} | pair


def _augmented(pictures: dict, p: Augment, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """All pictures of a pair (S x S x 3 or S x S, uint8) flipped and shifted alike, those in colour
    lit alike. With OpenCV: torchvision's transforms of a small picture cost more than decoding."""
    size = len(next(iter(pictures.values())))
    if rng.random() < p.flip:
        pictures = {k: cv2.flip(x, 1) for k, x in pictures.items()}
    reach = round(p.shift * size)
    if reach:  # by whole pixels: resampling would change what compression left
        up, left = (int(d) for d in rng.integers(-reach, reach + 1, 2))
        move = np.float32([[1, 0, -left], [0, 1, -up]])
        how = {"flags": cv2.INTER_NEAREST, "borderMode": cv2.BORDER_REFLECT_101}
        pictures = {k: cv2.warpAffine(x, move, (size, size), **how) for k, x in pictures.items()}
    gain = rng.uniform(1 - p.brightness, 1 + p.brightness)
    spread = rng.uniform(1 - p.contrast, 1 + p.contrast)
    if p.brightness or p.contrast:
        lit = {k: _lit(x, gain, spread) for k, x in pictures.items() if x.ndim == 3}
        pictures = pictures | lit
    return pictures


def _lit(picture: np.ndarray, gain: float, spread: float) -> np.ndarray:
    """Brightness times `gain`, then contrast about the mean grey times `spread`."""
    grey = gain * float(np.dot(cv2.mean(picture)[:3], (0.299, 0.587, 0.114)))
    table = (np.arange(256) * gain - grey) * spread + grey
    return cv2.LUT(picture, np.clip(np.rint(table), 0, 255).astype(np.uint8))


def mix(*numbers: int) -> int:
    """One seed out of several numbers, well spread."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


class BalancedBatches:
    """A DataLoader's batch sampler: lists of `At`, from the epoch's `start`-th batch on, with as
    many real as forged pairs. Each class is a deck that is dealt without repeats and shuffled anew
    when it is used up; what epoch e deals follows from (seed, e) alone. steps: batches an epoch; 0:
    as many as show every forgery once. Of several processes each takes its share of every batch.
    blend: the share of either class that is made afresh from real rows; 1 uses no forged row."""

    def __init__(
        self,
        labels: np.ndarray,
        batch: int,
        steps: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        blend: float = 0.0,
    ):
        self.rows = [np.flatnonzero(labels == c) for c in (0, 1)]
        self.blend = blend
        if blend == 1:
            self.rows[1] = self.rows[0]
        self.half, self.seed, self.rank, self.world = batch // 2, seed, rank, world
        self.steps = steps or max(1, max(map(len, self.rows)) // self.half)
        self.epoch = self.start = 0

    def __len__(self) -> int:
        return self.steps - self.start

    def __iter__(self):
        n = self.steps * self.half
        dealt, how = self._epoch(n)
        share = 2 * self.half // self.world
        for step in range(self.start, self.steps):
            here = slice(step * self.half, (step + 1) * self.half)
            # real and forged alternate, so that every process's share is balanced as well
            rows, ways = (np.stack([x[0][here], x[1][here]], axis=1).ravel() for x in (dealt, how))
            at = [
                (self.epoch, 2 * here.start + i, int(row), int(way))
                for i, (row, way) in enumerate(zip(rows, ways, strict=True))
            ]
            yield at[self.rank * share : (self.rank + 1) * share]

    def _epoch(self, n: int) -> tuple[list[np.ndarray], np.ndarray]:
        """n rows of each class, and how each of them is had (2 x n)."""
        start = self.epoch * n
        dealt = [self._deal(self.rows[c], c, start, n) for c in (0, 1)]
        if not self.blend:
            return dealt, np.full((2, n), STORED)
        afresh = np.random.default_rng((self.seed, 2, self.epoch)).random((2, n)) < self.blend
        dealt[1] = np.where(afresh[1], self._deal(self.rows[0], 3, start, n), dealt[1])
        return dealt, np.where(afresh, [[REAL_AFRESH], [FORGED_AFRESH]], STORED)

    def _deal(self, rows: np.ndarray, stream: int, start: int, n: int) -> np.ndarray:
        """n rows from the start-th on of an endless deck; `stream` tells decks apart."""
        size = len(rows)
        decks = range(start // size, (start + n - 1) // size + 1)
        shuffled = [
            np.random.default_rng((self.seed, stream, deck)).permutation(rows) for deck in decks
        ]
        return np.concatenate(shuffled)[start - decks[0] * size :][:n]


class InOrder:
    """Batches of every row once, in order: for validation and scoring. how: a way for all of them,
    or several, one batch list after the other. Of several processes each takes every world-th
    batch of those of one process, so what is computed of them is the same to the bit;
    `distributed.gather` joins it."""

    def __init__(self, rows: np.ndarray, batch: int, how=(STORED,), rank: int = 0, world: int = 1):
        self.rows, self.batch = [(int(row), h) for h in how for row in rows], batch
        self.starts = range(rank * batch, len(self.rows), world * batch)

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self):
        for i in self.starts:
            part = self.rows[i : i + self.batch]
            yield [(0, i + k, row, how) for k, (row, how) in enumerate(part)]


def loader(data: Pairs, batches, workers: int, pin: bool = False) -> DataLoader:
    """A DataLoader over `batches`, whose worker processes stay from epoch to epoch."""
    return DataLoader(
        data,
        batch_sampler=batches,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=_one_thread,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
    )


def _one_thread(_: int):
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def prepare(item: dict[str, Tensor], device: torch.device, channels_last: bool) -> dict:
    """A loaded batch on its device: images float in [-1, 1] as Xception expects, mask float."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    out = {name: value.to(device, non_blocking=True) for name, value in item.items()}
    for name in out.keys() & {"high", "low"}:
        out[name] = out[name].float().div_(127.5).sub_(1).to(memory_format=layout)
    for name, most in (("mask", 1), ("soft", 255)):
        if name in out:
            out[name] = out[name].float().div_(most)
    return out
