"""`edgefit latency`: what any network is predicted to take on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgefit_toolkit.cli.options import emit, json_option

if TYPE_CHECKING:
    from edgefit_toolkit.pipeline.model_latency import ModelLatency
    from edgefit_toolkit.records import Precision


@click.command("latency")
@click.argument("model")
@click.option("--device", required=True, help="Device profile, e.g. pixel6 (`edgefit devices` lists them).")
@click.option(
    "--precision",
    type=click.Choice(["int8", "float32", "float16"]),
    default=None,
    help="int8 and float32 run on the CPU, float16 on the GPU (default: the file's own; int8 for a name).",
)
@click.option("--threads", type=click.IntRange(1, 64), default=None, help="CPU threads (default: the profile's).")
@json_option
def command(
    model: str, device: str, precision: Precision | None, threads: int | None, as_json: bool
) -> None:  # fmt: skip
    """Predict the latency of MODEL: lite0..lite4, b0..b7, a phi such as 1.3, or any .tflite file. Measures nothing."""
    from edgefit_toolkit.devices import load_profile
    from edgefit_toolkit.pipeline.model_latency import latency_json, predict_model

    found = predict_model(model, load_profile(device), precision, threads)
    if as_json:
        emit(latency_json(found))
    else:
        _show(found)


def _show(found: ModelLatency) -> None:
    from rich.table import Table

    from edgefit_toolkit.api.console import PlainConsole

    out = PlainConsole()
    where = "GPU" if found.threads == 0 else f"{found.threads} thread{'s' if found.threads > 1 else ''}"
    latency = found.latency
    out.print(f"{found.model} on {found.device}, {found.precision}, {where} ({latency.origin})", soft_wrap=True)
    out.print(
        f"p50 {latency.p50:.2f} ms, p90 {latency.p90:.2f} ms; 80% interval {latency.low:.2f} to {latency.high:.2f} ms"
    )
    out.print(f"basis: {latency.basis}", style="dim", soft_wrap=True)
    table = Table(box=None)
    table.add_column("operators")
    for title in ("count", "ms", "share"):
        table.add_column(title, justify="right")
    total = sum(row.ms for row in found.kinds)
    for row in found.kinds:
        table.add_row(row.kind, str(row.count), f"{row.ms:.3f}", f"{row.ms / total:.0%}")
    out.print(table)
    if found.unknown:
        names = ", ".join(f"{count} {kind}" for kind, count in found.unknown.items())
        out.print(f"not in these figures, their cost is not known: {names}", soft_wrap=True)
