"""When the trained model misses the budget after all: the next smaller network, and what is kept of the larger one.

A probe has the very operators of the trained model, so this is rare: a device that is warmer or busier an hour later.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np

from edgefit_toolkit.network.checkpoints import sidecar_of
from edgefit_toolkit.picker.plan import Candidate, Plan
from edgefit_toolkit.picker.rule import FITS_BY, largest_within
from edgefit_toolkit.pipeline.run_directory.key import Key
from edgefit_toolkit.pipeline.stages.job import Job
from edgefit_toolkit.pipeline.stages.report import Attempt
from edgefit_toolkit.records import Latency

MAX_STEP_DOWNS = 2  # each costs a training


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


def set_aside(job: Job, plan: Plan, number: int, key: Key, latency: Latency) -> Attempt:
    """Keep what the attempt made in a folder of the run, and record it: a broken run does not train it again."""
    budget, folder = plan.budget, f"attempt-{number}"
    answers = np.load(job.answers_file)
    top1 = float((answers["int8_tflite"].argmax(1) == answers["truth"]).mean())
    sentence = (
        f"{plan.pick.variant.label} was trained, yet its int8 model took {latency.at(budget.percentile):.2f} ms "
        f"(p{budget.percentile}, {latency.origin}; 95% interval {latency.low:.2f} to {latency.high:.2f}), over the "
        f"budget of {budget.latency_ms:g} ms"
    )
    models = [job.float_tflite, job.int8_tflite, job.answers_file]
    rest = [job.checkpoint, sidecar_of(job.checkpoint), job.preprocessing_file]
    target = job.run.path / folder
    target.mkdir(exist_ok=True)
    kept = [Path(shutil.copy2(file, target / file.name)) for file in (*models, *rest)]
    variant = plan.pick.variant
    attempt = Attempt(variant.label, variant.phi, latency, top1, folder, sentence)
    job.run.finish(folder, key, attempt, kept, 0.0)
    for file in models:  # copied, recorded, and only then removed: nobody ships a model that missed
        file.unlink()
    return attempt


def set_aside_before(job: Job, number: int, key: Key) -> Attempt | None:
    """The attempt of this number when an earlier process recorded it with this very key."""
    return job.run.done(f"attempt-{number}", key, Attempt)


def _scaled(latency: Latency, scale: float, anchor: str) -> Latency:
    return Latency(
        latency.p50 * scale, latency.p90 * scale, latency.low * scale, latency.high * scale, "predicted",
        f"predicted from the measured latency of {anchor}",
    )  # fmt: skip
