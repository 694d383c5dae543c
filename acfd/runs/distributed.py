"""Fabric, and one run trained or scored by several processes: of torchrun, SLURM's srun or Fabric
(docs/scale.md). Each takes its share of every batch; process 0 alone writes files."""

import ctypes
import os
import sys
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from acfd.params import ParamsError
from acfd.sections import Compute


def make_fabric(c: Compute) -> Fabric:
    """Fabric as params.compute says; under torchrun or srun it takes the launcher's processes.
    Raises ParamsError where a notebook asks for several: they start with a script."""
    devices, nodes = processes(c)
    if devices * nodes > 1 and hasattr(sys, "ps1"):
        raise ParamsError(
            f"compute.devices is {c.devices}, compute.nodes {c.nodes}: a notebook cannot start "
            "several processes. Set both to 1 and train with torchrun first (docs/scale.md); the "
            "notebook then goes on from the finished run"
        )
    fabric = Fabric(
        accelerator=c.accelerator, devices=devices, num_nodes=nodes, precision=c.precision
    )
    fabric.launch()
    _keep_memory()
    return fabric


def _keep_memory():
    """Let glibc keep what is freed. Large blocks would go back to the system, and each page of them
    be cleared when the next step takes them anew: a tenth of a training's time on CPUs, a fifth of
    scoring's. Other C libraries have no mallopt."""
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
    with suppress(AttributeError):
        for option in (trim_threshold, mmap_threshold):
            ctypes.CDLL(None).mallopt(option, 2**31 - 1)


def processes(c: Compute) -> tuple[int, int]:
    """Processes a node, and nodes: those of torchrun or srun if one of them started this process,
    else compute.devices and compute.nodes."""
    env = os.environ
    if "LOCAL_WORLD_SIZE" in env and "WORLD_SIZE" in env:  # torchrun
        devices = int(env["LOCAL_WORLD_SIZE"])
        return devices, int(env["WORLD_SIZE"]) // devices
    # srun sets these for the tasks of a step; a batch script, which is one process, lacks them
    tasks, nodes = (int(env.get(f"SLURM_STEP_NUM_{x}", 1)) for x in ("TASKS", "NODES"))
    if tasks > 1:
        return tasks // nodes, nodes
    return c.devices, c.nodes


def share_batch_norm(net: nn.Module, fabric: Fabric):
    """Let batch norm see the whole batch on GPUs; PyTorch cannot on CPUs, where each process
    normalises its own share."""
    if fabric.world_size > 1 and fabric.device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(net)


def share_buffers(net: nn.Module, fabric: Fabric):
    """Give every process the buffers of process 0, which are the ones that are saved."""
    if fabric.world_size > 1:
        for buffer in net.buffers():
            torch.distributed.broadcast(buffer, src=0)


def gather(parts: list, fabric: Fabric) -> list:
    """What the processes made of a `pairs.InOrder`, one part a batch, in its order and each once:
    to process 0; the others get an empty list."""
    if fabric.world_size == 1:
        return parts
    first = fabric.global_rank == 0
    shares = [None] * fabric.world_size if first else None
    torch.distributed.gather_object(parts, shares, dst=0)
    if not first:
        return []
    missing = object()
    dealt = chain.from_iterable(zip_longest(*shares, fillvalue=missing))
    return [part for part in dealt if part is not missing]


def check_same(value: Any, what: str, fabric: Fabric):
    """Raise RuntimeError on all processes if they do not have the same value."""
    if fabric.world_size > 1:
        values = [None] * fabric.world_size
        torch.distributed.all_gather_object(values, value)
        if any(v != values[0] for v in values):
            raise RuntimeError(
                f"the processes found different values of {what}: {values}. They must all see the "
                "same files: put the project on a file system that the nodes share"
            )
