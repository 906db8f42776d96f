"""`edgefit bench`: the latency of one .tflite file on this host, a phone or a board."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from edgefit_toolkit.cli.main import EXIT_CODES
from edgefit_toolkit.cli.options import emit, json_option, say, threads_option, where_options
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.records import Measurement


@click.command("bench", epilog=EXIT_CODES)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--device", default="host", show_default=True, help="Profile of the device to run it on.")
@where_options
@threads_option
@click.option("--min-samples", type=click.IntRange(10, 100_000), default=50, show_default=True)
@click.option("--runner", type=click.Path(path_type=Path), default=None, help="A benchmark_model for the device.")
@click.option(
    "--runtime",
    type=click.Choice(["litert", "tflite-runtime"]),
    default="litert",
    show_default=True,
    help="tflite-runtime 2.14, on this host only; its environment is made on first use.",
)
@click.option("--gpu", is_flag=True, help="The phone's GPU delegate (float models; needs benchmark_model).")
@click.option("--log", type=click.Path(path_type=Path), default=None, help="Keep the runner's raw log in this folder.")
@json_option
def command(
    model: Path, device: str, where: dict[str, str], threads: int | None, min_samples: int, runner: Path | None,
    runtime: str, gpu: bool, log: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Time a .tflite MODEL: warm-up, at least 50 samples and 1 s, every sample kept."""
    from edgefit_toolkit.api.bench import bench
    from edgefit_toolkit.pipeline.report_rows import measurement_doc

    if runtime == "tflite-runtime":
        if device != "host" or where or runner or gpu or log:
            raise InputError("--runtime tflite-runtime is for this host", "leave the flags of a device out")
        _bench_tflite_runtime(model, threads, min_samples, as_json)
        return
    options = {"min_samples": min_samples, "benchmark_model": runner, "gpu": gpu, "log_dir": log}
    row = bench(model, device, where=where, threads=threads, **options)
    doc = {"schema": "edgefit.bench/1"} | measurement_doc(row)
    if as_json:
        emit(doc)
        return
    _show(model, row)


def _bench_tflite_runtime(model: Path, threads: int | None, min_samples: int, as_json: bool) -> None:
    """The same file by tflite-runtime and, in turns, by LiteRT: how the two compare is what a reader wants to know."""
    from edgefit_benchmarks.sessions.options import TimingOptions
    from edgefit_benchmarks.tflite_runtime import measure_with_tflite_runtime
    from edgefit_converters.routes.environments import TENSORFLOW, ensure
    from edgefit_toolkit.api.console import Terminal
    from edgefit_toolkit.pipeline.bench import host_threads
    from edgefit_toolkit.pipeline.report_rows import measurement_doc

    ui = Terminal()
    try:
        python = ensure(TENSORFLOW, ui.progress)
    finally:
        ui.close()
    options = TimingOptions(threads=threads or host_threads(), min_samples=min_samples)
    times = measure_with_tflite_runtime(python, model, options, model=model.name)
    if as_json:
        beside = measurement_doc(times.litert)
        warnings = [times.warning] if times.warning else []
        emit({"schema": "edgefit.bench/1"} | measurement_doc(times.side) | {"beside": beside, "warnings": warnings})
        return
    for row in (times.side, times.litert):
        _show(model, replace(row, notes=tuple(note for note in row.notes if note != times.warning)))
    if times.warning:
        say(f"warning: {times.warning}", err=True)


def _show(model: Path, row: Measurement) -> None:
    from edgefit_toolkit.pipeline.report_rows import measurement_doc

    doc = measurement_doc(row)
    say(f"{model.name} on {row.target}, {row.runtime}, {row.delegate}, {row.threads} threads, {row.origin}")
    say(
        f"p50 {doc['p50_ms']:.2f} ms   p90 {doc['p90_ms']:.2f} ms   p99 {doc['p99_ms']:.2f} ms   "
        f"{len(row.samples_ms)} samples after {row.warmups} warm-ups"
    )
    for note in row.notes:
        say(f"note: {note}")
