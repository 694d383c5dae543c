"""Training: `fit` trains any system, and knows none by name."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from safetensors.torch import load_model, save_model
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from tqdm import tqdm

from acfd import losses, pairs
from acfd.params import Compute, Params
from acfd.paths import atomic
from acfd.systems import System

# Mean of M on forged pixels below which it has vanished, whatever else it shows: V' = V * M fades.
VANISHED = 0.05
# A map as low as this that is no higher on forged pixels than elsewhere shows nothing either; but
# a young one passes through here, so this alone is reported and stops no run.
FLAT_BELOW, FLAT_MARGIN = 0.15, 0.02
TERMS = ("cls", "at", "dis", "gan")


class TrainingError(RuntimeError):
    """The run cannot go on: a loss that is not finite, or a collapsed attention map."""


@dataclass
class History:
    """What happened: one dict an epoch, one a step."""

    epochs: list[dict] = field(default_factory=list)
    steps: list[dict] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = math.inf
    stopped: str = ""
    collapsed: bool = False

    @property
    def stale(self) -> int:
        """Epochs since the validation loss last fell."""
        return len(self.epochs) - self.best_epoch


Callback = Callable[[History], None]


def make_fabric(c: Compute) -> Fabric:
    """Fabric as params.compute says; under torchrun or SLURM it takes the launcher's processes."""
    fabric = Fabric(
        accelerator=c.accelerator, devices=c.devices, num_nodes=c.nodes, precision=c.precision
    )
    fabric.launch()
    return fabric


def fit(
    system: System,
    data: pairs.Pairs,
    batches: pairs.BalancedBatches,
    validation: tuple[pairs.Pairs, pairs.InOrder],
    params: Params,
    seed: int,
    scratch: Path,
    *,
    fabric: Fabric | None = None,
    callbacks: tuple[Callback, ...] = (),
    progress: bool = True,
) -> History:
    """Train until the epochs are over or the validation loss has stopped falling.

    The best weights by validation loss end up in `system.net` and in scratch/best.safetensors.
    scratch also holds the resume state: called again with the same arguments after a kill at any
    moment, it goes on and ends with the same result.

    Raises TrainingError if a loss is not finite, or the attention map collapses while
    params.train.on_collapse is "stop".
    """
    t, c = params.train, params.compute
    fabric = fabric or make_fabric(c)
    loop = Loop(system, params, fabric, scratch)
    history, step = loop.resume()
    pin = fabric.device.type == "cuda"
    loader = pairs.loader(data, batches, c.workers, pin)
    checks = pairs.loader(validation[0], validation[1], c.workers, pin)

    while not history.stopped:
        epoch, began = len(history.epochs), time.perf_counter()
        batches.epoch, batches.start = epoch, step
        bar = tqdm(
            loader,
            desc=f"epoch {epoch + 1}/{t.classifier_epochs + t.epochs}",
            unit="batch",
            initial=step,
            total=batches.steps,
            disable=not progress or fabric.global_rank > 0,
            leave=False,
        )
        system.net.train()
        loop.choose(classifier_only=epoch < t.classifier_epochs)
        for item in bar:
            batch = pairs.prepare(item, fabric.device, c.channels_last)
            record = loop.step(batch, (seed, epoch, step))
            history.steps.append({"epoch": epoch + 1, "step": step + 1} | record)
            step += 1
            bar.set_postfix(loss=f"{record['loss']:.3f}")
            if t.checkpoint_steps and step % t.checkpoint_steps == 0:
                loop.save(history, step)
        found = loop.validate(checks)
        terms = list(dict.fromkeys([*TERMS, *system.weights]))
        _close_epoch(history, found, epoch, time.perf_counter() - began, terms)
        step = 0
        if history.best_epoch == epoch + 1:
            loop.save_best()
        _judge(history, t)
        loop.save(history, step)
        for callback in callbacks:
            callback(history)

    if history.stopped == "collapsed":
        raise TrainingError(_collapse_message(history))
    load_model(system.net, scratch / "best.safetensors")
    return history


