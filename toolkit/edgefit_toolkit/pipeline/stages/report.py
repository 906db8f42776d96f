"""Stage 8: what each stage recorded, put in the words and fields of `edgefit.report/1`; or where a refused run fell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgefit_converters.recipe import Recipe
from edgefit_toolkit import __version__
from edgefit_toolkit.data.answers.power import to_power
from edgefit_toolkit.data.dataset import Dataset, Photo
from edgefit_toolkit.data.dataset import labels as labels_of
from edgefit_toolkit.data.pixels import open_photo
from edgefit_toolkit.data.preprocessing import apply, to_network_input
from edgefit_toolkit.errors import GuardFailed
from edgefit_toolkit.picker.plan import Plan, plan_json
from edgefit_toolkit.pipeline.report_rows import ladder_doc, measurement_doc, times_doc
from edgefit_toolkit.pipeline.stages.convert import Converted
from edgefit_toolkit.pipeline.stages.evaluate import Evaluated
from edgefit_toolkit.pipeline.stages.job import Job
from edgefit_toolkit.pipeline.stages.measure import MeasuredModels
from edgefit_toolkit.pipeline.stages.quantize import Quantized
from edgefit_toolkit.pipeline.stages.train import Trained
from edgefit_toolkit.records import Latency, Origin, as_json
from edgefit_toolkit.report import derive, pictures, walkthrough
from edgefit_toolkit.report.documents import write_refusal, write_report
from edgefit_toolkit.report.schema import REFUSAL_SCHEMA
from edgefit_toolkit.serve import web_measurements

SHOWN = 12  # test pictures shown with their answers


@dataclass(frozen=True)
class Made:
    """What stages 3 to 7 recorded of one network."""

    trained: Trained
    converted: Converted
    quantized: Quantized
    evaluated: Evaluated
    measured: MeasuredModels


@dataclass(frozen=True)
class Attempt:
    """A trained network that missed the budget on the device."""

    label: str
    phi: float
    latency: Latency  # of the trained int8 model
    top1: float
    folder: str  # of the run, where its files are kept
    sentence: str

    @property
    def doc(self) -> dict[str, Any]:
        """report.schema.AttemptDoc."""
        return {
            "label": self.label, "phi": self.phi, "latency_ms": asdict(self.latency), "top1": self.top1,
            "folder": self.folder,
        }  # fmt: skip


def report(job: Job, plan: Plan, made: Made, *, command: str, attempts: Sequence[Attempt] = ()) -> dict[str, Any]:
    """Writes report.json, report.md and report.html, always anew, so that a better renderer reaches an old run.

    Returns the document. Raises OutputError where it cannot.
    """
    job.ui.stage(8, job.last, "report: what was found, for people and programs")
    doc = build_document(job, plan, made, command=command, attempts=attempts)
    write_report(doc, job.run.path)
    return doc


def build_document(
    job: Job, plan: Plan, made: Made, *, command: str, attempts: Sequence[Attempt] = ()
) -> dict[str, Any]:
    """The whole document, ready for report.validate."""
    dataset, trained, measured = job.dataset, made.trained, made.measured
    planned = plan_json(plan)
    truth = labels_of(dataset.test)
    with np.load(job.answers_file) as file:
        kinds = ("float_torch", "float_tflite", "int8_tflite")
        answers = {kind: to_power(file[kind], job.power).astype(np.float32) for kind in kinds}
    int8, answered = answers["int8_tflite"], answers["int8_tflite"].argmax(1)
    judged = (truth.tolist(), answered.tolist(), dataset.classes)
    trained_on = np.bincount(labels_of(dataset.train), minlength=len(dataset.classes)).tolist()
    per_class = derive.per_class(*judged, train=trained_on)
    return {
        "schema": "edgefit.report/1",
        "edgefit": __version__,
        "created": job.run.manifest["created"],
        "command": command,
        "verdict": _verdict(job, planned, measured),
        "plan": planned,
        "data": _data(dataset),
        "weights": as_json(trained.provenance),
        "training": as_json(trained.training),
        "models": {"float": as_json(made.converted.model), "int8": as_json(made.quantized.model)},
        "quantization": _quantization(made.quantized),
        "accuracy": {
            name: derive.score(int((probabilities.argmax(1) == truth).sum()), len(truth))
            for name, probabilities in answers.items()
        },
        "per_class": per_class,
        "balance": derive.balance(per_class),
        "confusion": derive.confusion(*judged),
        "reliability": derive.reliability(int8.max(1).tolist(), (answered == truth).tolist())
        | {"threshold": made.evaluated.threshold},
        "agreement": {name: getattr(made.evaluated.agreement, name) for name in ("top1", "top5", "sqnr_db", "n")},
        "measurements": [*map(measurement_doc, measured.measurements), *web_measurements(job.run.path)],
        "reference": as_json(measured.reference),
        "predictions": [_prediction(dataset, int8, i) for i in _spread(truth, SHOWN)],
        "worst_mistakes": [_prediction(dataset, int8, i) for i in derive.worst(truth.tolist(), int8)],
        "pipeline_trace": _pipeline_trace(job, dataset.test[0]),
        "prediction_trace": _prediction_trace(job, answers),
        "environment": _environment(job),
        **({"other": made.evaluated.other} if made.evaluated.other else {}),
        **({"places": made.evaluated.places} if made.evaluated.places else {}),
        **({"taxonomy": made.evaluated.taxonomy} if made.evaluated.taxonomy else {}),
        **({"device_accuracy": as_json(measured.device_accuracy)} if measured.device_accuracy else {}),
        **({"operator_times": _operator_times(measured)} if measured.operators else {}),
        **({"attempts": [attempt.doc for attempt in attempts]} if attempts else {}),
        "warnings": [*(attempt.sentence for attempt in attempts), *trained.warnings, *measured.warnings],
    }


def report_refusal(job: Job, failed: GuardFailed, trained: Trained, *, command: str) -> GuardFailed:
    """A run that ends at the guard still says where it fell. Writes its report; the error to raise names that."""
    doc: dict[str, Any] = {
        "schema": REFUSAL_SCHEMA,
        "edgefit": __version__,
        "created": job.run.manifest["created"],
        "command": command,
        "stage": "quantize" if job.float_tflite.exists() else "convert",
        "sentence": failed.message,
        "hint": failed.hint,
        "network": job.variant.label,
        "device": job.settings.device,
        "data": f"{job.dataset.summary}.",
        "ladder": ladder_doc(failed.steps),
        "guard": asdict(Recipe().floors),
        "training": as_json(trained.training),
        "weights": as_json(trained.provenance),
        "environment": _environment(job),
    }
    write_refusal(doc, job.run.path)
    where = job.run.path / "report.html"
    return GuardFailed(failed.message, f"{failed.hint}; where it fell stands in {where}", failed.steps)


def _environment(job: Job) -> dict[str, Any]:
    """report.schema.EnvironmentDoc: the machine that made the run."""
    environment = job.run.manifest["environment"]
    return {
        "host": f"{environment['os']} {environment['machine']}, {environment['cores']} cores",
        "cpu": environment["cpu"],
        "versions": environment["versions"],
        "seed": job.settings.seed,
    }


def _verdict(job: Job, planned: dict[str, Any], measured: MeasuredModels) -> dict[str, Any]:
    """The trained model's own measurement on the device decides, where there is one; else the prediction."""
    settings = job.settings
    origin: Origin = "measured on host" if settings.device == "host" else "measured on device"
    name = f"p{settings.percentile}"
    row = next((row for row in measured.measurements if row.model == "int8" and row.origin == origin), None)
    if row is not None:
        latency_ms = measurement_doc(row)[f"{name}_ms"]
    else:
        latency_ms, origin = planned["pick"]["latency_ms"][name], planned["pick"]["latency_ms"]["origin"]
    return dict(derive.verdict(latency_ms, settings.budget_ms, origin, settings.device, settings.percentile))


