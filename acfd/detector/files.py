"""The error of a run's files, and JSON among them."""

import json
from pathlib import Path
from typing import Any

from acfd.paths import sha256


class DeployError(ValueError):
    """A run, its scores, a calibration or an export that cannot be used; the message names the
    files and says what to do."""


def read(path: Path, otherwise: str, *parts: str) -> dict[str, Any]:
    """A JSON file that has these parts. Raises DeployError, with what to do otherwise."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        for part in parts:
            found[part]
    except FileNotFoundError:
        raise DeployError(f"{path}: no such file; {otherwise}") from None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        why = f"broken, or of another version ({type(error).__name__}: {error})"
        raise DeployError(f"{path}: {why}; {otherwise}") from None
    return found


def same_file(path: Path, expected: str, says: str, otherwise: str):
    """Raises DeployError, with what to do otherwise, if a file has not the SHA-256 that the file
    `says` names."""
    found = sha256(path) if path.is_file() else "that of no file"
    if found != expected:
        raise DeployError(f"{path}: sha256 is {found}, {says} says {expected}; {otherwise}")
