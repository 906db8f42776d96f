"""What a target is: something that can hold a file, run a program and say what it is.

    LocalTarget  local.py   this host
    AdbTarget    adb.py     a phone, through the `adb` program
    SshTarget    ssh.py     a board, through the system's `ssh` and `sftp`

Every fault of a target is one DeviceError (exit code 3) whose hint is the next thing to do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from edgefit_toolkit.errors import InputError
from edgefit_toolkit.records import Origin

Kind = Literal["local", "adb", "ssh"]


@dataclass(frozen=True)
class Facts:
    """What a target is. Does not change while it is used."""

    kind: Kind
    name: str  # "AMD EPYC", "Pixel 7"
    address: str  # adb serial, user@host; "" for this host
    codename: str  # ro.product.device of a phone, such as "panther"; "" elsewhere
    abi: str  # Android's names: "arm64-v8a", "armeabi-v7a", "x86_64"
    system: str  # "Linux 6.1", "Android 14 (SDK 34)"
    cores_max_mhz: tuple[int, ...]  # one per core, in the system's order; 0 where it does not say
    emulated: bool = False  # its milliseconds are no latency

    @property
    def label(self) -> str:
        """How tables and reports name it: "host (AMD EPYC)", "Pixel 7 (serial 1A2B)"."""
        if self.kind == "local":
            return f"host ({self.name})"
        return f"{self.name} ({'serial' if self.kind == 'adb' else 'ssh'} {self.address})"

    @property
    def origin(self) -> Origin:
        """The word that its measurements carry."""
        return "measured on host" if self.kind == "local" else "measured on device"


@dataclass(frozen=True)
class Condition:
    """How a target is right now; None where it does not say."""

    cores: int
    load_1min: float | None = None
    governors: tuple[str, ...] = ()  # the different ones, sorted
    battery_percent: int | None = None
    battery_c: float | None = None
    charging: bool | None = None
    thermal_status: int | None = None  # Android's scale: 0 none, 1 light, 2 moderate, 3 severe ... 6 shutdown
    screen_on: bool | None = None
    free_bytes: int | None = None  # where pushed files go


@dataclass(frozen=True)
class Ran:
    """A program that came to its own end on a target."""

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
        return lines[-1].strip() if lines else "it said nothing"


class Target(Protocol):
    """The one interface to this host, a phone and a board."""

    def facts(self) -> Facts:
        """What it is. DeviceError when it cannot be reached."""

    def condition(self) -> Condition:
        """How it is right now."""

    def push(self, local: Path, sha256: str | None = None, *, executable: bool = False) -> str:
        """Put a file there; its path there. The hash is checked there, and equal content is not sent again."""

    def run(self, argv: Sequence[str], *, timeout_s: float = 120.0, cpus: Sequence[int] = ()) -> Ran:
        """Run a program there, pinned to `cpus` when given. Its exit code is returned, not raised."""

    def pull(self, remote: str, local: Path) -> None:
        """Bring a file back; `local` appears only when it is whole."""

    def cleanup(self) -> None:
        """Remove what this session pushed. Quiet when the target is gone."""


def file_sha256(path: Path) -> str:
    """The hex SHA-256 of a file. InputError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", "check the path") from error
