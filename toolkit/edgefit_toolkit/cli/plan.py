"""`edgefit plan`: the pick, without training anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from edgefit_toolkit.picker.plan import Plan


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
    from edgefit_toolkit.picker.plan import plan_json
    from edgefit_toolkit.picker.search import make_plan
    from edgefit_toolkit.picker.view import render_plan

    plan = make_plan(budget_ms, device, percentile, family, scaling)
    if not predict_only:
        plan = _measured(plan, device, where, threads, verbosity(quiet or as_json, verbose))
    if as_json:
        emit(plan_json(plan))
    elif not quiet:
        from edgefit_toolkit.cli.console import PlainConsole

        PlainConsole().print(render_plan(plan))


def _measured(plan: Plan, device: str, where: dict[str, str], threads: int | None, loud: int) -> Plan:
    from edgefit_toolkit.cli.console import Terminal
    from edgefit_toolkit.devices import load_profile
    from edgefit_toolkit.pipeline.bench import find_bench
    from edgefit_toolkit.pipeline.prove import prove

    ui = Terminal(loud)
    bench = find_bench(load_profile(device), where, threads=threads, ui=ui)
    return plan if bench is None else prove(plan, bench, ui)[0]
