"""`edgefit compare`: the converter routes side by side on one checkpoint. (`edgefit report A B` compares runs.)"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from edgefit_converters.routes import ROUTES
from edgefit_toolkit.cli.options import emit, io_option, json_option, loudness, say, seed_option, verbosity
from edgefit_toolkit.records import IoDtype


@click.command("compare")
@click.argument("what", metavar="RUN|CHECKPOINT|lite0")
@click.option("--converters", default=",".join(ROUTES), show_default=True, help="Routes, by commas.")
@click.option("--data", default=None, help="As of `fit`; for released weights any folder of photographs.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=None, help="Folder for the models, compare.json and .md."
)
@click.option(
    "--rounds",
    type=click.IntRange(0, 1000),
    default=5,
    show_default=True,
    help="Of timing, all routes in turns in each; 0 times nothing.",
)
@click.option("--time-again", is_flag=True, help="Convert nothing: time the files of an earlier comparison in --out.")
@io_option("uint8")
@seed_option
@click.option("--offline", is_flag=True, help="Download nothing.")
@loudness
@json_option
def command(
    what: str, converters: str, data: str | None, out: Path | None, rounds: int, time_again: bool, io_dtype: IoDtype,
    seed: int, offline: bool, quiet: bool, verbose: bool, as_json: bool,
) -> None:  # fmt: skip
    """Convert one checkpoint by every route and compare the int8 files: a run directory, a .safetensors file, or
    released ImageNet weights such as lite0 with a folder of photographs as --data."""
    from edgefit_toolkit.api.console import Terminal
    from edgefit_toolkit.files import write_atomic
    from edgefit_toolkit.pipeline import compare_routes
    from edgefit_toolkit.pipeline.subject import open_subject
    from edgefit_toolkit.report.tables.routes import markdown

    name = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(what).name)
    folder = out or Path("edgefit-runs") / f"compare-{name}"
    with Terminal(verbosity(quiet, verbose)) as ui:
        if time_again:
            doc = compare_routes.time_again(folder, rounds, ui)
        else:
            doc = compare_routes.compare_routes(
                open_subject(what, data, ui, seed=seed, offline=offline),
                [name for name in converters.split(",") if name], folder, ui,
                io_dtype=io_dtype, rounds=rounds, offline=offline,
            )  # fmt: skip
    write_atomic(folder / compare_routes.COMPARISON, json.dumps(doc, indent=1, allow_nan=False) + "\n")
    write_atomic(folder / "compare.md", markdown(doc))
    if as_json:
        emit(doc)
    else:
        _show(doc)
        say(f"  {folder / 'compare.md'}")
    worst = max((row.get("exit_code", 0) for row in doc["rows"]), default=0)
    if worst:
        raise SystemExit(worst)


def _show(doc: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    from edgefit_toolkit.api.console import PlainConsole
    from edgefit_toolkit.report.tables.routes import table

    heads, rows = table(doc)
    out = PlainConsole()
    shown = Table(box=None, show_header=True)
    shown.add_column("")
    for cells in rows:
        shown.add_column(cells[0], overflow="fold")
    for i, head in enumerate(heads[1:], start=1):
        shown.add_row(head, *(cells[i] for cells in rows))
    out.print(Text.assemble((doc["network"], "bold"), ", ", doc["photographs"]), soft_wrap=True)
    out.print(shown)
    for row in doc["rows"]:
        if "error" in row:
            out.print(f"{row['converter']}: {row['error']}", soft_wrap=True)
