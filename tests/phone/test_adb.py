"""Phones over adb: Debian's real adbd and adb in a private network."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.tiny_model import tiny_tflite

from edgefit_benchmarks import preflight
from edgefit_benchmarks.targets.adb import Adb, AdbTarget, find_phone
from edgefit_benchmarks.targets.android import parse_devices
from edgefit_toolkit.errors import DeviceError, InputError
from phone import parts
from phone.fake_adb_server import NO_PERMISSIONS, UNAUTHORIZED, FakeAdbServer
from phone.world import BATTERY, Phone, World

Blob = Callable[..., Path]
MB = 1 << 20


def remote_files(phone: Phone) -> set[str]:
    """Every file that lies on the phone's storage."""
    return {str(p.relative_to(phone.files / "data")) for p in (phone.files / "data").rglob("*") if p.is_file()}


def when_it_arrives(phone: Phone, act: Callable[[], None]) -> threading.Thread:
    """Call `act` as soon as a file begins to arrive on the phone."""

    def watch() -> None:
        folder = phone.files / "data/local/tmp"
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                if any(p.is_file() and p.stat().st_size > 0 for p in folder.rglob("*")):
                    break
            except OSError:
                continue
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_push_run_pull_and_cleanup(world: World, adb: Adb, blob: Blob, tmp_path: Path) -> None:
    phone = world.phone()
    target = AdbTarget(phone.serial, adb)
    facts = target.facts()
    assert (facts.name, facts.codename, facts.abi, facts.kind) == ("Pixel 7", "panther", "x86_64", "adb")
    assert facts.system == "Android 14 (SDK 34)"
    assert facts.label == f"Pixel 7 (serial {phone.serial})"
    assert facts.origin == "measured on device"
    assert not facts.emulated

    local = blob("model.tflite", 300_000)
    remote = target.push(local)
    assert (phone.files / remote[1:]).read_bytes() == local.read_bytes()
    ran = target.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (ran.exit_code, ran.stdout, ran.stderr) == (7, b"out\n", b"err\n")
    target.pull(remote, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == local.read_bytes()
    with pytest.raises(DeviceError, match="is not on"):
        target.pull("/data/local/tmp/edgefit/absent", tmp_path / "absent")
    assert not list(tmp_path.glob("absent*"))
    target.cleanup()
    assert remote_files(phone) == set()


def test_a_program_gets_its_bytes_and_gives_its_bytes(world: World, adb: Adb) -> None:
    target = AdbTarget(world.phone().serial, adb)
    every_byte = "".join(f"\\{i:03o}" for i in range(256))
    assert target.run(["printf", every_byte]).stdout == bytes(range(256))


def test_affinity_reaches_the_program(world: World, adb: Adb) -> None:
    target = AdbTarget(world.phone().serial, adb)
    assert target.run(["sh", "-c", "grep Cpus_allowed_list /proc/self/status"], cpus=[0]).text.split() == [
        "Cpus_allowed_list:",
        "0",
    ]


def test_any_argument_and_any_name_survive_the_shells(world: World, adb: Adb, blob: Blob, tmp_path: Path) -> None:
    phone = world.phone()
    target = AdbTarget(phone.serial, adb)

    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20), max_size=4)
    )
    def arguments(args: list[str]) -> None:
        ran = target.run(["printf", "%s\\0", *args])
        assert ran.stdout.decode().split("\0")[:-1] == (args or [""])

    arguments()
    for name in ("two words.tflite", "it's $(reboot) `x`; rm -rf *.tflite", "-rf", "é\\n\n.tflite", '"'):
        local = blob(name, 5000, seed=len(name))
        remote = target.push(local)
        target.pull(remote, tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == local.read_bytes()
    target.cleanup()
    assert remote_files(phone) == set()


def test_equal_content_is_not_sent_again_and_a_same_size_model_is(world: World, adb: Adb, tmp_path: Path) -> None:
    phone = world.phone()
    target = AdbTarget(phone.serial, adb)
    path = tmp_path / "int8.tflite"
    first = tiny_tflite(path, seed=1).read_bytes()
    remote = phone.files / target.push(path, folder="model")[1:]
    written = remote.stat().st_mtime_ns, remote.stat().st_ino
    target.push(path, folder="model")
    assert (remote.stat().st_mtime_ns, remote.stat().st_ino) == written

    second = tiny_tflite(path, seed=2).read_bytes()
    assert len(second) == len(first)
    assert second != first
    target.push(path, folder="model")
    assert remote.read_bytes() == second

    # a file that was damaged over there, at the same size, is repaired
    remote.write_bytes(first)
    target.push(path, folder="model")
    assert remote.read_bytes() == second
    with pytest.raises(InputError, match="SHA-256"):
        target.push(path, "0" * 64)


def test_the_right_one_of_three_is_chosen(world: World, adb: Adb) -> None:
    other = world.phone(port=15601, codename="o1s", model="SM-G991B")
    wanted = world.phone(port=15602)
    third = world.phone(port=15603, codename="flame", model="Pixel 4")
    assert len(adb.devices()) == 3
    assert find_phone(["panther"], "Google Pixel 7", adb=adb).serial == wanted.serial
    assert find_phone(["flame"], "Google Pixel 4", adb=adb).serial == third.serial
    with pytest.raises(DeviceError) as refused:
        find_phone(["shiba"], "Google Pixel 8", adb=adb)
    for named in (
        "Google Pixel 8 (shiba)",
        f"{other.serial} is a SM-G991B (o1s)",
        "Pixel 7 (panther)",
        "Pixel 4 (flame)",
    ):
        assert named in refused.value.message
    with pytest.raises(DeviceError, match=r"SM-G991B \(o1s\)"):
        find_phone(["panther"], "Google Pixel 7", serial=other.serial, adb=adb)


def test_two_of_a_kind_are_ambiguous_until_a_serial_is_given(world: World, adb: Adb) -> None:
    phones = [world.phone(port=port) for port in (15601, 15602)]
    with pytest.raises(DeviceError) as refused:
        find_phone(["panther"], "Google Pixel 7", adb=adb)
    assert all(phone.serial in refused.value.message for phone in phones)
    assert "--serial" in refused.value.hint
    for phone in phones:
        assert find_phone(["panther"], "Google Pixel 7", serial=phone.serial, adb=adb).serial == phone.serial
    with pytest.raises(DeviceError, match=r"no phone with serial 127\.0\.0\.1:9"):
        find_phone(["panther"], "Google Pixel 7", serial="127.0.0.1:9", adb=adb)


def test_each_phone_gets_its_own_files(world: World, adb: Adb, blob: Blob) -> None:
    one, two = world.phone(port=15601), world.phone(port=15602)
    AdbTarget(one.serial, adb).push(blob("a.tflite", 1000))
    assert remote_files(two) == set()
    assert len(remote_files(one)) == 1


def test_nothing_attached(adb: Adb) -> None:
    assert adb.devices() == ()
    with pytest.raises(DeviceError, match="no phone is attached; wanted: Google Pixel 7"):
        find_phone(["panther"], "Google Pixel 7", adb=adb)


def test_unplugged_during_a_push(world: World, adb: Adb, blob: Blob) -> None:
    phone = world.phone()
    target = AdbTarget(phone.serial, adb)
    local = blob("big.tflite", 200 * MB)
    pulling = when_it_arrives(phone, phone.kill)
    with pytest.raises(DeviceError) as fault:
        target.push(local)
    pulling.join()
    assert phone.serial in fault.value.message
    assert "copying big.tflite" in fault.value.message
    assert fault.value.hint

    again = world.phone(port=15556)
    remote = AdbTarget(again.serial, adb).push(blob("small.tflite", 1000))
    assert (again.files / remote[1:]).stat().st_size >= 1000


def test_a_broken_push_leaves_no_file_under_its_name(world: World, adb: Adb, blob: Blob) -> None:
    phone = world.phone()
    target = AdbTarget(phone.serial, adb)
    # the line breaks, the phone lives: the server is killed while the file arrives
    breaking = when_it_arrives(phone, world.kill_adb_server)
    with pytest.raises(DeviceError):
        target.push(blob("big.tflite", 200 * MB))
    breaking.join()
    assert {name for name in remote_files(phone) if not name.endswith(".part")} == set()
    world.connect(phone)
    local = blob("big.tflite", 2 * MB)
    remote = target.push(local)
    assert (phone.files / remote[1:]).read_bytes() == local.read_bytes()


def test_unplugged_during_a_run(world: World, adb: Adb) -> None:
    phone = world.phone()
    target = AdbTarget(phone.serial, adb)
    threading.Timer(0.5, phone.kill).start()
    with pytest.raises(DeviceError, match=r"(went away|not attached any more|offline).*running sh|is offline"):
        target.run(["sh", "-c", "echo half a result; sleep 30; echo whole"])


def test_the_server_is_killed_during_a_run_and_the_next_run_works(world: World, adb: Adb) -> None:
    phone = world.phone()
    target = AdbTarget(phone.serial, adb)
    threading.Timer(0.5, world.kill_adb_server).start()
    with pytest.raises(DeviceError) as fault:
        target.run(["sleep", "30"])
    assert fault.value.exit_code == 3
    world.connect(phone)  # a phone on USB comes back by itself; one on the network is connected again
    assert target.run(["echo", "back"]).text == "back\n"


def test_offline(world: World, adb: Adb) -> None:
    phone = world.phone()
    target = AdbTarget(phone.serial, adb)
    phone.kill()
    with pytest.raises(DeviceError, match=r"offline|not attached any more"):
        target.facts()
    with pytest.raises(DeviceError) as fault:
        find_phone(["panther"], "Google Pixel 7", adb=adb)
    assert "offline" in fault.value.message or "no phone is attached" in fault.value.message


def test_storage_full_and_then_room(world: World, adb: Adb, blob: Blob) -> None:
    phone = world.phone(storage="4m")
    target = AdbTarget(phone.serial, adb)
    with pytest.raises(DeviceError, match=r"storage of .* is full \(copying big\.tflite to it\)"):
        target.push(blob("big.tflite", 8 * MB))
    assert remote_files(phone) == set()
    assert target.push(blob("small.tflite", 1 * MB)).endswith("small.tflite")


@pytest.mark.parametrize(
    ("line", "refusal", "said", "hint"),
    [
        (
            "1A2B3C unauthorized usb:1-1 transport_id:1",
            UNAUTHORIZED,
            "has not authorised this computer",
            "unlock the phone",
        ),
        ("1A2B3C no permissions usb:1-1 transport_id:1", NO_PERMISSIONS, "may not use 1A2B3C over USB", "udev"),
        ("1A2B3C offline usb:1-1 transport_id:1", "device offline", "is offline", "plug it out"),
    ],
)
def test_states_that_a_real_daemon_cannot_be_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, refusal: str, said: str, hint: str
) -> None:
    try:
        real = parts.adb_parts()
    except parts.PartsMissingError as missing:
        pytest.skip(str(missing))
    with FakeAdbServer(line, refusal) as port:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        monkeypatch.setenv("HOME", str(tmp_path))
        client = tmp_path / "adb"
        client.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH="{real.library_path()}" exec "{real.adb}" "$@"\n')
        client.chmod(0o755)
        adb = Adb(str(client))
        with pytest.raises(DeviceError, match=said) as fault:
            AdbTarget("1A2B3C", adb).facts()
        assert hint in fault.value.hint
        state = adb.devices()[0].state
        with pytest.raises(DeviceError, match=f"1A2B3C is {state}"):
            find_phone(["panther"], "Google Pixel 7", adb=adb)


