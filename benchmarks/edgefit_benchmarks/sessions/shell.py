"""What a session needs of a device that has a shell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgefit_toolkit.progress import plain


@dataclass(frozen=True)
class Ran:
    """What a program on a device, or the one that reaches the device (adb, ssh), ended with."""

    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode("utf-8", "replace")

    @property
    def complaint(self) -> str:
        """The last line that it left on stderr, or on stdout when stderr is empty."""
        lines = (self.stderr or self.stdout).decode("utf-8", "replace").strip().splitlines()
        return plain(lines[-1].strip()) if lines else "it said nothing"


class Shell(Protocol):
    """A phone or a board that takes files and runs programs."""

    @property
    def root(self) -> str:
        """The folder over there that holds what this run pushes."""

    @property
    def address(self) -> str:
        """How messages name it: a serial, user@host."""

    @property
    def abi(self) -> str:
        """Which programs run there."""

    def push(
        self, local: Path, sha256: str | None = None, *, executable: bool = False, folder: str | None = None
    ) -> str:
        """Put a file there; its path there. The hash is checked there, and equal content is not sent again."""

    def run(self, argv: Sequence[str], *, timeout_s: float = 120.0, cpus: Sequence[int] = ()) -> Ran:
        """Run a program there, pinned to `cpus` when given. Its exit code is returned, not raised."""

    def pull(self, remote: str, local: Path) -> None:
        """Bring a file back; `local` appears only when it is whole."""
