"""From --device, --serial and --host to one target, and to the cores that its runs are pinned to."""

from __future__ import annotations

from edgefit_benchmarks.targets.adb import Adb, find_phone
from edgefit_benchmarks.targets.affinity import clocks_of, fast_cores
from edgefit_benchmarks.targets.local import LocalTarget
from edgefit_benchmarks.targets.ssh import SshTarget
from edgefit_benchmarks.targets.target import Facts, Target
from edgefit_toolkit.devices import DeviceProfile
from edgefit_toolkit.errors import InputError

HOST_PROFILE = "host"


def open_target(
    profile: DeviceProfile, *, serial: str | None = None, host: str | None = None, adb: Adb | None = None
) -> Target:
    """The board `host` (user@board) when one is named, this host for the profile "host", else the attached phone.

    The phone is the one whose product is among the profile's codenames; see adb.find_phone for what is refused.
    InputError when --serial and --host contradict each other or the profile.
    """
    if host is not None and serial is not None:
        raise InputError("--host names a board and --serial a phone", "give one of them")
    if host is not None:
        target = SshTarget(host)
        target.facts()  # an unreachable board is said now, not after an hour of work
        return target
    if profile.name == HOST_PROFILE:
        if serial is not None:
            raise InputError("--device host has no serial", "leave --serial out")
        return LocalTarget()
    if not profile.codenames:
        raise InputError(
            f"the profile {profile.name} has no codenames: no attached phone can be matched with it",
            "give --host user@board, or add the phone's ro.product.device to the profile",
        )
    return find_phone(profile.codenames, profile.title, serial=serial, adb=adb)


def cores_for(facts: Facts, profile: DeviceProfile | None, threads: int) -> tuple[int, ...]:
    """The cores that `threads` threads are pinned to: by the device's own clocks, else by the profile's topology.

    Empty, which pins nothing, on this host and where all cores are alike.
    """
    if facts.kind == "local":
        return ()
    found = fast_cores(facts.cores_max_mhz, threads)
    if found or profile is None or any(facts.cores_max_mhz):
        return found
    clocks = clocks_of([(core.count, core.clock_ghz) for core in profile.cores])
    return fast_cores(clocks, threads) if len(clocks) == len(facts.cores_max_mhz) else ()
