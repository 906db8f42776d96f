"""Where models are timed: this host, a board, or the attached phone of a profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgefit_toolkit.devices.profile import DeviceProfile
from edgefit_toolkit.errors import DeviceError, SeveralDevices
from edgefit_toolkit.progress import Ui
from edgefit_toolkit.records import Latency, Measurement

if TYPE_CHECKING:
    from edgefit_benchmarks.sessions.options import TimingOptions
    from edgefit_benchmarks.targets.target import Target


@dataclass(frozen=True)
class Bench:
    """Where and how models are timed."""

    target: Target
    threads: int
    cpus: tuple[int, ...] = ()  # pinned to these cores; empty: the system's choice

    def options(self, **others: Any) -> TimingOptions:
        """Timing options of this place; `others` are more of their fields."""
        from edgefit_benchmarks.sessions.options import TimingOptions

        return TimingOptions(threads=self.threads, cpus=self.cpus, **others)


def find_bench(
    profile: DeviceProfile,
    where: Mapping[str, str] | None = None,
    *,
    threads: int | None = None,
    required: bool = False,
    ui: Ui | None = None,
) -> Bench | None:
    """The target that a flag names (`where`: flag -> what it names), else the profile's own; None when there is none.

    Raises DeviceError when the one that was named (or is required) is absent or not ready, or when several match.
    """
    from edgefit_benchmarks.targets.table import cores_for, kind_of, open_target

    required = required or bool(where)
    if not required and not kind_of(profile).is_present(profile):
        return None
    try:
        target = open_target(profile, where)
    except SeveralDevices:
        raise
    except DeviceError as error:
        # a phone that merely charges here must not stop a prediction for another one
        if required:
            raise
        if ui is not None:
            ui.warn(f"{error.message}; going on with a prediction")
        return None
    wanted = threads or (host_threads() if profile.name == "host" else profile.threads)
    pinned = cores_for(target.facts(), profile, wanted) if target.capabilities.can_pin_cores else ()
    return Bench(target, wanted, pinned)


def host_threads() -> int:
    """As many threads as this host has cores, at most 4: what phones' fast clusters have."""
    from edgefit_benchmarks.targets.local import usable_cores

    return min(4, usable_cores())


def measured_latency(row: Measurement, percentile: int) -> Latency:
    """A measurement as a Latency record; low and high are the 95% interval of the budget's percentile."""
    from edgefit_benchmarks.stats import quantile_interval, summarise

    summary = summarise(row.samples_ms)
    low, high = quantile_interval(row.samples_ms, percentile / 100)
    return Latency(
        p50=summary.p50_ms, p90=summary.p90_ms, low=low, high=high, origin=row.origin,
        basis=f"{len(row.samples_ms)} samples on {row.target}, {row.runtime}, {row.threads} threads",
    )  # fmt: skip
