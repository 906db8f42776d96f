"""`edgefit sweep`: several budgets on several devices at once."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgefit_toolkit.cli.fit import data_options, making_options, settings_of
from edgefit_toolkit.cli.options import (
    command_line,
    emit,
    json_option,
    loudness,
    pick_options,
    predict_only_option,
    say,
    verbosity,
    where_options,
)
from edgefit_toolkit.errors import InputError

if TYPE_CHECKING:
    from edgefit_toolkit.pipeline.sweep.grid import Cell
    from edgefit_toolkit.pipeline.sweep.plan import Site


class Listed(click.ParamType[tuple[Any, ...]]):
    """`4,8,16`: values of one kind, by commas."""

    def __init__(self, kind: type, name: str) -> None:
        self.kind, self.name = kind, name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """Refuses what is not of the kind, and an empty list."""
        try:
            found = tuple(self.kind(part.strip()) for part in str(value).split(",") if part.strip())
        except ValueError:
            found = ()
        if not found:
            self.fail(f"{value!r} is no list of {self.name}; separate them by commas", param, ctx)
        return found


@click.command("sweep")
@click.option("--budgets-ms", type=Listed(float, "MS,MS,..."), required=True, help="Budgets in ms, by commas.")
@click.option(
    "--devices",
    type=Listed(str, "NAME,NAME,..."),
    required=True,
    help="Device profiles, by commas; NAME:host=USER@BOARD and NAME:serial=SERIAL say where one is.",
)
@pick_options
@data_options
@click.option(
    "--out", type=click.Path(path_type=Path), default=None, help="Folder of the sweep; what it has is reused."
)
@click.option(
    "--seeds", type=click.IntRange(1, 100), default=1, show_default=True, help="Seeds a cell, from --seed on."
)
@making_options
@predict_only_option
@click.option(
    "--jobs",
    type=click.IntRange(1, 1000),
    default=None,
    show_default="as memory and cores allow",
    help="Networks at once on this machine.",
)
@click.option("--ray", metavar="auto|HOST:PORT", default=None, help="Hand the networks to a Ray cluster instead.")
@partial(where_options, repeated=True)
@click.option(
    "--measure", is_flag=True, help="Time every network on every attached phone and every --host, side by side."
)
@click.option("--yes", is_flag=True, help="Accept what a hosted device (--ai-hub) costs, and that it gets the models.")
@click.option("--dry-run", is_flag=True, help="Say what it would cost, and do nothing.")
@loudness
@json_option
def command(
    budgets_ms: tuple[float, ...], devices: tuple[str, ...], out: Path | None, seeds: int, dry_run: bool,
    as_json: bool, quiet: bool, verbose: bool, jobs: int | None, ray: str | None, measure: bool, yes: bool,
    where: dict[str, tuple[str, ...]], **flags: Any,
) -> None:  # fmt: skip
    """Fit every budget on every device: what does each millisecond buy?

    Cells that pick the same network share it: it is trained, converted and guarded once.
    """
    from edgefit_toolkit.api.console import Terminal
    from edgefit_toolkit.api.sweep import Sweep
    from edgefit_toolkit.pipeline.sweep.grid import cells_of, default_out
    from edgefit_toolkit.pipeline.sweep.plan import Site

    if where and not measure:
        flag, (name, *_) = next(iter(where.items()))
        raise InputError(
            f"--{flag} says where every network is timed",
            f"add --measure; for one device of the grid: NAME:{flag}={name}",
        )
    common = settings_of(budget_ms=0.0, device="", **flags)
    cells = cells_of(common, budgets_ms, devices, seeds)
    with Terminal(verbosity(quiet, verbose)) as ui:
        site = Site(out or default_out(common), ui, command_line())
        if dry_run:
            code = _tell_cost(cells, site, as_json)
        else:
            from edgefit_toolkit.pipeline.sweep.fleet import Everywhere
            from edgefit_toolkit.pipeline.sweep.sweep import sweep

            everywhere = Everywhere(where, yes, common.threads) if measure else None
            found = Sweep(site.out, sweep(cells, site, jobs=jobs, ray=ray, everywhere=everywhere))
            if as_json:
                emit(found.report)
            else:
                for line in str(found).splitlines():
                    say(line)
            code = found.exit_code
    if code:
        raise SystemExit(code)


def _tell_cost(cells: list[Cell], site: Site, as_json: bool) -> int:
    from edgefit_toolkit.pipeline.sweep.cost import costs, plan_json, said
    from edgefit_toolkit.pipeline.sweep.plan import plan_sweep

    plan = plan_sweep(cells, site, prove=False)
    dataset = site.load(cells[0].settings, site.ui, 4)
    found = costs(plan, site, dataset)
    if as_json:
        emit(plan_json(plan, found))
    else:
        for line in said(plan, found, dataset):
            say(line)
    return max((failure.exit_code for failure in plan.failed.values()), default=0)
