"""Where the time of a long piece of work goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields


class Stages:
    """For dataclasses whose fields are seconds: `with timing.stage("decode"): ...` adds to one."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, name, getattr(self, name) + time.perf_counter() - start)


@dataclass
class Timing(Stages):
    """Seconds by stage, summed over clips (and so over processes), and what they were spent on."""

    hash: float = 0.0  # telling whether a finished shard still holds
    compress: float = 0.0  # of a quality that the data set does not have
    decode: float = 0.0  # all three videos
    detect: float = 0.0
    crop: float = 0.0  # with PNG encoding
    write: float = 0.0
    wall: float = 0.0  # of the whole extraction, not summed
    clips: int = 0  # done now, not found done
    frames: int = 0  # chosen, in those
    memory: int = 0  # MiB, the most that a process took; not summed

    def add(self, other: "Timing") -> None:
        most = max(self.memory, other.memory)
        for f in fields(self):
            setattr(self, f.name, getattr(self, f.name) + getattr(other, f.name))
        self.memory = most
