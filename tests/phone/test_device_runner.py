"""Our own runner on real daemons: latency, answers, and what goes wrong with it."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.file_server import BODY, SHA256, Site
from support.tiny_model import tiny_tflite

from edgefit_benchmarks import programs, timing
from edgefit_benchmarks.device_accuracy import device_accuracy
from edgefit_benchmarks.native.package import RunnerPackage, find_package, package_path
from edgefit_benchmarks.sessions.device import DeviceSession, host_answers
from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.targets.adb import Adb, AdbTarget, find_phone
from edgefit_benchmarks.targets.ssh import SshTarget
from edgefit_toolkit.errors import DeviceError, InputError
from edgefit_toolkit.files import sha256_of
from phone.world import World, descendants

ONE = TimingOptions(threads=1)
QUICK = TimingOptions(threads=1, min_seconds=0.001, max_seconds=0.01)
RESOLUTION_PX = 32


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {str(s): tiny_tflite(folder / f"m{s}.tflite", seed=s, resolution_px=RESOLUTION_PX) for s in (1, 2, 3)}


def noise(pictures: int) -> bytes:
    return np.random.default_rng(0).integers(0, 256, (pictures, RESOLUTION_PX, RESOLUTION_PX, 3), np.uint8).tobytes()


def test_phone_latency_is_a_measurement(
    world: World, adb: Adb, host_package: RunnerPackage, models: dict[str, Path]
) -> None:
    target = AdbTarget(world.phone().serial, adb)
    measured = timing.measure_interleaved(target, {"a": models["1"], "b": models["2"]}, replace(QUICK, min_samples=50))
    for name, model in (("a", models["1"]), ("b", models["2"])):
        m = measured[name]
        assert m.model_sha256 == sha256_of(model)
        assert len(m.samples_ms) >= 50
        assert min(m.samples_ms) > 0
        assert (m.origin, m.delegate, m.threads) == ("measured on device", "xnnpack", 1)
        assert m.target == f"Pixel 7 (serial {target.serial})"
        assert "battery 83%, charging" in m.notes
        assert host_package.litert_version in m.runtime


def test_phone_answers_are_byte_equal_to_the_hosts(
    world: World, adb: Adb, host_package: RunnerPackage, models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = AdbTarget(world.phone().serial, adb)
    inputs = noise(9)
    monkeypatch.setattr("edgefit_benchmarks.sessions.device.CHUNK_BYTES", 4 * RESOLUTION_PX**2 * 3)  # 4 + 4 + 1
    answers = {}
    for name, model in models.items():
        session = DeviceSession(target, model, TimingOptions(threads=2))
        answers[name] = session.answers(inputs)
        assert len(answers[name]) == 9 * 5
        assert answers[name] == host_answers(model, inputs)
    assert len(set(answers.values())) == 3, "different models gave equal answers: nothing was tested"
    with pytest.raises(InputError, match="no whole number of inputs"):
        DeviceSession(target, models["1"], ONE).answers(inputs[:-1])


@pytest.mark.usefixtures("needs_sshd", "host_package")
def test_board_latency_and_answers(world: World, models: dict[str, Path]) -> None:
    board = world.board()
    target = SshTarget(board.host, program=str(world.ssh), options=["-F", str(board.config)])
    inputs = noise(3)
    assert DeviceSession(target, models["1"], ONE).answers(inputs) == host_answers(models["1"], inputs)
    measured = timing.measure(target, models["1"], replace(QUICK, cpus=(0,)))
    assert measured.origin == "measured on device"
    assert "pinned to cores 0" in measured.notes
    target.cleanup()
    assert not list((board.files / "data/home").rglob("*.tflite"))


def test_an_emulated_phone_answers_and_is_not_timed(
    world: World, adb: Adb, host_package: RunnerPackage, models: dict[str, Path]
) -> None:
    phone = world.phone()
    phone.set_properties(ro_kernel_qemu="1")
    target = AdbTarget(phone.serial, adb)
    with pytest.raises(DeviceError, match="milliseconds are no latency"):
        timing.measure(target, models["1"])
    inputs = noise(2)
    session = DeviceSession(target, models["1"], ONE, package=host_package)
    assert session.answers(inputs) == host_answers(models["1"], inputs)


def test_the_phone_kills_the_runner_and_the_next_run_works(
    world: World, adb: Adb, host_package: RunnerPackage, models: dict[str, Path]
) -> None:
    phone = world.phone()
    session = DeviceSession(AdbTarget(phone.serial, adb), models["1"], ONE, package=host_package)

    def kill_the_runner() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for pid in descendants(phone.process.pid):
                try:
                    command = Path(f"/proc/{pid}/cmdline").read_bytes()
                except OSError:
                    continue
                if b"edgefit_runner" in command and command.startswith(b"/data/"):
                    os.kill(pid, signal.SIGKILL)
                    return

    killing = threading.Thread(target=kill_the_runner)
    killing.start()
    with pytest.raises(DeviceError, match=r"ended the runner with SIGKILL while it ran m1\.tflite") as fault:
        session.block(5_000_000, 3)
    killing.join()
    assert "memory" in fault.value.hint
    assert len(session.block(10, 3).samples_ms) == 10


def test_wrong_abi(
    world: World, adb: Adb, host_package: RunnerPackage, models: dict[str, Path], tmp_path: Path
) -> None:
    phone = world.phone(abi="armeabi-v7a")
    with pytest.raises(DeviceError, match="no runner for armeabi-v7a; there is one for arm64-v8a, x86_64"):
        DeviceSession(AdbTarget(phone.serial, adb), models["1"], ONE)
    with pytest.raises(DeviceError, match="runs armeabi-v7a, the runner is for x86_64"):
        DeviceSession(AdbTarget(phone.serial, adb), models["1"], ONE, package=host_package)

    # a phone that says the right ABI and cannot execute the program after all
    phone.set_properties(ro_product_cpu_abi="x86_64")
    foreign = tmp_path / "foreign"
    shutil.copytree(host_package.folder, foreign)
    loader = foreign / host_package.loader
    image = bytearray(loader.read_bytes())
    image[18:20] = (0xF3).to_bytes(2, "little")  # e_machine: RISC-V
    loader.write_bytes(bytes(image))
    files = {**host_package.files, host_package.loader: sha256_of(loader)}
    wrong = replace(host_package, folder=foreign, files=files)
    with pytest.raises(DeviceError, match="cannot execute the runner"):
        DeviceSession(AdbTarget(phone.serial, adb), models["1"], ONE, package=wrong).block(1, 0)


def test_no_compiler_says_how_to_get_one(
    world: World, adb: Adb, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = world.phone(abi="arm64-v8a")
    target = AdbTarget(phone.serial, adb)
    monkeypatch.setenv("EDGEFIT_RUNNERS", str(tmp_path / "empty"))
    monkeypatch.setattr("edgefit_benchmarks.native.package.COMPILERS", {"arm64-v8a": "no-such-gcc"})
    with pytest.raises(DeviceError, match="not built, and there is no no-such-gcc") as fault:
        DeviceSession(target, models["1"], ONE)
    assert "gcc-aarch64-linux-gnu" in fault.value.hint


def test_an_official_binary_that_does_not_run_gives_way_to_our_own(
    world: World,
    adb: Adb,
    host_package: RunnerPackage,
    models: dict[str, Path],
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Right by its hash, and no program: it comes, is pushed, fails, and is not tried again."""
    pin = programs.Pin("9", site.url(), SHA256[:8], len(BODY))
    monkeypatch.setattr(programs, "OFFICIAL", {"x86_64": pin})
    monkeypatch.setattr(programs, "_unfit", {})
    monkeypatch.setattr(programs, "cache_dir", lambda: tmp_path / "cache")
    target = AdbTarget(world.phone().serial, adb)
    for _ in range(2):
        measured = timing.measure(target, models["1"], QUICK)
        assert host_package.litert_version in measured.runtime
    assert len(site.asked) == 1
    assert list(programs._unfit) == [pin.url]


