"""A kind of target that edgefit does not have: a farm that takes a file and gives latencies back, and has no shell.

Its phone is a process on this computer; `python -m support.farm ARGUMENTS` is edgefit with a farm.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgefit_benchmarks.sessions.host import HostSession
from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.sessions.session import Block, Session
from edgefit_benchmarks.targets import table
from edgefit_benchmarks.targets.kind import TargetKind
from edgefit_benchmarks.targets.target import Condition, Facts, Target
from edgefit_toolkit.errors import DeviceError


class FarmSession:
    """A model in the farm's queue."""

    runtime, delegate, block_s = "the farm's LiteRT", "xnnpack", 0.1

    def __init__(self, model_path: Path, options: TimingOptions) -> None:
        self.notes: tuple[str, ...] = ("timed by a farm",)
        self.log: list[str] = []
        self._job = HostSession(model_path, TimingOptions(threads=options.threads))

    def block(self, samples: int, warmups: int) -> Block:
        return self._job.block(samples, warmups)

    def close(self) -> None:
        self._job.close()


class FarmTarget(Target):
    """One phone of the farm, by its name there."""

    def __init__(self, name: str) -> None:
        if name != "pixel-9":
            raise DeviceError(f"the farm has no {name}", "it has: pixel-9")
        self.name = name

    def facts(self) -> Facts:
        return Facts(kind="farm", label=f"{self.name} (farm)", origin="measured on device", name=self.name)

    def condition(self) -> Condition:
        return Condition(cores=8)

    def open_session(self, model_path: Path, options: TimingOptions) -> Session:
        return FarmSession(model_path, options)


KIND = TargetKind(
    name="farm",
    noun="a farm's phone",
    open=lambda _, name: FarmTarget(name or ""),
    connect=FarmTarget,
    flag="farm",
    metavar="PHONE",
    help="Measure on this phone of the farm.",
)

if __name__ == "__main__":
    table.KINDS.append(KIND)
    from edgefit_toolkit.cli import main

    sys.exit(main())
