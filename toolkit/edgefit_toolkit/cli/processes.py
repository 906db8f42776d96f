"""--processes: this command in several processes of this machine, by torchrun's own launcher."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from edgefit_toolkit import interrupts
from edgefit_toolkit.errors import InputError, PeerLost
from edgefit_toolkit.host import python_module
from edgefit_toolkit.pipeline import company

TOLD = (1, 2, 3, 4, 70)  # exit codes of a process that has said why


class Processes(click.ParamType[int]):
    """A number, or auto."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """0 is auto."""
        if value == "auto":
            return 0
        if not str(value).isdecimal() or not 1 <= int(value) <= 1024:
            self.fail(f"{value!r} is no number of processes; valid: 1 to 1024, or auto", param, ctx)
        return int(value)


option = click.option(
    "--processes", type=Processes(), default=1, show_default=True,
    help="Train in so many processes of this machine; auto: one for each GPU. For several machines: docs.",
)  # fmt: skip


def divide(processes: int) -> None:
    """Returns in the process that does the work; elsewhere raises SystemExit when that has ended.

    Raises PeerLost for a process that ended before its work was done.
    """
    if company.several():
        if not company.is_first():
            company.follow()
            raise SystemExit(0)
        return
    count = processes or _gpus()
    if count > 1:
        raise SystemExit(_launch(count))


def _gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 1


def _launch(count: int) -> int:
    """The exit code of the first process."""
    from torch import distributed

    if not distributed.is_available():
        raise InputError("this build of PyTorch trains in one process only", "leave --processes out")
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # what is to be said is said here
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    os.environ[interrupts.QUIET] = "1"
    with tempfile.TemporaryDirectory(prefix="edgefit-") as folder:
        others: dict[int, Std] = dict.fromkeys(range(1, count), Std.ALL)
        config = LaunchConfig(
            1, 1, count, run_id="edgefit", rdzv_backend="c10d", rdzv_endpoint="localhost:0", max_restarts=0,
            monitor_interval=0.2, logs_specs=DefaultLogsSpecs(folder, redirects=others),
        )  # fmt: skip
        try:
            python, *module = python_module("edgefit_toolkit")
            elastic_launch(config, python)(*module, *sys.argv[1:])
        except ChildFailedError as failed:
            ended = {rank: failure.exitcode for rank, failure in failed.failures.items()}
            if ended.get(0) in TOLD:
                return ended[0]
            rank, first = failed.get_first_failure()
            why = _why(first.exitcode, Path(folder), rank)
            told = why if first.exitcode in TOLD else f"process {rank} of {count} ended before its work was done: {why}"
            raise PeerLost(told, "the same command goes on from the last state that was kept") from failed
        except SignalException as stopped:
            raise KeyboardInterrupt from stopped
    return 0


def _why(code: int, logs: Path, rank: int) -> str:
    if code < 0:
        return signal.Signals(-code).name
    said = [
        line for file in logs.rglob(f"{rank}/stderr.log") for line in file.read_text("utf-8", "replace").split("\n")
    ]
    errors = [line for line in said if line.startswith("error: ")]
    return errors[-1].removeprefix("error: ") if errors else f"exit code {code}"
