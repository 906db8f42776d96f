"""`edgefit doctor`: what is missing for device measurements, and how to get it."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import click

from edgefit_toolkit.cli.options import emit, json_option

if TYPE_CHECKING:
    from edgefit_benchmarks.doctor import Check


@click.command("doctor")
@click.option("--host", default=None, metavar="USER@BOARD", help="Look at this board too.")
@json_option
def command(host: str | None, as_json: bool) -> None:
    """Look at adb, attached phones, runners and this host. Exit code 3 when something is missing."""
    from rich.table import Table
    from rich.text import Text

    from edgefit_benchmarks.doctor import examine, ready
    from edgefit_toolkit.api.console import PlainConsole
    from edgefit_toolkit.host import environment
    from edgefit_toolkit.records import as_json as plain

    checks = (*examine(host=host), _converter())
    if as_json:
        found = {"ready": ready(checks), "checks": [plain(check) for check in checks], "environment": environment()}
        emit({"schema": "edgefit.doctor/1"} | found)
    else:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for check in checks:
            style = {"ok": "green", "note": "dim", "warn": "yellow", "missing": "red"}[check.level]
            said = check.found + (f"\nnext: {check.hint}" if check.hint else "")
            table.add_row(Text(check.level, style), check.name, said)
        PlainConsole().print(table)
    if not ready(checks):
        raise SystemExit(3)


def _converter() -> Check:
    """Whether models can be converted here; measuring on a device does not need it."""
    from edgefit_benchmarks.doctor import Check
    from edgefit_converters.routes.installed import PACKAGES, check_installed
    from edgefit_toolkit.errors import ConversionError

    try:
        check_installed()
    except ConversionError as error:
        return Check("converter", "warn", error.message, error.hint)
    return Check("converter", "ok", ", ".join(f"{name} {version(name)}" for name in PACKAGES))
