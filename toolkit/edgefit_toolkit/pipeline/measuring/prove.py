"""Measure before training: untrained int8 networks of the same graphs, until the pick fits and the next one does not.

Latency does not depend on the weights, so nothing is trained for this (probes.py).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from edgefit_toolkit.picker.bracket import Bracket, apply, bracket
from edgefit_toolkit.picker.plan import Plan
from edgefit_toolkit.pipeline.measuring.bench import Bench, measured_latency
from edgefit_toolkit.pipeline.measuring.probes import write_probe
from edgefit_toolkit.progress import Ui
from edgefit_toolkit.records import Budget, Latency, Measurement, Variant

PROOF_LIMIT_S = 75.0  # no round of measuring begins later
ROUND_LIMIT_S = 1.5  # timed seconds of one network in one round: more rounds tell more than longer ones

DISTURBED = 0.10  # share of the cores that others took; a quiet host's own daemons stay under 2%
DISTURBED_AGAIN = 3  # rounds of one proof that are taken again for it

Rows = dict[str, Measurement]


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
