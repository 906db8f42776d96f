"""Processes that are interrupted, and how long that may take on a machine with other work."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

START_S = 0.25  # a Python that imports psutil and ends, on an idle core of the machine of the results


def ALLOWANCE() -> float:  # noqa: N802
    """By how much a limit for an idle machine grows here and now, at least 1."""
    began_s = time.monotonic()
    subprocess.run([sys.executable, "-c", "import psutil"], check=True)
    return max(1.0, (time.monotonic() - began_s) / START_S)


@contextlib.contextmanager
def interruptible(command: Sequence[Any], **popen: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that Ctrl-C reaches (conftest.py has the tests listen, and with them what they start)."""
    process = subprocess.Popen(command, text=True, **popen)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
