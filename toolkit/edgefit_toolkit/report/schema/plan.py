"""What was picked, what was weighed on the way, and whether it fits."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from edgefit_toolkit.records import Origin
from edgefit_toolkit.report.schema.quantities import BudgetMs, Count, Ms


class LatencyDoc(TypedDict):
    """records.Latency: one inference, in ms."""

    p50: Ms
    p90: Ms
    low: float  # predicted: 80% interval of the budget's percentile; measured: 95% interval of it
    high: float
    origin: Origin
    basis: str  # where the figure comes from, one sentence


class CandidateDoc(TypedDict):
    """One network that the picker weighed."""

    phi: float
    family: str
    width: float
    depth: float
    resolution_px: int
    madds: Count  # multiply-adds of one inference
    params: Count
    latency_ms: LatencyDoc
    label: NotRequired[str]
    classes: NotRequired[int]
    dropout: NotRequired[float]
    released: NotRequired[str | None]  # "lite2": a network with published ImageNet weights


class FrontierPoint(TypedDict):
    """One network on the curve of latency against phi."""

    phi: float
    latency_ms: Ms  # at the budget's percentile
    low_ms: float  # as LatencyDoc's
    high_ms: float
    origin: NotRequired[Origin]  # "predicted" where it is not said
    released: NotRequired[str | None]
    resolution_px: NotRequired[int]
    madds: NotRequired[int]
    fits: NotRequired[bool]


class PickDoc(CandidateDoc):
    """What a predicted plan picks when it must fit with that probability."""

    confidence: float


class ProofDoc(CandidateDoc):
    """One untrained network of the same graph, measured before training; `latency_ms` is its most usual round."""

    fits: bool
    rounds_ms: list[float]  # of each round, at the budget's percentile


class PlanDoc(TypedDict):
    """`edgefit.plan/1`: what `edgefit plan --json` prints."""

    schema: Literal["edgefit.plan/1"]
    device: str
    budget_ms: BudgetMs
    percentile: int
    accelerator: NotRequired[Literal["cpu", "gpu"]]  # int8 on the CPU where it is not said; the GPU runs float16
    confidence: NotRequired[float]  # that the prediction must hold with; 0.5 where it is not said
    picks: NotRequired[list[PickDoc]]  # of a predicted plan, by confidence; `pick` is the one that was taken
    pick: CandidateDoc | None  # None: nothing fits
    next: CandidateDoc | None  # the next phi up, which does not fit; None: the whole range fits
    frontier: NotRequired[list[FrontierPoint]]
    notes: NotRequired[list[str]]  # what the picker has to say about its pick
    proof: NotRequired[list[ProofDoc]]  # what was measured to find it, in that order


class VerdictDoc(TypedDict):
    """Does it fit, by how much, how do we know."""

    fits: bool
    latency_ms: Ms  # at the budget's percentile
    budget_ms: BudgetMs
    margin: float  # share of the budget left: 1 - latency_ms / budget_ms; negative when it is missed
    origin: Origin
    sentence: str


class AttemptDoc(TypedDict):
    """A network that was trained, measured over the budget after all, and set aside for a smaller one."""

    label: str
    phi: float
    latency_ms: LatencyDoc  # of the trained int8 model
    top1: float  # int8, on test
    folder: str  # in the run directory: what is left of it


def at_percentile(latency: LatencyDoc, percentile: int) -> float:
    """The figure that a budget of this percentile is compared with, in ms."""
    return latency["p50"] if percentile <= 50 else latency["p90"]
