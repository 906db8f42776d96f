"""How a model is timed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TimingOptions:
    """Every choice of one measurement; see timing.measure_interleaved."""

    threads: int = 2
    cpus: tuple[int, ...] = ()  # the cores that it is pinned to; empty: the system's choice
    warmups: int = 10  # untimed invocations before the first sample
    min_samples: int = 50
    min_seconds: float = 1.0  # timed seconds of each model, at least
    max_seconds: float = 10.0  # and at most, once there are min_samples
    input_path: Path | None = None  # raw bytes of one input tensor (this host only); None: seeded noise
    seed: int = 0  # of the noise and of the order of turns
    benchmark_model: Path | None = None  # LiteRT's program for a device; None: programs.py chooses
    gpu: bool = False  # the device's GPU delegate
    log_dir: Path | None = None  # the raw logs go there
    accept_cost: bool = False  # of a hosted device; without it nothing is uploaded or started there
    cooldown_s: float = 60.0  # how long a warm device may cool before it is timed

    @property
    def pinned(self) -> tuple[str, ...]:
        """A session's note of its cores; none where the system chooses."""
        return (f"pinned to cores {', '.join(map(str, self.cpus))}",) if self.cpus else ()
