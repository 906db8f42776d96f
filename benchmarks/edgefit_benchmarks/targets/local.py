"""This host as a target: nothing is copied, programs run here."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from edgefit_benchmarks.targets.target import Condition, Facts, Ran, file_sha256
from edgefit_toolkit.errors import DeviceError, InputError

CPU_FOLDER = Path("/sys/devices/system/cpu")

# Android's names for what uname calls the machine
ABIS = {
    "x86_64": "x86_64",
    "amd64": "x86_64",
    "aarch64": "arm64-v8a",
    "arm64": "arm64-v8a",
    "armv7l": "armeabi-v7a",
}


class LocalTarget:
    """This host."""

    def facts(self) -> Facts:
        """The CPU's name, its cores and the system, from /proc and /sys where they exist."""
        machine = platform.machine()
        return Facts(
            kind="local",
            name=cpu_name(),
            address="",
            codename="",
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

    def push(self, local: Path, sha256: str | None = None, *, executable: bool = False) -> str:
        """The file's own absolute path; nothing is copied. InputError when it is not the file that was meant."""
        found = file_sha256(local)
        if sha256 is not None and found != sha256:
            raise InputError(f"{local} has SHA-256 {found[:12]}..., not {sha256[:12]}...", "convert it again")
        return str(local.resolve())

    def run(self, argv: Sequence[str], *, timeout_s: float = 120.0, cpus: Sequence[int] = ()) -> Ran:
        """Run a program here. DeviceError when it is not there or takes too long."""
        command = list(argv)
        if cpus:
            command = ["taskset", "-c", ",".join(map(str, cpus)), *command]
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=timeout_s, stdin=subprocess.DEVNULL, check=False
            )
        except FileNotFoundError as error:
            raise DeviceError(f"this host has no program {command[0]}", "edgefit doctor") from error
        except PermissionError as error:
            raise DeviceError(f"{command[0]} may not be run here", f"chmod +x {command[0]}") from error
        except subprocess.TimeoutExpired as error:
            raise DeviceError(f"{argv[0]} did not end within {timeout_s:.0f} s", "edgefit doctor") from error
        return Ran(done.returncode, done.stdout, done.stderr)

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file. DeviceError when it is not there."""
        part = local.with_name(local.name + ".part")
        try:
            shutil.copyfile(remote, part)
            os.replace(part, local)
        except FileNotFoundError as error:
            raise DeviceError(f"{remote} is not there") from error
        finally:
            part.unlink(missing_ok=True)

    def cleanup(self) -> None:
        """Nothing was pushed."""


def cpu_name() -> str:
    """The CPU as the system names it, such as "AMD EPYC" or "Apple M2"; the machine type where it does not."""
    if platform.system() == "Darwin":
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or platform.machine()
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else (platform.processor() or platform.machine())


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
