"""Pictures read ahead of a network: by threads, or by processes of their own.

Python's threads share one lock: on 16 cores they make 700 views of 224 px a second, however many they are, and 15
processes three times as many. benchmarks/results/gpu_training.md
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from io import BufferedReader
from itertools import chain, repeat
from queue import SimpleQueue
from typing import BinaryIO, cast

import numpy as np

from edgefit_toolkit.data.decoding import Pixels, quiet_pillow
from edgefit_toolkit.errors import TrainingError
from edgefit_toolkit.host import python_module

Show = Callable[[int, int], Pixels]  # a picture of the data set, under one of its views: uint8 [R, R, 3]
Wanted = Sequence[tuple[int, int]]  # several such pairs
AHEAD = 3  # batches that are read while one is used
PIECE = 8  # pictures that a process is asked for at once, at most
PIPE_BYTES = 1 << 20  # the most that Linux grants everyone
ONE_CORE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # of each process: they are many


class Reading:
    """Batches of pictures, each picture made by `show`, in the order in which they are asked for.

    `processes`: how many, which are sent `show` once, pickled, and live until `close`; 0 for threads.
    """

    def __init__(self, show: Show, resolution_px: int, processes: int = 0) -> None:
        self._show, self._resolution_px, self._processes = show, resolution_px, processes
        self._workers: list[_Worker] = []
        self._free = SimpleQueue[_Worker]()

    def batches(self, parts: Iterable[Wanted]) -> Iterator[Pixels]:
        """uint8 [n, R, R, 3] of each part. Raises what `show` does, and TrainingError where a process was killed."""
        if self._processes and not self._workers:
            self._begin()
        coming: deque[tuple[Pixels, list[Future[None]]]] = deque()
        with quiet_pillow(), ThreadPoolExecutor(self._processes or None) as threads:
            try:
                for part in chain(parts, repeat(None, AHEAD)):
                    if part is not None:
                        coming.append(self._asked(threads, part))
                    if coming and (part is None or len(coming) > AHEAD):
                        made, pieces = coming[0]
                        for piece in pieces:
                            piece.result()
                        coming.popleft()
                        yield made
            finally:
                for _, pieces in coming:
                    wait([piece for piece in pieces if not piece.cancel()])

    def close(self) -> None:
        """Ends the processes; whoever asks for more begins new ones."""
        for worker in self._workers:
            worker.end()
        self._workers, self._free = [], SimpleQueue()

    def _begin(self) -> None:
        show = pickle.dumps(self._show)
        for _ in range(self._processes):
            self._workers.append(_Worker(show))
            self._free.put(self._workers[-1])

    def _asked(self, threads: ThreadPoolExecutor, part: Wanted) -> tuple[Pixels, list[Future[None]]]:
        into = np.empty((len(part), self._resolution_px, self._resolution_px, 3), np.uint8)
        size = min(PIECE, -(-len(part) // self._processes)) if self._processes else 1
        put = self._put_elsewhere if self._processes else self._put_here
        return into, [
            threads.submit(put, into[at : at + size], part[at : at + size]) for at in range(0, len(part), size)
        ]

    def _put_here(self, into: Pixels, wanted: Wanted) -> None:
        for to, (picture, view) in enumerate(wanted):
            into[to] = self._show(picture, view)

    def _put_elsewhere(self, into: Pixels, wanted: Wanted) -> None:
        worker = self._free.get()
        try:
            worker.put(into, wanted)
        finally:
            self._free.put(worker)


class _Worker:
    """A process that makes pictures. Nothing of the program that began it is imported there, and it ends with it."""

    def __init__(self, show: bytes) -> None:
        process = subprocess.Popen(
            python_module(__name__), stdin=subprocess.PIPE, stdout=subprocess.PIPE, pipesize=PIPE_BYTES,
            env=os.environ | dict.fromkeys(ONE_CORE, "1"),
        )  # fmt: skip
        self._to, self._from = cast(BinaryIO, process.stdin), cast(BufferedReader, process.stdout)
        pickle.dump((sys.path, show), self._to)
        self._to.flush()
        self.end = weakref.finalize(self, _end, process)

    def put(self, into: Pixels, wanted: Wanted) -> None:
        """Those pictures, uint8 [n, R, R, 3]. Raises what making them raised, or TrainingError."""
        try:
            pickle.dump(wanted, self._to)
            self._to.flush()
            fault = pickle.load(self._from)
            whole = fault is not None or self._from.readinto(into.data.cast("B")) == into.nbytes
        except (OSError, EOFError):
            fault, whole = None, False
        if fault is not None:
            raise fault
        if not whole:
            raise TrainingError(
                "a process that reads pictures was killed, as a system does that is out of memory",
                "the same command goes on from the last state that was kept",
            )


def _end(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # one that was killed takes no more
            cast(BinaryIO, stream).close()
    process.wait()


def serve() -> None:
    """What a process of a Reading does: makes pictures until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that asks
    asked, answers = sys.stdin.buffer, sys.stdout.buffer
    places, sent = pickle.load(asked)
    sys.path += [place for place in places if place and place not in sys.path]  # a source of one's own is found, too
    show: Show | None = None
    with quiet_pillow():
        while True:
            try:
                wanted: Wanted = pickle.load(asked)
            except EOFError:
                return
            try:
                show = show or cast(Show, pickle.loads(sent))
                made, fault = [show(picture, view) for picture, view in wanted], None
            except Exception as error:  # noqa: BLE001  (it is raised where they were asked for)
                made, fault = [], error
            try:
                pickle.dump(fault, answers)
                for pixels in made:
                    answers.write(pixels.tobytes())
                answers.flush()
            except OSError:
                return


if __name__ == "__main__":
    serve()
