"""Every error that edgefit raises on purpose.

    EdgefitError            exit code
    ├── BudgetMissed        1   it ran, and no model answers within the budget
    ├── GuardFailed         1   int8 lost the float model's answers: nothing is handed over
    ├── InputError          2   a flag, a file or a folder is not what it should be
    │   ├── ScalingError        a scale factor or phi that no network has
    │   ├── DeviceUnknown       no profile of that name
    │   ├── ProfileError        a profile file that is not a profile
    │   ├── DataError           photographs, classes, splits
    │   ├── DownloadError       a file from the network is missing, broken or not the pinned one
    │   ├── TrainingError       a training step went wrong
    │   │   └── PeerLost            one of several processes is gone
    │   ├── SideEnvironmentError  packages of a route or runtime, in an environment of their own, cannot be had
    │   └── OutputError         the run directory cannot be written
    ├── DeviceError         3   the device is not there, not ready, or not the one asked for
    │   └── SeveralDevices      more than one is attached that could be meant
    └── ConversionError     4   a converter or the quantizer failed

Each carries what was found (the message) and what to do next (the hint). Only cli.py turns one into an exit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class EdgefitError(Exception):
    """What went wrong, and what to do about it.

    `message` says what was found and what would be valid; `hint` is the next thing to do, a command where there is one.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BudgetMissed(EdgefitError):  # noqa: N818  (an outcome, not a fault)
    """Nothing in the range answers within the budget."""

    exit_code = 1


class GuardFailed(EdgefitError):  # noqa: N818
    """The int8 model differs too much from the float one. `steps`: what was tried (converters' JudgedStep records)."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "", steps: Sequence[Any] = ()) -> None:
        super().__init__(message, hint)
        self.steps = tuple(steps)


class InputError(EdgefitError):
    """Something the user handed in is not usable."""


class ScalingError(InputError):
    """A width, depth, resolution or phi that no network has."""


class DeviceUnknown(InputError):  # noqa: N818
    """No device profile has this name."""


class ProfileError(InputError):
    """A device profile file breaks its schema."""


class DataError(InputError):
    """The photographs cannot be used."""


class DownloadError(InputError):
    """A file could not be fetched, or is not the one that was pinned."""


class TrainingError(InputError):
    """A training cannot go on from where it is."""


class PeerLost(TrainingError):  # noqa: N818
    """One of the processes that train together is gone, or gives no answer."""


class SideEnvironmentError(InputError):
    """The environment with a route's or runtime's own packages cannot be made."""


class OutputError(InputError):
    """The run directory cannot be used."""


class DeviceError(EdgefitError):
    """The device is absent, busy or unfit."""

    exit_code = 3


class SeveralDevices(DeviceError):  # noqa: N818
    """More than one attached device could be meant."""


class ConversionError(EdgefitError):
    """A converter or the quantizer failed, or its file is not what was ordered."""

    exit_code = 4
