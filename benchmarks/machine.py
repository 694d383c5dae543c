"""How a benchmark ends: what it measured, with the machine that it was measured on, as JSON."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path


def write(said: dict, target: Path, **about: object) -> None:
    """Print `said` and write it to `target`, with the machine.

    about: what else must be known to compare it, as versions of packages.
    """
    machine = {"cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"}
    text = json.dumps(said | {"machine": machine | about}, indent=1)
    print(text)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text + "\n")
