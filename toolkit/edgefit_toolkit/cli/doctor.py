"""`edgefit doctor`: what is missing for device measurements, and how to get it."""

from __future__ import annotations

import click

from edgefit_toolkit.cli.main import EXIT_CODES
from edgefit_toolkit.cli.options import emit, json_option


@click.command("doctor", epilog=EXIT_CODES)
@click.option("--host", default=None, metavar="USER@BOARD", help="Look at this board too.")
@json_option
def command(host: str | None, as_json: bool) -> None:
    """Look at adb, attached phones, runners and this host. Exit code 3 when something is missing."""
    from rich.table import Table
    from rich.text import Text

    from edgefit_benchmarks.doctor import examine, ready
    from edgefit_toolkit.api.console import PlainConsole
    from edgefit_toolkit.records import as_json as plain

    checks = examine(host=host)
    if as_json:
        emit({"schema": "edgefit.doctor/1", "ready": ready(checks), "checks": [plain(check) for check in checks]})
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
