"""The project as a user has it: a copy of its files in a folder of its own, and what runs there.

Tests judge what is staged or committed (STATE), never what a study or `acfd preset` has made of
params.yaml, dvc.lock, results/ and the pages in the working tree. Code is that of the working tree.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat

TOP = Path(__file__).parents[1]
if "ACFD_TEST_STATE" not in os.environ:  # else a worker's, or a process of a test's
    _exported = tempfile.TemporaryDirectory(prefix="acfd-state-")
    os.environ["ACFD_TEST_STATE"] = _exported.name
    export = ["git", "checkout-index", "-aq", f"--prefix={_exported.name}/"]
    subprocess.run(export, cwd=TOP, check=True)
STATE = Path(os.environ["ACFD_TEST_STATE"])


def copy(folder: Path) -> Path:
    """The project's files, code as it is and the rest as in STATE, in a new repository, at the
    smoke preset. Without dvc.lock, which says nothing of this preset: DVC reads and writes all of
    it at every stage, seconds a time."""
    listed = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    for name in subprocess.check_output(listed, cwd=TOP, text=True).rstrip("\0").split("\0"):
        if (TOP / name).is_file() and not name.startswith(("results/", "dvc.lock")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, folder / name)
    shutil.copy2(STATE / "params.yaml", folder)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    run(folder, "acfd", "preset", "smoke")
    return folder


def environment(folder: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONPATH": str(folder)}


def run(folder: Path, *command: str) -> str:
    """What a command prints that has to succeed."""
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
    return done.stdout + done.stderr


def run_cells(name: str) -> dict[str, Any]:
    """Run a notebook's code here, in this process: the names that it leaves."""
    known = {}
    for cell in nbformat.read(TOP / "notebooks" / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(cell.source, known)
    return known
