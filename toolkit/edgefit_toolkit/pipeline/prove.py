"""Measure before training: untrained int8 networks of the same graphs, until the pick fits and the next one does not.

Latency does not depend on the weights, so nothing is trained for this (probes.py).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefit_toolkit.devices import DeviceProfile, load_profile, save_user_profile
from edgefit_toolkit.errors import DeviceError, SeveralDevices
from edgefit_toolkit.latency import calibrate
from edgefit_toolkit.latency.calibrate import Calibration
from edgefit_toolkit.picker.bracket import Bracket, apply, bracket
from edgefit_toolkit.picker.plan import Plan
from edgefit_toolkit.pipeline.probes import write_probe
from edgefit_toolkit.progress import Ui
from edgefit_toolkit.records import Budget, Latency, Measurement, Variant

if TYPE_CHECKING:
    from edgefit_benchmarks.sessions.options import TimingOptions
    from edgefit_benchmarks.targets.target import Target

PROOF_LIMIT_S = 75.0  # no round of measuring begins later
ROUND_LIMIT_S = 1.5  # timed seconds of one network in one round: more rounds tell more than longer ones

DISTURBED = 0.10  # share of the cores that others took; a quiet host's own daemons stay under 2%
DISTURBED_AGAIN = 3  # rounds of one proof that are taken again for it

Rows = dict[str, Measurement]


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


def prove(plan: Plan, bench: Bench, ui: Ui, *, limit_s: float = PROOF_LIMIT_S) -> tuple[Plan, Bracket]:
    """The plan with a measured pick and a measured next, and everything that was measured on the way.

    No round begins after `limit_s`, the making of probes not counted: converting a B network takes longer than to
    measure it. Raises BudgetMissed when no network was measured to fit, DeviceError when the target is lost.
    """
    from edgefit_benchmarks.timing import measure_interleaved

    budget: Budget = plan.budget
    started, making_s = time.monotonic(), 0.0
    quiet = _Quiet(bench.target.capabilities.is_this_host, ui)

    def in_time() -> bool:
        return time.monotonic() - started - making_s < limit_s

    with tempfile.TemporaryDirectory(prefix="edgefit-probe-") as folder:

        def timed(variants: Sequence[Variant]) -> list[Latency]:
            nonlocal making_s
            paths: dict[str, Path] = {}
            making = time.monotonic()
            for variant in variants:
                path = Path(folder) / f"probe-{variant.family}-{variant.phi:.4f}-{variant.resolution_px}.tflite"
                if not path.exists():
                    write_probe(variant, path)
                paths[path.stem] = path
            making_s += time.monotonic() - making
            rows = quiet.round(
                lambda: measure_interleaved(bench.target, paths, bench.options(max_seconds=ROUND_LIMIT_S)),
                in_time,
            )
            found = [measured_latency(rows[name], budget.percentile) for name in paths]
            for variant, latency in zip(variants, found, strict=True):
                at = latency.at(budget.percentile)
                word = "fits" if at <= budget.latency_ms else "does not fit"
                ui.note(f"{variant.label}: p{budget.percentile} {at:.2f} ms {latency.origin}: {word}")
            return found

        found = bracket(budget, plan.frontier, timed, start=plan.pick.variant, in_time=in_time)
    found = replace(found, notes=(*found.notes, *quiet.notes()))
    return apply(plan, found), found


class _Quiet:
    """Takes rounds on this host again that other programs disturbed, a few times; then as they come, and says so."""

    def __init__(self, local: bool, ui: Ui) -> None:
        self.local, self.ui = local, ui
        self.left = DISTURBED_AGAIN
        self.worst = 0.0  # share of the cores that others took in a round that counts

    def round(self, measure: Callable[[], Rows], in_time: Callable[[], bool]) -> Rows:
        from edgefit_benchmarks.other_work import OtherWork

        while True:
            others = OtherWork()
            rows = measure()
            share = (others.share() or 0.0) if self.local else 0.0
            if share <= DISTURBED or not self.left or not in_time():
                self.worst = max(self.worst, share)
                return rows
            self.left -= 1
            self.ui.note(f"other programs took {share:.0%} of the cores: measuring this round again")

    def notes(self) -> tuple[str, ...]:
        if self.worst <= DISTURBED:
            return ()
        return (
            f"other programs took up to {self.worst:.0%} of this computer's cores while it was measured: "
            "measure again when it is idle",
        )


def calibrate_profile(
    device: str, ui: Ui, *, where: Mapping[str, str] | None, threads: int | None, count: int
) -> tuple[Calibration, Path]:
    """Measure `count` probes on the device, fit its profile to them and keep it among the user's own.

    The probes are timed in turns, so that a machine that gets busier does so for all of them.
    """
    from importlib.metadata import version

    from edgefit_benchmarks.stats import summarise
    from edgefit_benchmarks.timing import measure_interleaved

    profile = load_profile(device)
    bench = find_bench(profile, where, threads=threads, required=True)
    assert bench is not None
    with tempfile.TemporaryDirectory(prefix="edgefit-probe-") as folder:
        variants = {variant.label: variant for variant in calibrate.probes(count)}
        paths = {label: Path(folder) / f"probe-{i}.tflite" for i, label in enumerate(variants)}
        for label, variant in variants.items():
            write_probe(variant, paths[label])
        ui.note(f"measuring {count} probes on {bench.target.facts().label}, {bench.threads} threads")
        try:
            rows = measure_interleaved(bench.target, paths, bench.options())
        finally:
            bench.target.cleanup()
    measured = [(variants[label], summarise(row.samples_ms).p50_ms) for label, row in rows.items()]
    for variant, p50_ms in measured:
        ui.note(f"{variant.label}: p50 {p50_ms:.2f} ms")
    row = next(iter(rows.values()))
    source = f"edgefit calibrate on {row.target}, {row.runtime}, ai-edge-litert {version('ai-edge-litert')}"
    made = calibrate.fit_profile(profile, measured, source=f"{source}, {date.today()}", threads=bench.threads)
    return made, save_user_profile(made.profile)
