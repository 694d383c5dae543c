"""The paper's losses, Eq. 1 to 6, each term a pure function; `two_branch` weighs them.

Eq. 1   L = L_Cls + 0.001 L_Gan + 1 L_AT + 0.1 L_Dis
Eq. 2   L_Gan: `order_critic` for the critic, `order_confusion` for the two heads
Eq. 3, 4   V' = V * M, the gate of a branch: `model.Branch`
Eq. 5   L_AT: `attention_transfer` + `attention_supervision`
Eq. 6   L_Dis: `metric_hinge` of either branch + `metric_transfer`

Shapes: B pairs; logits B x 2; V B x 728 x s x s; attention maps M and masks B x 1 x s x s in
[0, 1] with 1 = forged; pooled features C B x 2048; labels B, integer, 0 = real and 1 = forged.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Critic = Callable[[Tensor, Tensor], Tensor]  # first and second V -> B scores of this order


def classification(logits: Tensor, label: Tensor) -> Tensor:
    """L_Cls of one branch: cross-entropy, mean over the batch."""
    return F.cross_entropy(logits.float(), label)


def order_critic(
    critic: Critic,
    v_high: Tensor,
    v_low: Tensor,
    penalty: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The critic's loss, Eq. 2 read as WGAN-GP: -E D[H, L] + E D[L, H] + penalty * GP.

    GP interpolates between the two orders of the same pair, at a point drawn from `generator` (on
    the CPU, so that every device draws alike), and asks for a gradient of norm 1 there. V is a
    constant here.
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


def order_confusion(critic: Critic, v_high: Tensor, v_low: Tensor) -> Tensor:
    """L_Gan, Eq. 2 for the two heads: E D[H, L] - E D[L, H], which they make small."""
    v_high, v_low = v_high.float(), v_low.float()
    return critic(v_high, v_low).mean() - critic(v_low, v_high).mean()


def attention_transfer(
    m_high: Tensor, m_low: Tensor, kind: Literal["l1", "l2"], moves_high: bool = False
) -> Tensor:
    """|M_H - M_L|, first term of Eq. 5, mean over pixels: attention goes from high quality to low.

    kind: "l1", as printed; "l2", as in the authors' released code: squared differences of the maps,
    each scaled to a Euclidean length of one.
    moves_high: whether the term also moves M_H, which knows more; if not, M_H is a constant here.
    """
    if not moves_high:
        m_high = m_high.detach()
    if kind == "l1":
        return (m_high - m_low).abs().mean()
    exact = torch.promote_types(m_low.dtype, torch.float32)
    high, low = (F.normalize(m.to(exact).flatten(1), dim=1) for m in (m_high, m_low))
    return (high - low).square().mean()


def attention_supervision(logits: Tensor, target: Tensor, kind: Literal["l1", "bce"]) -> Tensor:
    """|M_H - M_gt|, second term of Eq. 5, mean over pixels; M_H = sigmoid(logits), B x 1 x s x s.

    kind: "l1", as printed. Most of the target is zero, so a zero map is its optimum, and it gets
    there (the collapse). "bce", binary cross-entropy: its gradient at the logits is M - target,
    which does not vanish as M goes to zero.
    """
    if kind == "l1":
        return (torch.sigmoid(logits) - target).abs().mean()
    return F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none").mean()


def metric_hinge(c: Tensor, label: Tensor, radius_real: float, radius_fake: float) -> Tensor:
    """First terms of Eq. 6, mean over the batch: real features inside the sphere r-, max(0, |C| -
    r-), forged ones outside r+, max(0, r+ - |C|)."""
    norm = torch.linalg.vector_norm(c.float(), dim=1)
    hinge = torch.where(label == 1, radius_fake - norm, norm - radius_real)
    return hinge.clamp_min(0).mean()


def metric_transfer(c_high: Tensor, c_low: Tensor) -> Tensor:
    """|C_h - C_l|, last term of Eq. 6: the Euclidean norm, as |C| there; mean over the batch."""
    return torch.linalg.vector_norm((c_high - c_low).float(), dim=1).mean()


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
