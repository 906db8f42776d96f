"""Several networks at once, each in a process of its own: as many as memory and cores allow."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import msgspec

from edgefit_toolkit.host import python_module
from edgefit_toolkit.pipeline.sweep.work import Failure, Work

CORES_EACH = 4  # training on a CPU gains little from more
BYTES_EACH = 4_000_000_000  # torch, 1.5 GB of cached activations, a conversion
FAULT = 70


def jobs_here(networks: int) -> int:
    """As many at once as memory and cores allow; one where a GPU trains."""
    import psutil

    from edgefit_benchmarks.targets.local import usable_cores
    from edgefit_toolkit.training.compute import choose_compute

    if choose_compute().device != "cpu":
        return 1
    room = psutil.virtual_memory().available // BYTES_EACH
    return max(1, min(networks, usable_cores() // CORES_EACH, int(room)))


class Processes:
    """A pool on this machine. `jobs` at once; each writes what it says to `logs`/NAME.txt.

    Every process has as many threads as a run alone, for their number decides the last bits of a training.
    """

    def __init__(self, jobs: int, logs: Path) -> None:
        self.jobs, self.logs = jobs, logs
        self._running: set[subprocess.Popen[bytes]] = set()

    def __call__(self, works: Sequence[Work]) -> Iterator[tuple[Work, Failure | None]]:
        """As each is finished; all are ended with the iterator."""
        from edgefit_toolkit.pipeline.sweep.worker import edition

        self.logs.mkdir(parents=True, exist_ok=True)
        ours = edition()
        with ThreadPoolExecutor(self.jobs) as threads:
            waiting = {threads.submit(self._one, work, ours): work for work in works}
            try:
                for future in as_completed(waiting):
                    yield waiting[future], future.result()
            finally:
                threads.shutdown(wait=False, cancel_futures=True)
                for process in self._running.copy():
                    process.kill()

    def _one(self, work: Work, ours: str) -> Failure | None:
        with (self.logs / f"{work.name}.txt").open("ab") as log:
            process = started(log.fileno())
            self._running.add(process)
            try:
                return answered(process, work, ours)
            finally:
                self._running.discard(process)


def started(stderr: int, cwd: str | None = None, **environment: str) -> subprocess.Popen[bytes]:
    """A worker that waits for its order."""
    command = python_module("edgefit_toolkit.pipeline.sweep.worker")
    return subprocess.Popen(
        command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, cwd=cwd,
        env=os.environ | environment,
    )  # fmt: skip


def answered(process: subprocess.Popen[bytes], work: Work, edition: str) -> Failure | None:
    """Give the order, and wait for the answer. Whoever ends meanwhile ends the worker."""
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(msgspec.json.encode({"work": work, "edition": edition}) + b"\n")
            said = process.stdout.read()
            process.wait()
        finally:
            process.kill()
    try:
        return msgspec.json.decode(said, type=Failure | None)
    except msgspec.DecodeError:
        return _ended(work, process.returncode)


def _ended(work: Work, code: int) -> Failure:
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    memory = "; memory may have run out" if code == -signal.SIGKILL else ""
    return Failure(
        f"the process that made {work.name} was ended {how}{memory}",
        "the same command goes on from there, with --jobs 1 one network at a time; logs/ of the sweep says more",
        FAULT,
    )  # fmt: skip
