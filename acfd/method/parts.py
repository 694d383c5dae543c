"""A system taken apart for a reader: its parts with the shapes of what they put out, and every term
of its loss on one batch. Nothing here is part of training."""

from math import nan
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from acfd.method.system import System

# Of a branch of the paper: module -> what it is, and the symbol of what it puts out
PARTS = {
    "head": ("head, to block 7", "V"),
    "attention": ("attention, 3 x 3 convolution", "M"),
    "tail": ("tail, from block 8, pooled", "C"),
    "fc": ("classifier", "logits"),
    "critic": ("order critic", "D"),
}
OTHERS = "not in the paper"
# Term -> symbol, where it stands in the paper, what it asks for
TERMS = {
    "cls": ("L_Cls", "Eq. 1", "real or forged, right at each quality"),
    "gan": ("L_Gan", "Eq. 2", "D cannot tell [V_H, V_L] from [V_L, V_H]"),
    "at": ("L_AT", "Eq. 5", "M_H like the mask, M_L like M_H"),
    "dis": ("L_Dis", "Eq. 6", "|C| below r- if real, above r+ if forged; C_h near C_l"),
    "kd": ("L_KD", OTHERS, "c40 logits like c23 logits (distillation)"),
    "fd": ("L_FD", OTHERS, "C_l in the direction of C_h"),
    "xray": ("L_b", OTHERS, "the map draws the seam of the blending"),
}


class Look(NamedTuple):
    """What `look` finds. parts: columns branch, name, part, out, shape, parameters; terms: columns
    term, symbol, equation, asks, value, weight, weighted, the total last."""

    parts: pd.DataFrame
    terms: pd.DataFrame


def branches(net: nn.Module) -> dict[str, nn.Module]:
    """The networks of a system by the paper's names: E_H and E_L, "E_H = E_L" where they are one
    and the same, or E, a single network for all that it is shown."""
    high, low = getattr(net, "high", None), net.low
    if high is None:
        return {"E": low}
    return {"E_H = E_L": low} if high is low else {"E_H": high, "E_L": low}


def look(system: System, batch: dict[str, Tensor]) -> Look:
    """Show a system one batch, as training would (`pairs.prepare`), and note what happens. Changes
    nothing but the running statistics of this system's batch norms."""
    seen: dict[nn.Module, Tensor] = {}
    named = _named(system)
    hooks = [
        module.register_forward_hook(lambda _, __, out, part=part: seen.update({part: out}))
        for _, _, part in named
        for module in part.modules()
    ]
    try:
        with torch.no_grad():
            outputs = system.net(*system.inputs(batch))
            terms = system.terms(outputs, batch)
    finally:
        for hook in hooks:
            hook.remove()
    lines = []
    for branch, name, part in named:
        what, out = PARTS.get(name, (name, ""))
        index = branch[1:] if branch in ("E_H", "E_L") and len(out) == 1 else ""
        line = {"branch": branch, "name": name, "part": what, "out": out + index}
        line |= {"shape": _shape(seen.get(part))}
        lines.append(line | {"parameters": sum(x.numel() for x in part.parameters())})
    return Look(pd.DataFrame(lines), _terms(system, terms, outputs))


def _named(system: System) -> list[tuple[str, str, nn.Module]]:
    nets = branches(system.net).items()
    found = [(branch, name, part) for branch, net in nets for name, part in net.named_children()]
    return found + ([("D", "critic", system.critic)] if system.critic else [])


def _shape(out) -> str:
    """B x ... of a part's last output; of several tensors, the first."""
    if isinstance(out, tuple):
        out = out[0]
    return "" if out is None else " x ".join(["B", *map(str, out.shape[1:])])


def _terms(system: System, terms: dict[str, Tensor], outputs: tuple) -> pd.DataFrame:
    papers = hasattr(system.net.low, "head")
    columns = ["term", "symbol", "equation", "asks", "value", "weight", "weighted"]
    lines = []
    for name, value in terms.items():
        symbol, equation, asks = TERMS.get(name, (name, OTHERS, ""))
        value, weight = float(value), float(system.weights[name])
        equation = equation if papers else OTHERS
        lines.append((name, symbol, equation, asks, value, weight, value * weight))
    asks, total = "the weighted sum, which the network descends", float(system.loss(terms))
    lines.append(("loss", "L", "Eq. 1" if papers else OTHERS, asks, nan, nan, total))
    if system.critic:
        own = float(system.critic_loss(outputs, torch.Generator().manual_seed(0)).detach())
        asks = "D tells the order (WGAN-GP; its own optimiser)"
        lines.append(("critic", "L_D", "Eq. 2", asks, own, nan, nan))
    return pd.DataFrame(lines, columns=columns).set_index("symbol")
