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

import contextlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgefit_converters.routes import check_route
from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.errors import GuardFailed, OutputError
from edgefit_toolkit.host import environment
from edgefit_toolkit.network.scaling import with_classes
from edgefit_toolkit.picker.plan import Plan
from edgefit_toolkit.picker.search import chosen_variant, make_plan
from edgefit_toolkit.pipeline.company import company
from edgefit_toolkit.pipeline.run_directory.place import anywhere
from edgefit_toolkit.pipeline.run_directory.run import Run, open_run
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.pipeline.stages import data, pick
from edgefit_toolkit.progress import Ui
from edgefit_toolkit.records import Budget
from edgefit_toolkit.report.documents import clear_refusal

LAST, CONVERT = 8, 4


def fit(settings: FitSettings, run_dir: Path, ui: Ui, *, command: str) -> dict[str, Any]:
    """Run (or finish) a job in `run_dir`; the report document. `command` is what reproduces it.

    Raises BudgetMissed, GuardFailed, InputError and its kinds, DeviceError, ConversionError.
    """
    doc = run_stages(settings, run_dir, ui, command=command)
    assert doc is not None
    return doc


def predict(settings: FitSettings) -> Plan:
    """The pick by prediction; nothing is written. Raises BudgetMissed, InputError."""
    chosen = chosen_variant(settings.network, settings.phi, settings.family)
    budget = Budget(settings.budget_ms, settings.percentile, settings.confidence)
    return make_plan(budget, settings.device, family=settings.family, scaling=settings.scaling, chosen=chosen)


def opened(
    settings: FitSettings, run_dir: Path, ui: Ui, *, command: str, donor: Path | None = None
) -> contextlib.AbstractContextManager[Run]:
    """The run directory of these settings, locked. Raises OutputError as `open_run` does."""
    if run_dir.exists() and not run_dir.is_dir():
        raise OutputError(f"{run_dir} is a file", "name a directory with --out DIR")
    saved = anywhere(asdict(settings)) | {"command": command}
    return open_run(run_dir, settings=saved, environment=environment(), warn=ui.warn, donor=donor)


def run_stages(
    settings: FitSettings, run_dir: Path, ui: Ui, *, command: str, last: int = LAST, donor: Path | None = None,
    load: Callable[[FitSettings, Ui, int], Dataset] = data.load,
) -> dict[str, Any] | None:  # fmt: skip
    """The stages up to number `last`; the report document when that is the last one. Raises as `fit` does.

    What the run directory `donor` has finished of the same network is taken over. `load` is stage 2.
    """
    # 1. pick: a prediction before anything is written: a wrong flag, or a machine that cannot convert, leaves nothing
    predicted = predict(settings)
    if last >= CONVERT:
        check_route(settings.converter, offline=settings.offline)
    with opened(settings, run_dir, ui, command=command, donor=donor) as run, company() as world:
        clear_refusal(run_dir)
        plan, bench = pick.pick(predicted, settings, run, ui, last)

        # 2. data
        dataset = load(settings, ui, last)
        taxonomy, places = data.taxonomy(settings, dataset, ui), data.places(settings, dataset, ui)

        from edgefit_toolkit.pipeline import stepdown  # only now: what trains and converts takes seconds to load
        from edgefit_toolkit.pipeline.stages.convert import Convert
        from edgefit_toolkit.pipeline.stages.evaluate import Evaluate
        from edgefit_toolkit.pipeline.stages.job import Job
        from edgefit_toolkit.pipeline.stages.measure import Measure
        from edgefit_toolkit.pipeline.stages.quantize import Quantize
        from edgefit_toolkit.pipeline.stages.report import Attempt, Made, report, report_refusal
        from edgefit_toolkit.pipeline.stages.train import Train

        attempts: list[Attempt] = []
        while True:  # 3 to 7, again with a smaller network when the trained one misses the budget
            variant = with_classes(plan.pick.variant, len(dataset.classes))
            job = Job(settings, run, ui, variant, dataset, bench, last, taxonomy, places, world)
            train = Train(job)
            convert = Convert(job, after=train)
            quantize = Quantize(job, after=convert)
            evaluate = Evaluate(job, after=quantize)
            measure = Measure(job, after=evaluate)
            number = len(attempts) + 1
            missed = stepdown.set_aside_before(job, number, measure.key)
            if missed is None:
                # 3. train
                trained = train.run()
                if last == train.number:
                    return None
                try:
                    # 4. convert
                    converted = convert.run()
                    job.power = converted.power
                    # 5. quantize
                    quantized = quantize.run()
                except GuardFailed as failed:
                    raise report_refusal(job, failed, trained, command=command) from failed
                if last == quantize.number:
                    return None
                # 6. evaluate
                evaluated = evaluate.run()
                if last == evaluate.number:
                    return None
                # 7. measure
                measured = measure.run()
                if last == measure.number:
                    return None
                if bench is None or settings.chosen or len(attempts) == stepdown.MAX_STEP_DOWNS:
                    break
                latency = measured.latency(settings.percentile, bench.target.facts().origin)
                if not stepdown.misses(plan, latency) or stepdown.smaller(plan, predicted, latency) is None:
                    break
                missed = stepdown.set_aside(job, plan, number, measure.key, latency)
            after = stepdown.smaller(plan, predicted, missed.latency)
            assert after is not None  # else it had not been set aside
            ui.warn(f"{missed.sentence}: stepping down to {after.pick.variant.label}")
            attempts.append(missed)
            plan = after

        # 8. report
        made = Made(trained, converted, quantized, evaluated, measured)
        return report(job, plan, made, command=command, attempts=attempts)