def test_a_model_that_the_device_cannot_run(
    world: World, adb: Adb, host_package: RunnerPackage, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    session = DeviceSession(AdbTarget(world.phone().serial, adb), broken, ONE, package=host_package)
    with pytest.raises(InputError, match=r"cannot run broken\.tflite"):
        session.block(1, 0)
    with pytest.raises(InputError, match="no model"):
        DeviceSession(AdbTarget("none", adb), tmp_path / "absent.tflite", ONE, package=host_package)


def test_storage_full_while_the_runner_is_pushed(
    world: World, adb: Adb, host_package: RunnerPackage, models: dict[str, Path]
) -> None:
    target = AdbTarget(world.phone(storage="2m").serial, adb)
    with pytest.raises(DeviceError, match=r"storage of .* is full"):
        DeviceSession(target, models["1"], ONE, package=host_package)


def test_a_damaged_package_is_not_used(
    host_package: RunnerPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEFIT_RUNNERS", str(tmp_path))
    assert find_package("x86_64") is None
    shutil.copytree(host_package.folder, package_path("x86_64"))
    assert find_package("x86_64") == replace(host_package, folder=package_path("x86_64"))
    with (package_path("x86_64") / "libLiteRt.so").open("r+b") as library:
        library.write(b"broken")
    assert find_package("x86_64") is None


def test_accuracy_on_the_phone_sample_by_sample(
    world: World, adb: Adb, host_package: RunnerPackage, models: dict[str, Path]
) -> None:
    target = find_phone(["panther"], "Google Pixel 7", serial=world.phone().serial, adb=adb)
    pixels = np.frombuffer(noise(6), np.uint8).reshape(6, RESOLUTION_PX, RESOLUTION_PX, 3)
    answers = np.frombuffer(host_answers(models["1"], pixels.tobytes()), np.uint8).reshape(6, 5).argmax(axis=1)
    labels = answers.copy()
    labels[:2] = (labels[:2] + 1) % 5
    found = device_accuracy(target, models["1"], pixels, labels)
    assert (found.n, found.equal, found.first_different, found.agreement) == (6, 6, None, 1.0)
    assert found.top1 == found.host_top1 == pytest.approx(4 / 6)
    with pytest.raises(InputError, match="do not go together"):
        device_accuracy(target, models["1"], pixels, labels[:2])
