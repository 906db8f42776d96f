"""What a target is: something that times a model and says what it is.

    LocalTarget  local.py   this host
    AdbTarget    adb.py     a phone, through the `adb` program
    SshTarget    ssh.py     a board, through the system's `ssh`
    AiHubTarget  ai_hub.py  a phone of Qualcomm AI Hub, through its client

Every fault of a target is one DeviceError (exit code 3) whose hint is the next thing to do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.sessions.session import Session
from edgefit_toolkit.errors import DeviceError
from edgefit_toolkit.records import Origin


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a target is. Does not change while it is used."""

    kind: str  # the kind's name in table.py; for folders and logs, never to decide by
    label: str  # how tables and reports name it: "host (AMD EPYC)", "Pixel 7 (serial 1A2B)"
    origin: Origin  # the word that its measurements carry
    name: str  # "AMD EPYC", "Pixel 7"
    address: str = ""  # adb serial, user@host; "" for this host
    codename: str = ""  # ro.product.device of a phone, such as "panther"; "" elsewhere
    abi: str = ""  # Android's names: "arm64-v8a", "armeabi-v7a", "x86_64"; "" where it does not say
    system: str = ""  # "Linux 6.1", "Android 14 (SDK 34)"
    cores_max_mhz: tuple[int, ...] = ()  # one per core, in the system's order; 0 where it does not say
    emulated: bool = False  # its milliseconds are no latency


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
class Capabilities:
    """What a kind of target can do beyond timing a model."""

    is_this_host: bool = False  # it shares its cores with edgefit
    can_pin_cores: bool = False  # TimingOptions.cpus
    can_answer: bool = False  # answers(): outputs for given inputs, computed there
    can_use_gpu: bool = False  # TimingOptions.gpu, where a program for it is at hand


class Target(ABC):
    """The one interface to this host, a phone, a board, a farm."""

    capabilities: ClassVar[Capabilities] = Capabilities()

    @abstractmethod
    def facts(self) -> Facts:
        """What it is. DeviceError when it cannot be reached."""

    @abstractmethod
    def condition(self) -> Condition:
        """How it is right now."""

    @abstractmethod
    def open_session(self, model_path: Path, options: TimingOptions) -> Session:
        """Load a model there. InputError when it cannot run it or an option is not for it."""

    def answers(self, model_path: Path, inputs: bytes, *, threads: int = 1) -> bytes:
        """The model's outputs for packed inputs (raw bytes of the input tensor, one after the other), packed alike."""
        raise DeviceError(f"{self.facts().label} times models and gives no outputs", "use a phone or a board")

    def cleanup(self) -> None:  # noqa: B027  (most kinds leave nothing)
        """Remove what was left there. Quiet when the target is gone."""
