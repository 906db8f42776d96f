"""`edgefit bench --all`: two phones and a board side by side, real daemons each; one is unplugged in the middle."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.tiny_model import tiny_tflite

from edgefit_benchmarks.targets.adb import Adb
from phone.world import Board, Phone, World

EDGEFIT = Path(sys.executable).with_name("edgefit")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_tflite(tmp_path / "tiny.tflite", resolution_px=64)


def bench_all(world: World, model: Path, *flags: str, board: Board | None = None) -> subprocess.CompletedProcess[str]:
    """With the adb and the ssh of the world."""
    if board is not None:
        world.script("ssh", [shutil.which("ssh") or "ssh", "-F", str(board.config)])
    environment = os.environ | {"PATH": f"{world.folder}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "250"}
    command = [EDGEFIT, "bench", model, "--all", "--threads", "1", *flags]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)


def unplug_when_files_arrive(phone: Phone) -> threading.Thread:
    def watch() -> None:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            if any(path.is_file() for path in (phone.files / "data/local/tmp").rglob("*")):
                phone.kill()
                return
            time.sleep(0.01)

    watching = threading.Thread(target=watch)
    watching.start()
    return watching


@pytest.mark.usefixtures("adb", "needs_sshd", "host_package")
def test_one_is_unplugged_in_the_middle(world: World, model: Path) -> None:
    stays, goes = world.phone(port=15601), world.phone(port=15602, codename="flame", model="Pixel 4")
    board = world.board()
    unplugging = unplug_when_files_arrive(goes)
    done = bench_all(world, model, "--host", Board.host, "--host", "board@127.0.0.9", "--json", board=board)
    unplugging.join()
    assert done.returncode == 3, done.stderr
    doc = json.loads(done.stdout)
    assert doc["schema"] == "edgefit.bench-all/1"
    rows = {row["name"]: row for row in doc["rows"]}
    assert [(row["kind"], row["name"]) for row in doc["rows"]][-2:] == [("ssh", Board.host), ("ssh", "board@127.0.0.9")]
    for name in (stays.serial, Board.host):
        assert rows[name].get("origin") == "measured on device", rows[name]
        assert rows[name]["p50_ms"] > 0
        assert len(rows[name]["samples_ms"]) >= 50
    assert rows[stays.serial]["target"] == f"Pixel 7 (serial {stays.serial})"
    lost = rows[goes.serial]
    assert "p50_ms" not in lost
    assert goes.serial in lost["reason"]
    assert any(word in lost["reason"] for word in ("offline", "not attached", "went away", "broke"))
    assert lost["next"]
    assert "does not answer ssh" in rows["board@127.0.0.9"]["reason"]
    assert not any(path.is_file() for path in (stays.files / "data/local/tmp").rglob("*"))


@pytest.mark.usefixtures("host_package")
def test_the_table(world: World, adb: Adb, model: Path) -> None:
    phones = [world.phone(port=15601), world.phone(port=15602, codename="flame", model="Pixel 4")]
    phones[1].set_properties(ro_kernel_qemu="1")
    done = bench_all(world, model)
    assert done.returncode == 3
    lines = {line.partition(" (")[0]: line for line in done.stdout.splitlines()}
    assert "1 threads" in lines["Pixel 7"]
    assert "not timed" in lines["Pixel 4"]
    assert "is emulated" in lines["Pixel 4"]
    phones[1].kill()


def test_flags_that_do_not_go_together(world: World, adb: Adb, model: Path) -> None:
    nobody = bench_all(world, model)
    assert nobody.returncode == 3
    assert "no phone is attached and no board is named" in nobody.stderr
    assert "every device by its own profile" in bench_all(world, model, "--device", "pixel7").stderr
    assert "there is no model" in bench_all(world, model.with_name("absent.tflite")).stderr
    twice = subprocess.run(
        [EDGEFIT, "bench", model, "--host", "a@b", "--host", "c@d"], capture_output=True, text=True, timeout=60
    )
    assert twice.returncode == 2
    assert "--host names 2 targets" in twice.stderr
