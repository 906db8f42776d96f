"""Stage 7: both models on the device and on this host, their operators, and the float reference."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from edgefit_toolkit.data.pixels import labels as labels_of
from edgefit_toolkit.errors import EdgefitError
from edgefit_toolkit.picker.bracket import ROUNDS
from edgefit_toolkit.pipeline.job import Job
from edgefit_toolkit.pipeline.prove import Bench, host_threads, measured_latency
from edgefit_toolkit.pipeline.stages import Made
from edgefit_toolkit.records import Budget, Measurement, as_json


def measure(job: Job, bench: Bench | None) -> Made:
    """Latency of both models on the device (when it is there) and on this host, and the float reference in torch."""
    from edgefit_benchmarks.reference import measure_reference
    from edgefit_benchmarks.targets.local import LocalTarget
    from edgefit_toolkit.pipeline.measurement_docs import measurement_doc

    benches = [Bench(LocalTarget(), job.settings.threads or host_threads())]
    if bench is not None and not bench.target.capabilities.is_this_host:
        benches.insert(0, bench)
    docs = []
    for place in benches:
        job.ui.note(f"measuring on {place.target.facts().label}, {place.threads} threads")
        docs += [measurement_doc(row) for row in _timed(job, place, decides=bench is not None and place is benches[0])]
    gpu, gpu_warnings = _on_gpu(job, benches[0])
    docs += [measurement_doc(row) for row in gpu]
    side, side_warnings = _by_tflite_runtime(job)
    docs += [measurement_doc(row) for row in side]
    there = _answers_there(job, benches[0])
    for place in benches:
        place.target.cleanup()
    for doc in docs:
        by = f", {doc['runtime']}" if doc["runtime"].startswith("tflite-runtime") else ""
        job.ui.note(f"{doc['model']} {doc['origin']}{by}: p50 {doc['p50_ms']:.1f} ms, p90 {doc['p90_ms']:.1f} ms")
    times, warnings = _operators(job, benches[-1], docs)
    warnings += gpu_warnings + side_warnings
    for warning in warnings:
        job.ui.warn(warning)
    reference = measure_reference(job.network, job.test_pixels, labels_of(job.dataset.test))
    job.ui.note(
        f"float reference in torch on {reference.hardware}: p50 {reference.p50_ms:.1f} ms, top-1 {reference.top1:.3f}"
    )
    there["warnings"] = [*there.get("warnings", []), *warnings]
    value = {"measurements": docs, "reference": as_json(asdict(reference)), "operator_times": times}
    return value | there, []


def _timed(job: Job, place: Bench, *, decides: bool) -> list[Measurement]:
    """Both models, timed in turns. Where the verdict hangs on it, a miss is measured again; the median int8 counts."""
    from edgefit_benchmarks.timing import measure_interleaved

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
    from edgefit_benchmarks.sessions.options import TimingOptions
    from edgefit_benchmarks.timing import measure

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
    from edgefit_benchmarks.sessions.options import TimingOptions
    from edgefit_benchmarks.tflite_runtime import measure_with_tflite_runtime
    from edgefit_toolkit.pipeline.side_python import side_python

    if job.settings.converter != "onnx-tf":
        return [], []
    rows, warnings = [], []
    try:
        python = side_python(job.ui, offline=job.settings.offline)
        for name, path in (("int8", job.int8_tflite), ("float", job.float_tflite)):
            options = TimingOptions(threads=job.settings.threads or host_threads(), max_seconds=3.0)
            times = measure_with_tflite_runtime(python, path, options, model=name)
            rows.append(times.side)
            warnings += [times.warning] if times.warning else []
    except EdgefitError as error:
        warnings.append(f"not measured with tflite-runtime: {error.message}")
    return rows, warnings


def _operators(job: Job, host: Bench, docs: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Time per operator of both models on this host, and warnings: none could be had, or int8 is slower, and why."""
    from edgefit_converters.tflite.inspect import read_model
    from edgefit_toolkit.pipeline.int8_speed import slower_warnings
    from edgefit_toolkit.pipeline.measurement_docs import profile_models, times_doc

    models = {"int8": job.int8_tflite, "float": job.float_tflite}
    profiles, warnings = profile_models(models, host.threads)
    label = host.target.facts().label
    facts = {name: read_model(path) for name, path in models.items()}
    warnings += slower_warnings(docs, facts["int8"], facts["float"], profiles)
    return [times_doc(name, profile, label) for name, profile in profiles.items()], warnings


def _answers_there(job: Job, bench: Bench) -> dict[str, Any]:
    """The test pictures' int8 answers computed on the device itself, against this host's; nothing for this host."""
    from edgefit_benchmarks.device_accuracy import device_accuracy

    if not bench.target.capabilities.can_answer:
        return {}
    found = device_accuracy(
        bench.target, job.int8_tflite, job.test_pixels, labels_of(job.dataset.test), threads=bench.threads
    )
    job.ui.note(f"int8 on the device: top-1 {found.top1:.3f}, {found.equal} of {found.n} answers equal to this host's")
    warnings = []
    if found.agreement < 1.0:
        warnings.append(
            f"the device gives another first answer than this host on {1 - found.agreement:.1%} of pictures"
        )
    return {"device_accuracy": as_json(asdict(found)), "warnings": warnings}
