"""A trained run made ready for use.

calibrate  what a score is worth, and the range of inputs for which that was measured
export     a run as ONNX and OpenVINO files with a model card
"""

import json
from pathlib import Path
from typing import Any


class DeployError(ValueError):
    """A run, its scores, a calibration or an export that cannot be used; the message names the
    files and says what to do."""


def read(path: Path, otherwise: str, *parts: str) -> dict[str, Any]:
    """A JSON file that has these parts. Raises DeployError, with what to do otherwise."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        for part in parts:
            found[part]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        why = f"broken, or of another version ({type(error).__name__}: {error})"
        why = "no such file" if isinstance(error, FileNotFoundError) else why
        raise DeployError(f"{path}: {why}; {otherwise}") from None
    return found
