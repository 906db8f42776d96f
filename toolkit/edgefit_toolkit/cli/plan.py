"""`edgefit plan`: the pick, without training anything."""

from __future__ import annotations

import click

from edgefit_toolkit.cli.main import EXIT_CODES
from edgefit_toolkit.cli.options import (
    budget_options,
    emit,
    json_option,
    loudness,
    target_options,
    threads_option,
    verbosity,
)


@click.command("plan", epilog=EXIT_CODES)
@budget_options
@target_options
@threads_option
@json_option
@loudness
def command(
    budget_ms: float, device: str, percentile: int, family: str, scaling: str, where: dict[str, str],
    predict_only: bool, threads: int | None, as_json: bool, quiet: bool, verbose: bool,
) -> None:  # fmt: skip
    """Show the pick, its interval and basis, and the next phi that does not fit. Trains nothing.

    With the device attached (or --device host) untrained networks are measured until pick and next are proven.
    """
    from edgefit_toolkit.api.console import PlainConsole, Terminal
    from edgefit_toolkit.api.plan import plan
    from edgefit_toolkit.picker.plan import plan_json
    from edgefit_toolkit.picker.view import render_plan

    ui = Terminal(verbosity(quiet or as_json, verbose))
    try:
        found = plan(
            budget_ms, device, percentile=percentile, family=family, scaling=scaling, measure=not predict_only,
            where=where, threads=threads, on_progress=ui,
        )  # fmt: skip
    finally:
        ui.close()
    if as_json:
        emit(plan_json(found))
    elif not quiet:
        PlainConsole().print(render_plan(found))
