"""What a run shows the guard, and what the guard found, in the report's fields.

Who may see which label: int8's *agreement* with float is judged on validation and test photographs together, for it
needs no label. *Accuracy* is judged on validation photographs only: a decision that looks at test labels, even to
refuse a model, would make test accuracy a figure that was selected for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefit_converters.judge import faults, guard
from edgefit_converters.judge.accuracy import UNKNOWN, Accuracy
from edgefit_converters.judge.holdout import JudgedStep
from edgefit_converters.tflite.metadata import read_labels
from edgefit_toolkit.data.pixels import labels as labels_of
from edgefit_toolkit.errors import GuardFailed
from edgefit_toolkit.interpreter import Pixels
from edgefit_toolkit.pipeline.job import Job
from edgefit_toolkit.records import PIXEL_MEAN, PIXEL_STD
from edgefit_toolkit.training.evaluation import logits

NOT_A_NUMBER_DB = -99.0  # JSON has no NaN; a model without a finite answer keeps nothing


def held_out(job: Job) -> tuple[Pixels, NDArray[np.int64]]:
    """Validation and test pictures uint8 [N, R, R, 3], and their labels [N]: -1 for every test picture."""
    pixels = np.concatenate((job.val_pixels, job.test_pixels))
    labels = np.full(len(pixels), UNKNOWN)
    labels[: len(job.val_pixels)] = labels_of(job.dataset.val)
    return pixels, labels


def check_float(job: Job, path: Path) -> None:
    """A converted float .tflite against the checkpoint in torch, on validation pictures with their labels.

    Raises GuardFailed that names the break; the file is removed then.
    """
    meta = job.meta
    try:
        if (meta.preprocessing.mean, meta.preprocessing.std) != (PIXEL_MEAN, PIXEL_STD):
            raise GuardFailed(
                f"the checkpoint was trained on (raw - {meta.preprocessing.mean:g}) / {meta.preprocessing.std:g}, the "
                f".tflite takes (raw - {PIXEL_MEAN:g}) / {PIXEL_STD:g}: wrong preprocessing",
                "train it again: edgefit fit, with another --out",
            )
        check_names(job, path)
        reference = logits(job.network, job.val_pixels, temperature=meta.temperature)
        guard.check_float(
            reference, path, job.val_pixels, labels_of(job.dataset.val), meta.classes, validated_top1=meta.val_top1
        )
    except GuardFailed:
        path.unlink(missing_ok=True)
        raise


def check_names(job: Job, path: Path) -> None:
    """The labels inside a .tflite, in labels.txt and of the data set against the checkpoint's classes, in order."""
    beside = (job.run.path / "labels.txt").read_text(encoding="utf-8").splitlines()
    for found, where in (
        (read_labels(path), f"{path.name}"),
        (beside, "labels.txt"),
        (job.dataset.classes, "the data set"),
    ):
        fault = faults.names(found, job.meta.classes, where)
        if fault is not None:
            raise GuardFailed(f"labels are shuffled: {fault}", "nothing was handed over; start the run again")


def ladder_doc(steps: Sequence[JudgedStep]) -> list[dict[str, Any]]:
    """report.schema.LadderStep of each."""
    return [_step_doc(step) for step in steps]


def _step_doc(step: JudgedStep) -> dict[str, Any]:
    doc: dict[str, Any] = {
        "name": step.name,
        "agreement": step.parity.top1,
        "agreement_top5": step.parity.top5,
        "sqnr_db": _db(step.parity.sqnr_db),
        "n": step.parity.n,
        "seconds": round(step.seconds, 1),
        "size_bytes": step.size_bytes,
        "passed": not step.shortfalls,
        "note": step.why,
        "shortfalls": list(step.shortfalls),
    }
    if step.gain_db is not None and step.gain_top1 is not None:
        doc |= {"gain_db": _db(step.gain_db), "gain_agreement": step.gain_top1}
    if step.accuracy is not None:
        doc["accuracy"] = _accuracy_doc(step.accuracy)
    return doc


def _accuracy_doc(accuracy: Accuracy) -> dict[str, Any]:
    low, high = accuracy.difference_interval
    int8_low, int8_high = accuracy.int8_interval
    float_low, float_high = accuracy.float_interval
    return {
        "split": "val",
        "int8_top1": {"top1": accuracy.int8_top1, "n": accuracy.n, "low": int8_low, "high": int8_high},
        "float_top1": {"top1": accuracy.float_top1, "n": accuracy.n, "low": float_low, "high": float_high},
        "difference": accuracy.difference,
        "low": low,
        "high": high,
        "lost": accuracy.lost,
        "won": accuracy.won,
    }


def _db(value: float) -> float:
    return NOT_A_NUMBER_DB if math.isnan(value) else min(max(value, NOT_A_NUMBER_DB), -NOT_A_NUMBER_DB)
