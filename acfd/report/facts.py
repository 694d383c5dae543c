"""What a report says of itself: commit, versions, machine, runs, and what was changed in a preset.

Nothing here fails for what is missing: what cannot be known is said to be unknown, and why.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from acfd.params import Params, read_yaml
from acfd.paths import Paths

# What a run is made of; of the rest (how it is computed, which tables it is in) it is independent.
OF_A_RUN = ("data", "faces", "model", "loss", "train", "augment")


@dataclass(frozen=True)
class Commit:
    """The state of the code: id is None if it is not known, and `why` says why."""

    id: str | None
    date: str = ""
    changed: tuple[str, ...] = ()  # files that differ from it, but for what the stages write
    why: str = ""


def commit(top: Path) -> Commit:
    """What git says of the project's folder."""
    try:
        where = _git(top, "rev-parse", "--show-toplevel").strip()
        if Path(where).resolve() != Path(top).resolve():
            return Commit(None, why="the project's folder is not a git checkout of its own")
        said = _git(top, "log", "-1", "--format=%H %cs").split()
        written = (":!results", ":!dvc.lock")
        changed = _git(top, "diff", "--name-only", "-z", "HEAD", "--", ".", *written)
        new = _git(top, "ls-files", "-z", "--others", "--exclude-standard", "--", ".", *written)
    except FileNotFoundError:
        return Commit(None, why="git is not installed here")
    except subprocess.TimeoutExpired:
        return Commit(None, why="git did not answer within a minute")
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"exit status {error.returncode}"]
        return Commit(None, why=f"git says: {lines[0]}")
    names = sorted({name for name in (changed + new).split("\0") if name})
    return Commit(said[0], said[1], tuple(names))


def _git(top: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=top,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=True,
        timeout=60,
    )
    return done.stdout


def versions() -> dict[str, str]:
    """Package -> version: acfd and what its pyproject.toml asks for, as installed here."""
    try:
        asked = metadata.requires("acfd") or []
    except metadata.PackageNotFoundError:
        asked = []
    names = [re.match(r"[A-Za-z0-9._-]+", r)[0] for r in asked if "extra ==" not in r]
    found = {}
    for name in ("acfd", *sorted(names, key=str.lower)):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine() -> dict[str, str]:
    """This machine in words, without its name."""
    import torch

    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    found = {
        "System": f"{platform.system()} ({platform.machine()})",
        "Processor": _processor(),
        "Cores": str(usable) if usable == cores else f"{usable} of {cores}",
        "GPU": ", ".join(gpus) or "none",
        "Python": platform.python_version(),
    }
    return found


def _processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    try:
        names = re.findall(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.M)
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "not known"


def runs(params: Params, paths: Paths) -> list[dict[str, Any]]:
    """Every run that table2.rows, study.rows and study.seeds ask for, in their order.

    row, title, seed, name; seconds (of its training, None if it is not there yet), epochs,
    kept_epoch, stopped, collapsed, machine, torch (None where nothing says it); changed: keys of
    OF_A_RUN in which the run, if its folder is here, differs from params.yaml as it is now.
    """
    found = []
    for row in params.trained:
        now = _run_params(params.for_row(row).model_dump(mode="json"))
        for seed in params.study.seeds:
            name = f"{row}-s{seed}"
            scored = _json(paths.summary(row, seed))
            own = _json(paths.run(row, seed) / "run.json")
            then = _run_params(own.get("params", {}))
            line = {"row": row, "title": params.rows[row].title, "seed": seed, "name": name}
            line["seconds"] = own.get("train_seconds", scored.get("seconds"))
            for key in ("epochs", "kept_epoch", "stopped", "collapsed", "machine"):
                line[key] = own.get(key, scored.get(key))
            line["torch"] = own.get("versions", {}).get("torch")
            line["changed"] = [k for k in now if k in then and then[k] != now[k]]
            found.append(line)
    return found


def _run_params(said: dict) -> dict[str, Any]:
    return flat({section: said[section] for section in OF_A_RUN if section in said})


def _json(path: Path) -> dict:
    try:
        said = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def changed(params: Params, preset: Path) -> list[tuple[str, Any, Any]] | None:
    """(key, the preset's value, params.yaml's value) of every key in which they differ.

    None without the preset's file. Keys that it does not name are params.yaml's own.
    """
    if not preset.is_file():
        return None
    used = flat(params.model_dump(mode="json"))
    said = flat(read_yaml(preset) or {})
    return [(k, v, used.get(k)) for k, v in said.items() if k not in used or used[k] != v]


def about_preset(preset: Path) -> str:
    """The comment that a preset's file begins with, up to its command: what it is."""
    if not preset.is_file():
        return ""
    lines = []
    for line in preset.read_text().splitlines():
        if not line.startswith("#") or line.startswith("# Command"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)


def flat(said: dict[str, Any], where: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}; lists stay whole."""
    found = {}
    for key, value in said.items():
        found |= flat(value, f"{where}{key}.") if isinstance(value, dict) else {where + key: value}
    return found
