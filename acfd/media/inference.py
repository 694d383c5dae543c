"""OpenVINO: its one `Core` of a process, and networks for one thread."""

from functools import cache

import openvino as ov


@cache
def core() -> ov.Core:
    """Shared and never let go. Each Core's CPU plugin installs a stack for signal handlers and,
    when it goes, the one it found: two that overlap leave one that is freed, and the next signal
    kills the process. Seen with 2026.4."""
    return ov.Core()


def one_thread(model: ov.Model) -> ov.CompiledModel:
    """Compiled for one thread of the CPU, where the parallelism is over videos or people."""
    options = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        # float32 wherever it runs: CPUs that know bfloat16 would find slightly other numbers
        "INFERENCE_PRECISION_HINT": "f32",
        # pinned, the one thread of every process would wait for the same core
        "ENABLE_CPU_PINNING": False,
    }
    return core().compile_model(model, "CPU", options)
