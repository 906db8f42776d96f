"""This host as a target."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from edgefit_benchmarks.abi import ABIS
from edgefit_benchmarks.sessions.host import HostSession
from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.targets.kind import TargetKind
from edgefit_benchmarks.targets.target import Capabilities, Condition, Facts, Target
from edgefit_toolkit.host import cpu_name

CPU_FOLDER = Path("/sys/devices/system/cpu")

HOST_PROFILE = "host"


class LocalTarget(Target):
    """This host."""

    capabilities = Capabilities(is_this_host=True)

    def facts(self) -> Facts:
        """The CPU's name, its cores and the system, from /proc and /sys where they exist."""
        machine = platform.machine()
        name = cpu_name()
        return Facts(
            kind=KIND.name,
            label=f"host ({name})",
            origin="measured on host",
            name=name,
            abi=ABIS.get(machine, machine),
            system=f"{platform.system()} {platform.release()}",
            cores_max_mhz=tuple(_max_mhz(i) for i in range(os.cpu_count() or 1)),
        )

    def condition(self) -> Condition:
        """Load and governors; a host's battery and heat are not read."""
        try:
            load: float | None = os.getloadavg()[0]
        except OSError:
            load = None
        return Condition(
            cores=usable_cores(),
            load_1min=load,
            governors=tuple(sorted({g for i in range(os.cpu_count() or 1) if (g := _governor(i))})),
        )

    def open_session(self, model_path: Path, options: TimingOptions) -> HostSession:
        """In a process of its own."""
        return HostSession(model_path, options)


def usable_cores() -> int:
    """How many cores this process may run on (a container may hold fewer than the machine has)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _max_mhz(core: int) -> int:
    text = _read(CPU_FOLDER / f"cpu{core}" / "cpufreq" / "cpuinfo_max_freq")
    return int(text) // 1000 if text.isdigit() else 0


def _governor(core: int) -> str:
    return _read(CPU_FOLDER / f"cpu{core}" / "cpufreq" / "scaling_governor")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


KIND = TargetKind(
    name="local",
    noun="this host",
    open=lambda _profile, _named: LocalTarget(),
    connect=lambda _named: LocalTarget(),
    serves=lambda profile: profile.name == HOST_PROFILE,
)
