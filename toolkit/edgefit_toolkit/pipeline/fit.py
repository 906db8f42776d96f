"""The whole job in eight numbered stages, recorded in the run directory: a broken run goes on where it was.

1. pick      the largest phi whose predicted latency fits the budget
2. data      find, check and split the pictures
3. train     ImageNet weights into the variant, linear probe, fine-tuning, temperature
4. convert   torch -> float .tflite
5. quantize  int8, each step of the ladder guarded against the float model's answers
6. evaluate  the same test pictures through float torch, float .tflite and int8 .tflite
7. measure   latency on this host; the float reference in torch
8. report    report.json, report.md, report.html
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgefit_toolkit.errors import OutputError
from edgefit_toolkit.pipeline import stages
from edgefit_toolkit.pipeline.document import build_document
from edgefit_toolkit.pipeline.job import Job
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.planning import make_plan
from edgefit_toolkit.runs import environment, key_of, open_run
from edgefit_toolkit.ui import Ui

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
    plan = make_plan(settings.budget_ms, settings.device, settings.percentile, settings.family, settings.scaling)
    if run_dir.exists() and not run_dir.is_dir():
        raise OutputError(f"{run_dir} is a file", "name a directory with --out DIR")
    with open_run(run_dir, settings=asdict(settings) | {"command": command}, environment=environment()) as run:
        ui.stage(1, last, f"pick: {settings.budget_ms:g} ms at p{settings.percentile} on {settings.device}")
        stages.tell_plan(plan, ui)
        plan, bench = stages.prove_plan(plan, settings, run, ui)

        # 2. data
        ui.stage(2, last, "data")
        dataset = stages.load_data(settings, ui)
        job = Job(settings, run, ui, stages.with_classes_of(plan, dataset), dataset, last)

        # 3. train
        key = key_of(
            variant=asdict(job.variant), data=dataset.sha256, seed=settings.seed, epochs=settings.epochs,
            offline=settings.offline, versions=run.manifest["environment"]["versions"],
        )  # fmt: skip
        trained = job.stage(3, f"fine-tune {job.variant.label}", "train", key, lambda: stages.train(job, key))
        if last == 3:
            return None

        # 4. convert
        key = key_of(after=key, stage="convert")
        floated = job.stage(4, "convert to a float .tflite", "convert", key, lambda: stages.convert(job, trained))

        # 5. quantize
        key = key_of(after=key, stage="quantize", calibration_n=settings.calibration_n)
        quantized = job.stage(5, "quantize to int8 and guard it", "quantize", key, lambda: stages.quantize(job))
        if last == 5:
            return None

        # 6. evaluate
        key = key_of(after=key, stage="evaluate")
        evaluated = job.stage(6, "evaluate on test pictures", "evaluate", key, lambda: stages.evaluate(job, trained))

        # 7. measure
        where = bench.target.facts().label if bench else ""
        key = key_of(
            after=key, stage="measure", threads=settings.threads, host=run.manifest["environment"]["cpu"], target=where
        )
        measured = job.stage(7, "measure latency", "measure", key, lambda: stages.measure(job, bench))

        # 8. report: always written anew, so that a better renderer reaches an old run
        ui.stage(8, last, "report")
        doc = build_document(job, plan, trained, floated, quantized, evaluated, measured, command=command)
        stages.write(job, doc)
        return doc
