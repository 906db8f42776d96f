"""When the trained model misses the budget after all: the next smaller network, and what is kept of the larger one.

A probe has the very operators of the trained model, so this is rare: a device that is warmer or busier an hour later.
"""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgefit_toolkit.network.checkpoints import sidecar_of
from edgefit_toolkit.picker.plan import Candidate, Plan
from edgefit_toolkit.picker.rule import FITS_BY, largest_within
from edgefit_toolkit.pipeline.job import Job
from edgefit_toolkit.pipeline.prove import measured_latency
from edgefit_toolkit.records import Latency, Measurement, Origin

MAX_STEP_DOWNS = 2  # each costs a training


@dataclass(frozen=True)
class Attempt:
    """A trained network that missed, and the sentence about it."""

    latency: Latency  # of the trained int8 model
    doc: dict[str, Any]  # report.schema.AttemptDoc
    sentence: str


def trained_latency(measured: dict[str, Any], percentile: int, origin: Origin) -> Latency:
    """The int8 model's own latency, from what the measure stage recorded; low and high are its 95% interval."""
    row = next(m for m in measured["measurements"] if m["model"] == "int8" and m["origin"] == origin)
    fields = {field.name: row[field.name] for field in dataclasses.fields(Measurement)}
    return measured_latency(Measurement(**fields), percentile)


def misses(plan: Plan, latency: Latency) -> bool:
    """Whether it is over the budget by more than its own 95% interval allows."""
    return not Candidate(plan.pick.variant, latency).fits(plan.budget) and latency.low > plan.budget.latency_ms


def smaller(plan: Plan, predicted: Plan, latency: Latency) -> Plan | None:
    """The plan one step down: the largest smaller network that fits when it is slower than it was thought to be by as
    much as the pick was; None when there is none.

    `predicted` is the plan before anything was measured: its frontier gives the shape between measured networks.
    """
    missed, percentile = plan.pick.variant, plan.budget.percentile
    at = latency.at(percentile)
    probes = {measured.variant: measured.latency for measured in plan.proof}
    thought = next(c.latency for c in predicted.frontier if c.variant == missed)
    scale = at / thought.at(percentile)
    below = [c for c in predicted.frontier if c.variant.phi < missed.phi]
    expected = [
        probes[c.variant].at(percentile) * at / probes[missed].at(percentile)
        if {c.variant, missed} <= probes.keys()
        else c.latency.at(percentile) * scale
        for c in below
    ]
    largest = largest_within(expected, plan.budget.latency_ms * (1 - FITS_BY))
    if largest is None:
        return None
    variant = below[largest].variant
    scaled = probes.get(variant) or _scaled(below[largest].latency, scale, missed.label)
    return dataclasses.replace(
        plan,
        pick=Candidate(variant, scaled),
        next=Candidate(missed, latency),
        notes=(*plan.notes, f"{missed.label} was trained first and missed the budget"),
    )


def set_aside(job: Job, plan: Plan, number: int, key: str, latency: Latency) -> Attempt:
    """Keep what the attempt made in a folder of the run, and record it: a broken run does not train it again."""
    budget, folder = plan.budget, f"attempt-{number}"
    answers = np.load(job.run.path / "answers.npz")
    top1 = float((answers["int8_tflite"].argmax(1) == answers["truth"]).mean())
    doc = {
        "label": plan.pick.variant.label, "phi": plan.pick.variant.phi, "latency_ms": asdict(latency), "top1": top1,
        "folder": folder,
    }  # fmt: skip
    sentence = (
        f"{plan.pick.variant.label} was trained, yet its int8 model took {latency.at(budget.percentile):.2f} ms "
        f"(p{budget.percentile}, {latency.origin}; 95% interval {latency.low:.2f} to {latency.high:.2f}), over the "
        f"budget of {budget.latency_ms:g} ms"
    )
    models = [job.float_tflite, job.int8_tflite, job.run.path / "answers.npz"]
    rest = [job.checkpoint, sidecar_of(job.checkpoint), job.run.path / "preprocessing.json"]
    target = job.run.path / folder
    target.mkdir(exist_ok=True)
    kept = [Path(shutil.copy2(file, target / file.name)) for file in (*models, *rest)]
    job.run.finish(folder, key, {"doc": doc, "sentence": sentence}, kept, 0.0)
    for file in models:  # copied, recorded, and only then removed: nobody ships a model that missed
        file.unlink()
    return Attempt(latency, doc, sentence)


def set_aside_before(job: Job, number: int, key: str) -> Attempt | None:
    """The attempt of this number when an earlier process recorded it with this very key."""
    value = job.run.done(f"attempt-{number}", key)
    return None if value is None else Attempt(Latency(**value["doc"]["latency_ms"]), value["doc"], value["sentence"])


def _scaled(latency: Latency, scale: float, anchor: str) -> Latency:
    return Latency(
        latency.p50 * scale, latency.p90 * scale, latency.low * scale, latency.high * scale, "predicted",
        f"predicted from the measured latency of {anchor}",
    )  # fmt: skip
