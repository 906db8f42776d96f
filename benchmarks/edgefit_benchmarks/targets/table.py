"""The kinds of targets; from --device and the kinds' own flags to one target, and to the cores that its runs use."""

from __future__ import annotations

from collections.abc import Mapping

from edgefit_benchmarks.targets import adb, ai_hub, local, ssh
from edgefit_benchmarks.targets.affinity import clocks_of, fast_cores
from edgefit_benchmarks.targets.kind import TargetKind
from edgefit_benchmarks.targets.target import Facts, Target
from edgefit_toolkit.devices.profile import DeviceProfile
from edgefit_toolkit.errors import InputError

# A kind that is found by its profile stands before those that look for it elsewhere
KINDS: list[TargetKind] = [local.KIND, adb.KIND, ssh.KIND, ai_hub.KIND]


def open_target(profile: DeviceProfile, where: Mapping[str, str] | None = None) -> Target:
    """The target that a flag names (`where`: flag -> what it names), else the one that the profile stands for.

    InputError when flags contradict each other or the profile; DeviceError when the
    target is absent, not ready or another device.
    """
    named = {kind: value for kind in KINDS if (value := (where or {}).get(kind.flag))}
    if len(named) > 1:
        first, second = sorted(named, key=lambda kind: kind.flag)[:2]
        raise InputError(f"--{first.flag} names {first.noun} and --{second.flag} {second.noun}", "give one of them")
    for kind, value in named.items():
        return kind.open(profile, value)
    return kind_of(profile).open(profile, None)


def kind_of(profile: DeviceProfile) -> TargetKind:
    """The kind that a profile stands for when no flag names a target."""
    return next(kind for kind in KINDS if kind.serves(profile))


def cores_for(facts: Facts, profile: DeviceProfile | None, threads: int) -> tuple[int, ...]:
    """The cores that `threads` threads are pinned to: by the device's own clocks, else by the profile's topology.

    Empty, which pins nothing, where all cores are alike.
    """
    found = fast_cores(facts.cores_max_mhz, threads)
    if found or profile is None or any(facts.cores_max_mhz):
        return found
    clocks = clocks_of([(core.count, core.clock_ghz) for core in profile.cores])
    return fast_cores(clocks, threads) if len(clocks) == len(facts.cores_max_mhz) else ()
