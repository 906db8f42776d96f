"""Phones, through the `adb` program: always with -s SERIAL, never one by chance."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from edgefit_benchmarks.sessions.shell import Ran
from edgefit_benchmarks.targets import android
from edgefit_benchmarks.targets.android import Attached
from edgefit_benchmarks.targets.kind import TargetKind
from edgefit_benchmarks.targets.local import HOST_PROFILE
from edgefit_benchmarks.targets.remote import RemoteTarget, key_values, last_line
from edgefit_benchmarks.targets.target import Capabilities, Condition, Facts
from edgefit_toolkit.devices.profile import DeviceProfile
from edgefit_toolkit.errors import DeviceError, InputError, SeveralDevices

HOME = "/data/local/tmp/edgefit"  # the one folder where Android's shell user may keep and run a program

HOW_TO_GET_ADB = "install Android's platform-tools (Debian: apt install adb), then `edgefit doctor`"
HOW_TO_AUTHORISE = "unlock the phone, accept its question about USB debugging, then run the same command again"

# What adb says -> what it means. First match wins. {who} is the phone, {doing} what was going on.
MEANINGS: tuple[tuple[str, str, str], ...] = (
    (r"unauthorized|authorizing", "{who} has not authorised this computer", HOW_TO_AUTHORISE),
    (
        r"device offline|is offline",
        "{who} is offline",
        "plug it out and in again, or `adb reconnect`, then run it again",
    ),
    (
        r"no permissions|insufficient permissions",
        "this user may not use {who} over USB",
        "install the udev rules of adb (Debian: apt install android-sdk-platform-tools-common), then plug it in again",
    ),
    (
        r"device '.*' not found|no devices/emulators found|device .*disconnected|no such device",
        "{who} is not attached any more ({doing})",
        "plug it in again and run the same command: what was finished is kept",
    ),
    (
        r"cannot connect to daemon|failed to check server version|failed to start daemon|server killed|"
        r"could not read ok from ADB Server",
        "the adb server went away ({doing})",
        "`adb start-server`, then run it again",
    ),
    (r"No space left on device", "the storage of {who} is full ({doing})", "free some space on it and run it again"),
    (
        r"Read-only file system|Permission denied",
        "{who} does not let the shell write there ({doing})",
        "the phone must allow /data/local/tmp for the shell user",
    ),
)


class Adb:
    """The adb program of this host."""

    def __init__(self, program: str | None = None) -> None:
        self.program = program or find_adb()

    def call(self, args: Sequence[str], *, timeout_s: float, who: str = "the adb server") -> Ran:
        """Run `adb ARGS`. DeviceError when it does not end in time or is not there."""
        try:
            done = subprocess.run(
                [self.program, *args], capture_output=True, timeout=timeout_s, stdin=subprocess.DEVNULL, check=False
            )
        except (FileNotFoundError, PermissionError) as error:
            raise DeviceError(f"{self.program} cannot be run: {error.strerror}", HOW_TO_GET_ADB) from error
        except subprocess.TimeoutExpired as error:
            raise DeviceError(
                f"{who} gave no answer within {timeout_s:.0f} s", "plug it out and in again, then run it again"
            ) from error
        return Ran(done.returncode, done.stdout, done.stderr)

    def devices(self) -> tuple[Attached, ...]:
        """Everything that is attached, usable or not."""
        done = self.call(["devices", "-l"], timeout_s=30)
        if done.exit_code != 0:
            said = last_line(done.stderr.decode("utf-8", "replace"))
            raise DeviceError(f"adb cannot list devices{said}", "`adb kill-server`, then run it again")
        return android.parse_devices(done.stdout.decode("utf-8", "replace"))


class AdbTarget(RemoteTarget):
    """One phone, by its serial."""

    capabilities = Capabilities(can_pin_cores=True, can_answer=True, can_use_gpu=True)
    home = HOME
    runs_android_programs = True

    def __init__(self, serial: str, adb: Adb | None = None) -> None:
        self.serial = serial
        self.adb = adb or Adb()

    @property
    def address(self) -> str:
        """The serial."""
        return self.serial

    def condition(self) -> Condition:
        """Load, governors, battery, heat, screen and free storage, as far as the phone tells."""
        ran = self.shell(android.CONDITION_SCRIPT, doing="reading its condition")
        return android.parse_condition(ran.text, cores=max(1, len(self.facts().cores_max_mhz)))

    def _read_facts(self) -> Facts:
        ran = self.shell(android.FACTS_SCRIPT, doing="asking what it is")
        return android.parse_facts(key_values(ran.text), self.serial)

    def _transport(self, script: str, timeout_s: float) -> Ran:
        # -T: no terminal, so bytes stay what they are; -n: our stdin is not the phone's
        return self._call(["shell", "-T", "-n", script], timeout_s)

    def _send(self, local: Path, remote: str, timeout_s: float) -> None:
        done = self._call(["push", str(local.resolve()), remote], timeout_s)
        if done.exit_code != 0:
            self._fail(_complaint(done), f"copying {local.name} to it")

    def _fetch(self, remote: str, local: Path, timeout_s: float) -> None:
        done = self._call(["pull", remote, str(local.resolve())], timeout_s)
        if done.exit_code != 0:
            self._fail(_complaint(done), f"copying {Path(remote).name} from it")

    def _call(self, args: Sequence[str], timeout_s: float) -> Ran:
        return self.adb.call(["-s", self.serial, *args], timeout_s=timeout_s, who=self.serial)

    def _fail(self, said: str, doing: str) -> NoReturn:
        for pattern, message, hint in MEANINGS:
            if re.search(pattern, said, re.IGNORECASE):
                raise DeviceError(message.format(who=self.serial, doing=doing), hint)
        # adb is often silent when a phone goes away in the middle: ask what is left of it
        state = next((a.state for a in self.adb.devices() if a.serial == self.serial), "gone")
        if state in ("gone", "offline"):
            raise DeviceError(
                f"{self.serial} went away ({doing}): it is {'not attached any more' if state == 'gone' else 'offline'}",
                "plug it in again and run the same command: what was finished is kept",
            )
        raise DeviceError(
            f"the connection to {self.serial} broke ({doing}){last_line(said)}",
            "run the same command again",
        )


def find_adb() -> str:
    """adb from PATH, else from the Android SDK. DeviceError when there is none."""
    places = [os.environ[name] for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT") if os.environ.get(name)]
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), *(f"{place}/platform-tools" for place in places)])
    found = shutil.which("adb", path=search)
    if found is None:
        raise DeviceError("there is no adb on this computer", HOW_TO_GET_ADB)
    return found


def find_phone(codenames: Sequence[str], title: str, *, serial: str | None = None, adb: Adb | None = None) -> AdbTarget:
    """The attached phone whose ro.product.device is one of `codenames` ("panther" for a Pixel 7, `title`).

    With `serial`, that phone and no other. DeviceError, naming what is attached, when there is none, when it is not
    ready, or when it is a different phone; SeveralDevices when several match.
    """
    adb = adb or Adb()
    attached = adb.devices()
    if not attached:
        raise DeviceError(
            f"no phone is attached; wanted: {title}", "plug it in with USB debugging on; `edgefit doctor` helps"
        )
    if serial is not None:
        attached = tuple(a for a in attached if a.serial == serial)
        if not attached:
            raise DeviceError(
                f"no phone with serial {serial} is attached; there are: {', '.join(a.serial for a in adb.devices())}",
                "use one of these with --serial",
            )
    described, matching = [], []
    for a in attached:
        if a.state != "device":
            described.append(f"{a.serial} is {a.state}")
            continue
        target = AdbTarget(a.serial, adb)
        facts = target.facts()
        if facts.codename in codenames:
            matching.append(target)
        else:
            described.append(f"{a.serial} is a {facts.name} ({facts.codename or 'no codename'})")
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise SeveralDevices(
            f"{len(matching)} attached phones are a {title}: {', '.join(t.serial for t in matching)}",
            f"choose one: --serial {matching[0].serial}",
        )
    unready = [a for a in attached if a.state != "device"]
    hint = "attach that phone, or name the attached one's profile with --device (`edgefit devices`)"
    if unready and len(unready) == len(attached):
        hint = HOW_TO_AUTHORISE if unready[0].state == "unauthorized" else "plug it out and in again"
    raise DeviceError(f"no attached phone is a {title} ({' or '.join(codenames)}): {'; '.join(described)}", hint)


def open_phone(profile: DeviceProfile, serial: str | None) -> AdbTarget:
    """The attached phone that the profile describes; see find_phone. InputError when the profile is of no phone."""
    if profile.name == HOST_PROFILE:
        raise InputError(f"--device {HOST_PROFILE} has no serial", "leave --serial out")
    if not profile.codenames:
        raise InputError(
            f"the profile {profile.name} has no codenames: no attached phone can be matched with it",
            "give --host user@board, or add the phone's ro.product.device to the profile",
        )
    return find_phone(profile.codenames, profile.title, serial=serial)


def may_be_attached(profile: DeviceProfile) -> bool:
    """Whether adb is here and sees a phone, and the profile tells which one it is of."""
    try:
        return bool(profile.codenames and Adb().devices())
    except DeviceError:
        return False


def _complaint(done: Ran) -> str:
    """All that adb said: push and pull report some errors on stdout."""
    return (done.stderr + b"\n" + done.stdout).decode("utf-8", "replace").strip()


KIND = TargetKind(
    name="adb",
    noun="a phone",
    open=open_phone,
    connect=AdbTarget,
    list_attached=lambda: [attached.serial for attached in Adb().devices()],
    flag="serial",
    help="Serial number of the phone to measure on, where several are attached.",
    serves=lambda profile: profile.name != HOST_PROFILE,
    is_present=may_be_attached,
)
