"""`edgefit plan`: the pick, without training anything."""

from __future__ import annotations

from typing import Any

import click

from edgefit_toolkit.cli.options import (
    budget_options,
    emit,
    json_option,
    loudness,
    target_options,
    threads_option,
    verbosity,
)


@click.command("plan")
@budget_options
@click.option(
    "--accelerator",
    type=click.Choice(["cpu", "gpu", "auto"]),
    default="cpu",
    show_default=True,
    help="int8 on the CPU, float16 on the GPU (where it is known), or whichever takes the larger network.",
)
@target_options
@threads_option
@json_option
@loudness
def command(
    budget_ms: float, device: str, as_json: bool, quiet: bool, verbose: bool, predict_only: bool, **choices: Any,
) -> None:  # fmt: skip
    """Show the pick, its interval and basis, and the next phi that does not fit. Trains nothing.

    With the device attached (or --device host) untrained networks are measured until pick and next are proven.
    """
    from edgefit_toolkit.api.console import PlainConsole, Terminal
    from edgefit_toolkit.api.plan import plan
    from edgefit_toolkit.picker.plan import plan_json
    from edgefit_toolkit.picker.view import render_plan

    with Terminal(verbosity(quiet or as_json, verbose)) as ui:
        found = plan(budget_ms, device, measure=not predict_only, on_progress=ui, **choices)
    if as_json:
        emit(plan_json(found))
    elif not quiet:
        PlainConsole().print(render_plan(found))
    if not found.pick.fits(found.budget):  # a network that was asked for by name
        raise SystemExit(1)