class Loop:
    """One step, one validation, and the resume state of a run."""

    def __init__(self, system: System, params: Params, fabric: Fabric, scratch: Path):
        t, c = params.train, params.compute
        self.system, self.fabric = system, fabric
        self.state_file = scratch / "state.pt"
        self.best_file = scratch / "best.safetensors"
        if c.channels_last:
            system.net.to(memory_format=torch.channels_last)
        optimiser = torch.optim.Adam(system.groups(), weight_decay=t.weight_decay, fused=True)
        net = torch.compile(system.net) if c.compile else system.net
        self.net, self.optimiser = fabric.setup(net, optimiser)
        self.critic_optimiser = None
        if system.critic is not None:
            fabric.to_device(system.critic)
            self.critic_optimiser = torch.optim.Adam(
                system.critic.parameters(), lr=t.critic_lr, betas=(0.5, 0.999)
            )

    def choose(self, classifier_only: bool):
        """Which weights this epoch trains: all, or the new classifier's alone."""
        chosen = {id(p) for p in self.system.deployed.fc.parameters()} if classifier_only else None
        for parameter in self.system.net.parameters():
            parameter.requires_grad_(chosen is None or id(parameter) in chosen)

    def step(self, batch: dict, at: tuple[int, int, int]) -> dict[str, float]:
        system = self.system
        outputs = self.net(*system.inputs(batch))
        record = {}
        if self.critic_optimiser is not None:
            generator = torch.Generator().manual_seed(pairs.mix(*at))
            for _ in range(system.params.train.critic_steps):
                self.critic_optimiser.zero_grad()
                loss = system.critic_loss(outputs, generator)
                loss.backward()
                for parameter in system.critic.parameters():
                    parameter.grad = self.fabric.all_reduce(parameter.grad, reduce_op="mean")
                self.critic_optimiser.step()
            record["critic"] = loss.detach()
        terms = system.terms(outputs, batch)
        loss = system.loss(terms)
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        self.optimiser.step()
        record |= {"loss": loss.detach()} | {k: v.detach() for k, v in terms.items()}
        if system.map_is_mask:
            record |= _attention_means(outputs[0].attention, batch["mask"])
        values = torch.stack([v.float() for v in record.values()]).tolist()  # one transfer
        record = dict(zip(record, values, strict=True))
        bad = {k: v for k, v in record.items() if not math.isfinite(v) and k in ("loss", "critic")}
        if bad:
            raise TrainingError(
                f"epoch {at[1] + 1}, step {at[2] + 1}: {bad} is not finite (terms: {record}). Try "
                "a lower train.lr, or 32-true as compute.precision; the run resumes from "
                f"{self.state_file.parent} once params.yaml is as it was, else starts anew."
            )
        return record

    @torch.inference_mode()
    def validate(self, loader) -> dict[str, float]:
        """Loss and rates of the deployed branch on one quality; both classes weigh the same."""
        system = self.system
        system.net.eval()
        logits, labels, attention = [], [], []
        for item in loader:
            batch = pairs.prepare(item, self.fabric.device, system.params.compute.channels_last)
            with self.fabric.autocast():
                out = system.deployed(batch[system.judged])
            logits.append(out.logits.float().cpu())
            labels.append(item["label"])
            if out.attention is not None and system.map_is_mask:
                target = losses.attention_target(batch["mask"], out.attention.shape[-2:])
                attention.append((out.attention.float().cpu(), target.cpu()))
        logits, labels = torch.cat(logits), torch.cat(labels)
        each = F.cross_entropy(logits, labels, reduction="none")
        score = logits.softmax(1)[:, 1]
        found = {
            "val_loss": float(sum(each[labels == k].mean() for k in (0, 1)) / 2),
            "val_auc": float(roc_auc_score(labels, score)),
            "val_balanced_accuracy": float(balanced_accuracy_score(labels, score >= 0.5)),
        }
        if attention:
            m, target = (torch.cat(x) for x in zip(*attention, strict=True))
            found |= {k: float(v) for k, v in _attention_means(m, target).items()}
        return found

    def save_best(self):
        if self.fabric.global_rank == 0:
            with atomic(self.best_file) as f:
                save_model(self.system.net, str(f))

    def save(self, history: History, step: int):
        """The whole state of the run, under a temporary name first."""
        if self.fabric.global_rank > 0:
            return
        state = {
            "history": history.__dict__,
            "step": step,
            "net": self.system.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        if self.critic_optimiser is not None:
            state["critic"] = self.system.critic.state_dict()
            state["critic_optimiser"] = self.critic_optimiser.state_dict()
        with atomic(self.state_file) as f:
            torch.save(state, f)

    def resume(self) -> tuple[History, int]:
        if not self.state_file.exists():
            return History(), 0
        state = torch.load(self.state_file, map_location="cpu", weights_only=True)
        self.system.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.critic_optimiser is not None:
            self.system.critic.load_state_dict(state["critic"])
            self.critic_optimiser.load_state_dict(state["critic_optimiser"])
        return History(**state["history"]), state["step"]


def _attention_means(m: torch.Tensor | None, mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """Mean of M over forged pixels (the target's weight) and over the rest."""
    if m is None:
        return {}
    target = losses.attention_target(mask, m.shape[-2:])
    m = m.detach().float()
    tiny = 1e-6
    return {
        "attention_inside": (m * target).sum() / (target.sum() + tiny),
        "attention_outside": (m * (1 - target)).sum() / ((1 - target).sum() + tiny),
    }


def _close_epoch(history: History, found: dict, epoch: int, seconds: float, terms: list[str]):
    steps = pd.DataFrame([s for s in history.steps if s["epoch"] == epoch + 1])
    row = {"epoch": epoch + 1, "step": len(history.steps), "train_loss": steps["loss"].mean()}
    row |= {f"train_{t}": steps[t].mean() if t in steps else math.nan for t in terms}
    row["critic_loss"] = steps["critic"].mean() if "critic" in steps else math.nan
    row |= {"attention_inside": math.nan, "attention_outside": math.nan} | found
    history.epochs.append({k: float(v) for k, v in row.items()} | {"seconds": seconds})
    if found["val_loss"] < history.best_loss:
        history.best_loss, history.best_epoch = found["val_loss"], epoch + 1


def _judge(history: History, t):
    last = history.epochs[-1]
    inside, outside = last["attention_inside"], last["attention_outside"]
    # all comparisons are false for NaN: no map, no collapse
    vanished = inside < VANISHED
    history.collapsed = vanished or (inside < FLAT_BELOW and inside < outside + FLAT_MARGIN)
    if vanished and t.on_collapse == "stop":
        history.stopped = "collapsed"
    elif history.stale >= t.patience:
        history.stopped = f"validation loss did not fall for {t.patience} epochs"
    elif len(history.epochs) >= t.classifier_epochs + t.epochs:
        history.stopped = "all epochs done"


def _collapse_message(history: History) -> str:
    last = history.epochs[-1]
    return (
        f"the attention map collapsed: after epoch {len(history.epochs)} its mean is "
        f"{last['attention_inside']:.4f} on forged pixels and {last['attention_outside']:.4f} on "
        "the rest, so what reaches the tail fades. "
        "Set loss.attention to bce, or lower train.attention_lr_scale; to let such a run go on "
        "and be reported as collapsed, set train.on_collapse to go_on."
    )
