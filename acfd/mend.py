"""What a kill may leave half-written of DVC's own files, made whole before the study goes on.

DVC writes both of them in place: its rwlock around each stage, dvc.lock after each stage.
"""

from __future__ import annotations

import json
import os
import re
import time
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
    """DVC refuses to start while this file is not whole. A DVC at work may be writing it just now,
    so it is looked at twice."""
    for pause in (1.0, 0.0):
        try:
            json.loads(path.read_text())
            return False
        except FileNotFoundError:
            return False
        except ValueError:
            time.sleep(pause)
    path.unlink(missing_ok=True)
    return True


def _lock_restored(lock: Path, kept: Path) -> bool:
    """Of a dvc.lock that is cut off, DVC either refuses to read the whole, or believes that what
    was behind the cut was never run. A missing one is left alone: someone removed it."""
    for pause in (1.0, 0.0):  # it too may be in the making
        if not (lock.is_file() and kept.is_file()):
            return False
        now, then = lock.read_text(), kept.read_text()
        stages, before = _stages(now), _stages(then)
        # a stage that is done changes its own entry or adds one, so none can be lost
        lost = len(stages) < len(before) and stages == before[: len(stages)]
        if _ended(now) and not lost:
            return False
        time.sleep(pause)
    with atomic(lock) as f:
        f.write_text(then)
    return True


def _ended(text: str) -> bool:
    return text.endswith("\n")


def _stages(text: str) -> list[str]:
    """Names of the entries; the last one may be incomplete."""
    return re.findall(r"^  (\S+):$", text, re.MULTILINE)
