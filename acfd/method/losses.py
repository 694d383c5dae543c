"""Every term of the paper's loss (Eq. 1 to 6), each a pure function; one place weighs them.

Shapes: B pairs; logits B x 2; V B x 728 x s x s; attention maps M and masks B x 1 x s x s in
[0, 1] with 1 = forged; pooled features C B x 2048; labels B, integer, 0 = real and 1 = forged.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def classification(logits: Tensor, label: Tensor) -> Tensor:
    """L_Cls of one branch: cross-entropy, mean over the batch."""
    return F.cross_entropy(logits.float(), label)


def attention_supervision(
    logits: Tensor, target: Tensor, kind: str, reduction: str = "mean"
) -> Tensor:
    """M_H against the mask, second term of Eq. 5; M_H = sigmoid(logits), B x 1 x s x s.

    kind: "l1", as printed. Most of the target is zero, so a zero map is its optimum, and it gets
    there (the collapse). "bce", binary cross-entropy: its gradient at the logits is M - target,
    which does not vanish as M goes to zero.
    reduction: "mean" over pixels, or "sum" over pixels; always the mean over the batch.
    """
    if kind == "l1":
        pixels = (torch.sigmoid(logits) - target).abs()
    elif kind == "bce":
        pixels = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    else:
        raise ValueError(f"loss.attention is {kind!r}, expected l1 or bce")
    return _reduce(pixels, reduction)


def attention_transfer(
    m_high: Tensor, m_low: Tensor, kind: str, reduction: str = "mean", moves_high: bool = False
) -> Tensor:
    """M_L against M_H, first term of Eq. 5: attention goes from high quality to low.

    kind: "l1", Eq. 5; "l2", as in the authors' released code: squared differences of the maps, each
    scaled to a Euclidean length of one.
    moves_high: whether the term also moves M_H, which knows more; if not, M_H is a constant here.
    """
    if not moves_high:
        m_high = m_high.detach()
    if kind == "l1":
        pixels = (m_high - m_low).abs()
    elif kind == "l2":
        exact = torch.promote_types(m_low.dtype, torch.float32)
        high, low = (F.normalize(m.to(exact).flatten(1), dim=1) for m in (m_high, m_low))
        pixels = (high - low).square()
    else:
        raise ValueError(f"loss.transfer is {kind!r}, expected l1 or l2")
    return _reduce(pixels, reduction)


def metric_hinge(c: Tensor, label: Tensor, radius_real: float, radius_fake: float) -> Tensor:
    """First terms of Eq. 6: real features inside the sphere r-, forged ones outside r+.

    real: max(0, |C| - r-), forged: max(0, r+ - |C|); mean over the batch.
    """
    norm = torch.linalg.vector_norm(c.float(), dim=1)
    hinge = torch.where(label == 1, radius_fake - norm, norm - radius_real)
    return hinge.clamp_min(0).mean()


def metric_transfer(c_high: Tensor, c_low: Tensor, reduction: str = "norm") -> Tensor:
    """Last term of Eq. 6: |C_h - C_l|, mean over the batch.

    norm: the Euclidean one, which |C| is in the same equation; mean, sum: of the absolute
    differences over the features. With 2048 of them, mean is about 50 times weaker than norm.
    """
    difference = c_high - c_low
    if reduction == "norm":
        return torch.linalg.vector_norm(difference.float(), dim=1).mean()
    return _reduce(difference.abs(), reduction)


def logit_distillation(high: Tensor, low: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(high / T) || softmax(low / T)), mean over the batch: the low-quality branch
    learns what the high-quality one, a constant here, says of the same face.

    Not in the paper: knowledge distillation, Hinton et al. 2015 (arXiv 1503.02531). Logits B x 2.
    """
    teacher = F.log_softmax(high.detach().float() / temperature, dim=1)
    student = F.log_softmax(low.float() / temperature, dim=1)
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def feature_distillation(c_high: Tensor, c_low: Tensor) -> Tensor:
    """1 - cos(C_h, C_l), mean over the batch; C_h is a constant. Not in the paper.

    Eq. 6 asks for equal features and moves both; the direction alone leaves lengths free.
    """
    return (1 - F.cosine_similarity(c_high.detach().float(), c_low.float())).mean()


def order_critic(
    critic: Callable[[Tensor, Tensor], Tensor],
    v_high: Tensor,
    v_low: Tensor,
    penalty: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The critic's loss, Eq. 2 read as WGAN-GP: -E D[H, L] + E D[L, H] + penalty * GP.

    critic(first, second) -> B scores of the concatenation in that order. GP interpolates between
    the two orders of the same pair, at a point drawn from `generator` (on the CPU, so that every
    device draws alike), and asks for a gradient of norm 1 there. V is a constant here.
    """
    v_high, v_low = v_high.detach().float(), v_low.detach().float()
    distance = critic(v_low, v_high).mean() - critic(v_high, v_low).mean()
    at = torch.rand(len(v_high), 1, 1, 1, generator=generator).to(v_high)
    first = torch.lerp(v_high, v_low, at).requires_grad_()
    second = torch.lerp(v_low, v_high, at).requires_grad_()
    gradients = torch.autograd.grad(critic(first, second).sum(), (first, second), create_graph=True)
    squares = sum(g.square().sum(dim=(1, 2, 3)) for g in gradients)
    # the small constant keeps the square root's own gradient finite at a zero gradient
    return distance + penalty * ((squares + 1e-12).sqrt() - 1).square().mean()


def order_confusion(
    critic: Callable[[Tensor, Tensor], Tensor], v_high: Tensor, v_low: Tensor
) -> Tensor:
    """L_Gan for the two heads, Eq. 2: E D[H, L] - E D[L, H], which they make small."""
    v_high, v_low = v_high.float(), v_low.float()
    return critic(v_high, v_low).mean() - critic(v_low, v_high).mean()


def _reduce(values: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return values.mean()
    if reduction == "sum":
        return values.flatten(1).sum(dim=1).mean()
    raise ValueError(f"reduction is {reduction!r}, expected mean or sum")
