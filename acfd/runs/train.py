"""Training: `fit` trains any system, and knows none by name."""

import time
from collections.abc import Callable
from pathlib import Path

from lightning_fabric import Fabric
from tqdm import tqdm

from acfd.method.system import System
from acfd.params import Params
from acfd.runs import distributed, pairs
from acfd.runs.loop import History, Loop, TrainingError, load_weights
from acfd.sections import Train

# Mean of M on forged pixels below which V' = V * M has vanished, whatever else M shows.
VANISHED = 0.05
# A map as low as this that is no higher on forged pixels than elsewhere shows nothing; but a young
# one passes through here, so this is reported and stops no run.
FLAT_BELOW, FLAT_MARGIN = 0.1, 0.02
TERMS = ("cls", "at", "dis", "gan", "kd", "fd")

Callback = Callable[[History], None]


def fit(
    system: System,
    data: pairs.Pairs,
    batches: pairs.BalancedBatches,
    validation: tuple[pairs.Pairs, pairs.InOrder],
    params: Params,
    seed: int,
    scratch: Path,
    fabric: Fabric,
    callbacks: tuple[Callback, ...] = (),
    progress: bool = True,
) -> History:
    """Train until the epochs are over or the validation loss has stopped falling; the weights that
    params.train.keep asks for end up in `system.net`. After a kill at any moment, called again with
    the same arguments and scratch, it goes on and ends with the same result. Raises TrainingError
    if a loss is not finite, or the map collapses while params.train.on_collapse is "stop"."""
    t, c = params.train, params.compute
    loop = Loop(system, params, fabric, scratch, t.most_epochs() * batches.steps)
    history, step, spent = loop.resume()
    pin = fabric.device.type == "cuda"
    loader = pairs.loader(data, batches, c.workers, pin)
    checks = pairs.loader(validation[0], validation[1], c.workers, pin)
    iter(checks)  # its workers are forked now: each page that they share is copied when it changes

    while not history.stopped:
        epoch, began = len(history.epochs), time.perf_counter() - spent
        batches.epoch, batches.start = epoch, step
        bar = tqdm(
            loader,
            desc=f"epoch {epoch + 1}/{t.most_epochs()}",
            unit="step",
            initial=step,
            total=batches.steps,
            disable=not progress or fabric.global_rank > 0,
            leave=False,
        )
        system.net.train()
        for item in bar:
            batch = pairs.prepare(item, fabric.device, c.channels_last)
            record = loop.step(batch, (seed, epoch, step))
            history.steps.append({"epoch": epoch + 1, "step": step + 1} | record)
            step += 1
            bar.set_postfix(loss=f"{record['loss']:.3f}")
            if c.checkpoint_steps and step % c.checkpoint_steps == 0:
                loop.save(history, step, time.perf_counter() - began)
        distributed.share_buffers(system.net, fabric)
        found = loop.validate(checks)
        seconds = time.perf_counter() - began
        history.close_epoch(found, terms_of(system), seconds, keep=t.keep)
        if t.keep == "best" and history.kept_epoch == epoch + 1:
            loop.save_kept()
        step, spent = 0, 0.0
        _judge(history, t, params.model.attention_form)
        if not history.stopped or fabric.world_size > 1:  # for one process to take over, see `run`
            loop.save(history)
        for callback in callbacks if fabric.global_rank == 0 else ():
            callback(history)

    if history.stopped == "collapsed":
        last = history.epochs[-1]
        raise TrainingError(
            f"the attention map collapsed: after epoch {len(history.epochs)} its mean is "
            f"{last['attention_inside']:.4f} on forged pixels and {last['attention_outside']:.4f} "
            "on the rest. Set loss.attention to bce, or lower train.attention_lr_scale; with "
            "train.on_collapse: go_on such a run goes on and is reported as collapsed."
        )
    if t.keep == "best":
        fabric.barrier()  # until process 0 has written the weights
        load_weights(system.net, loop.kept_file)
    return history


def terms_of(system: System) -> list[str]:
    """The losses that a history has columns of: the paper's, then the system's own."""
    return list(dict.fromkeys([*TERMS, *system.weights]))


def _judge(history: History, t: Train, form: str):
    """Stop or go on, by the last epoch; collapsed or not, by the one whose weights are kept (by the
    last, before there is any). form: model.attention_form."""
    last, kept = history.epochs[-1], history.epochs[history.kept_epoch - 1]
    inside, outside = kept["attention_inside"], kept["attention_outside"]
    flat = inside < FLAT_BELOW and inside < outside + FLAT_MARGIN
    history.collapsed = _vanished(kept, form) or flat
    if _vanished(last, form) and t.on_collapse == "stop":
        history.stopped = "collapsed"
    elif t.patience and len(history.epochs) - history.best_epoch >= t.patience:
        history.stopped = f"validation loss did not fall for {t.patience} epochs"
    elif len(history.epochs) >= t.most_epochs():
        history.stopped = "all steps done"


# All comparisons are false for NaN: no map, no collapse. Of a plain product alone nothing is left
# when M is low everywhere.
def _vanished(epoch: dict, form: str) -> bool:
    return form == "product" and epoch["attention_inside"] < VANISHED
