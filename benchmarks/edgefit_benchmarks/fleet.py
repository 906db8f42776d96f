"""One model on every phone and board: a row each, with its times or with why there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.targets import table
from edgefit_benchmarks.targets.kind import TargetKind
from edgefit_benchmarks.targets.table import cores_for
from edgefit_benchmarks.targets.target import Facts, Target
from edgefit_benchmarks.timing import measure
from edgefit_toolkit.devices import list_profiles
from edgefit_toolkit.devices.profile import DeviceProfile
from edgefit_toolkit.errors import DeviceError, EdgefitError
from edgefit_toolkit.records import Measurement

THREADS = 4  # of a device that no profile describes, where it has as many cores: what phones' fast clusters have


@dataclass(frozen=True)
class Member:
    """A target of the fleet, not yet reached."""

    kind: TargetKind
    name: str  # as its flag names it

    @property
    def label(self) -> str:
        """Until it says more: "serial 1A2B"."""
        return f"{self.kind.flag} {self.name}"


@dataclass(frozen=True)
class FleetRow:
    """What became of one member."""

    member: Member
    label: str  # as in Facts once it was reached
    measurement: Measurement | None
    reason: str = ""  # why there are no times
    hint: str = ""


def members(named: Mapping[str, Sequence[str]]) -> tuple[Member, ...]:
    """Everything that is attached, ready or not, and the targets that flags name (flag -> names); each once.

    DeviceError when there is none.
    """
    found: list[Member] = []
    complaint: DeviceError | None = None
    for kind in table.KINDS:
        attached: Sequence[str] = ()
        try:
            attached = kind.list_attached()
        except DeviceError as error:
            complaint = error
        found += [Member(kind, name) for name in dict.fromkeys([*attached, *named.get(kind.flag, ())])]
    if not found:
        raise complaint or DeviceError(
            "no phone is attached and no board is named", "plug one in, or name boards: --host user@board"
        )
    return tuple(found)


def measure_member(
    member: Member, model_path: Path, options: TimingOptions, *, model: str, threads: int | None = None
) -> FleetRow:
    """Time the model there, with `threads` or what its profile says, pinned to its fast cores. Never raises for it."""
    label, target = member.label, None
    try:
        target = member.kind.connect(member.name)
        label = target.facts().label
        measurement = measure(target, model_path, _own(options, target, threads), model=model)
    except EdgefitError as error:
        return FleetRow(member, label, None, error.message, error.hint)
    finally:
        if target is not None:
            target.cleanup()
    return FleetRow(member, label, measurement)


def profile_of(facts: Facts) -> DeviceProfile | None:
    """The profile that names the device's product."""
    return next((p for p in list_profiles() if facts.codename and facts.codename in p.codenames), None)


def _own(options: TimingOptions, target: Target, threads: int | None) -> TimingOptions:
    facts = target.facts()
    profile = profile_of(facts)
    own = threads or (profile.threads if profile else min(THREADS, len(facts.cores_max_mhz) or THREADS))
    cpus = cores_for(facts, profile, own) if target.capabilities.can_pin_cores else ()
    return replace(options, threads=own, cpus=cpus)
