"""A kind of target: how the command line names one, and how it is opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgefit_benchmarks.targets.target import Target
from edgefit_toolkit.devices.profile import DeviceProfile


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
    list_attached: Callable[[], Sequence[str]] = tuple  # what the flag could name now, ready or not; DeviceError
    # it is looked for when no flag names a target of any kind
    serves: Callable[[DeviceProfile], bool] = field(default=lambda _: False)
    # quick and quiet; False: not looked for unless it must be
    is_present: Callable[[DeviceProfile], bool] = field(default=lambda _: True)
