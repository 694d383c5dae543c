"""A system = network + losses as one row of a table has them; what `train.fit` trains.

`fit` knows a system by this interface alone: `net`, `critic`, `inputs`, `terms`, `loss`,
`critic_loss`, `groups`, `deployed`, `judged`, `map_is_mask`. The systems that Table 1 compares are
subclasses in acfd/baselines/; `acfd.baselines.SYSTEMS` has every name.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from acfd import baselines, losses, model
from acfd.model import Output
from acfd.params import Params


class System:
    """Common to all: two qualities and a mask in, terms of a loss out.

    A batch is a dict of high, low (B x 3 x S x S in [-1, 1]), mask (B x 1 x S x S, 0 or 1) and
    label (B, 0 real, 1 forged). Where forgeries are blended afresh it has `soft` as well, the
    blending weight before it was made a mask (B x 1 x S x S in [0, 1]).
    """

    critic: nn.Module | None = None
    fit: Callable | None = None  # in place of train.fit, for what is not trained by gradients
    map_is_mask = True  # is the attention map to be compared with the mask?

    def __init__(self, params: Params, net: nn.Module):
        self.params = params
        self.net = net
        self.weights = {}

    @classmethod
    def network(cls, params: Params, weights: str | None, seed: int) -> nn.Module:
        """A fresh network; its forward takes `inputs` and returns one Output for each.

        weights: as in `backbone.imagenet_weights`; None: a state is loaded next.
        """
        raise NotImplementedError

    def inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """What `net` is called with."""
        raise NotImplementedError

    def terms(self, outputs: tuple[Output, ...], batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Unweighted loss terms, by the names that `weights` has."""
        raise NotImplementedError

    def loss(self, terms: dict[str, Tensor]) -> Tensor:
        return losses.total(terms, self.weights)

    def critic_loss(self, outputs: tuple[Output, ...], generator: torch.Generator) -> Tensor:
        raise NotImplementedError

    def monitored(self, outputs: tuple[Output, ...], batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """What is logged of a training step beside its losses: scalars, without gradients."""
        m = outputs[0].attention
        if m is None or not self.map_is_mask:
            return {}
        target = losses.attention_target(batch["mask"], m.shape[-2:])
        return losses.attention_means(m, target, batch["label"])

    def groups(self) -> list[dict]:
        """Parameter groups for the optimiser of `net`."""
        t = self.params.train
        slow, rest = [], []
        for name, parameter in self.net.named_parameters():
            (slow if ".attention." in f".{name}" else rest).append(parameter)
        groups = [{"params": rest, "lr": t.lr}]
        if slow:
            # Its fan-in of 728 x 9 makes Adam's step on the map's logit thousands of times the
            # learning rate: at full rate M leaves for a flat end of the sigmoid within ten steps.
            groups.append({"params": slow, "lr": t.lr * t.attention_lr_scale})
        return groups

    @property
    def deployed(self) -> nn.Module:
        """The one branch that is used at test time: B x 3 x S x S -> Output."""
        return self.net.low

    @property
    def judged(self) -> str:
        """The quality of the validation images by which its epochs are chosen."""
        return "low"


class ClassifierSystem(System):
    """L_Cls alone, on one quality or on both as independent images.

    Its `network` is a `model.OneBranch` around any branch that has an `fc`.
    """

    def __init__(self, params: Params, net: nn.Module):
        super().__init__(params, net)
        self.weights = {"cls": params.loss.cls}

    @property
    def judged(self):
        return "low" if "low" in self.params.train.qualities else "high"

    def inputs(self, batch):
        return tuple(batch[quality] for quality in self.params.train.qualities)

    def terms(self, outputs, batch):
        parts = [losses.classification(o.logits, batch["label"]) for o in outputs]
        return {"cls": torch.stack(parts).mean()}


class XceptionSystem(ClassifierSystem):
    """A plain Xception."""

    @classmethod
    def network(cls, params, weights, seed):
        return model.build("xception", weights=weights, seed=seed)


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
            target = losses.attention_target(batch["mask"], high.attention.shape[-2:])
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


def make(params: Params, row: str, seed: int, *, weights: str | None = "") -> System:
    """The system of one row, freshly initialised from `seed`.

    weights: "" for params.model.weights, None for a network whose state is loaded next.
    """
    p = params.for_row(row)
    cls = baselines.find(p.rows[row].system)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = cls.network(p, p.model.weights if weights == "" else weights, seed)
        return cls(p, net)
