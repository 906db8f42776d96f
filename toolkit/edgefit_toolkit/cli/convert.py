"""`edgefit convert`: from a trained run to its guarded int8 model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from edgefit_toolkit.cli.options import converter_option, io_option, loudness, say, verbosity
from edgefit_toolkit.records import IoDtype


@click.command("convert")
@click.argument("run", type=click.Path(path_type=Path))
@io_option(None)
@converter_option(None)
@loudness
def command(run: Path, io_dtype: IoDtype | None, converter: str | None, quiet: bool, verbose: bool) -> None:
    """Convert and quantize the run directory RUN; what is finished there is not done again."""
    from edgefit_toolkit.api.console import Terminal
    from edgefit_toolkit.pipeline.fit import run_stages
    from edgefit_toolkit.pipeline.settings import saved_settings

    settings, made_with = saved_settings(run)
    if io_dtype is not None and io_dtype != settings.io_dtype:
        settings, made_with = replace(settings, io_dtype=io_dtype), f"{made_with} --io {io_dtype}"
    if converter is not None and converter != settings.converter:
        settings, made_with = replace(settings, converter=converter), f"{made_with} --converter {converter}"
    with Terminal(verbosity(quiet, verbose)) as ui:
        run_stages(settings, run, ui, command=made_with, last=5)
    say(f"{run / 'model_int8.tflite'}")
