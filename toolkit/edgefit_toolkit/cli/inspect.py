"""`edgefit inspect`: what is inside a .tflite file."""

from __future__ import annotations

from pathlib import Path

import click

from edgefit_toolkit.cli.options import emit, json_option


@click.command("inspect")
@click.argument("model", type=click.Path(path_type=Path))
@json_option
def command(model: Path, as_json: bool) -> None:
    """Show operators, partitions, float islands, inputs and outputs of a .tflite MODEL."""
    from rich.console import Console
    from rich.table import Table

    from edgefit_converters.inspect import read_model
    from edgefit_toolkit.records import as_json as plain

    facts = read_model(model)
    if as_json:
        emit({"schema": "edgefit.inspect/1"} | plain(facts))
        return
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("file", f"{facts.path} ({facts.size_bytes / 1e6:.2f} MB)")
    table.add_row("sha256", facts.sha256)
    for word, ends in (("input", facts.inputs), ("output", facts.outputs)):
        for end in ends:
            scale = f", scale {end.scale:g}, zero point {end.zero_point}" if end.scale else ""
            table.add_row(word, f"{end.name}: {end.dtype} {list(end.shape)}{scale}")
    table.add_row("operators", ", ".join(f"{count} {kind}" for kind, count in facts.ops.items()))
    outside = f"; outside: {', '.join(facts.fallback)}" if facts.fallback else ""
    table.add_row("partitions", f"{facts.partitions} on XNNPACK{outside}")
    table.add_row("integer", "fully, between input and output" if facts.full_integer else "no")
    if facts.float_islands:
        table.add_row("float islands", ", ".join(facts.float_islands))
    Console(highlight=False).print(table)