def test_no_adb_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("ANDROID_HOME", raising=False)
    monkeypatch.delenv("ANDROID_SDK_ROOT", raising=False)
    with pytest.raises(DeviceError, match="no adb") as fault:
        Adb()
    assert "platform-tools" in fault.value.hint


def test_a_phone_that_hangs_is_given_up(world: World, adb: Adb) -> None:
    target = AdbTarget(world.phone().serial, adb)
    with pytest.raises(DeviceError, match="no answer within"):
        target.run(["sleep", "30"], timeout_s=0.5)
    assert target.run(["true"]).exit_code == 0


def test_an_emulator_says_so(world: World, adb: Adb) -> None:
    phone = world.phone()
    assert not AdbTarget(phone.serial, adb).facts().emulated
    phone.set_properties(ro_kernel_qemu="1")
    assert AdbTarget(phone.serial, adb).facts().emulated
    phone.set_properties(ro_kernel_qemu="", ro_product_cpu_abi="arm64-v8a")  # an Arm userland on this x86 kernel
    assert AdbTarget(phone.serial, adb).facts().emulated


def test_condition_and_preflight(world: World, adb: Adb) -> None:
    phone = world.phone()
    target = AdbTarget(phone.serial, adb)
    condition = target.condition()
    assert (condition.battery_percent, condition.battery_c, condition.charging) == (83, 25.4, True)
    assert (condition.thermal_status, condition.screen_on) == (0, False)
    assert condition.free_bytes is not None
    assert condition.load_1min is not None
    phone.set_dumpsys(thermalservice="IsStatusOverride: false\nThermal Status: 3\n")
    with pytest.raises(DeviceError, match="severe"):
        preflight.notes(preflight.check(target.condition()))
    phone.set_dumpsys(thermalservice="", battery=BATTERY.format(level=9), power="mWakefulness=Awake")
    assert target.condition().thermal_status is None
    assert target.condition().screen_on
    with pytest.raises(DeviceError, match="9%"):
        preflight.notes(preflight.check(target.condition()))


def test_the_device_list_is_read() -> None:
    text = (
        "* daemon not running; starting now at tcp:5037\n* daemon started successfully\nList of devices attached\n"
        "28241FDH2006ZK         device usb:1-2 product:panther model:Pixel_7 device:panther transport_id:3\n"
        "emulator-5554          offline\n"
        "0123456789ABCDEF       no permissions (user in plugdev group; are your udev rules wrong?); see [http://d]\n\n"
    )
    found = parse_devices(text)
    assert [(a.serial, a.state, a.model) for a in found] == [
        ("28241FDH2006ZK", "device", "Pixel_7"),
        ("emulator-5554", "offline", ""),
        ("0123456789ABCDEF", "no permissions", ""),
    ]
