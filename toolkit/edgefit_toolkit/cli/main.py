"""The `edgefit` program: its commands, and what every error becomes."""

from __future__ import annotations

import errno
import importlib
import logging
import os
import sys
import traceback

import click

from edgefit_toolkit import __version__, interrupts
from edgefit_toolkit.cli.crash import kept_traceback
from edgefit_toolkit.errors import EdgefitError
from edgefit_toolkit.pipeline import company
from edgefit_toolkit.progress import plain_lines

EXIT_CODES = """\b
Exit codes:
  0    it fits
  1    it ran, and missed the budget or the accuracy guard
  2    usage or input: a flag, a file, a folder
  3    the device is unavailable or unfit
  4    conversion failed
  70   a fault of edgefit's own; its traceback is kept in a file
  130  interrupted by Ctrl-C (143: by SIGTERM)"""

NOT_WRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

# name -> (module, its page in docs/, one line for --help); the module is imported when its command runs, so that --help
# stays instant
COMMANDS = {
    "fit": (
        "fit",
        "photographs",
        "Pick, build, fine-tune, convert, quantize, benchmark and report (the default command).",
    ),
    "sweep": ("sweep", "sweep", "Fit several budgets on several devices at once: what does each millisecond buy?"),
    "plan": ("plan", "latency", "Show the pick, its interval and basis, and the next phi that does not fit."),
    "devices": ("devices", "phone", "List device profiles and what is attached; `devices show NAME` prints one."),
    "train": ("train", "photographs", "Only pick, build and fine-tune: the run stops with its checkpoint."),
    "convert": ("convert", "converters", "Take a trained run on to its guarded int8 .tflite."),
    "bench": ("bench", "phone", "Time a .tflite model."),
    "inspect": ("inspect", "converters", "Show what is inside a .tflite model."),
    "compare": ("compare", "converters", "Convert one checkpoint by every route and compare the int8 models."),
    "latency": ("latency", "latency", "Predict what a network of ours or any .tflite takes on a device."),
    "calibrate": ("calibrate", "phone", "Fit a device's profile to a few measured probes."),
    "doctor": ("doctor", "phone", "Look at adb, attached phones, runners and this host."),
    "report": ("report", "report", "Print a run's report, or several side by side."),
    "bundle": ("bundle", "app", "Make the app bundle of a finished run: model, labels, card, app."),
    "predict": ("predict", "app", "Answer photographs with a run's int8 model, as its app would."),
    "serve": ("serve", "app", "Serve a run's web app; a phone that opens /bench measures itself."),
}


class Commands(click.Group):
    """Commands imported on demand; `edgefit --budget-ms 30 ...` is `edgefit fit --budget-ms 30 ...`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `fit` in front of flags that are not the group's own."""
        if args and args[0].startswith("-") and args[0] not in ("-h", "--help", "--version"):
            args = ["fit", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the job, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command's own module, imported now."""
        if cmd_name not in COMMANDS:
            return None
        name, page, _ = COMMANDS[cmd_name]
        command: click.Command = importlib.import_module(f"edgefit_toolkit.cli.{name}").command
        command.epilog = f"More: docs/{page}.md\n\n{EXIT_CODES}"
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list for --help, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (*_, line) in COMMANDS.items()])


@click.group(cls=Commands, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgefit")
def cli() -> None:
    """Turn a latency budget into a phone-ready int8 image classifier.

    \b
    edgefit --budget-ms 30 --device pixel7                    the drawn demo set
    edgefit --budget-ms 30 --device pixel7 --data ./plants    your photographs
    """


def main() -> None:
    """The console script: errors become one message and the documented exit code."""
    # torch's idle threads would spin at every barrier; on a busy machine that costs far more than sleeping does
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)  # other libraries' own chatter
    interrupts.watch()
    try:
        code = cli.main(prog_name="edgefit", standalone_mode=False)
        sys.stdout.flush()
        interrupts.over()
    except BaseException as error:  # noqa: BLE001  (the one place where errors become exit codes)
        code = _told(error)
        if interrupts.interrupted():
            interrupts.end()  # not by way of native libraries' own endings
    sys.exit(code if isinstance(code, int) else 0)


def _told(error: BaseException) -> int | str | None:
    """What the user reads of an error, and the exit code."""
    if interrupts.interrupted() or isinstance(error, click.exceptions.Abort | KeyboardInterrupt):
        # whatever arrives here then: native code may have made something else of the interrupt
        if interrupts.QUIET in os.environ and company.several():
            return 130
        return _say("interrupted", "run the same command again to go on from the last finished stage", 130)
    if isinstance(error, SystemExit):
        return error.code
    if "-v" in sys.argv or "--verbose" in sys.argv:
        traceback.print_exception(error)
    if isinstance(error, click.ClickException):
        error.show(sys.stderr)
        return error.exit_code
    if isinstance(error, EdgefitError):
        return _say(error.message, error.hint, error.exit_code)
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads us any more
        return 0
    if isinstance(error, OSError) and error.errno in NOT_WRITABLE:
        what = f"cannot write {error.filename or 'a file'}: {error.strerror}"
        return _say(
            what, "make room (or choose another --out DIR) and run the same command again: finished stages are kept", 2
        )
    return _say(
        f"a fault of edgefit's own: {type(error).__name__}: {error}".rstrip(": "),
        f"please report it with {kept_traceback(error)}; finished stages are kept, the same command goes on from there",
        70,
    )


def _say(message: str, hint: str, code: int) -> int:
    click.echo(click.style("error: ", fg="red", bold=True) + plain_lines(message), err=True, color=_colour())
    if hint:
        click.echo(click.style("next:  ", bold=True) + plain_lines(hint), err=True, color=_colour())
    return code


def _colour() -> bool | None:
    """None leaves it to click (only on a terminal); NO_COLOR (no-color.org) wins."""
    return False if os.environ.get("NO_COLOR") else None
