"""A run that ends at the guard still says where it fell."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from edgefit_toolkit import __version__
from edgefit_toolkit.errors import GuardFailed
from edgefit_toolkit.pipeline import document
from edgefit_toolkit.pipeline.job import Job
from edgefit_toolkit.report import write_refusal
from edgefit_toolkit.report.schema import REFUSAL_SCHEMA


def refuse(job: Job, failed: GuardFailed, *, command: str) -> GuardFailed:
    """Writes the run's report of the refusal; the error to raise, whose hint names it."""
    from edgefit_converters.recipe import Recipe
    from edgefit_toolkit.pipeline.guarding import ladder_doc

    stages = job.run.manifest["stages"]
    trained = stages["train"]["value"]
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
        "training": trained["training"],
        "weights": trained["provenance"],
        "environment": document.environment_doc(job),
    }
    write_refusal(doc, job.run.path)
    report = job.run.path / "report.html"
    return GuardFailed(failed.message, f"{failed.hint}; where it fell stands in {report}", failed.steps)
