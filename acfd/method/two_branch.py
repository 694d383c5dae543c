"""The paper's system: two branches, an order critic, and the four losses of Eq. 1."""

from __future__ import annotations

import torch
from torch import nn

from acfd.method import losses, model
from acfd.method.model import attention_target
from acfd.method.system import System
from acfd.params import Params


class TwoBranchSystem(System):
    """Eq. 1. A term whose weight is zero is not computed."""

    @classmethod
    def network(cls, params, weights, seed):
        p = params.model
        return model.build(
            "two_branch",
            attention=p.attention,
            form=p.attention_form,
            branches=p.branches,
            weights=weights,
            seed=seed,
        )

    def __init__(self, params: Params, net: nn.Module):
        super().__init__(params, net)
        p = params.loss
        self.weights = {"cls": p.cls, "gan": p.gan, "at": p.at, "dis": p.dis}
        self.weights |= {"kd": p.distil_logits, "fd": p.distil_features}
        if p.gan > 0:
            self.critic = model.OrderCritic(params.model.critic_width)

    def inputs(self, batch):
        return batch["high"], batch["low"]

    def terms(self, outputs, batch):
        p, label = self.params.loss, batch["label"]
        high, low = outputs
        each = [losses.classification(o.logits, label) for o in outputs]
        terms = {"cls": torch.stack(each).mean()}
        if p.at > 0 and self.params.model.attention:
            target = attention_target(batch["mask"], high.attention.shape[-2:])
            terms["at"] = losses.attention_transfer(
                high.attention,
                low.attention,
                p.transfer,
                p.attention_reduction,
                p.transfer_moves_high,
            ) + losses.attention_supervision(
                high.attention_logits, target, p.attention, p.attention_reduction
            )
        if p.dis > 0:
            terms["dis"] = (
                losses.metric_hinge(high.feature, label, p.radius_real, p.radius_fake)
                + losses.metric_hinge(low.feature, label, p.radius_real, p.radius_fake)
                + losses.metric_transfer(high.feature, low.feature, p.metric_reduction)
            )
        if p.distil_logits > 0:
            terms["kd"] = losses.logit_distillation(high.logits, low.logits, p.temperature)
        if p.distil_features > 0:
            terms["fd"] = losses.feature_distillation(high.feature, low.feature)
        if p.gan > 0:
            # the critic judges here, it does not learn here
            self.critic.requires_grad_(False)
            terms["gan"] = losses.order_confusion(self.critic, high.mid, low.mid)
            self.critic.requires_grad_(True)
        return terms

    @torch.no_grad()
    def monitored(self, outputs, batch):
        """Besides M: does Eq. 6 get what it asks for? Of the low-quality branch |C| by class and
        the share of hinges at zero; |C_h - C_l| of a face beside the mean one to other faces."""
        p, (high, low), forged = self.params.loss, outputs, batch["label"] == 1
        c_high, c_low = high.feature.float(), low.feature.float()
        norm = torch.linalg.vector_norm(c_low, dim=1)
        apart = torch.cdist(c_high, c_low)
        own, n = apart.diagonal(), len(apart)
        return super().monitored(outputs, batch) | {
            "norm_real": norm[~forged].mean(),
            "norm_forged": norm[forged].mean(),
            "hinge_real": (norm[~forged] <= p.radius_real).float().mean(),
            "hinge_forged": (norm[forged] >= p.radius_fake).float().mean(),
            "pair_distance": own.mean(),
            "other_distance": (apart.sum() - own.sum()) / max(n * n - n, 1),
        }

    def critic_loss(self, outputs, generator):
        high, low = outputs
        penalty = self.params.loss.gradient_penalty
        return losses.order_critic(self.critic, high.mid, low.mid, penalty, generator)
