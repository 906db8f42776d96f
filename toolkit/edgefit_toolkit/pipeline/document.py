"""The report document of a run: what each stage recorded, put in the words and fields of `edgefit.report/1`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgefit_toolkit import __version__
from edgefit_toolkit.data.dataset import Dataset, Photo
from edgefit_toolkit.data.pixels import labels as labels_of
from edgefit_toolkit.data.pixels import open_photo
from edgefit_toolkit.data.preprocessing import to_network_input, worked_pixel
from edgefit_toolkit.picker.plan import Plan, plan_json
from edgefit_toolkit.pipeline.job import Job
from edgefit_toolkit.pipeline.making import Made
from edgefit_toolkit.pipeline.stepdown import Attempt
from edgefit_toolkit.report import derive, pictures, walkthrough
from edgefit_toolkit.serve import web_measurements

SHOWN = 12  # test pictures shown with their answers


def build_document(
    job: Job,
    plan: Plan,
    made: Made,
    *,
    command: str,
    attempts: Sequence[Attempt] = (),
) -> dict[str, Any]:
    """The whole document, ready for report.validate."""
    dataset = job.dataset
    trained, evaluated, measured = made.trained, made.evaluated, made.measured
    planned = plan_json(plan)
    truth = labels_of(dataset.test)
    answers = np.load(job.run.path / "answers.npz")
    int8, answered = answers["int8_tflite"], answers["int8_tflite"].argmax(1)
    table = derive.confusion(truth.tolist(), answered.tolist(), dataset.classes)
    return {
        "schema": "edgefit.report/1",
        "edgefit": __version__,
        "created": job.run.manifest["created"],
        "command": command,
        "verdict": _verdict(job, planned, measured),
        "plan": planned,
        "data": _data(dataset),
        "weights": trained["provenance"],
        "training": trained["training"],
        "models": {"float": made.floated["model"], "int8": made.quantized["model"]},
        "quantization": made.quantized["quantization"],
        "accuracy": {
            name: derive.score(int((answers[name].argmax(1) == truth).sum()), len(truth))
            for name in ("float_torch", "float_tflite", "int8_tflite")
        },
        "per_class": derive.per_class(table),
        "confusion": table,
        "reliability": derive.reliability(int8.max(1).tolist(), (answered == truth).tolist())
        | {"threshold": evaluated["threshold"]},
        "agreement": evaluated["agreement"],
        "measurements": [*measured["measurements"], *web_measurements(job.run.path)],
        "reference": measured["reference"],
        "predictions": [_prediction(dataset, int8, i) for i in _spread(truth, SHOWN)],
        "worst_mistakes": [_prediction(dataset, int8, i) for i in derive.worst(truth.tolist(), int8)],
        "pipeline_trace": _pipeline_trace(job, dataset.test[0]),
        "prediction_trace": _prediction_trace(job, answers),
        "environment": environment_doc(job),
        **({"device_accuracy": measured["device_accuracy"]} if "device_accuracy" in measured else {}),
        **({"operator_times": measured["operator_times"]} if measured.get("operator_times") else {}),
        **({"attempts": [attempt.doc for attempt in attempts]} if attempts else {}),
        "warnings": [
            *(attempt.sentence for attempt in attempts),
            *trained.get("warnings", []),
            *measured.get("warnings", []),
        ],
    }


def environment_doc(job: Job) -> dict[str, Any]:
    """report.schema.EnvironmentDoc: the machine that made the run."""
    environment = job.run.manifest["environment"]
    return {
        "host": f"{environment['os']} {environment['machine']}, {environment['cores']} cores",
        "cpu": environment["cpu"],
        "versions": environment["versions"],
        "seed": job.settings.seed,
    }


def _verdict(job: Job, planned: dict[str, Any], measured: dict[str, Any]) -> dict[str, Any]:
    """The trained model's own measurement on the device decides, where there is one; else the prediction."""
    settings = job.settings
    word = "measured on host" if settings.device == "host" else "measured on device"
    row = next((m for m in measured["measurements"] if m["model"] == "int8" and m["origin"] == word), None)
    source = row if row is not None else planned["pick"]["latency_ms"]
    suffix = "_ms" if row is not None else ""
    latency_ms = source[f"p{settings.percentile}{suffix}"]
    return dict(derive.verdict(latency_ms, settings.budget_ms, source["origin"], settings.device, settings.percentile))


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
    worked = worked_pixel(open_photo(photo), job.preprocessing)
    pixel = walkthrough.worked_pixel(worked.raw_rgb, *worked.at, job.preprocessing)
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
