"""OpenVINO's one `Core` of a process."""

from functools import cache

import openvino as ov


@cache
def core() -> ov.Core:
    """Shared and never let go. Each Core's CPU plugin installs a stack for signal handlers and,
    when it goes, the one it found: two that overlap leave one that is freed, and the next signal
    kills the process. Seen with 2026.4."""
    return ov.Core()
