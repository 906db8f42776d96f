"""One model, loaded and ready to be timed in blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Block:
    """Invocations that ran one directly after the other, in ms."""

    warmups_ms: tuple[float, ...]
    samples_ms: tuple[float, ...]


class Session(Protocol):
    """A loaded model. What it says about itself is fixed once it is open."""

    runtime: str  # "ai-edge-litert 2.3.0"
    delegate: str  # "xnnpack", "gpu", "none"
    notes: tuple[str, ...]
    log: list[str]  # what the program printed, line by line
    block_s: float  # how long a block should last: starting one may cost something

    def block(self, samples: int, warmups: int) -> Block:
        """`warmups` untimed, then `samples` timed invocations. DeviceError when the program does not survive."""

    def close(self) -> None:
        """Give back what it holds; may be called twice."""
