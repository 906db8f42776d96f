"""Ctrl-C and SIGTERM end the program within seconds, whatever native code is at work.

    first signal         KeyboardInterrupt in the main thread: `finally` runs, what lies on a phone is removed
    it was dropped       native code that calls back drops what the callback raises: it is raised again
    PATIENCE_S later     the main thread works on: the process is ended from a thread of its own
    within `native()`    the same at once, and nothing is raised: in some callbacks an exception aborts the process
    second signal        the same at once

A thread that waits for the interpreter's lock asks for it when 5 ms pass without a release: native code whose callbacks
each end sooner would starve it for ever. So a timer's signal has the main thread give way after the first signal.

Ending from that thread kills the child processes and runs the exit functions, which remove temporary folders. A run
writes its files whole, so that this loses no more than the stage under way.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import os
import signal
import socket
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import NoReturn

PATIENCE_S = 1.5
EXIT_FUNCTIONS_S = 10.0  # one of them may ask a phone
POLL_S = 0.1
YIELD_S = 0.005  # for which the main thread leaves the interpreter's lock to others, at each poll after a signal
SIGNALS = (signal.SIGINT, signal.SIGTERM)
MESSAGE = "\nerror: interrupted\nnext:  run the same command again to go on from the last finished stage\n"
QUIET = "EDGEFIT_QUIET"  # in the environment of a process that another one starts, which tells of the interrupt
SHOW_CURSOR = "\x1b[?25h"  # a progress bar hides it


class Interrupted(KeyboardInterrupt):
    """Python's own type takes no weak reference, by which one sees that it was dropped."""

    def __init__(self) -> None:
        super().__init__()
        _watch.raised = weakref.ref(self)


class _Watch:
    """What is known of the signals of this process."""

    def __init__(self) -> None:
        self.number = 0  # of the first signal; 0: none
        self.raised: weakref.ref[Interrupted] | None = None
        self.in_native = 0
        self._seen = self._read = self._done_with = 0  # signals: by the handler, by the thread, by `handled`
        self._again = 0  # times that the thread raised: they arrive as signals do
        self._ending = threading.Lock()
        self._ender = 0  # the thread that ends the process
        self._stderr = 2

    def start(self) -> None:
        """From the main thread."""
        self._stderr = os.dup(2)  # native code's words are kept off the other one
        self._signals, writer = socket.socketpair()
        writer.setblocking(False)
        self._writer = writer  # kept open
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and a shell's `&` have it
                signal.signal(number, self._handle)
        threading.Thread(target=self._run, name="interrupts", daemon=True).start()

    def _handle(self, number: int, _: object) -> None:
        self.number, self._seen = self.number or number, self._seen + 1
        self.tick(POLL_S)
        if not self.in_native and self.raised is None and not self._ending.locked():
            raise Interrupted

    def tick(self, every_s: float) -> None:
        """Has the main thread give way so often; 0.0: no longer."""
        if sys.platform != "win32":
            if every_s:
                signal.signal(signal.SIGALRM, self._give_way)
            signal.setitimer(signal.ITIMER_REAL, every_s, every_s)

    def _give_way(self, _: int, __: object) -> None:
        time.sleep(YIELD_S)
        while self._ender not in (0, threading.get_ident()):
            time.sleep(1)  # another thread ends the process

    def _run(self) -> None:
        while True:
            presses = self._presses(None)
            began_s = time.monotonic()
            while self.number:
                if self.in_native or presses > 1 or time.monotonic() - began_s > PATIENCE_S:
                    self.end(MESSAGE)
                if self.raised is not None and self.raised() is None:
                    self.raised, self._again = None, self._again + 1
                    _thread.interrupt_main(signal.Signals(self.number))
                presses += self._presses(POLL_S)

    def _presses(self, limit_s: float | None) -> int:
        """Signals that arrived, waiting for the first of them."""
        self._signals.settimeout(limit_s)
        try:
            arrived = [number for number in self._signals.recv(64) if number in SIGNALS]
        except TimeoutError:
            return 0
        before, self._read = self._read, self._read + len(arrived)
        arrived = arrived[max(0, self._done_with - before) :]
        if arrived:
            self.number = self.number or arrived[0]
        ours = min(self._again, len(arrived))
        self._again -= ours
        return len(arrived) - ours

    def forget(self) -> None:
        """What has come so far is settled."""
        self.number, self.raised, self._done_with = 0, None, self._seen
        self.tick(0.0)

    def end(self, message: str) -> NoReturn:
        """Children, exit functions, exit; whoever comes second waits for the first."""
        if not self._ending.acquire(blocking=False):
            while True:
                time.sleep(1)
        self._ender = threading.get_ident()
        message = "" if QUIET in os.environ else message
        with contextlib.suppress(OSError):
            os.write(self._stderr, ((SHOW_CURSOR if os.isatty(self._stderr) else "") + message).encode())
        _kill_children()
        functions = threading.Thread(target=atexit._run_exitfuncs, daemon=True)
        functions.start()
        functions.join(EXIT_FUNCTIONS_S)
        os._exit(128 + self.number)


_watch = _Watch()


def watch() -> None:
    """From now on, in the main thread of a program."""
    _watch.start()


@contextlib.contextmanager
def native() -> Iterator[None]:
    """A piece of native work that calls back into Python and holds nothing that needs more than exit functions."""
    _watch.in_native += 1
    try:
        yield
    finally:
        _watch.in_native -= 1
    if _watch.number and not _watch.in_native:
        raise Interrupted


def interrupted() -> bool:
    """Whether a signal has come that nobody has handled."""
    return bool(_watch.number)


def handled() -> None:
    """The signal was an order that has been followed, such as a server's end."""
    _watch.forget()


def over() -> None:
    """The work is done. What comes now is too late: it would end native libraries' own endings, and the exit code."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    _watch.tick(0.0)


def end(message: str = "") -> NoReturn:
    """End an interrupted program, after its `finally` clauses: from the `except` clause, while the exception lives."""
    _watch.end(message)


def _kill_children() -> None:
    import psutil

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
