"""A system = network + losses as one row of a table has them; what `runs.train.fit` trains.

The paper's is two_branch.py, those it is compared with are in acfd/baselines/; `acfd.registry` has
every name.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from acfd.method.model import Output, attention_target
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
        self.weights: dict[str, float] = {}  # of every loss term

    @classmethod
    def network(cls, params: Params, weights: str | None, seed: int) -> nn.Module:
        """A fresh network, its new layers drawn from torch's generator, which the caller seeds. Its
        forward takes `inputs` and returns one Output for each. weights: as in
        `backbone.imagenet_weights`; seed: of layers that draw by themselves in training."""
        raise NotImplementedError

    def inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """What `net` is called with."""
        raise NotImplementedError

    def terms(self, outputs: tuple[Output, ...], batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Unweighted loss terms, by the names that `weights` has."""
        raise NotImplementedError

    def loss(self, terms: dict[str, Tensor]) -> Tensor:
        """Eq. 1: the weighted sum of the terms."""
        return sum(self.weights[name] * term for name, term in terms.items())

    def critic_loss(self, outputs: tuple[Output, ...], generator: torch.Generator) -> Tensor:
        """What `critic`, if there is one, makes small."""
        raise NotImplementedError

    def monitored(self, outputs: tuple[Output, ...], batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """What is logged of a training step beside its losses: scalars, without gradients."""
        m = outputs[0].attention
        if m is None or not self.map_is_mask:
            return {}
        target = attention_target(batch["mask"], m.shape[-2:])
        return attention_means(m, target, batch["label"])

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
