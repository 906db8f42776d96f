"""Stage 7: both models on the device and on this host, their operators, and the float reference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefit_benchmarks.device_accuracy import DeviceAccuracy, device_accuracy
from edgefit_benchmarks.operators import OperatorProfile
from edgefit_benchmarks.reference import Reference, measure_reference
from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.targets.local import LocalTarget
from edgefit_benchmarks.tflite_runtime import measure_with_tflite_runtime
from edgefit_benchmarks.timing import measure, measure_interleaved
from edgefit_converters.routes.environments import TENSORFLOW, ensure
from edgefit_converters.tflite.inspect import read_model
from edgefit_toolkit.data.dataset import labels as labels_of
from edgefit_toolkit.errors import EdgefitError
from edgefit_toolkit.picker.bracket import ROUNDS
from edgefit_toolkit.pipeline.measuring.bench import Bench, host_threads, measured_latency
from edgefit_toolkit.pipeline.measuring.int8_speed import profile_models, slower_warnings
from edgefit_toolkit.pipeline.report_rows import measurement_doc
from edgefit_toolkit.pipeline.stages.job import Job
from edgefit_toolkit.pipeline.stages.stage import Stage
from edgefit_toolkit.records import Budget, Latency, Measurement, Origin


@dataclass(frozen=True)
class MeasuredModels:
    """Raw samples of both models wherever they were timed, and what explains them."""

    measurements: tuple[Measurement, ...]
    operators: dict[str, OperatorProfile]  # of "int8" and "float", on this host
    host: str  # its label
    reference: Reference  # the float network in torch
    device_accuracy: DeviceAccuracy | None
    warnings: tuple[str, ...]

    def latency(self, percentile: int, origin: Origin) -> Latency:
        """The int8 model's own; low and high are its 95% interval."""
        row = next(row for row in self.measurements if row.model == "int8" and row.origin == origin)
        return measured_latency(row, percentile)


class Measure(Stage[MeasuredModels]):
    """Leaves no file beside the logs."""

    number, name, result = 7, "measure", MeasuredModels
    title = "measure latency: int8, float, and the float reference in torch"

    def depends_on(self) -> dict[str, Any]:
        """The machines, and where the device is one of them the budget: a miss is measured again."""
        settings, bench = self.job.settings, self.job.bench
        where = None if bench is None else [bench.target.facts().label, bench.threads, *bench.cpus]
        budget = () if bench is None else ("budget_ms", "percentile")
        return {
            "settings": {name: getattr(settings, name) for name in (*budget, "threads", "offline")},
            "host": self.job.run.manifest["environment"]["cpu"],
            "device": where,
        }

    def work(self) -> tuple[MeasuredModels, list[Path]]:
        """Raises DeviceError when the device is lost."""
        job, bench = self.job, self.job.bench
        host = Bench(LocalTarget(), job.settings.threads or host_threads())
        benches = [host]
        if bench is not None and not bench.target.capabilities.is_this_host:
            benches.insert(0, bench)
        rows: list[Measurement] = []
        for place in benches:
            job.ui.note(f"measuring on {place.target.facts().label}, {place.threads} threads")
            rows += _timed(job, place, decides=bench is not None and place is benches[0])
        gpu, gpu_warnings = _on_gpu(job, benches[0])
        side, side_warnings = _by_tflite_runtime(job)
        rows += [*gpu, *side]
        answers, answer_warnings = _answers_there(job, benches[0])
        for place in benches:
            place.target.cleanup()
        for row in rows:
            by = f", {row.runtime}" if row.runtime.startswith("tflite-runtime") else ""
            doc = measurement_doc(row)
            job.ui.note(f"{row.model} {row.origin}{by}: p50 {doc['p50_ms']:.1f} ms, p90 {doc['p90_ms']:.1f} ms")
        operators, warnings = _operators(job, host, rows)
        warnings += gpu_warnings + side_warnings
        for warning in warnings:
            job.ui.warn(warning)
        reference = measure_reference(job.network, job.test_pixels, labels_of(job.dataset.test))
        job.ui.note(
            f"float reference in torch on {reference.hardware}: p50 {reference.p50_ms:.1f} ms, "
            f"top-1 {reference.top1:.3f}"
        )
        label, said = host.target.facts().label, (*answer_warnings, *warnings)
        return MeasuredModels(tuple(rows), operators, label, reference, answers, said), []


