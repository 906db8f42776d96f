"""Runs on one phone, two at once and ended in every way: each has its files, and none leaves any behind."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from phone.world import Phone, World
from support.tiny_model import tiny_tflite

from edgefit_benchmarks.native.package import RunnerPackage
from edgefit_benchmarks.targets.adb import HOME, Adb, AdbTarget

EDGEFIT = Path(sys.executable).with_name("edgefit")
Start = Callable[..., subprocess.Popen[str]]
LONG = 20_000  # samples: some tens of blocks, each a process on the phone


@pytest.fixture
def phone(world: World, adb: Adb) -> Phone:
    return world.phone()


@pytest.fixture
def bench(
    world: World, phone: Phone, host_package: RunnerPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Start]:
    """Start `edgefit bench` of a model with as many samples as given, on the phone."""
    model = tiny_tflite(tmp_path / "tiny.tflite", resolution_px=64)
    monkeypatch.setenv("PATH", f"{world.adb.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("EDGEFIT_RUNNERS", str(host_package.folder.parent))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # the locks of runs, of this process too
    started: list[subprocess.Popen[str]] = []

    def start(samples: int, path: Path = model) -> subprocess.Popen[str]:
        command = [EDGEFIT, "bench", path, "--device", "pixel7", "--serial", phone.serial, "--threads", "1"]
        command += ["--min-samples", str(samples), "--json"]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def files(phone: Phone) -> list[str]:
    home = phone.files / HOME[1:]
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def wait_for(what: Callable[[], object], limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def is_timing(phone: Phone) -> Callable[[], bool]:
    """The model has arrived, which is pushed last."""
    return lambda: any(name.endswith("tiny.tflite") for name in files(phone))


def test_two_at_once_both_end_well(phone: Phone, bench: Start) -> None:
    long = bench(LONG)
    wait_for(is_timing(phone))
    short = bench(50)
    _, complaint = short.communicate(timeout=120)
    assert short.returncode == 0, complaint
    if long.poll() is not None or not files(phone):
        _, complaint = long.communicate(timeout=300)
        assert long.returncode == 0, f"the second run's clean-up removed the first's files: {complaint}"
        pytest.skip("the first run was over before the second: this machine is too busy to try it")
    _, complaint = long.communicate(timeout=300)
    assert long.returncode == 0, complaint
    assert files(phone) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_interrupted_leaves_nothing(
    phone: Phone, bench: Start, number: signal.Signals, code: int
) -> None:
    run = bench(LONG)
    wait_for(is_timing(phone))
    run.send_signal(number)
    began = time.monotonic()
    run.communicate(timeout=60)
    assert run.returncode == code
    assert time.monotonic() - began < 10
    assert files(phone) == []


def test_a_run_that_fails_leaves_nothing(phone: Phone, bench: Start, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    run = bench(50, broken)
    _, complaint = run.communicate(timeout=60)
    assert run.returncode == 2
    assert "cannot run broken.tflite" in complaint
    assert files(phone) == []


def test_what_a_killed_run_left_the_next_one_removes_and_no_one_elses(
    phone: Phone,
    adb: Adb,
    bench: Start,
) -> None:
    killed = bench(LONG)
    wait_for(is_timing(phone))
    killed.kill()
    killed.wait()
    assert files(phone)
    home = phone.files / HOME[1:]
    foreign = {name: home / f"run-{secrets.token_hex(8)}" for name in ("today's", "yesterday's")}
    for folder in foreign.values():
        folder.mkdir()
        (folder / "model.tflite").write_bytes(b"of another computer")
    two_days_ago = time.time() - 2 * 86_400
    os.utime(foreign["yesterday's"], (two_days_ago, two_days_ago))
    alive = AdbTarget(phone.serial, adb)  # of this very computer, and as old
    alive.push(Path(__file__))
    os.utime(home / alive.root.rpartition("/")[2], (two_days_ago, two_days_ago))
    mine = files(phone)
    run = bench(50)
    _, complaint = run.communicate(timeout=120)
    assert run.returncode == 0, complaint
    left = {name.partition("/")[0] for name in files(phone)}
    assert left == {foreign["today's"].name, alive.root.rpartition("/")[2]}, mine
    alive.cleanup()
    assert {name.partition("/")[0] for name in files(phone)} == {foreign["today's"].name}
