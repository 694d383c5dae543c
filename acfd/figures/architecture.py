"""The network of a run and its losses as a drawing; lengths are inches."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from acfd.figures import FORGED, REAL, subplots
from acfd.method.parts import Look
from acfd.method.system import System

BOX, LOSS = ("#e3eef8", REAL), ("#fdeadb", FORGED)  # face, edge
CRITIC = "critic D: which order,\n$[V_H, V_L]$ or $[V_L, V_H]$?\n"
GATES = {  # model.attention_form: what goes on to the tail
    "product": "V' = V · M\n(Eq. 3, 4)",
    "normalised": "V' = V · M / mean(M)\n(Eq. 3, 4, normalised)",
    "auxiliary": "V' = V\n(M gates nothing)",
}
SHARED = {"separate": "used alone at test time", "shared": "the same network as $E_H$"}
SHARED |= {"shared_tail": "tail and classifier are those of $E_H$; used alone at test time"}
# Box -> its middle and its width
AT = {"face": (0.65, 0.9), "head": (2.2, 1.5), "attention": (4.15, 1.6)}
AT |= {"tail": (6.05, 1.4), "feature": (7.55, 1.05), "fc": (9.05, 1.2)}
HIGH, LOW, MIDDLE = 4.55, 1.05, 2.8  # heights of the branches, and of the losses between them
# Term -> the box whose outputs it compares, if not the classifier's
COMPARED = {"gan": "head", "at": "attention", "dis": "feature", "fd": "feature"}


def architecture(system: System, seen: Look, pair: dict[str, np.ndarray]) -> Figure:
    """Boxes of the network, their output shapes, and the losses with equation and weight. seen:
    from method.parts.look; pair: high and low, H x W x 3 uint8, and mask, H x W."""
    draw, height = (_two_branches, 5.6) if hasattr(system.net, "high") else (_one_branch, 2.5)
    fig, axes = subplots(1, 1, (9.9, height), layout="none")
    draw(axes[0, 0], system, seen, pair)
    axes[0, 0].set(position=(0, 0, 1, 1), xlim=(0, 9.9), ylim=(0, height), aspect="equal")
    axes[0, 0].set_axis_off()
    return fig


def _two_branches(ax: Axes, system: System, seen: Look, pair: dict[str, np.ndarray]) -> None:
    p, data = system.params.model, system.params.data
    shape = seen.parts.drop_duplicates("name").set_index("name")["shape"].str.replace("B x ", "")
    mapped = "attention" in shape
    for sign, y, quality in ((1, HIGH, "high"), (-1, LOW, "low")):
        letter, below = quality[0].upper(), y - sign * 0.95
        ax.axhspan(*sorted((y + sign * 0.9, below - sign * 0.36)), 0.135, 0.995, color="#f6f6f6")
        note = f"sees {getattr(data, quality)}" + (f"; {SHARED[p.branches]}" if sign < 0 else "")
        ax.text(1.5, y + sign * 0.66, f"$E_{letter}$: Xception, {note}", va="center", weight="bold")
        _picture(ax, AT["face"][0], y, pair[quality], getattr(data, quality))
        texts = {"head": f"head (to block 7)\n$V_{letter}$: {shape['head']}"}
        if mapped:
            texts["attention"] = GATES[p.attention_form].replace("V'", f"$V_{letter}'$")
            x = AT["attention"][0]
            _box(ax, (x, 1.5), below, f"attention, sigmoid\n$M_{letter}$: {shape['attention']}")
            _arrow(ax, (AT["head"][0] + 0.6, y - sign * 0.28), (x - 0.75, below))
            if p.attention_form != "auxiliary":
                _arrow(ax, (x, below + sign * 0.28), (x, y - sign * 0.28))
        texts |= {"tail": "tail (from block 8)", "feature": f"$C_{letter}$: {shape['tail']}"}
        texts |= {"fc": "classifier\nreal | forged"}
        for before, (name, text) in zip(["face", *texts], texts.items()):
            (left, wide), (x, width) = AT[before], AT[name]
            _arrow(ax, (left + wide / 2, y), (x - width / 2, y))
            _box(ax, AT[name], y, text)
    for place, lines in _losses(seen).items():
        x, far = AT[place][0], 1.23 if place == "attention" else 0.28
        _arrow(ax, (x, HIGH - far), (x, LOW + far), "-", FORGED)
        width, asked = (1.65, CRITIC) if place == "head" else (1.25, "")
        _box(ax, (x, width), MIDDLE, asked + "\n".join(lines), LOSS)
        if place == "attention":
            _picture(ax, 5.95, MIDDLE, pair["mask"], "mask", 0.55)
            _arrow(ax, (5.65, MIDDLE), (x + 0.625, MIDDLE), color=FORGED)


def _one_branch(ax: Axes, system: System, seen: Look, pair: dict[str, np.ndarray]) -> None:
    y, qualities = 1.25, system.params.train.qualities
    for k, quality in enumerate(qualities):
        at = y + (len(qualities) - 1 - 2 * k) * 0.58
        _picture(ax, 0.8, at, pair[quality], getattr(system.params.data, quality))
        _arrow(ax, (1.3, at), (2.2, y))
    shape = seen.parts.set_index("part")["shape"].drop("classifier").str.replace("B x ", "")
    lines = [f"{part}: {at}" for part, at in shape.items()]
    _box(ax, (4.0, 3.6), y, "\n".join(["$E$, one network", *lines]))
    _box(ax, (6.95, 1.3), y, "classifier\nreal | forged")
    _box(ax, (8.8, 1.4), y, "\n".join(_losses(seen)["fc"]), LOSS)
    _arrow(ax, (5.8, y), (6.3, y))
    _arrow(ax, (7.6, y), (8.1, y), color=FORGED)


def _losses(seen: Look) -> dict[str, list[str]]:
    """Box -> a line for each term that compares its outputs."""
    found = {}
    for symbol, line in seen.terms[seen.terms["weight"].notna()].iterrows():
        equation = line["equation"] if line["equation"].startswith("Eq.") else "no Eq."
        said = f"${symbol[0]}_{{{symbol[2:]}}}$, {equation}, × {line['weight']:g}"
        found.setdefault(COMPARED.get(line["term"], "fc"), []).append(said)
    return found


def _box(ax: Axes, place: tuple[float, float], y: float, text: str, look=BOX) -> None:
    (x, width), (face, edge) = place, look
    height = max(0.56, 0.16 * (text.count("\n") + 1) + 0.2)
    style = {"boxstyle": "round,pad=0,rounding_size=0.08", "fc": face, "ec": edge, "lw": 1.2}
    ax.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, **style, zorder=3))
    ax.text(x, y, text, ha="center", va="center", fontsize=8, zorder=4, linespacing=1.35)


def _arrow(ax: Axes, start, end, style: str = "-|>", color: str = "#444444") -> None:
    line = {"arrowstyle": style, "color": color, "lw": 1.3, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops=line, zorder=2)


def _picture(ax: Axes, x: float, y: float, image: np.ndarray, title: str, side: float = 0.9):
    half = side / 2
    style = {"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "none", "zorder": 3}
    ax.imshow(image, extent=(x - half, x + half, y - half, y + half), **style)
    ax.text(x, y - half - 0.05, title, ha="center", va="top", fontsize=8)
