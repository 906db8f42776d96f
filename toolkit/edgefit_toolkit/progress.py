"""What the pipeline tells whoever watches: stages, progress, notes. The terminal's form of it is console.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Progress = Callable[[str, int, int], None]  # what is being done, done, in all


class Ui(Protocol):
    """Where a pipeline reports. Implementations must not raise."""

    def stage(self, number: int, total: int, title: str, *, resumed: bool = False) -> None:
        """A stage begins, or was found finished in the run directory (`resumed`)."""

    def progress(self, label: str, done: int, total: int, detail: str = "") -> None:
        """`done` of `total` steps of the current stage."""

    def note(self, text: str) -> None:
        """A fact worth a line: a pick, an epoch, a file."""

    def warn(self, text: str) -> None:
        """Something the reader should act on or know before trusting the result."""


class Silent:
    """A Ui that says nothing (library use and tests)."""

    def stage(self, number: int, total: int, title: str, *, resumed: bool = False) -> None:
        """Nothing."""

    def progress(self, label: str, done: int, total: int, detail: str = "") -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def warn(self, text: str) -> None:
        """Nothing."""
