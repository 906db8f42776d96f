"""Stage 1: the largest network within the budget, predicted and, where the device is at hand, proven on it."""

from __future__ import annotations

import time

from edgefit_toolkit.devices import load_profile
from edgefit_toolkit.picker.bracket import ROUNDS, Bracket, apply
from edgefit_toolkit.picker.plan import Plan, plan_json
from edgefit_toolkit.pipeline.measuring.bench import Bench, find_bench
from edgefit_toolkit.pipeline.measuring.prove import prove
from edgefit_toolkit.pipeline.run_directory.key import Key
from edgefit_toolkit.pipeline.run_directory.run import Run
from edgefit_toolkit.pipeline.run_directory.source_digest import sources_of
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.progress import Ui

PROOF = "proof"  # in the manifest


def pick(predicted: Plan, settings: FitSettings, run: Run, ui: Ui, last: int) -> tuple[Plan, Bench | None]:
    """The plan, measured on the device when it is there, and where that was; a proof once made is kept in the run.

    Raises BudgetMissed and DeviceError as prove.py does.
    """
    ui.stage(
        1,
        last,
        f"pick: the largest network within {settings.budget_ms:g} ms at p{settings.percentile} on {settings.device}",
    )
    _tell(predicted, ui)
    if not settings.measure:
        return predicted, None
    bench = find_bench(load_profile(settings.device), settings.where, threads=settings.threads, ui=ui)
    if bench is None or settings.chosen:
        return predicted, bench
    where = {"target": bench.target.facts().label, "threads": bench.threads, "cpus": list(bench.cpus)}
    key = Key({"plan": plan_json(predicted), "rounds": ROUNDS, "bench": where, "sources": sources_of(__name__)})
    found = run.done(PROOF, key, Bracket)
    if found is None:
        if why := run.why_again(PROOF, key):
            ui.note(f"{PROOF} again: {why}")
        ui.note(f"measuring untrained networks on {where['target']}, {bench.threads} threads")
        started = time.monotonic()
        found = prove(predicted, bench, ui)[1]
        run.finish(PROOF, key, found, [], time.monotonic() - started)
    plan = apply(predicted, found)
    _tell(plan, ui)
    return plan, bench


def _tell(plan: Plan, ui: Ui) -> None:
    """The pick, its interval and basis, and what does not fit any more."""
    latency = plan.pick.latency
    at = latency.at(plan.budget.percentile)
    ui.note(
        f"{plan.pick.variant.label}: {at:.1f} ms {latency.origin} "
        f"({80 if latency.origin == 'predicted' else 95}% interval {latency.low:.1f} to {latency.high:.1f})"
    )
    ui.note(f"basis: {latency.basis}")
    if plan.next is not None:
        ui.note(f"{plan.next.variant.label} does not fit: {plan.next.latency.at(plan.budget.percentile):.1f} ms")
    for note in plan.notes:
        ui.note(note)
