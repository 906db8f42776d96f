"""`edgefit.refusal/1`: report.json of a run whose model the guard refused. Nothing of such a run can be shipped."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from edgefit_toolkit.report.schema.provenance import EnvironmentDoc, TrainingDoc, WeightsDoc
from edgefit_toolkit.report.schema.quantization import LadderStep


class RefusalDoc(TypedDict):
    """Where it fell and what was tried."""

    schema: Literal["edgefit.refusal/1"]
    edgefit: str  # version
    created: str  # UTC, ISO 8601
    command: str  # reproduces the run
    stage: str  # where it fell: "convert" or "quantize"
    sentence: str  # what was found, with figures
    hint: str  # what to do
    network: str
    device: str
    data: str  # one line about the pictures
    ladder: list[LadderStep]  # what was tried, in order; empty when it fell before
    guard: NotRequired[dict[str, float]]  # the floors
    training: NotRequired[TrainingDoc]
    weights: NotRequired[WeightsDoc]
    environment: NotRequired[EnvironmentDoc]
