"""The networks: a branch (an Xception, with or without attention), two of them, the critic."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acfd.method.backbone import (
    FEATURES,
    MID_CHANNELS,
    blank_weights,
    head_and_tail,
    imagenet_weights,
)

FORMS = ("product", "normalised", "residual", "auxiliary")


class Output(NamedTuple):
    """What one branch says of B crops."""

    logits: Tensor  # B x 2, real and forged
    feature: Tensor  # C, B x 2048
    attention: Tensor | None  # M, B x 1 x s x s in [0, 1]
    mid: Tensor  # V, B x 728 x s x s
    attention_logits: Tensor | None = None  # M = sigmoid(attention_logits)

    @property
    def score(self) -> Tensor:
        """Probability of forged, B."""
        return self.logits.float().softmax(dim=1)[:, 1]


class Branch(nn.Module):
    """E of the paper: head, attention, tail, classifier; a plain Xception without attention.

    forward: B x 3 x S x S in [-1, 1] -> Output. What goes on to the tail is, by `form` (FORMS),
    "product": V' = V * M, Eq. 3 and 4 as printed; "normalised": V' = V * M / mean(M), the mean
    over the pixels of each map; "residual": V' = V * (1 + M); "auxiliary": V, with M as an output
    that is supervised and gates nothing. M says where to look, and most of it is near zero; the
    product alone makes V' so small that the tail's residual stream, and with it the pre-training,
    is lost.
    """

    def __init__(self, head: nn.Module, tail: nn.Module, attention: bool, form: str = "product"):
        super().__init__()
        if form not in FORMS:
            raise ValueError(f"attention form {form!r}; there are {', '.join(FORMS)}")
        self.form = form
        self.head = head
        self.attention = nn.Conv2d(MID_CHANNELS, 1, kernel_size=3, padding=1) if attention else None
        self.tail = tail
        self.fc = nn.Linear(FEATURES, 2)

    def forward(self, images: Tensor) -> Output:
        mid = self.head(images)
        if self.attention is None:
            feature = self.tail(mid)
            return Output(self.fc(feature), feature, None, mid)
        logits = self.attention(mid)
        attention = torch.sigmoid(logits)
        feature = self.tail(self._gated(mid, attention))
        return Output(self.fc(feature), feature, attention, mid, logits)

    def _gated(self, mid: Tensor, m: Tensor) -> Tensor:
        if self.form == "auxiliary":
            return mid
        if self.form == "residual":
            return mid * (1 + m)
        if self.form == "normalised":
            m = m / m.mean(dim=(2, 3), keepdim=True).clamp_min(1e-3)
        return mid * m


class OneBranch(nn.Module):
    """A single network for every quality it is shown: the paper's Xception row."""

    def __init__(self, branch: Branch):
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
    def high(self) -> Branch:
        return self.low


class TwoBranch(nn.Module):
    """The paper's model: E_H sees high quality, E_L low quality; E_L alone is used at test time."""

    def __init__(self, high: Branch, low: Branch):
        super().__init__()
        self.high = high
        self.low = low

    def forward(self, high: Tensor, low: Tensor) -> tuple[Output, Output]:
        return self.high(high), self.low(low)


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


def build(
    system: str,
    *,
    attention: bool = False,
    form: str = "product",
    branches: str = "separate",
    weights: str | None = "auto",
    seed: int = 0,
) -> OneBranch | TwoBranch:
    """A network with ImageNet weights, the new layers drawn from `seed`.

    system: "xception" or "two_branch". branches: of the latter, "separate", "shared_tail" (one tail
    and classifier for both) or "shared" (one branch for both). weights: as in
    `backbone.imagenet_weights`; None leaves the backbone empty, for a state that is loaded next.
    """
    if branches not in ("separate", "shared_tail", "shared"):
        raise ValueError(f"branches {branches!r}; there are separate, shared_tail and shared")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = blank_weights() if weights is None else imagenet_weights(weights)
        if system == "xception":
            return OneBranch(Branch(*head_and_tail(state), attention=False))
        if system == "two_branch":
            high = Branch(*head_and_tail(state), attention, form)
            if branches == "shared":
                return SharedBranch(high)
            low = Branch(*head_and_tail(state), attention, form)
            if branches == "shared_tail":
                low.tail, low.fc = high.tail, high.fc
            else:
                low.fc = copy.deepcopy(high.fc)
            return TwoBranch(high, low)
    raise ValueError(f"unknown system {system!r}; there are xception and two_branch")


def attention_target(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """M_gt on the attention map's grid: the share of forged pixels under each of its cells.

    mask: B x 1 x S x S, binary at crop size. Returns B x 1 x s x s, soft.
    """
    return F.adaptive_avg_pool2d(mask.float(), size)


def attention_means(m: Tensor, target: Tensor, label: Tensor) -> dict[str, Tensor]:
    """Mean of M over forged cells (weighed by the target) and over the rest of forged faces, and
    over real faces; NaN of none. m, target: B x 1 x s x s, label: B."""
    m, forged = m.detach().float(), label == 1
    seen, share = m[forged], target[forged]
    return {
        "attention_inside": (seen * share).sum() / share.sum(),
        "attention_outside": (seen * (1 - share)).sum() / (1 - share).sum(),
        "attention_real": m[~forged].mean(),
    }
