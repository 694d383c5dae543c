"""What a kill may leave half-written of DVC's own files, made whole before the study goes on.

DVC writes both of them in place: its rwlock around each stage, dvc.lock after each stage.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from acfd.paths import SCRATCH, atomic

LOCK = Path("dvc.lock")
KEPT = SCRATCH / LOCK.name  # dvc.lock as it was when the latest stage began
RWLOCK = Path(".dvc", "tmp", "rwlock")


def keep(top: Path = Path()):
    """Keep a copy of dvc.lock, where DVC calls this process as a stage's command: it is whole then,
    and will be written when the stage is done."""
    if "DVC_STAGE" in os.environ and (top / LOCK).is_file():
        text = (top / LOCK).read_text()
        if _ended(text):
            with atomic(top / KEPT) as f:
                f.write_text(text)


def mend(top: Path = Path()) -> list[str]:
    """Make whole what a kill left half-written; says in words what was done."""
    said = []
    if _rwlock_removed(top / RWLOCK):
        said.append("cleared a lock file of DVC's that a killed run had left half-written")
    if _lock_restored(top / LOCK, top / KEPT):
        said.append(
            f"{LOCK} was cut off by a kill while DVC wrote it: put back as it was when the latest "
            "stage began, which is run again"
        )
    return said


def _rwlock_removed(path: Path) -> bool:
    """DVC refuses to start while this file is not whole."""

    def broken() -> bool:
        try:
            json.loads(path.read_text())
        except FileNotFoundError:
            return False
        except ValueError:
            return True
        return False

    if removed := _stays(broken):
        path.unlink(missing_ok=True)
    return removed


def _lock_restored(lock: Path, kept: Path) -> bool:
    """Of a dvc.lock that is cut off, DVC either refuses to read the whole, or believes that what
    was behind the cut was never run. A missing one is left alone: someone removed it."""

    def broken() -> bool:
        if not (lock.is_file() and kept.is_file()):
            return False
        now = lock.read_text()
        stages, before = _stages(now), _stages(kept.read_text())
        # a stage that is done changes its own entry or adds one, so none can be lost
        lost = len(stages) < len(before) and stages == before[: len(stages)]
        return lost or not _ended(now)

    if restored := _stays(broken):
        with atomic(lock) as f:
            f.write_text(kept.read_text())
    return restored


def _stays(broken: Callable[[], bool]) -> bool:
    """Whether a file is broken, and not just being written by a DVC at work: looked at twice."""
    if not broken():
        return False
    time.sleep(1)
    return broken()


def _ended(text: str) -> bool:
    return text.endswith("\n")


def _stages(text: str) -> list[str]:
    """Names of the entries; the last one may be incomplete."""
    return re.findall(r"^  (\S+):$", text, re.MULTILINE)
