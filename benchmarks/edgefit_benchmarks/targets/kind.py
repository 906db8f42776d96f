"""A kind of target: how the command line names one, and how it is opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgefit_benchmarks.targets.target import Target
from edgefit_toolkit.devices.profile import DeviceProfile


def _always(_: DeviceProfile) -> bool:
    return True


def _never(_: DeviceProfile) -> bool:
    return False


def _none() -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class TargetKind:
    """One row of table.KINDS."""

    name: str  # Facts.kind of what it opens
    noun: str  # "a phone"
    open: Callable[[DeviceProfile, str | None], Target]  # the profile, what the flag names; DeviceError, InputError
    connect: Callable[[str], Target]  # by what the flag names alone, whichever device it is
    flag: str = ""  # the option that names one, without its dashes: "serial"; empty: the profile alone does
    metavar: str = "TEXT"
    help: str = ""  # of the flag
    list_attached: Callable[[], Sequence[str]] = _none  # what the flag could name now, ready or not; DeviceError
    serves: Callable[[DeviceProfile], bool] = _never  # it is looked for when no flag names a target of any kind
    is_present: Callable[[DeviceProfile], bool] = _always  # quick and quiet; False: not looked for unless it must be
