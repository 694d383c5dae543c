"""The paper's system: two branches, an order critic, and the four losses of Eq. 1."""

import copy

import torch

from acfd.method import losses
from acfd.method.backbone import head_and_tail, imagenet_weights
from acfd.method.model import Branch, OrderCritic, SharedBranch, TwoBranch, attention_target
from acfd.method.system import System


class TwoBranchSystem(System):
    """Eq. 1. A term whose weight is zero is not computed."""

    @classmethod
    def network(cls, params, weights, seed):
        """As params.model.branches says: separate, shared_tail (one tail and classifier for E_H
        and E_L, as in the released code), or shared (one branch for both)."""
        p, state = params.model, imagenet_weights(weights)
        form = p.attention_form if p.attention else None
        high = Branch(*head_and_tail(state), form)
        if p.branches == "shared":
            return SharedBranch(high)
        low = Branch(*head_and_tail(state), form)
        if p.branches == "shared_tail":
            low.tail, low.fc = high.tail, high.fc
        else:
            low.fc = copy.deepcopy(high.fc)
        return TwoBranch(high, low)

    def __init__(self, params, net):
        super().__init__(params, net)
        p = params.loss
        self.weights = {"cls": p.cls, "gan": p.gan, "at": p.at, "dis": p.dis}
        self.weights |= {"kd": p.distil_logits, "fd": p.distil_features}
        if p.gan > 0:
            self.critic = OrderCritic(params.model.critic_width)

    def inputs(self, batch):
        return batch["high"], batch["low"]

    def terms(self, outputs, batch):
        p, label = self.params.loss, batch["label"]
        high, low = outputs
        each = [losses.classification(o.logits, label) for o in outputs]
        terms = {"cls": torch.stack(each).mean()}
        if p.at > 0 and self.params.model.attention:  # Eq. 5
            target = attention_target(batch["mask"], high.attention.shape[-2:])
            terms["at"] = losses.attention_transfer(
                high.attention, low.attention, p.transfer, p.transfer_moves_high
            ) + losses.attention_supervision(high.attention_logits, target, p.attention)
        if p.dis > 0:  # Eq. 6
            terms["dis"] = (
                losses.metric_hinge(high.feature, label, p.radius_real, p.radius_fake)
                + losses.metric_hinge(low.feature, label, p.radius_real, p.radius_fake)
                + losses.metric_transfer(high.feature, low.feature)
            )
        if p.distil_logits > 0:
            terms["kd"] = losses.logit_distillation(high.logits, low.logits, p.temperature)
        if p.distil_features > 0:
            terms["fd"] = losses.feature_distillation(high.feature, low.feature)
        if p.gan > 0:  # Eq. 2; the critic judges here, it does not learn here
            self.critic.requires_grad_(False)
            terms["gan"] = losses.order_confusion(self.critic, high.mid, low.mid)
            self.critic.requires_grad_(True)
        return terms

    def critic_loss(self, outputs, generator):
        high, low = outputs
        penalty = self.params.loss.gradient_penalty
        return losses.order_critic(self.critic, high.mid, low.mid, penalty, generator)

    @torch.no_grad()
    def monitored(self, outputs, batch):
        """Besides M: does Eq. 6 get what it asks for? Of the low-quality branch |C| by class and
        the share of hinges at zero; |C_h - C_l| of a face beside the mean one to other faces."""
        p, (high, low), forged = self.params.loss, outputs, batch["label"] == 1
        norm = torch.linalg.vector_norm(low.feature.float(), dim=1)
        apart = torch.cdist(high.feature.float(), low.feature.float())
        own, n = apart.diagonal(), len(apart)
        return super().monitored(outputs, batch) | {
            "norm_real": norm[~forged].mean(),
            "norm_forged": norm[forged].mean(),
            "hinge_real": (norm[~forged] <= p.radius_real).float().mean(),
            "hinge_forged": (norm[forged] >= p.radius_fake).float().mean(),
            "pair_distance": own.mean(),
            "other_distance": (apart.sum() - own.sum()) / max(n * n - n, 1),
        }
