"""The report document, `edgefit.report/1`: what stands in report.json, field by field, and its validation.

The TypedDicts are the schema: a field that is described here is a field that is checked, and the *.schema.json files
(JSON Schema, for readers in any language) are made from them: `python -m edgefit_toolkit.report.schema`.
Fields may be added freely; a reader must ignore those it does not know. A `NotRequired` field that is missing drops
its section from the rendered report. Milliseconds, bytes and shares (0..1) throughout; never a bare percentage.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from edgefit_toolkit.errors import InputError
from edgefit_toolkit.report.schema.plan import AttemptDoc, PlanDoc, VerdictDoc
from edgefit_toolkit.report.schema.provenance import DataDoc, EnvironmentDoc, ModelsDoc, TrainingDoc, WeightsDoc
from edgefit_toolkit.report.schema.quantization import QuantizationDoc
from edgefit_toolkit.report.schema.refusal import RefusalDoc
from edgefit_toolkit.report.schema.results import (
    AccuracyDoc,
    AgreementDoc,
    BalanceDoc,
    ConfusionDoc,
    DeviceAccuracyDoc,
    MeasurementDoc,
    OperatorTimesDoc,
    OtherDoc,
    PlacesDoc,
    PredictionDoc,
    RecallDoc,
    ReferenceDoc,
    ReliabilityDoc,
    TaxonomyDoc,
)
from edgefit_toolkit.report.schema.routes import RoutesDoc
from edgefit_toolkit.report.schema.sweep import SweepDoc
from edgefit_toolkit.report.schema.validation import check, json_schema
from edgefit_toolkit.report.schema.walkthrough import PredictionTraceDoc, TraceStep

SCHEMA = "edgefit.report/1"
REFUSAL_SCHEMA = "edgefit.refusal/1"
FOLDER = Path(__file__).parent  # of the published *.schema.json


class ReportDoc(TypedDict):
    """report.json."""

    schema: Literal["edgefit.report/1"]
    edgefit: str  # version
    created: str  # UTC, ISO 8601
    command: str  # reproduces the run
    verdict: VerdictDoc
    plan: PlanDoc
    data: DataDoc
    models: ModelsDoc
    accuracy: AccuracyDoc
    agreement: AgreementDoc
    measurements: list[MeasurementDoc]
    reference: ReferenceDoc
    weights: NotRequired[WeightsDoc]
    training: NotRequired[TrainingDoc]
    quantization: NotRequired[QuantizationDoc]
    per_class: NotRequired[list[RecallDoc]]
    balance: NotRequired[BalanceDoc]
    confusion: NotRequired[ConfusionDoc]
    reliability: NotRequired[ReliabilityDoc]
    other: NotRequired[OtherDoc]
    places: NotRequired[PlacesDoc]
    taxonomy: NotRequired[TaxonomyDoc]
    predictions: NotRequired[list[PredictionDoc]]
    worst_mistakes: NotRequired[list[PredictionDoc]]
    pipeline_trace: NotRequired[list[TraceStep]]
    prediction_trace: NotRequired[PredictionTraceDoc]
    attempts: NotRequired[list[AttemptDoc]]
    device_accuracy: NotRequired[DeviceAccuracyDoc]
    operator_times: NotRequired[list[OperatorTimesDoc]]
    environment: NotRequired[EnvironmentDoc]
    warnings: NotRequired[list[str]]


def validate(doc: Any) -> ReportDoc:
    """The document, if it is an `edgefit.report/1`; raises InputError that names the first bad field."""
    report = check(doc, ReportDoc)
    _agree(report)
    return report


def published() -> dict[str, str]:
    """The JSON Schema file of every document, by its name."""
    documents = {"report": ReportDoc, "plan": PlanDoc, "refusal": RefusalDoc, "compare": RoutesDoc, "sweep": SweepDoc}
    return {
        f"{name}.schema.json": json.dumps(json_schema(kind, f"edgefit.{name}/1"), indent=1) + "\n"
        for name, kind in documents.items()
    }


def _agree(doc: ReportDoc) -> None:
    """Fields that say the same thing twice must not differ."""
    verdict = doc["verdict"]
    if verdict["fits"] != (verdict["latency_ms"] <= verdict["budget_ms"]):
        raise _bad("verdict.fits", f"is {verdict['fits']}, yet {verdict['latency_ms']} ms meets a budget of "
                   f"{verdict['budget_ms']} ms: {verdict['latency_ms'] <= verdict['budget_ms']}")  # fmt: skip
    margin = 1 - verdict["latency_ms"] / verdict["budget_ms"]
    if abs(margin - verdict["margin"]) > 0.005:
        raise _bad("verdict.margin", f"is {verdict['margin']:g}; 1 - latency_ms / budget_ms is {margin:.4f}")
    for i, row in enumerate(doc["measurements"]):
        if not row["samples_ms"]:
            raise _bad(f"measurements[{i}].samples_ms", "is empty; statistics without their samples are not kept")
        if row.get("emulated") and row["origin"] == "measured on device":
            raise _bad(f"measurements[{i}].origin", "says 'measured on device' of an emulator")
    confusion = doc.get("confusion")
    if confusion is not None:
        size = len(confusion["labels"])
        if "matrix" in confusion and [len(row) for row in confusion["matrix"]] != [size] * size:
            raise _bad("confusion.matrix", f"is not {size} x {size}, as its labels ask")
        for i, (true, answer, _) in enumerate(confusion.get("mistakes", [])):
            if not (0 <= true < size and 0 <= answer < size):
                raise _bad(f"confusion.mistakes[{i}]", f"names a class beyond the {size} labels")
    for i, prediction in enumerate([*doc.get("predictions", []), *doc.get("worst_mistakes", [])]):
        picture = prediction.get("picture")
        if picture is not None and not picture.startswith(("data:image/jpeg;base64,", "data:image/png;base64,")):
            raise _bad(f"predictions[{i}].picture", "is not a JPEG or PNG data URI: the report must stand alone")


def _bad(field: str, problem: str) -> InputError:
    return InputError(f"report: {field} {problem}", "make the run again: edgefit fit")
