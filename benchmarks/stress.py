"""Kill `dvc repro` again and again at random moments; what comes out must be what an unkilled one
makes.

    python benchmarks/stress.py --kills 20 --most 40
    python benchmarks/stress.py --kills 20 --most 6 --within score table1 features robustness

Both studies are of the smoke preset, in copies of the project in a temporary folder. Takes about
20 minutes on 2 cores; prints what it found as JSON. Not part of the test suite.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import psutil
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from project import copy, environment

# They say how long something took, or on what.
OF_THE_MOMENT = ["seconds", "machine", "all_seconds"]


def start(folder: Path, log: Path) -> subprocess.Popen:
    with log.open("w") as f:
        return subprocess.Popen(
            ["dvc", "repro"], cwd=folder, env=environment(folder), stdout=f, stderr=f
        )


def kill_all(folder: Path):
    """kill -9 of every process that works in the folder: DVC, stages, kernels, their workers."""
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                process.send_signal(signal.SIGKILL)
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue


def stage_of(log: Path) -> str:
    """The stage that was at work when a log broke off."""
    found = re.findall(r"Running stage '([a-z0-9_]+)", log.read_text(errors="replace"))
    return found[-1] if found else "dvc itself"


def killed(
    folder: Path, kills: int, rng: random.Random, most: float, within: list[str]
) -> tuple[Counter, int]:
    """Run the study with so many kills, then to its end.

    A kill comes up to `most` seconds after DVC starts; with `within`, up to `most` seconds after
    one of these stages does, each of them as often as the others. Returns how often each stage was
    killed, and how often DVC then refused to read its own files.
    """
    log, hit, refused = folder.parent / "killed.log", Counter(), 0
    while True:
        child = start(folder, log)
        due = time.monotonic() + rng.uniform(3, most) if not within else None
        while child.poll() is None:
            time.sleep(0.1)
            at = stage_of(log)
            if due is None and at in within and hit[at] < kills / len(within):
                due = time.monotonic() + rng.uniform(0, most)
            if due and time.monotonic() >= due and hit.total() < kills:
                kill_all(folder)
                child.wait()
                hit[stage_of(log)] += 1
                print(f"kill {hit.total()}: {stage_of(log)}", flush=True)
                break
        else:
            if child.returncode and re.search(r"RWLock|dvc\.lock", log.read_text(errors="replace")):
                refused += 1  # as docs/scale.md says; nothing of this copy is committed
                (folder / ".dvc" / "tmp" / "rwlock").unlink(missing_ok=True)
                (folder / "dvc.lock").unlink(missing_ok=True)
                continue
            if child.returncode:
                sys.exit(f"the study did not go on:\n{log.read_text(errors='replace')[-5000:]}")
            return hit, refused


def differences(a: Path, b: Path) -> list[str]:
    """What is not the same in two finished studies, but for times."""
    names = []
    for top in (a, b):
        files = [p for part in ("data", "results") for p in (top / part / "smoke").rglob("*")]
        names.append({str(p.relative_to(top)) for p in files if p.is_file()})
    found = [f"only in one: {name}" for name in sorted(names[0] ^ names[1])]
    for name in sorted(names[0] & names[1]):
        one, other = a / name, b / name
        if one.suffix == ".ipynb" or name.endswith("report.html"):
            continue  # outputs with times in them
        if not _same(one, other):
            found.append(f"differs: {name}")
    return found


def _same(a: Path, b: Path) -> bool:
    if a.read_bytes() == b.read_bytes():
        return True
    if a.suffix == ".safetensors":
        x, y = load_file(a), load_file(b)
        return x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)
    read = {".csv": pd.read_csv, ".parquet": pd.read_parquet}.get(a.suffix)
    if read:
        x, y = (read(p).drop(columns=OF_THE_MOMENT, errors="ignore") for p in (a, b))
        return x.equals(y)
    return a.suffix == ".json" and _plain(json.loads(a.read_text())) == _plain(
        json.loads(b.read_text())
    )


def _plain(said):
    if isinstance(said, dict):
        return {k: _plain(v) for k, v in said.items() if k not in OF_THE_MOMENT}
    return said


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=float, default=25.0, help="seconds before a kill, at most")
    parser.add_argument("--within", nargs="+", default=[], help="kill in these stages alone, "
                        "`most` seconds after they begin at most")  # fmt: skip
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        whole, cut = copy(top / "whole" / "acfd"), copy(top / "cut" / "acfd")
        began = time.perf_counter()
        child = start(whole, top / "whole.log")
        if child.wait():
            sys.exit((top / "whole.log").read_text()[-5000:])
        seconds = time.perf_counter() - began
        hit, refused = killed(cut, args.kills, random.Random(args.seed), args.most, args.within)
        said = {
            "kills": hit.total(),
            "killed_in": dict(hit.most_common()),
            "dvc_refused": refused,
            "differences": differences(whole, cut),
            "unkilled_seconds": round(seconds),
        }
    print(json.dumps(said, indent=1))
    if said["differences"] or said["kills"] < args.kills:
        sys.exit("what came out is not what an unkilled study makes, or it ended before all kills")


if __name__ == "__main__":
    main()
