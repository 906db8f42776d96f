"""`edgefit bench`: the latency of one .tflite file on this host, a phone or a board."""

from __future__ import annotations

from pathlib import Path

import click

from edgefit_toolkit.cli.main import EXIT_CODES
from edgefit_toolkit.cli.options import emit, json_option, threads_option


@click.command("bench", epilog=EXIT_CODES)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--device", default="host", show_default=True, help="Device profile of what to run it on.")
@click.option("--serial", default=None, help="Of the phone, where several are attached.")
@click.option("--host", default=None, metavar="USER@BOARD", help="Run it on this board over ssh.")
@threads_option
@click.option("--min-samples", type=click.IntRange(10, 100_000), default=50, show_default=True)
@click.option("--runner", type=click.Path(path_type=Path), default=None, help="A benchmark_model for the device.")
@click.option("--gpu", is_flag=True, help="The phone's GPU delegate (float models; needs benchmark_model).")
@click.option("--log", type=click.Path(path_type=Path), default=None, help="Keep the runner's raw log in this folder.")
@json_option
def command(
    model: Path, device: str, serial: str | None, host: str | None, threads: int | None, min_samples: int,
    runner: Path | None, gpu: bool, log: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Time a .tflite MODEL: warm-up, at least 50 samples and 1 s, every sample kept."""
    from edgefit_benchmarks.runner import measure
    from edgefit_toolkit.devices import load_profile
    from edgefit_toolkit.pipeline.document import measurement_doc
    from edgefit_toolkit.pipeline.proof import find_bench

    bench = find_bench(load_profile(device), serial=serial, host=host, threads=threads, required=True)
    assert bench is not None
    try:
        row = measure(
            bench.target, model, model=model.name, threads=bench.threads, cpus=bench.cpus, min_samples=min_samples,
            runner=runner, gpu=gpu, log_dir=log,
        )  # fmt: skip
    finally:
        bench.target.cleanup()
    doc = {"schema": "edgefit.bench/1"} | measurement_doc(row)
    if as_json:
        emit(doc)
        return
    click.echo(f"{model.name} on {row.target}, {row.runtime}, {row.delegate}, {row.threads} threads, {row.origin}")
    click.echo(
        f"p50 {doc['p50_ms']:.2f} ms   p90 {doc['p90_ms']:.2f} ms   p99 {doc['p99_ms']:.2f} ms   "
        f"{len(row.samples_ms)} samples after {row.warmups} warm-ups"
    )
    for note in row.notes:
        click.echo(f"note: {note}")
