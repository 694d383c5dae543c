"""The deployed branch as one function from the bytes of a crop to its log-odds."""

from __future__ import annotations

from torch import Tensor, nn


class Judge(nn.Module):
    """forward: N x S x S x 3 uint8 RGB -> (log-odds of forged N, attention N x 1 x s x s, if any).

    The log-odds are the difference of the two logits, so their logistic function is
    `Output.score`. Images are scaled as `pairs.prepare` scales them.
    """

    def __init__(self, branch: nn.Module):
        super().__init__()
        self.branch = branch

    def forward(self, faces: Tensor) -> tuple[Tensor, ...]:
        images = faces.permute(0, 3, 1, 2).float() / 127.5 - 1
        out = self.branch(images)
        logit = out.logits[:, 1] - out.logits[:, 0]
        return (logit,) if out.attention is None else (logit, out.attention)
