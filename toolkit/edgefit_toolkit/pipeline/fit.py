"""The whole job in eight numbered stages, recorded in the run directory: a broken run goes on where it was.

1. pick      the largest phi whose predicted latency fits the budget
2. data      find, check and split the pictures
3. train     ImageNet weights into the variant, linear probe, fine-tuning, temperature
4. convert   torch -> float .tflite
5. quantize  int8, each step of the ladder guarded against the float model's answers
6. evaluate  the same test pictures through float torch, float .tflite and int8 .tflite
7. measure   latency on the device and on this host; the float reference in torch
8. report    report.json, report.md, report.html

A model that misses the budget on the device after all is set aside, and stages 3 to 7 run again for a smaller network.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgefit_toolkit.errors import GuardFailed, OutputError
from edgefit_toolkit.host import environment
from edgefit_toolkit.picker.search import make_plan
from edgefit_toolkit.pipeline import document, making, refuse, stages, stepdown
from edgefit_toolkit.pipeline.job import Job
from edgefit_toolkit.pipeline.run import open_run
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.progress import Ui
from edgefit_toolkit.report import clear_refusal

TOTAL = 8


def fit(settings: FitSettings, run_dir: Path, ui: Ui, *, command: str) -> dict[str, Any]:
    """Run (or finish) a job in `run_dir`; the report document. `command` is what reproduces it.

    Raises BudgetMissed, GuardFailed, InputError and its kinds, DeviceError, ConversionError.
    """
    doc = run_stages(settings, run_dir, ui, command=command)
    assert doc is not None
    return doc


def run_stages(
    settings: FitSettings, run_dir: Path, ui: Ui, *, command: str, last: int = TOTAL
) -> dict[str, Any] | None:
    """The stages up to number `last`; the report document when that is the last one. Raises as `fit` does."""
    # 1. pick: before anything is written, so that a wrong flag leaves nothing behind
    predicted = make_plan(settings.budget_ms, settings.device, settings.percentile, settings.family, settings.scaling)
    if run_dir.exists() and not run_dir.is_dir():
        raise OutputError(f"{run_dir} is a file", "name a directory with --out DIR")
    with open_run(run_dir, settings=asdict(settings) | {"command": command}, environment=environment()) as run:
        clear_refusal(run_dir)
        ui.stage(1, last, f"pick: {settings.budget_ms:g} ms at p{settings.percentile} on {settings.device}")
        stages.tell_plan(predicted, ui)
        plan, bench = stages.prove_plan(predicted, settings, run, ui)

        # 2. data
        ui.stage(2, last, "data")
        dataset = stages.load_data(settings, ui)

        # 3 to 7, again with a smaller network when the trained one misses the budget
        attempts: list[stepdown.Attempt] = []
        while True:
            job = Job(settings, run, ui, stages.with_classes_of(plan, dataset), dataset, last)
            keys, number = making.keys_of(job, bench), len(attempts) + 1
            missed = stepdown.set_aside_before(job, number, keys["measure"])
            if missed is None:
                try:
                    made = making.make(job, bench, keys)
                except GuardFailed as failed:
                    raise refuse.refuse(job, failed, command=command) from failed
                if made is None:
                    return None
                if bench is None or len(attempts) == stepdown.MAX_STEP_DOWNS:
                    break
                latency = stepdown.trained_latency(made.measured, settings.percentile, bench.target.facts().origin)
                if not stepdown.misses(plan, latency) or stepdown.smaller(plan, predicted, latency) is None:
                    break
                missed = stepdown.set_aside(job, plan, number, keys["measure"], latency)
            after = stepdown.smaller(plan, predicted, missed.latency)
            assert after is not None  # else it had not been set aside
            ui.warn(f"{missed.sentence}: stepping down to {after.pick.variant.label}")
            attempts.append(missed)
            plan = after

        # 8. report: always written anew, so that a better renderer reaches an old run
        ui.stage(8, last, "report")
        doc = document.build_document(job, plan, made, command=command, attempts=attempts)
        stages.write(job, doc)
        return doc
