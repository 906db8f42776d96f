"""doctor and devices against real daemons."""

from __future__ import annotations

import pytest

from edgefit_benchmarks.doctor import AttachedDevice, Check, attached_devices, examine, ready
from edgefit_benchmarks.native.package import RunnerPackage
from edgefit_benchmarks.targets.adb import Adb
from edgefit_benchmarks.targets.ssh import SshTarget
from phone.world import BATTERY, World


def by_name(checks: tuple[Check, ...]) -> dict[str, Check]:
    return {check.name.partition(" (")[0]: check for check in checks}


def test_attached_devices_lists_ready_and_lost_phones(world: World, adb: Adb) -> None:
    one, two = world.phone(port=15601), world.phone(port=15602, codename="flame", model="Pixel 4")
    found = {device.serial: device for device in attached_devices(adb)}
    assert found[one.serial] == AttachedDevice(
        one.serial, "device", "Pixel 7", "panther", "x86_64", "Android 14 (SDK 34)", emulated=False
    )
    assert found[two.serial].name == "Pixel 4"
    two.kill()
    gone = {device.serial: device for device in attached_devices(adb)}.get(two.serial)
    assert gone is None or (gone.state in ("offline", "lost") and gone.hint)


@pytest.mark.usefixtures("needs_sshd")
def test_a_ready_phone_and_board(world: World, adb: Adb, host_package: RunnerPackage) -> None:
    phone, board = world.phone(), world.board()
    target = SshTarget(board.host, program=str(world.ssh), options=["-F", str(board.config)])
    checks = by_name(examine(adb=adb, ssh=target))
    assert ready(tuple(checks.values()))
    assert checks["adb"].level == "ok"
    assert "Pixel 7 (panther), Android 14" in checks[f"phone {phone.serial}"].found
    assert "battery 83%, charging" in checks[f"phone {phone.serial}"].found
    assert checks["board board@127.0.0.1"].level in ("ok", "warn")  # warn: this machine may be busy
    assert str(host_package.folder) in checks["runner for x86_64"].found
    target.cleanup()


def test_an_unfit_phone_is_said_with_its_remedy(world: World, adb: Adb) -> None:
    phone = world.phone(abi="x86")
    phone.set_dumpsys(battery=BATTERY.format(level=5))
    checks = by_name(examine(adb=adb))
    low = checks[f"phone {phone.serial}"]
    assert (low.level, low.hint) == ("missing", "charge it above 30%")
    assert "battery 5%" in low.found
    assert checks["runner for x86"].level == "missing"
    assert not ready(tuple(checks.values()))


def test_no_phone_and_no_adb(adb: Adb, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "USB debugging" in by_name(examine(adb=adb))["phone"].hint
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("ANDROID_HOME", raising=False)
    monkeypatch.delenv("ANDROID_SDK_ROOT", raising=False)
    without = by_name(examine())
    assert (without["adb"].level, without["adb"].found) == ("missing", "there is no adb on this computer")
    assert "platform-tools" in without["adb"].hint
