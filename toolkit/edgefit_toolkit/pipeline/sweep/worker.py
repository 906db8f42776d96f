"""`python -m edgefit_toolkit.pipeline.sweep.worker`: one piece of work in a process of its own.

A line of JSON comes in on stdin, the work and what its sender runs; a line goes out on stdout, null or why there is no
result. What it says to people goes to stderr. When stdin ends before the work does, whoever wanted it is gone: so ends
the worker.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from edgefit_toolkit.files import key_of
from edgefit_toolkit.host import environment
from edgefit_toolkit.pipeline.run_directory.source_digest import sources_of
from edgefit_toolkit.pipeline.sweep.work import Failure, Work, do
from edgefit_toolkit.progress import Silent, plain_lines

ORPHANED = 75


@dataclass(frozen=True)
class Order:
    """The work, and what must be the same where it is done."""

    work: Work
    edition: str


class Lines(Silent):
    """A Ui for a log."""

    def stage(self, number: int, total: int, title: str, *, resumed: bool = False) -> None:
        """A line with the time."""
        self.note(f"{datetime.now(UTC):%H:%M:%S} [{number}/{total}] {title}{' (done before)' if resumed else ''}")

    def note(self, text: str) -> None:
        """A line."""
        print(plain_lines(text), file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """A line that says so."""
        self.note(f"warning: {text}")


def edition() -> str:
    """A hash of what the stages' keys hold of a machine: edgefit's sources, versions, number formats."""
    from edgefit_toolkit.training.compute import choose_compute

    compute: dict[str, Any] = asdict(choose_compute())
    del compute["name"]  # another processor of the same kind repeats the training
    return key_of(sources=sources_of(do.__module__), versions=environment()["versions"], compute=compute)


def main() -> None:
    """Reads, works, answers."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    threading.Thread(target=_end_with_sender, daemon=True).start()
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # native code's words are no answer
    failure = do(order.work, Lines()) if order.edition == edition() else _another()
    with answer:
        answer.write(msgspec.json.encode(failure).decode() + "\n")


def _end_with_sender() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1):  # not by sys.stdin, whose lock a thread that waits would keep to the end
            pass
    os._exit(ORPHANED)


def _another() -> Failure:
    found = environment()
    return Failure(
        f"{found['cpu']} has another edgefit, other packages or another kind of processor than the sweep has",
        "install the same edgefit with the same constraints on every node, and mix no GPUs with CPUs",
        2,
    )  # fmt: skip


if __name__ == "__main__":
    main()
