"""`edgefit plan`: the pick, without training anything."""

from __future__ import annotations

import click

from edgefit_toolkit.cli.main import EXIT_CODES
from edgefit_toolkit.cli.options import budget_options, emit, json_option, loudness


@click.command("plan", epilog=EXIT_CODES)
@budget_options
@json_option
@loudness
def command(
    budget_ms: float, device: str, percentile: int, family: str, scaling: str, as_json: bool, quiet: bool, verbose: bool
) -> None:
    """Show the pick, its interval and basis, and the next phi that does not fit. Trains nothing."""
    del verbose
    from edgefit_toolkit.planning import make_plan
    from edgefit_toolkit.search import plan_json, render_plan

    plan = make_plan(budget_ms, device, percentile, family, scaling)
    if as_json:
        emit(plan_json(plan))
    elif not quiet:
        from rich.console import Console

        Console(highlight=False).print(render_plan(plan))
