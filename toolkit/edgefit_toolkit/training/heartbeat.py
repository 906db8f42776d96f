"""Signs of life of the processes that train together, by which one that hangs is told from one that is slow.

A thread of each process counts up in the store that torchrun keeps, and reads there what the others have counted. While
its process trains it counts only if the main thread has used its processor since, in native code or not, or waits for
others: who waits for a dead mount uses none. A process is lost when the others have looked for `limit_s` and found
nothing new. What none of them saw, because all were paused, does not count.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from torch.distributed import Store  # type: ignore[attr-defined]

from edgefit_toolkit.errors import PeerLost
from edgefit_toolkit.progress import duration, plain

SIGNS = 20  # within the time without any after which a process is lost
QUICK_S, SLOW_S = 0.02, 1.0  # between two looks at whether all have come to a meeting: the longer it takes, the rarer
GOES_ON = "the same command goes on from the last state that was kept"


class Sign(NamedTuple):
    """What a process says of itself."""

    given: int  # signs
    meetings: int  # that it has come to
    pid: int
    host: str

    @classmethod
    def read(cls, said: bytes) -> Sign:
        """As `str` writes it."""
        given, meetings, pid, host = said.decode().split(" ", 3)
        return cls(int(given), int(meetings), int(pid), host)

    def __str__(self) -> str:
        return f"{self.given} {self.meetings} {self.pid} {self.host}"


class Heartbeat:
    """Gives this process's signs and knows the others'. Made by all before any of them begins."""

    def __init__(self, store: Store, rank: int, size: int, limit_s: float) -> None:
        self.rank, self.size, self.limit_s, self.every_s = rank, size, limit_s, limit_s / SIGNS
        self.trains = rank > 0  # the first one has work in which it may well wait, for a phone or a download
        self.lost = ""  # who, in a sentence
        self._store = store.clone()  # type: ignore[attr-defined]  # the thread may wait for ever in this connection
        self._given = self._meetings = 0
        self._others = {other: Sign(0, 0, 0, "") for other in range(size) if other != rank}
        self._silent_s = dict.fromkeys(self._others, 0.0)
        self._waits = self._used_ns = 0
        self._meets = self._over = False
        self._news, self._hurry = threading.Condition(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._give()

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """From the start of all to the end of all: the first process, which may keep the store, leaves last."""
        self._thread.start()
        try:
            yield
            if self.rank == 0:
                self.meet()
            else:
                self._meetings += 1
                self._end(self.limit_s)
        finally:
            self._end(SLOW_S)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """In which the main thread may stand still."""
        self._waits += 1
        try:
            yield
        finally:
            self._waits -= 1

    def meet(self) -> None:
        """Until all processes have come to as many meetings, however long their work takes. Raises PeerLost."""
        unheard_s = 0.0
        with self.waiting(), self._news:
            self._meetings += 1
            self._meets = True
            self._hurry.set()
            while not self.lost and not self._all_met():
                unheard_s = 0.0 if self._news.wait(self.every_s) else unheard_s + self.every_s
                if unheard_s >= self.limit_s:
                    self.lost = f"{self._keeper} has not answered {self._for_so_long}"
            self._meets = False
        self.check()

    def check(self) -> None:
        """Raises PeerLost where another process is."""
        if self.lost:
            raise PeerLost(self.lost, GOES_ON)

    def suspect(self) -> str:
        """Who is lost, or was silent for half of the time that it takes to be; empty where all are alive."""
        silent = max(self._silent_s, key=self._silent_s.__getitem__)
        return self.lost or (self._told(silent) if self._silent_s[silent] >= self.limit_s / 2 else "")

    def beat(self, since_s: float) -> None:
        """Gives a sign and looks for those of the others, so long after the last time."""
        if self._alive():
            self._given += 1
        self._give()
        for other, said in zip(self._others, self._store.multi_get(list(map(str, self._others))), strict=True):
            before, sign = self._others[other], Sign.read(said)
            self._others[other] = sign
            self._silent_s[other] = self._silent_s[other] + since_s if sign == before else 0.0
            if self._silent_s[other] >= self.limit_s:
                self.lost = self.lost or self._told(other)

    def _give(self) -> None:
        self._store.set(str(self.rank), str(Sign(self._given, self._meetings, os.getpid(), socket.gethostname())))

    def _end(self, limit_s: float) -> None:
        self._over = True
        self._hurry.set()
        self._thread.join(limit_s)

    def _run(self) -> None:
        pause_s = since_s = 0.0
        try:
            while True:
                self.beat(since_s)
                with self._news:
                    self._news.notify_all()
                if self._over:
                    return
                pause_s = min(pause_s * 1.05, SLOW_S, self.every_s) if self._meets else self.every_s
                since_s = pause_s  # no more than that, if this process was paused meanwhile
                if self._hurry.wait(pause_s):
                    self._hurry.clear()
                    pause_s, since_s = QUICK_S, 0.0
        except RuntimeError as error:  # the store is gone, and with it whoever kept it
            with self._news:
                self.lost = self.lost or f"another process of this training is gone: {str(error).splitlines()[0]}"
                self._news.notify_all()

    def _alive(self) -> bool:
        if not self.trains or self._waits:
            return True
        before, self._used_ns = self._used_ns, _used_by_main_ns()
        return self._used_ns != before

    def _all_met(self) -> bool:
        return all(sign.meetings >= self._meetings for sign in self._others.values())

    @property
    def _for_so_long(self) -> str:
        return f"for {duration(self.limit_s)}"

    @property
    def _keeper(self) -> str:
        by_agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        who = f"torchrun on {os.environ['MASTER_ADDR']}" if by_agent else f"process 0 of {self.size}"
        return f"{who}, which keeps the signs of life,"

    def _told(self, other: int) -> str:
        sign = self._others[other]
        return (
            f"process {other} of {self.size} (pid {sign.pid} on {plain(sign.host)}) has given no sign of life "
            f"{self._for_so_long}: it is stopped, or waits for a disk that does not answer"
        )


def _used_by_main_ns() -> int:
    """Processor time of the main thread; where the system does not tell it apart, the time, which always goes on."""
    if sys.platform == "linux":
        return time.clock_gettime_ns(time.pthread_getcpuclockid(threading.main_thread().ident or 0))
    return time.monotonic_ns()