def _quantization(quantized: Quantized) -> dict[str, Any]:
    return {
        "recipe": quantized.step,
        "converter": quantized.converter,
        "calibration": quantized.calibration,
        "ladder": quantized.ladder,
        "guard": asdict(quantized.floors),
    }


def _operator_times(measured: MeasuredModels) -> list[dict[str, Any]]:
    return [times_doc(name, profile, measured.host) for name, profile in measured.operators.items()]


def _data(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "kind": dataset.kind,
        "classes": list(dataset.classes),
        "counts": {"train": len(dataset.train), "val": len(dataset.val), "test": len(dataset.test)},
        "skipped": [{"file": s.name, "reason": s.reason} for s in dataset.skipped],
        "notes": [*dataset.notes, *([dataset.credits] if dataset.credits else [])],
        "license": dataset.license,
    }


def _spread(truth: np.ndarray[Any, np.dtype[np.int64]], most: int) -> list[int]:
    """Test pictures to show: one of each class in turn, in the order of the split."""
    queues = [np.flatnonzero(truth == label).tolist() for label in np.unique(truth)]
    found: list[int] = []
    while len(found) < min(most, len(truth)):
        for queue in queues:
            if queue and len(found) < most:
                found.append(queue.pop(0))
    return found


def _prediction(dataset: Dataset, probabilities: np.ndarray[Any, np.dtype[np.float32]], index: int) -> dict[str, Any]:
    photo = dataset.test[index]
    row = derive.prediction(
        photo.name, photo.label, probabilities[index], dataset.classes, pictures.picture(open_photo(photo)),
        credit=pictures.credit_doc(photo.credit),
    )  # fmt: skip
    return dict(row)


def _pipeline_trace(job: Job, photo: Photo) -> list[Any]:
    centre = job.preprocessing.resolution_px // 2
    raw = apply(open_photo(photo), job.preprocessing)[centre, centre]
    pixel = walkthrough.worked_pixel(raw.tolist(), centre, centre, job.preprocessing)
    return list(walkthrough.pipeline_trace(job.variant, job.preprocessing, pixel, job.settings.io_dtype))


def _prediction_trace(job: Job, answers: Any) -> dict[str, Any]:
    photo = job.dataset.test[0]
    pixels = job.pixels(job.dataset.test[:1], "reading a test picture")
    activations = walkthrough.record_activations(job.network, to_network_input(pixels))
    trace = walkthrough.prediction_trace(
        photo.name,
        job.dataset.classes[photo.label],
        job.dataset.classes,
        activations,
        answers["float_torch"][0],
        answers["int8_tflite"][0],
        pictures.picture(open_photo(photo)),
    )
    return dict(trace)
