"""`edgefit bench`: the latency of one .tflite file."""

from __future__ import annotations

from pathlib import Path

import click

from edgefit_toolkit.cli.options import emit, json_option, threads_option


@click.command("bench")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--device", default="host", show_default=True, help="Where to run it.")
@threads_option
@click.option("--min-samples", type=click.IntRange(10, 100_000), default=50, show_default=True)
@json_option
def command(model: Path, device: str, threads: int | None, min_samples: int, as_json: bool) -> None:
    """Time a .tflite MODEL: warm-up, at least 50 samples and 1 s, every sample kept."""
    from edgefit_benchmarks.local import LocalTarget
    from edgefit_benchmarks.runner import measure
    from edgefit_toolkit.errors import DeviceError
    from edgefit_toolkit.pipeline.document import measurement_doc
    from edgefit_toolkit.pipeline.stages import host_threads

    if device != "host":
        raise DeviceError(f"no {device} can be measured by this version", "use --device host")
    row = measure(LocalTarget(), model, model=model.name, threads=threads or host_threads(), min_samples=min_samples)
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
