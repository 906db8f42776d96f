"""`edgefit predict`: what the app would say of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgefit_toolkit.cli.options import emit, json_option, say, threads_option
from edgefit_toolkit.errors import DataError

if TYPE_CHECKING:
    from edgefit_toolkit.api.model import Answer

SHOWN = 3  # classes beside each picture


@click.command("predict")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("pictures", metavar="PHOTO...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--region", default=None, help="Where they were taken: a region of the run's places.csv.")
@click.option("--month", type=click.IntRange(1, 12), default=None, help="When they were taken.")
@threads_option
@json_option
def command(
    run: Path, pictures: tuple[Path, ...], region: str | None, month: int | None, threads: int | None, as_json: bool
) -> None:
    """Answer PHOTOs with the int8 model of the run directory RUN, as its app would.

    A picture that cannot be read is named and left out; the exit code is then 2.
    """
    from edgefit_toolkit.api.model import SCHEMA, load

    model = load(run, threads=threads)
    model.check_place(region, month)
    answers: list[Answer] = []
    skipped: list[tuple[Path, DataError]] = []
    for picture in pictures:
        try:
            answers.append(model(picture, region=region, month=month))
        except DataError as error:
            skipped.append((picture, error))
    if as_json:
        left_out = [{"picture": str(picture), "reason": fault.message} for picture, fault in skipped]
        emit({"schema": SCHEMA, "answers": [answer.as_json() for answer in answers], "skipped": left_out})
    else:
        _show(answers)
    for _, fault in skipped:
        say(f"skipped: {fault.message}", err=True)
    if skipped:
        raise SystemExit(2)


def _show(answers: list[Answer]) -> None:
    """One line a picture, its path last: that one may be long."""
    from rich.text import Text

    from edgefit_toolkit.api.console import PlainConsole

    console = PlainConsole()
    said = [answer.words for answer in answers]
    likeliest = [", ".join(str(g) for g in answer.classes[:SHOWN]) for answer in answers]
    wide, wider = max(map(len, said), default=0), max(map(len, likeliest), default=0)
    for answer, name, guesses in zip(answers, said, likeliest, strict=True):
        style = "bold" if answer.sure else "yellow"
        line = Text.assemble((f"{name:<{wide}}", style), f"   {guesses:<{wider}}   ", (answer.picture, "dim"))
        console.print(line, soft_wrap=True)
