"""The command line: flags to calls. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgefit_toolkit import __version__
from edgefit_toolkit.errors import EdgefitError, InputError, OutputError

if TYPE_CHECKING:
    from edgefit_toolkit.search import Plan

EXIT_CODES = """\b
Exit codes:
  0    it fits
  1    it ran, and missed the budget or the accuracy guard
  2    usage or input: a flag, a file, a folder
  3    the device is unavailable or unfit
  4    conversion failed
  130  interrupted"""

F = TypeVar("F", bound=Callable[..., Any])


class FitByDefault(click.Group):
    """`edgefit --budget-ms 30 ...` is `edgefit fit --budget-ms 30 ...`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `fit` in front of flags that are not the group's own."""
        if args and args[0].startswith("-") and args[0] not in ("-h", "--help", "--version"):
            args = ["fit", *args]
        return super().parse_args(ctx, args)


class Percentile(click.ParamType):
    """`p90`, `90` -> 90."""

    name = "p50|p90"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Refuse what no prediction exists for."""
        text = str(value).lower().removeprefix("p")
        if text not in ("50", "90"):
            self.fail(f"{value!r} is not a percentile edgefit knows; valid: p50, p90", param, ctx)
        return int(text)


def _options(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Several click options as one decorator, in reading order."""

    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


_budget = _options(
    click.option("--budget-ms", type=float, required=True, help="What one frame may cost on the device, in ms."),
    click.option("--device", required=True, help="Device profile, e.g. pixel7 (`edgefit devices` lists them)."),
    click.option("--percentile", type=Percentile(), default="p90", show_default=True, help="What the budget bounds."),
    click.option("--family", type=click.Choice(["lite", "b"]), default="lite", show_default=True,
                 help="lite: ReLU6, made for int8; b: swish and squeeze-excite."),
    click.option("--scaling", type=click.Choice(["continuous", "released"]), default="continuous", show_default=True,
                 help="Any phi, or only variants with released weights."),
)  # fmt: skip
_common = _options(
    click.option("--json", "as_json", is_flag=True, help="One versioned JSON document on stdout, nothing else."),
    click.option("-q", "--quiet", is_flag=True, help="Warnings and errors only."),
    click.option("-v", "--verbose", is_flag=True, help="Details, and tracebacks of unexpected errors."),
)


@click.group(cls=FitByDefault, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgefit")
def cli() -> None:
    """Turn a latency budget into a phone-ready int8 image classifier.

    \b
    edgefit --budget-ms 30 --device pixel7                    the drawn demo set
    edgefit --budget-ms 30 --device pixel7 --data ./plants    your photographs
    """


@cli.command(epilog=EXIT_CODES)
@_budget
@click.option("--data", default=None, help="DIR/<class>/*, DIR/{train,val,test}/<class>/*, `flowers`, or the demo set.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Run directory; a finished stage is reused.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Repeats the run.")
@click.option("--epochs", type=click.IntRange(0, 1000), default=None, help="Fine-tuning epochs (default: by job size).")
@click.option("--threads", type=click.IntRange(1, 64), default=None, help="Interpreter threads of host measurements.")
@click.option("--offline", is_flag=True, help="Download nothing; grow from the weights that came with the install.")
@_common
def fit(
    budget_ms: float, device: str, percentile: int, family: str, scaling: str, data: str | None, out: Path | None,
    seed: int, epochs: int | None, threads: int | None, offline: bool, as_json: bool, quiet: bool, verbose: bool,
) -> None:  # fmt: skip
    """Pick, build, fine-tune, convert, quantize, benchmark and report."""
    from edgefit_toolkit.console import Terminal
    from edgefit_toolkit.pipeline import FitSettings, default_out

    settings = FitSettings(
        budget_ms=budget_ms, device=device, percentile=percentile, family=family, scaling=scaling, data=data,
        seed=seed, epochs=epochs, threads=threads, offline=offline,
    )  # fmt: skip
    ui = Terminal(0 if quiet else 2 if verbose else 1)
    run_dir = out or default_out(settings)
    try:
        from edgefit_toolkit.pipeline import fit as run_fit

        doc = run_fit(settings, run_dir, ui, command=_command_line())
    finally:
        ui.close()
    if as_json:
        _emit(doc)
    else:
        _print_verdict(doc, run_dir)
    if not doc["verdict"]["fits"]:
        raise SystemExit(1)


@cli.command(epilog=EXIT_CODES)
@_budget
@_common
def plan(
    budget_ms: float, device: str, percentile: int, family: str, scaling: str, as_json: bool, quiet: bool, verbose: bool
) -> None:
    """Show the pick, its interval and basis, and the next phi that does not fit. Trains nothing."""
    del verbose
    from edgefit_toolkit.search import plan_json, render_plan

    found = _make_plan(budget_ms, device, percentile, family, scaling)
    if as_json:
        _emit(plan_json(found))
    elif not quiet:
        from rich.console import Console

        Console(highlight=False).print(render_plan(found))


def _make_plan(budget_ms: float, device: str, percentile: int, family: str, scaling: str) -> Plan:
    from edgefit_toolkit.pipeline_plan import make_plan

    return make_plan(budget_ms, device, percentile, family, scaling, classes=1000)


def _command_line() -> str:
    """What the user typed, quoted so that it can be typed again."""
    import shlex

    return shlex.join(["edgefit", *sys.argv[1:]])


def _emit(doc: dict[str, Any]) -> None:
    click.echo(json.dumps(doc, indent=2, allow_nan=False))


def _print_verdict(doc: dict[str, Any], run_dir: Path) -> None:
    click.echo(doc["verdict"]["sentence"])
    click.echo(f"report: {run_dir / 'report.html'}")


def main() -> None:
    """The console script: errors become one message and the documented exit code."""
    verbose = "-v" in sys.argv or "--verbose" in sys.argv
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, stream=sys.stderr)
    try:
        code = cli.main(prog_name="edgefit", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        _fail("interrupted; run the same command again to go on from the last finished stage", "", 130)
    except KeyboardInterrupt:
        _fail("interrupted; run the same command again to go on from the last finished stage", "", 130)
    except click.ClickException as error:
        error.show(sys.stderr)
        sys.exit(error.exit_code)
    except EdgefitError as error:
        _fail(error.message, error.hint, error.exit_code, error if verbose else None)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing reads us any more
        sys.exit(0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        full = OutputError(
            f"cannot write {error.filename or 'a file'}: {error.strerror}",
            "make room (or choose another --out DIR) and run the same command again: finished stages are kept",
        )
        _fail(full.message, full.hint, full.exit_code, error if verbose else None)


def _fail(message: str, hint: str, code: int, error: BaseException | None = None) -> None:
    if error is not None:
        import traceback

        traceback.print_exception(error)
    click.echo(click.style("error: ", fg="red", bold=True) + message, err=True)
    if hint:
        click.echo(click.style("next:  ", bold=True) + hint, err=True)
    sys.exit(code)


__all__ = ["InputError", "cli", "main"]
