"""The networks: a branch (an Xception, with or without attention), two of them, the critic."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acfd.method.backbone import FEATURES, MID_CHANNELS


class Output(NamedTuple):
    """What one branch says of B crops."""

    logits: Tensor  # B x 2, real and forged
    feature: Tensor  # C, B x 2048
    attention: Tensor | None  # M, B x 1 x s x s in [0, 1]
    mid: Tensor | None  # V, B x 728 x s x s
    attention_logits: Tensor | None = None  # M = sigmoid(attention_logits)

    @property
    def score(self) -> Tensor:
        """Probability of forged, B."""
        return self.logits.float().softmax(dim=1)[:, 1]


class Branch(nn.Module):
    """E of the paper: head, attention, tail, classifier. B x 3 x S x S in [-1, 1] -> Output.

    form: what M does to V on its way to the tail; None: no attention, a plain Xception.
        "product"     V' = V * M, Eq. 3 and 4 as printed
        "normalised"  V' = V * M / mean(M), the mean over the pixels of each map
        "auxiliary"   V' = V: M is an output that is supervised and gates nothing
    M says where to look, and most of it is near zero; the product alone makes V' so small that the
    tail's residual stream, and with it the pre-training, is lost.
    """

    def __init__(self, head: nn.Module, tail: nn.Module, form: str | None = None):
        super().__init__()
        self.form = form
        self.head = head
        self.attention = nn.Conv2d(MID_CHANNELS, 1, kernel_size=3, padding=1) if form else None
        self.tail = tail
        self.fc = nn.Linear(FEATURES, 2)

    def forward(self, images: Tensor) -> Output:
        v = self.head(images)
        if self.attention is None:
            c = self.tail(v)
            return Output(self.fc(c), c, None, v)
        logits = self.attention(v)
        m = torch.sigmoid(logits)
        gate = m
        if self.form == "normalised":
            gate = m / m.mean(dim=(2, 3), keepdim=True).clamp_min(1e-3)
        c = self.tail(v if self.form == "auxiliary" else v * gate)
        return Output(self.fc(c), c, m, v, logits)


class TwoBranch(nn.Module):
    """The paper's model: E_H sees high quality, E_L low quality; E_L alone is used at test time."""

    def __init__(self, high: Branch, low: Branch):
        super().__init__()
        self.high = high
        self.low = low

    def forward(self, high: Tensor, low: Tensor) -> tuple[Output, Output]:
        return self.high(high), self.low(low)


class OneBranch(nn.Module):
    """A single network for every quality it is shown: the paper's Xception row."""

    def __init__(self, branch: nn.Module):
        super().__init__()
        self.low = branch

    def forward(self, *images: Tensor) -> tuple[Output, ...]:
        """Each input B x 3 x S x S; one pass over all of them, one Output for each."""
        out = self.low(torch.cat(images))
        parts = [x.chunk(len(images)) if x is not None else [None] * len(images) for x in out]
        return tuple(Output(*o) for o in zip(*parts, strict=True))


class SharedBranch(OneBranch):
    """E_H and E_L as one and the same branch, which sees both qualities of a batch in one pass."""

    @property
    def high(self) -> nn.Module:
        return self.low


class OrderCritic(nn.Module):
    """D of Eq. 2: tells [V_H, V_L] from [V_L, V_H]. No batch norm, which WGAN-GP excludes.

    forward: two B x 728 x s x s maps, in the order to judge -> B scores.
    """

    def __init__(self, width: int):
        super().__init__()
        # the 1x1 convolution over the concatenation, written as one convolution for each half
        self.first = nn.Conv2d(MID_CHANNELS, width, kernel_size=1)
        self.second = nn.Conv2d(MID_CHANNELS, width, kernel_size=1, bias=False)
        self.rest = nn.Sequential(
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, kernel_size=3, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(width, 1),
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.rest(self.first(first) + self.second(second)).squeeze(1)


def attention_target(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """M_gt of Eq. 5, B x 1 x s x s, soft: the share of forged pixels under each cell of M. mask:
    B x 1 x S x S, binary, at crop size."""
    return F.adaptive_avg_pool2d(mask.float(), size)
