"""Pairs for training: data set, balanced batches, one augmentation for a pair and its mask."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from acfd.params import Augment
from acfd.shards import PairTable


class Pairs(Dataset):
    """Pairs of crops by (epoch, position, row).

    An item draws its augmentation from (seed, epoch, position) alone: not from which process
    loads it, nor from what was loaded before. So a resumed run sees what an unbroken one does.
    augment: None leaves the crops as they are.
    """

    def __init__(self, table: PairTable, augment: Augment | None, seed: int):
        self.table = table
        self.seed = seed
        self.transform = None if augment is None else _transform(augment, self._size())

    def _size(self) -> int:
        return self.table.read(0)["high"].shape[0]

    def __len__(self) -> int:
        return len(self.table.index)

    def __getitem__(self, at: tuple[int, int, int]) -> dict[str, Tensor | int]:
        """high, low: 3 x S x S uint8; mask: 1 x S x S uint8; label; row."""
        epoch, position, row = at
        pair = self.table.read(row)
        item = {q: tv_tensors.Image(pair[q].transpose(2, 0, 1)) for q in ("high", "low")}
        item["mask"] = tv_tensors.Mask(pair["mask"][None])
        if self.transform is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(mix(self.seed, epoch, position))
                item = self.transform(item)
        tensors = {k: v.as_subclass(Tensor).contiguous() for k, v in item.items()}
        return tensors | {"label": int(pair["label"]), "row": row}


def _transform(p: Augment, size: int) -> v2.Transform:
    steps = []
    if p.flip:
        steps.append(v2.RandomHorizontalFlip(p.flip))
    if p.crop:
        least = (1 - p.crop) ** 2
        steps.append(v2.RandomResizedCrop(size, (least, 1.0), ratio=(0.9, 1.1), antialias=True))
    if p.brightness or p.contrast:
        steps.append(v2.ColorJitter(brightness=p.brightness, contrast=p.contrast))
    return v2.Compose(steps or [v2.Identity()])


def mix(*numbers: int) -> int:
    """One seed out of several numbers, well spread."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


class BalancedBatches:
    """Batches with as many real as forged pairs: the rarer class is repeated.

    Each class is a deck that is dealt without repeats and shuffled anew when it is used up, so
    short epochs see every pair in turn. What epoch e deals follows from (seed, e) alone.
    As a DataLoader's batch sampler it yields lists of (epoch, position, row); `start` batches of
    the epoch are left out, which is how a run resumes in the middle of one. With several
    processes each deals the same batches and takes its share of every one of them.
    """

    def __init__(
        self,
        labels: np.ndarray,
        batch: int,
        epoch_pairs: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ):
        self.rows = [np.flatnonzero(labels == c) for c in (0, 1)]
        if min(map(len, self.rows)) == 0:
            found = "real" if len(self.rows[1]) == 0 else "forged"
            raise ValueError(f"the training faces are all {found}: a balanced batch needs both")
        if batch % (2 * world):
            raise ValueError(f"train.batch {batch} does not divide by 2 x {world} processes")
        self.half, self.seed, self.rank, self.world = batch // 2, seed, rank, world
        each = epoch_pairs // 2 or max(map(len, self.rows))
        self.steps = max(1, each // self.half)
        self.epoch = self.start = 0

    def __len__(self) -> int:
        return self.steps - self.start

    def __iter__(self):
        n = self.steps * self.half
        dealt = [self._deal(c, self.epoch * n, n) for c in (0, 1)]
        share = 2 * self.half // self.world
        for step in range(self.start, self.steps):
            here = slice(step * self.half, (step + 1) * self.half)
            # real and forged alternate, so that every process's share is balanced as well
            rows = np.stack([dealt[0][here], dealt[1][here]], axis=1).ravel()
            at = [(self.epoch, 2 * here.start + i, int(row)) for i, row in enumerate(rows)]
            yield at[self.rank * share : (self.rank + 1) * share]

    def _deal(self, label: int, start: int, n: int) -> np.ndarray:
        size = len(self.rows[label])
        decks = range(start // size, (start + n - 1) // size + 1)
        shuffled = [
            np.random.default_rng((self.seed, label, deck)).permutation(self.rows[label])
            for deck in decks
        ]
        return np.concatenate(shuffled)[start - decks[0] * size :][:n]


class InOrder:
    """Batches of every row once, in order: for validation and scoring."""

    def __init__(self, rows: np.ndarray, batch: int):
        self.rows, self.batch = rows, batch

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch)

    def __iter__(self):
        for i in range(0, len(self.rows), self.batch):
            yield [(0, 0, int(row)) for row in self.rows[i : i + self.batch]]


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
    out = {}
    for name, value in item.items():
        value = value.to(device, non_blocking=True)
        if name in ("high", "low"):
            value = value.float().div_(127.5).sub_(1).to(memory_format=layout)
        elif name == "mask":
            value = value.float()
        out[name] = value
    return out
