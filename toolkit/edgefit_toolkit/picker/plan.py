"""The answer of the search: which network, at what latency, and what the next larger one would cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from edgefit_toolkit.records import Budget, Latency, Variant

SCHEMA = "edgefit.plan/1"
Accelerator = Literal["cpu", "gpu"]


@dataclass(frozen=True)
class Candidate:
    """One network of the search range and its latency."""

    variant: Variant
    latency: Latency

    @property
    def phi(self) -> float:
        """Where the network sits on the axis of compound scaling."""
        return self.variant.phi

    def fits(self, budget: Budget) -> bool:
        """Whether the budget's percentile stays within the budget, with the budget's confidence."""
        return self.latency.at(budget.percentile, budget.confidence) <= budget.latency_ms


@dataclass(frozen=True)
class Measured(Candidate):
    """A network that was measured, some of them several times: `latency` is its most usual round (rounds.py)."""

    runs: tuple[Latency, ...]  # in the order of measuring


@dataclass(frozen=True)
class Plan:
    """The pick and everything that it was chosen from."""

    budget: Budget
    device: str  # the profile's name
    family: str
    scaling: str  # "continuous": any phi; "released": only networks with published weights
    phi_range: tuple[float, float]
    pick: Candidate
    next: Candidate | None  # the next larger network, which does not fit; None when the whole range fits
    frontier: tuple[Candidate, ...]  # every distinct network of the range, in order of phi
    notes: tuple[str, ...] = ()
    proof: tuple[Measured, ...] = ()  # everything that was measured, in that order; empty for a predicted plan
    accelerator: Accelerator = "cpu"  # int8 on the CPU, or float16 on the GPU
    picks: tuple[tuple[float, Candidate], ...] = ()  # of a predicted plan: (confidence, what it would pick)

    @property
    def misses_below(self) -> tuple[Candidate, ...]:
        """Networks smaller than the pick that do not fit: latency is not monotone in phi."""
        phi = self.pick.variant.phi
        return tuple(c for c in self.frontier if c.variant.phi < phi and not c.fits(self.budget))


def plan_json(plan: Plan) -> dict[str, Any]:
    """The plan as the document `edgefit.plan/1`: plain dicts, lists and scalars."""
    return {
        "schema": SCHEMA,
        "device": plan.device,
        "budget_ms": plan.budget.latency_ms,
        "percentile": plan.budget.percentile,
        "confidence": plan.budget.confidence,
        "accelerator": plan.accelerator,
        "family": plan.family,
        "scaling": plan.scaling,
        "phi_range": list(plan.phi_range),
        "pick": candidate_json(plan.pick),
        "next": candidate_json(plan.next) if plan.next else None,
        "notes": list(plan.notes),
        "picks": [candidate_json(candidate) | {"confidence": level} for level, candidate in plan.picks],
        **({"proof": [_proof_json(measured, plan.budget) for measured in plan.proof]} if plan.proof else {}),
        "frontier": [_point_json(candidate, plan.budget) for candidate in plan.frontier],
    }


def candidate_json(candidate: Candidate) -> dict[str, Any]:
    """One network of a plan document."""
    variant = candidate.variant
    return {
        "label": variant.label,
        "released": variant.released,
        "phi": variant.phi,
        "family": variant.family,
        "width": variant.width,
        "depth": variant.depth,
        "resolution_px": variant.resolution_px,
        "classes": variant.classes,
        "madds": variant.madds,
        "params": variant.params,
        "latency_ms": asdict(candidate.latency),
    }


def _proof_json(measured: Measured, budget: Budget) -> dict[str, Any]:
    return candidate_json(measured) | {
        "fits": measured.fits(budget),
        "rounds_ms": [round(latency.at(budget.percentile), 4) for latency in measured.runs],
    }


def _point_json(candidate: Candidate, budget: Budget) -> dict[str, Any]:
    variant, latency = candidate.variant, candidate.latency
    return {
        "phi": variant.phi,
        "released": variant.released,
        "resolution_px": variant.resolution_px,
        "madds": variant.madds,
        "latency_ms": latency.at(budget.percentile),
        "low_ms": latency.low,
        "high_ms": latency.high,
        "origin": latency.origin,
        "fits": candidate.fits(budget),
    }
