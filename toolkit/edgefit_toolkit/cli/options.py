"""Flags that several commands share, and how they speak."""

from __future__ import annotations

import functools
import json
import shlex
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import click

from edgefit_converters.routes import ROUTES
from edgefit_toolkit.network.families import DEFAULT_FAMILY, FAMILIES
from edgefit_toolkit.progress import plain_lines

F = TypeVar("F", bound=Callable[..., Any])


class Percentile(click.ParamType[int]):
    """`p90`, `90` -> 90."""

    name = "p50|p90"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Refuse what no prediction exists for."""
        text = str(value).lower().removeprefix("p")
        if text not in ("50", "90"):
            self.fail(f"{value!r} is not a percentile that edgefit predicts; valid: p50, p90", param, ctx)
        return int(text)


def together(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Several click options as one decorator, in reading order."""

    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


pick_options = together(
    click.option("--percentile", type=Percentile(), default="p90", show_default=True,
                 help="Which share of frames the budget bounds: p90 is 9 of 10."),
    click.option("--confidence", type=click.FloatRange(0.5, 0.999), default=0.5, show_default=True, metavar="P",
                 help="A predicted pick must fit with this probability; 0.5 is the median of the prediction."),
    click.option("--family", type=click.Choice(list(FAMILIES)), default=DEFAULT_FAMILY, show_default=True,
                 help="; ".join(f"{name}: {family.summary}" for name, family in FAMILIES.items()) + "."),
    click.option("--scaling", type=click.Choice(["continuous", "released"]), default="continuous", show_default=True,
                 help="Any phi, or only variants with released weights."),
)  # fmt: skip
budget_options = together(
    click.option("--budget-ms", type=float, required=True, help="What one frame may cost on the device, in ms."),
    click.option("--device", required=True, help="Device profile, e.g. pixel7 (`edgefit devices` lists them)."),
    pick_options,
    click.option("--network", default=None, help="Skip the picker: this released network, such as lite2 or b0."),
    click.option("--phi", type=float, default=None, help="Skip the picker: the network of this phi, such as 1.5."),
)


def where_options(command: F, *, repeated: bool = False) -> F:
    """A flag for every kind of target that is named by one; the command gets `where`: flag -> what it names.

    `repeated`: every flag may be given several times, and `where` holds tuples.
    """
    from edgefit_benchmarks.targets.table import KINDS

    flags = [kind for kind in KINDS if kind.flag]

    @functools.wraps(command)
    def gathered(**others: Any) -> Any:
        named = {kind.flag: others.pop(kind.flag.replace("-", "_")) for kind in flags}
        return command(**others, where={flag: value for flag, value in named.items() if value})

    options = [
        click.option(f"--{kind.flag}", default=None, multiple=repeated, metavar=kind.metavar, help=kind.help)
        for kind in flags
    ]
    return together(*options)(cast(F, gathered))


predict_only_option = click.option(
    "--predict-only", is_flag=True, help="Do not measure, even when the device is attached."
)
target_options = together(where_options, predict_only_option)
json_option = click.option("--json", "as_json", is_flag=True, help="One versioned JSON document on stdout, no more.")
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="The same seed repeats the run."
)
threads_option = click.option(
    "--threads", type=click.IntRange(1, 64), default=None, help="Interpreter threads (default: the cores, at most 4)."
)
loudness = together(
    click.option("-q", "--quiet", is_flag=True, help="Warnings and errors only."),
    click.option("-v", "--verbose", is_flag=True, help="Details, and tracebacks of errors."),
)


def io_option(default: str | None) -> Callable[[F], F]:
    """--io; the default differs between a new run and one that goes on."""
    return click.option(
        "--io", "io_dtype", type=click.Choice(["uint8", "int8"]), default=default, show_default=default is not None,
        help="What the int8 model takes and gives; uint8 takes raw bytes, and apps, LiteRT.js and MediaPipe need it.",
    )  # fmt: skip


def converter_option(default: str | None) -> Callable[[F], F]:
    """--converter; the default differs between a new run and one that goes on."""
    return click.option(
        "--converter", type=click.Choice(list(ROUTES)), default=default,
        show_default=default is not None,
        help="The route to .tflite; onnx-tf and tensorflow make an environment of their own on first use (306 MB).",
    )  # fmt: skip


def verbosity(quiet: bool, verbose: bool) -> int:
    """For console.Terminal."""
    return 0 if quiet else 2 if verbose else 1


def command_line() -> str:
    """What the user typed, quoted so that it can be typed again."""
    return shlex.join(["edgefit", *sys.argv[1:]])


def say(text: str, *, err: bool = False) -> None:
    """A line for people: what other people named cannot steer the terminal."""
    click.echo(plain_lines(text), err=err)


def emit(doc: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(doc, indent=2, allow_nan=False))
