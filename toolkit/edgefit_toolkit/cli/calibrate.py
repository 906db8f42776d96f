"""`edgefit calibrate`: a few measured probes turn a profile into one of this very device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgefit_toolkit.cli.options import emit, json_option, loudness, say, threads_option, verbosity, where_options

if TYPE_CHECKING:
    from edgefit_toolkit.records import Precision


@click.command("calibrate")
@click.option("--device", required=True, help="Device profile, e.g. pixel7 or host.")
@where_options
@threads_option
@click.option("--probes", type=click.IntRange(1, 5), default=5, show_default=True, help="Networks to measure.")
@click.option(
    "--precision",
    type=click.Choice(["int8", "float32"]),
    default="int8",
    show_default=True,
    help="What the probes compute in; a profile holds points of both.",
)
@json_option
@loudness
def command(
    device: str, where: dict[str, str], threads: int | None, probes: int, precision: Precision, as_json: bool,
    quiet: bool, verbose: bool,
) -> None:  # fmt: skip
    """Measure up to 5 probes on a device and keep a profile of your own that fits them."""
    from edgefit_toolkit.api.console import Terminal
    from edgefit_toolkit.pipeline.measuring.calibrate import calibrate_profile

    with Terminal(verbosity(quiet or as_json, verbose)) as ui:
        made, path = calibrate_profile(device, ui, where=where, threads=threads, count=probes, precision=precision)
    if as_json:
        emit(
            {
                "schema": "edgefit.calibration/1",
                "device": device,
                "before_percent": list(made.before_percent),
                "after_percent": list(made.after_percent),
                "profile": str(path),
            }
        )
        return
    say(f"{device}: {made.sentence}")
    say(f"profile: {path}")
