"""`edgefit train`: the first three stages of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgefit_toolkit.cli import processes as parts
from edgefit_toolkit.cli.fit import run_options, settings_of
from edgefit_toolkit.cli.options import command_line, say, verbosity


@click.command("train")
@run_options
def command(out: Path | None, quiet: bool, verbose: bool, processes: int, **flags: Any) -> None:
    """Pick, build and fine-tune; `edgefit convert` or the same `edgefit fit` goes on from there."""
    parts.divide(processes)
    from edgefit_toolkit.api.console import Terminal
    from edgefit_toolkit.pipeline.fit import run_stages
    from edgefit_toolkit.pipeline.settings import default_out

    settings = settings_of(**flags)
    run_dir = out or default_out(settings)
    with Terminal(verbosity(quiet, verbose)) as ui:
        run_stages(settings, run_dir, ui, command=command_line().replace("edgefit train", "edgefit fit", 1), last=3)
    say(f"{run_dir / 'checkpoint.safetensors'}")
    say(f"next: edgefit convert {run_dir}")
