"""From the flags of `edgefit plan` to a Plan: profile, predictor, search."""

from __future__ import annotations

from typing import cast

from edgefit_toolkit.devices import load_profile
from edgefit_toolkit.latency.predict import predict
from edgefit_toolkit.picker.search import Plan, Scaling, pick
from edgefit_toolkit.records import Budget, Family


def make_plan(budget_ms: float, device: str, percentile: int, family: str, scaling: str, classes: int = 1000) -> Plan:
    """The largest phi predicted to fit. Raises InputError for a budget or device that makes no sense, BudgetMissed
    when nothing fits."""
    profile = load_profile(device)
    return pick(
        Budget(budget_ms, percentile),
        lambda variant: predict(variant, profile, percentile=percentile),
        device=profile.name,
        family=cast(Family, family),
        scaling=cast(Scaling, scaling),
        classes=classes,
    )