def _timed(job: Job, place: Bench, *, decides: bool) -> list[Measurement]:
    """Both models, timed in turns. Where the verdict hangs on it, a miss is measured again; the median int8 counts."""
    budget = Budget(job.settings.budget_ms, job.settings.percentile)

    def int8_ms(rows: dict[str, Measurement]) -> float:
        return measured_latency(rows["int8"], budget.percentile).at(budget.percentile)

    runs: list[dict[str, Measurement]] = []
    models = {"int8": job.int8_tflite, "float": job.float_tflite}
    while len(runs) < ROUNDS:
        runs.append(
            measure_interleaved(
                place.target,
                models,
                place.options(seed=len(runs), log_dir=job.run.path / "logs" / place.target.facts().kind),
            )
        )
        if not decides or int8_ms(runs[0]) <= budget.latency_ms:
            return list(runs[0].values())
        job.ui.note(f"int8: p{budget.percentile} {int8_ms(runs[-1]):.2f} ms, over the budget; measuring again")
    return list(sorted(runs, key=int8_ms)[ROUNDS // 2].values())


def _on_gpu(job: Job, place: Bench) -> tuple[list[Measurement], list[str]]:
    """float on the phone's GPU delegate, where a benchmark_model for it is at hand; a failure is a warning, no end."""
    if not place.target.capabilities.can_use_gpu:
        return [], []
    try:
        options = TimingOptions(threads=place.threads, gpu=True)
        row = measure(place.target, job.float_tflite, options, model="float")
    except EdgefitError as error:
        return [], [f"float on the phone's GPU was not measured: {error.message}"]
    return [row], []


def _by_tflite_runtime(job: Job) -> tuple[list[Measurement], list[str]]:
    """Both models by tflite-runtime on this host, where the run takes the onnx-tf route, whose stack ends with it.

    Warns where it does not delegate. That it cannot be had is a warning too: the models were measured with LiteRT.
    """
    if job.settings.converter != "onnx-tf":
        return [], []
    rows, warnings = [], []
    try:
        python = ensure(TENSORFLOW, job.ui.progress, offline=job.settings.offline)
        for name, path in (("int8", job.int8_tflite), ("float", job.float_tflite)):
            options = TimingOptions(threads=job.settings.threads or host_threads(), max_seconds=3.0)
            times = measure_with_tflite_runtime(python, path, options, model=name)
            rows.append(times.side)
            warnings += [times.warning] if times.warning else []
    except EdgefitError as error:
        warnings.append(f"not measured with tflite-runtime: {error.message}")
    return rows, warnings


def _operators(job: Job, host: Bench, rows: list[Measurement]) -> tuple[dict[str, OperatorProfile], list[str]]:
    """Time per operator of both models on this host, and warnings: none could be had, or int8 is slower, and why."""
    models = {"int8": job.int8_tflite, "float": job.float_tflite}
    profiles, warnings = profile_models(models, host.threads)
    facts = {name: read_model(path) for name, path in models.items()}
    docs = [measurement_doc(row) for row in rows]
    return profiles, [*warnings, *slower_warnings(docs, facts["int8"], facts["float"], profiles)]


def _answers_there(job: Job, place: Bench) -> tuple[DeviceAccuracy | None, list[str]]:
    """The test pictures' int8 answers computed on the device itself, against this host's; nothing for this host."""
    if not place.target.capabilities.can_answer:
        return None, []
    pixels, truth = job.judged_test
    found = device_accuracy(place.target, job.int8_tflite, pixels, truth, threads=place.threads)
    job.ui.note(f"int8 on the device: top-1 {found.top1:.3f}, {found.equal} of {found.n} answers equal to this host's")
    if found.agreement == 1.0:
        return found, []
    share = f"{1 - found.agreement:.1%}"
    return found, [f"the device gives another first answer than this host on {share} of pictures"]
