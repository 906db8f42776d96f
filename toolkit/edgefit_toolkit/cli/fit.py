"""`edgefit fit`: the whole job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgefit_converters.routes import DEFAULT
from edgefit_toolkit.cli import processes as parts
from edgefit_toolkit.cli.options import (
    budget_options,
    command_line,
    converter_option,
    emit,
    io_option,
    json_option,
    loudness,
    say,
    seed_option,
    target_options,
    threads_option,
    together,
    verbosity,
)

if TYPE_CHECKING:
    from edgefit_toolkit.pipeline.settings import FitSettings

data_options = together(
    click.option("--data", default=None,
                 help="DIR/<class>/*, DIR/{train,val,test}/<class>/*, a .csv or .parquet of path,label[,split], a COCO "
                 ".json, wds:DIR/{000..099}.tar, hf:owner/name or hf:DIR, `flowers`, or `demo`."),
    click.option("--taxonomy", type=click.Path(dir_okay=False), metavar="FILE", default=None,
                 help="CSV, class,species,genus,family: where unsure of the class, the app names the genus or family."),
    click.option("--other", type=click.Path(file_okay=False), metavar="DIR", default=None,
                 help="Photographs of any other things: the app then says 'none of these' to such pictures."),
    click.option("--places", type=click.Path(dir_okay=False), metavar="FILE", default=None,
                 help="CSV, class,region,months: what does not occur there is lowered and marked 'seldom seen here'."),
    click.option("--precision", type=click.FloatRange(0, 1, min_open=True), default=0.95, show_default=True,
                 help="Wanted share of right answers among those that the app is sure of."),
)  # fmt: skip
making_options = together(
    seed_option,
    click.option("--epochs", type=click.IntRange(0, 1000), default=None,
                 help="Fine-tuning epochs (default: by job size)."),
    click.option("--compile", is_flag=True,
                 help="Compile the training steps (torch.compile): minutes at first, for long trainings on a GPU."),
    click.option("--teacher", default=None, metavar="RUN|CHECKPOINT|NETWORK|auto",
                 help="Learn this larger network's answers, too: a finished run, its checkpoint, or lite2; auto: the "
                 "largest released one that this machine can afford."),
    click.option("--balance", type=click.Choice(["auto", "on", "off"]), default="auto", show_default=True,
                 help="Each class counts alike, however few its pictures; auto: where the largest has ten times the "
                 "smallest's."),
    io_option("uint8"),
    converter_option(DEFAULT),
    threads_option,
    click.option("--offline", is_flag=True, help="Download nothing; grow from the weights that came with the install."),
)  # fmt: skip
run_options = together(
    budget_options,
    data_options,
    click.option(
        "--out", type=click.Path(path_type=Path), default=None, help="Run directory; finished stages are reused."
    ),
    making_options,
    target_options,
    parts.option,
    loudness,
)


def settings_of(*, predict_only: bool, **flags: Any) -> FitSettings:
    """The settings that the run options spell; every other flag has its field's name."""
    from edgefit_toolkit.pipeline.settings import FitSettings

    return FitSettings(measure=not predict_only, **flags)


@click.command("fit")
@run_options
@json_option
def command(out: Path | None, as_json: bool, quiet: bool, verbose: bool, processes: int, **flags: Any) -> None:
    """Pick, build, fine-tune, convert, quantize, benchmark and report."""
    parts.divide(processes)
    from edgefit_toolkit.api import fit as api
    from edgefit_toolkit.api.console import Terminal

    with Terminal(verbosity(quiet, verbose)) as ui:
        run = api.run(settings_of(**flags), out, ui, command=command_line())
    if as_json:
        emit(run.report)
    else:
        for line in str(run).splitlines():
            say(line)
    if not run.fits:
        raise SystemExit(1)
