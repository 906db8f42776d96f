"""`edgefit convert`: from a trained run to its guarded int8 model."""

from __future__ import annotations

from pathlib import Path

import click

from edgefit_toolkit.cli.main import EXIT_CODES
from edgefit_toolkit.cli.options import loudness, verbosity


@click.command("convert", epilog=EXIT_CODES)
@click.argument("run", type=click.Path(path_type=Path))
@loudness
def command(run: Path, quiet: bool, verbose: bool) -> None:
    """Convert and quantize the run directory RUN; what is finished there is not done again."""
    from edgefit_toolkit.console import Terminal
    from edgefit_toolkit.pipeline import run_stages, saved_settings

    settings, made_with = saved_settings(run)
    ui = Terminal(verbosity(quiet, verbose))
    try:
        run_stages(settings, run, ui, command=made_with, last=5)
    finally:
        ui.close()
    click.echo(f"{run / 'model_int8.tflite'}")
