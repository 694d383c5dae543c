"""The training loop's parts: one step, one validation, the resume state; in one process or more."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from safetensors.torch import load_model, save_model
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch.nn.modules.batchnorm import _BatchNorm

from acfd.method.model import attention_target
from acfd.method.system import System, attention_means
from acfd.params import Params
from acfd.paths import atomic
from acfd.runs import distributed, pairs
from acfd.sections import Train

MAPS = 8  # forged validation faces whose attention maps are kept at every epoch


class TrainingError(RuntimeError):
    """The run cannot go on: a loss that is not finite, or a collapsed attention map."""


@dataclass
class History:
    """What happened: one dict an epoch, one a step."""

    epochs: list[dict] = field(default_factory=list)
    steps: list[dict] = field(default_factory=list)
    best_epoch: int = 0  # the one with the lowest validation loss
    best_loss: float = math.inf
    kept_epoch: int = 0  # the one whose weights are kept
    maps: list[dict] = field(default_factory=list)  # epoch, face (its row), map: s x s uint8
    stopped: str = ""
    collapsed: bool = False

    def close_epoch(
        self, found: "Validation", terms: Sequence[str], seconds: float, keep: str = "best"
    ):
        """Add an epoch: the means of its steps' losses, and what the validation found. keep: as
        train.keep."""
        epoch = len(self.epochs) + 1
        steps = pd.DataFrame([s for s in self.steps if s["epoch"] == epoch])
        row = {"epoch": epoch, "step": len(self.steps), "train_loss": steps["loss"].mean()}
        row |= {f"train_{t}": steps[t].mean() if t in steps else math.nan for t in terms}
        row["critic_loss"] = steps["critic"].mean() if "critic" in steps else math.nan
        row |= {"attention_inside": math.nan, "attention_outside": math.nan} | found.rates
        self.epochs.append({k: float(v) for k, v in row.items()} | {"seconds": seconds})
        self.maps += [{"epoch": epoch, "face": face, "map": m} for face, m in found.maps.items()]
        if found.rates["val_loss"] < self.best_loss:
            self.best_loss, self.best_epoch = found.rates["val_loss"], epoch
        self.kept_epoch = epoch if keep == "last" else self.best_epoch


class Validation(NamedTuple):
    """rates: loss, AUC and such of the deployed branch, on every process. maps: the attention maps
    of MAPS forged faces, row -> s x s uint8 (255 = 1), on process 0."""

    rates: dict[str, float]
    maps: dict[int, torch.Tensor]


class Loop:
    """One step, one validation, and the resume state of a run. Several processes each take their
    share of a batch and move the same weights by the mean of their gradients; what they report is
    the mean of theirs."""

    def __init__(
        self, system: System, params: Params, fabric: Fabric, scratch: Path, steps: int = 1
    ):
        """steps: of the whole training, over which train.schedule is laid."""
        t, c = params.train, params.compute
        self.system, self.fabric = system, fabric
        self.state_file = scratch / "state.pt"
        self.kept_file = scratch / "kept.safetensors"
        shares = fabric.world_size * t.accumulate
        if t.batch % (2 * shares):
            raise TrainingError(
                f"train.batch {t.batch} does not divide by 2 x {fabric.world_size} processes x "
                f"{t.accumulate} parts (train.accumulate): each takes as many real as forged pairs"
            )
        distributed.share_batch_norm(system.net, fabric)
        if c.channels_last:
            system.net.to(memory_format=torch.channels_last)
        kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[t.optimiser]
        optimiser = kind(system.groups(), weight_decay=t.weight_decay, fused=True)
        self.schedule = _schedule(optimiser, t, steps)
        net = torch.compile(system.net) if c.compile else system.net
        self.net, self.optimiser = fabric.setup(net, optimiser)
        # the precision has the scale of 16-mixed
        self.resumed = {"precision": fabric.strategy.precision, "net": system.net}
        self.resumed["optimiser"] = self.optimiser
        if self.schedule is not None:
            self.resumed["schedule"] = self.schedule
        if system.critic is not None:
            fabric.to_device(system.critic)
            self.critic_optimiser = torch.optim.Adam(
                system.critic.parameters(), lr=t.critic_lr, betas=(0.5, 0.999)
            )
            self.resumed |= {"critic": system.critic, "critic_optimiser": self.critic_optimiser}

    def step(self, batch: dict, at: tuple[int, int, int]) -> dict[str, float]:
        """Move the critic, then the net, on this process's share of a batch. at: what the critic's
        random numbers follow from (seed, epoch, step)."""
        system = self.system
        parts = _parts(batch, system.params.train.accumulate)
        # a batch in one part is seen once; of several, none is kept until the critic has moved
        outputs = [self.net(*system.inputs(batch))] if len(parts) == 1 else []
        record, records = {}, []
        if system.critic is not None:
            record["critic"] = self._critic_step(outputs or self._glance(parts), at)
        self.optimiser.zero_grad()
        for n, part in enumerate(parts):
            with self.fabric.no_backward_sync(self.net, enabled=n + 1 < len(parts)):
                seen = outputs[n] if outputs else self.net(*system.inputs(part))
                terms = system.terms(seen, part)
                loss = system.loss(terms)
                self.fabric.backward(loss / len(parts))
            said = {"loss": loss.detach()} | {k: v.detach() for k, v in terms.items()}
            said |= system.monitored(seen, part)
            records.append(said)
        self.optimiser.step()
        if self.schedule is not None:
            self.schedule.step()
        record |= {k: torch.stack([r[k].float() for r in records]).mean() for k in records[0]}
        values = torch.stack([v.float() for v in record.values()])
        values = self.fabric.all_reduce(values, reduce_op="mean").tolist()  # one transfer
        record = dict(zip(record, values, strict=True))
        bad = {k: v for k, v in record.items() if not math.isfinite(v) and k in ("loss", "critic")}
        if bad:
            raise TrainingError(
                f"epoch {at[1] + 1}, step {at[2] + 1}: {bad} is not finite (terms: {record}). Try "
                "a lower train.lr, or 32-true as compute.precision; the run resumes from "
                f"{self.state_file.parent} once params.yaml is as it was, else starts anew."
            )
        return record

    def _critic_step(self, outputs: list[tuple], at: tuple[int, int, int]) -> torch.Tensor:
        """Update the critic on the parts of a share; returns its last loss."""
        system, rank, world = self.system, self.fabric.global_rank, self.fabric.world_size
        generator = torch.Generator().manual_seed(pairs.mix(*at))
        share = sum(len(o[0].logits) for o in outputs)
        for _ in range(system.params.train.critic_steps):
            self.critic_optimiser.zero_grad()
            # one number a pair, drawn in the order of the whole batch however it is shared
            torch.rand(rank * share, generator=generator)
            found = [system.critic_loss(part, generator) / len(outputs) for part in outputs]
            torch.stack(found).sum().backward()
            torch.rand((world - 1 - rank) * share, generator=generator)
            for parameter in system.critic.parameters():
                parameter.grad = self.fabric.all_reduce(parameter.grad, reduce_op="mean")
            self.critic_optimiser.step()
        return torch.stack(found).detach().sum()

    @torch.no_grad()
    def _glance(self, parts: list[dict]) -> list[tuple]:
        """What the net says of the parts, for the critic alone: no statistics are kept of it."""
        norms = [m for m in self.system.net.modules() if isinstance(m, _BatchNorm)]
        kept = [m.momentum for m in norms]
        for m in norms:
            m.momentum = 0.0
        outputs = [self.net(*self.system.inputs(part)) for part in parts]
        for m, momentum in zip(norms, kept, strict=True):
            m.momentum = momentum
        return outputs

    @torch.inference_mode()
    def validate(self, loader) -> Validation:
        """Judge one quality by the deployed branch; both classes weigh the same."""
        system = self.system
        system.net.eval()
        said = []
        for item in loader:
            batch = pairs.prepare(item, self.fabric.device, system.params.compute.channels_last)
            with self.fabric.autocast():
                out = system.deployed(batch[system.judged])
            said.append([item["row"], out.logits.float().cpu(), item["label"]])
            if out.attention is not None and system.map_is_mask:
                target = attention_target(batch["mask"], out.attention.shape[-2:])
                said[-1] += [out.attention.float().cpu(), target.cpu()]
        said = distributed.gather(said, self.fabric)
        rates, maps = {}, {}
        if said:
            rows, *found = (torch.cat(x) for x in zip(*said, strict=True))
            rates, maps = _rates(*found), _some_maps(rows, *found[1:])
        # so that all processes decide on the same numbers
        return Validation(self.fabric.broadcast(rates), maps)

    def save_kept(self):
        if self.fabric.global_rank == 0:
            with atomic(self.kept_file) as f:
                save_model(self.system.net, str(f))

    def save(self, history: History, step: int = 0, seconds: float = 0.0):
        """The whole state of the run, under a temporary name first; step, seconds: of the epoch
        that has begun, how many steps are done and what they took."""
        if self.fabric.global_rank > 0:
            return
        state = {name: part.state_dict() for name, part in self.resumed.items()}
        state |= {"history": history.__dict__, "step": step, "seconds": seconds}
        with atomic(self.state_file) as f:
            torch.save(state, f)

    def resume(self) -> tuple[History, int, float]:
        """What `save` left: history, step and seconds; those of a new run if it left nothing."""
        found = self.state_file.stat().st_mtime_ns if self.state_file.exists() else None
        distributed.check_same(found, f"the age of {self.state_file}", self.fabric)
        if found is None:
            return History(), 0, 0.0
        try:
            state = torch.load(self.state_file, map_location="cpu", weights_only=True)
        except Exception as error:  # torch has several, one of them pickle's
            raise TrainingError(
                f"{self.state_file}: not the resume state of a run ({str(error).splitlines()[0]}); "
                "delete it, and the run starts anew"
            ) from None
        for name, part in self.resumed.items():
            part.load_state_dict(state[name])
        return History(**state["history"]), state["step"], state["seconds"]


def load_weights(net: torch.nn.Module, path: Path):
    """Load what `save_model` wrote of a net alike; RuntimeError if names or shapes are others."""
    missing, others = load_model(net, path, strict=False)
    # among the others are the step counts of batch norms that two branches share: known, not used
    known = net.state_dict()
    if unknown := [name for name in others if name not in known]:
        raise RuntimeError(f"it has {unknown[0]}, and {len(unknown) - 1} more that the net has not")
    if missing:
        first = min(missing)
        raise RuntimeError(f"it lacks {first}, and {len(missing) - 1} more that the net has")


def _parts(batch: dict, n: int) -> list[dict]:
    """A batch in n equal parts, each with as many real as forged pairs."""
    if n == 1:
        return [batch]
    chunks = {k: v.chunk(n) for k, v in batch.items()}
    return [dict(zip(chunks, part, strict=True)) for part in zip(*chunks.values(), strict=True)]


def _rates(logits, labels, m=None, target=None) -> dict[str, float]:
    """What a validation finds: logits N x 2, labels N, attention maps and their targets."""
    each = F.cross_entropy(logits, labels, reduction="none")
    score = logits.softmax(1)[:, 1]
    found = {
        "val_loss": float(sum(each[labels == k].mean() for k in (0, 1)) / 2),
        "val_auc": float(roc_auc_score(labels, score)),
        "val_balanced_accuracy": float(balanced_accuracy_score(labels, score >= 0.5)),
    }
    if m is None:
        return found
    return found | {k: float(v) for k, v in attention_means(m, target, labels).items()}


def _some_maps(rows, labels, m=None, target=None) -> dict[int, torch.Tensor]:
    """The maps of the same few forged faces every time, evenly chosen."""
    if m is None:
        return {}
    forged = labels.nonzero().flatten()
    chosen = forged[torch.linspace(0, len(forged) - 1, min(MAPS, len(forged))).round().long()]
    levels = (m[chosen, 0].clamp(0, 1) * 255).round().to(torch.uint8)
    return dict(zip(rows[chosen].tolist(), levels.unbind(), strict=True))


def _schedule(optimiser, t: Train, steps: int):
    """The learning rate's course over all steps: a straight rise over train.warm_up of them, then
    down along a cosine to nothing (Loshchilov and Hutter 2017, arXiv 1608.03983); None: constant.
    """
    if t.schedule == "constant":
        return None
    rise = t.warm_up * steps

    def share(step: int) -> float:
        if step < rise:
            return (step + 1) / (rise + 1)
        return (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2

    return torch.optim.lr_scheduler.LambdaLR(optimiser, share)
