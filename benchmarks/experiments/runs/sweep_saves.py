"""What does a sweep save against a run for each of its cells, and is every cell the run that it stands for?

    python -m experiments.runs.sweep_saves PHOTOGRAPHS FOLDER

The sweep and the single runs, one after the other, work on one thread each in turns of TURN_S seconds, so that whatever
else the machine does slows both; while one works the other is stopped. Compared are the seconds of processor that each
took, then the models and reports in FOLDER. Writes sweep_saves.md into the results folder (`--out`).
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.host import environment
from experiments.runs.same_report import differences

RESULTS = Path(__file__).parents[2] / "results"
EDGEFIT = Path(sys.executable).with_name("edgefit")
BUDGETS_MS, DEVICES = (2.5, 2.75, 3.0), ("pixel3", "pixel4", "pixel5")
TURN_S = 20.0


@dataclass
class Side:
    """Commands one after the other, which can be stopped and continued."""

    commands: list[list[str]]
    seconds: float = 0.0  # of processor, with those of all its processes
    ended: threading.Event = field(default_factory=threading.Event)
    _turn: threading.Event = field(default_factory=threading.Event)
    _group: int | None = None

    def work(self) -> None:
        """To the end; raises where a command fails."""
        try:
            for command in self.commands:
                self._turn.wait()
                process = subprocess.Popen(
                    command, env=os.environ | {"OMP_NUM_THREADS": "1"}, start_new_session=True
                )  # a group of its own: its processes stop and go on together
                self._group = process.pid
                _, status, used = os.wait4(process.pid, 0)
                self._group = None
                self.seconds += used.ru_utime + used.ru_stime
                if os.waitstatus_to_exitcode(status):
                    raise RuntimeError(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
        finally:
            self.ended.set()

    def go(self, on: bool) -> None:
        """Work, or stand still."""
        if on:
            self._turn.set()
        else:
            self._turn.clear()
        if self._group is not None:
            with contextlib.suppress(ProcessLookupError):  # it has ended just now
                os.killpg(self._group, signal.SIGCONT if on else signal.SIGSTOP)


def in_turns(sides: Sequence[Side]) -> None:
    """Until all have ended."""
    threads = [threading.Thread(target=side.work, daemon=True) for side in sides]
    for thread in threads:
        thread.start()
    for now in itertools.cycle(sides):
        if all(side.ended.is_set() for side in sides):
            break
        if not now.ended.is_set():
            now.go(True)
            now.ended.wait(TURN_S)
            now.go(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    out, epochs = arguments.folder, str(arguments.epochs)
    flags = ["--data", str(arguments.photographs), "--epochs", epochs, "--threads", "1", "--offline", "--predict-only"]
    grid = list(itertools.product(DEVICES, BUDGETS_MS))
    budgets = ",".join(f"{budget_ms:g}" for budget_ms in BUDGETS_MS)
    sweep = Side([
        [str(EDGEFIT), "sweep", "--budgets-ms", budgets, "--devices", ",".join(DEVICES), *flags, "--jobs", "1",
         "-q", "--out", str(out / "sweep")]
    ])  # fmt: skip
    singles = Side([
        [str(EDGEFIT), "fit", "--budget-ms", f"{budget_ms:g}", "--device", device, *flags, "-q",
         "--out", str(out / f"{device}-{budget_ms:g}")]
        for device, budget_ms in grid
    ])  # fmt: skip
    in_turns([sweep, singles])
    doc = json.loads((out / "sweep/sweep.json").read_text())
    write_atomic(arguments.out / "sweep_saves.md", page(doc, out, arguments.epochs, sweep.seconds / singles.seconds))


def page(doc: dict[str, Any], out: Path, epochs: int, ratio: float) -> str:
    """The results, a line a cell."""
    lines = [
        "# A sweep against nine single runs",
        "",
        f"`python -m experiments.runs.sweep_saves PHOTOGRAPHS FOLDER`: {doc['data']['summary']}, {epochs} epochs of "
        f"fine-tuning, one thread, in turns of {TURN_S:g} s until the sweep had ended. {len(doc['networks'])} networks "
        f"were trained for {len(doc['cells'])} cells; it took {ratio:.2f} of the processor time of nine single runs "
        f"({environment()['cpu']}).",
        "",
        "| cell | network | top-1 | against the single run |",
        "|---|---|---|---|",
    ]
    for row in doc["cells"]:
        found = differences(out / "sweep" / row["run"], out / f"{row['device']}-{row['budget_ms']:g}")
        said = "; ".join(found) or "models equal to the byte, report.json equal but for times and paths"
        lines.append(f"| {row['device']}, {row['budget_ms']:g} ms | {row['network']} | {row['top1']:.3f} | {said} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
