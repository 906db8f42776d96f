"""What Android's own tools print, read. Pure: text in, facts out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgefit_benchmarks.abi import is_foreign
from edgefit_benchmarks.targets.target import Condition, Facts
from edgefit_toolkit.progress import plain

EMULATOR_HARDWARE = {"goldfish", "ranchu", "cutf_cvm"}  # Android's emulator, old and new, and Cuttlefish

PROPERTIES = {
    "codename": "ro.product.device",
    "model": "ro.product.model",
    "abi": "ro.product.cpu.abi",
    "release": "ro.build.version.release",
    "sdk": "ro.build.version.sdk",
    "qemu": "ro.kernel.qemu",
    "boot_qemu": "ro.boot.qemu",
    "hardware": "ro.hardware",
}

# One line key=value each; a shell that lacks a file or a program prints the line with nothing behind it.
FACTS_SCRIPT = "\n".join(
    [
        *(f'echo "{key}=$(getprop {name} 2>/dev/null)"' for key, name in PROPERTIES.items()),
        'echo "kernel_arch=$(cat /proc/sys/kernel/arch 2>/dev/null)"',
        'echo "possible=$(cat /sys/devices/system/cpu/possible 2>/dev/null)"',
        "for c in /sys/devices/system/cpu/cpu[0-9]*; do",
        '  echo "mhz.${c##*cpu}=$(cat $c/cpufreq/cpuinfo_max_freq 2>/dev/null)"',
        "done",
    ]
)

CONDITION_SCRIPT = "\n".join(
    [
        'echo "load=$(cat /proc/loadavg 2>/dev/null)"',
        "governors=$(cat /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor 2>/dev/null | sort -u)",
        'echo "governors="$governors',
        'echo "free_kb=$(df -k /data/local/tmp 2>/dev/null | tail -n 1)"',
        "echo --battery",
        "dumpsys battery 2>/dev/null",
        "echo --thermal",
        "dumpsys thermalservice 2>/dev/null",
        "echo --power",
        "dumpsys power 2>/dev/null",
        "true",
    ]
)


@dataclass(frozen=True)
class Attached:
    """One line of `adb devices -l`."""

    serial: str
    state: str  # "device" is the only one that works; "offline", "unauthorized", "no permissions", "recovery" ...
    model: str = ""  # adb replaces odd letters by _


def parse_devices(text: str) -> tuple[Attached, ...]:
    """The list that `adb devices -l` prints. Its states may hold spaces ("no permissions; see [...]")."""
    found = []
    for line in text.splitlines():
        # serial, state, then key:value pairs; "List of devices attached" and "* daemon started" are no devices
        match = re.match(r"^(\S+)\s+(device|offline|unauthorized|authorizing|connecting|recovery|sideload|"
                         r"bootloader|host|rescue|detached|no permissions|unknown)\b(.*)$", line)  # fmt: skip
        if match and not line.startswith(("*", "List of")):
            model = re.search(r"\bmodel:(\S+)", match.group(3))
            found.append(Attached(match.group(1), match.group(2), plain(model.group(1)) if model else ""))
    return tuple(found)


def parse_facts(values: dict[str, str], serial: str) -> Facts:
    """The answer to FACTS_SCRIPT as facts."""
    abi = values.get("abi", "")
    emulator = "1" in (values.get("qemu"), values.get("boot_qemu")) or values.get("hardware") in EMULATOR_HARDWARE
    clocks = {
        int(key[4:]): int(value) // 1000 if value.isdigit() else 0
        for key, value in values.items()
        if re.fullmatch(r"mhz\.\d+", key)
    }
    codename = values.get("codename", "")
    name = values.get("model") or codename or "unknown phone"
    return Facts(
        kind="adb",
        label=f"{name} (serial {plain(serial)})",
        origin="measured on device",
        name=name,
        address=serial,
        codename=codename,
        abi=abi,
        system=f"Android {values.get('release') or '?'} (SDK {values.get('sdk') or '?'})",
        cores_max_mhz=tuple(clocks[i] for i in sorted(clocks)),
        emulated=emulator or is_foreign(abi, values.get("kernel_arch", "")),
    )


def parse_condition(text: str, cores: int) -> Condition:
    """The answer to CONDITION_SCRIPT; what the phone did not tell stays None."""
    head, _, rest = text.partition("--battery\n")
    battery, _, rest = rest.partition("--thermal\n")
    thermal, _, power = rest.partition("--power\n")
    values = dict(line.split("=", 1) for line in head.splitlines() if "=" in line)
    load = values.get("load", "").split()
    free = re.search(r"\s(\d+)\s+\d+%", values.get("free_kb", ""))
    level = re.search(r"^\s*level: (\d+)", battery, re.MULTILINE)
    tenths_c = re.search(r"^\s*temperature: (\d+)", battery, re.MULTILINE)
    powered = re.findall(r"^\s*(?:AC|USB|Wireless|Dock) powered: (true|false)", battery, re.MULTILINE)
    status = re.search(r"^\s*Thermal Status: (\d+)", thermal, re.MULTILINE)
    awake = re.search(r"mWakefulness=(\w+)", power)
    return Condition(
        cores=cores,
        load_1min=float(load[0]) if load else None,
        governors=tuple(sorted(values.get("governors", "").split())),
        battery_percent=int(level.group(1)) if level else None,
        battery_c=int(tenths_c.group(1)) / 10 if tenths_c else None,
        charging="true" in powered if powered else None,
        thermal_status=int(status.group(1)) if status else None,
        screen_on=awake.group(1) == "Awake" if awake else None,
        free_bytes=int(free.group(1)) * 1024 if free else None,
    )
