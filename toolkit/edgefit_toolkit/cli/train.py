"""`edgefit train`: the first three stages of a run."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from edgefit_toolkit.cli.fit import run_options
from edgefit_toolkit.cli.main import EXIT_CODES
from edgefit_toolkit.cli.options import command_line, verbosity


@click.command("train", epilog=EXIT_CODES)
@run_options
def command(
    budget_ms: float, device: str, percentile: int, family: str, scaling: str, data: str | None, out: Path | None,
    seed: int, epochs: int | None, threads: int | None, offline: bool, serial: str | None, host: str | None,
    predict_only: bool, quiet: bool, verbose: bool,
) -> None:  # fmt: skip
    """Pick, build and fine-tune; `edgefit convert` or the same `edgefit fit` goes on from there."""
    from edgefit_toolkit.console import Terminal
    from edgefit_toolkit.pipeline import FitSettings, default_out, run_stages
    from edgefit_toolkit.records import Family

    settings = FitSettings(
        budget_ms=budget_ms, device=device, percentile=percentile, family=cast(Family, family), scaling=scaling,
        data=data, seed=seed, epochs=epochs, threads=threads, offline=offline,
        serial=serial, host=host, measure=not predict_only,
    )  # fmt: skip
    run_dir = out or default_out(settings)
    ui = Terminal(verbosity(quiet, verbose))
    try:
        run_stages(settings, run_dir, ui, command=command_line().replace("edgefit train", "edgefit fit", 1), last=3)
    finally:
        ui.close()
    click.echo(f"{run_dir / 'checkpoint.safetensors'}")
    click.echo(f"next: edgefit convert {run_dir}")
