"""Each term of Eq. 1 to 6 against values worked out by hand, and its gradients."""

import math

import pytest
import torch
from torch import nn

from acfd.method import losses
from acfd.method.model import attention_target


def test_attention_target_is_the_share_of_forged_pixels():
    mask = torch.zeros(1, 1, 4, 4)
    mask[0, 0, :2, :2] = 1
    mask[0, 0, 3, 3] = 1
    expected = torch.tensor([[[[1.0, 0.0], [0.0, 0.25]]]])
    assert torch.equal(attention_target(mask, (2, 2)), expected)


def test_attention_supervision_by_hand():
    m = torch.tensor([0.5, 0.25, 0.0, 1.0]).view(1, 1, 2, 2).logit(eps=1e-7)
    target = torch.tensor([1.0, 0.0, 0.0, 1.0]).view(1, 1, 2, 2)
    assert losses.attention_supervision(m, target, "l1").item() == pytest.approx(0.75 / 4, 1e-5)
    bce = (math.log(2) - math.log(0.75)) / 4
    assert losses.attention_supervision(m, target, "bce").item() == pytest.approx(bce, 1e-5)


def test_attention_transfer_moves_low_only_unless_told():
    for moves in (False, True):
        high = torch.rand(2, 1, 3, 3, requires_grad=True)
        low = torch.rand(2, 1, 3, 3, requires_grad=True)
        losses.attention_transfer(high, low, "l1", moves_high=moves).backward()
        assert low.grad.abs().sum() > 0
        assert (high.grad is not None) == moves
    a, b = torch.full((1, 1, 2, 2), 0.75), torch.full((1, 1, 2, 2), 0.25)
    assert losses.attention_transfer(a, b, "l1").item() == pytest.approx(0.5)
    # l2 is of maps of length one: (1, 1, 1, 1) / 2 against (1, 0, 0, 0)
    b = torch.tensor([[[[0.25, 0.0], [0.0, 0.0]]]])
    assert losses.attention_transfer(a, b, "l2").item() == pytest.approx(0.25)
    assert losses.attention_transfer(a, 0.1 * a, "l2").item() == pytest.approx(0.0, abs=1e-6)
    flat = torch.zeros(1, 1, 2, 2, dtype=torch.bfloat16)
    assert losses.attention_transfer(a.bfloat16(), flat, "l2").item() == pytest.approx(0.25)


def test_metric_hinge_by_hand():
    c = torch.tensor([[3.0, 4.0], [6.0, 8.0], [30.0, 40.0], [60.0, 80.0]])  # 5, 10, 50, 100
    label = torch.tensor([0, 0, 1, 1])
    # real: 0 and 5 above r-; forged: 25 and 0 below r+
    assert losses.metric_hinge(c, label, 5.0, 75.0).item() == pytest.approx((0 + 5 + 25 + 0) / 4)
    # in half precision |C| would be rounded before it is compared with a radius
    assert losses.metric_hinge(c.bfloat16(), label, 5.0, 75.0).dtype == torch.float32


def test_metric_transfer_by_hand():
    high, low = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]])
    assert losses.metric_transfer(high, low).item() == pytest.approx(5**0.5)


class Linear(nn.Module):
    """D[a, b] = w . (sum of a) - w . (sum of b): a critic whose gradients are known."""

    def __init__(self, w: float):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))

    def forward(self, first, second):
        return self.w * (first.sum(dim=(1, 2, 3)) - second.sum(dim=(1, 2, 3)))


def test_order_losses_by_hand():
    high, low = torch.full((2, 1, 1, 1), 3.0), torch.full((2, 1, 1, 1), 1.0)
    critic = Linear(0.5)
    # D[H, L] = 1, D[L, H] = -1; the gradient by either input is +-0.5, its norm sqrt(0.5)
    penalty = (math.sqrt(0.5) - 1) ** 2
    found = losses.order_critic(critic, high, low, penalty=10.0)
    assert found.item() == pytest.approx(-1 - 1 + 10 * penalty, rel=1e-5)
    assert losses.order_confusion(critic, high, low).item() == pytest.approx(2.0)
    low.requires_grad_()  # the critic moves no head
    losses.order_critic(critic, high, low, penalty=10.0).backward()
    assert low.grad is None and critic.w.grad is not None


def test_gradient_penalty_reaches_the_critic():
    critic = Linear(0.5)
    high, low = torch.rand(3, 2, 2, 2), torch.rand(3, 2, 2, 2)

    def penalty():
        with_it = losses.order_critic(critic, high, low, 1.0, torch.Generator().manual_seed(0))
        return with_it - losses.order_critic(critic, high, low, 0.0)

    (gradient,) = torch.autograd.grad(penalty(), critic.w)
    # (|w| sqrt(n) - 1)^2 with n = 16 inputs: derivative 2 (4w - 1) 4 = 8 at w = 0.5
    assert gradient.item() == pytest.approx(8.0, rel=1e-4)


def test_distillation_by_hand_and_it_moves_the_low_quality_alone():
    high = torch.tensor([[0.0, 2.0], [1.0, 1.0]], requires_grad=True)
    low = torch.tensor([[0.0, 0.0], [1.0, 1.0]], requires_grad=True)
    p = 1 / (1 + math.exp(-1.0))  # at T = 2
    kl = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
    loss = losses.logit_distillation(high, low, 2.0)
    assert loss.item() == pytest.approx(4 * kl / 2, rel=1e-5)
    loss.backward()
    assert high.grad is None and low.grad[0, 1] < 0 and not low.grad[1].any()
    c = torch.tensor([[1.0, 0.0], [0.0, 2.0]], requires_grad=True)
    d = torch.tensor([[5.0, 0.0], [1.0, 0.0]], requires_grad=True)
    loss = losses.feature_distillation(c, d)
    assert loss.item() == pytest.approx(0.5)  # the same direction, and a right angle
    loss.backward()
    assert c.grad is None and d.grad[1, 1] < 0
