"""What a phone says about itself is shown, and never obeyed by a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from phone.world import World

from edgefit_benchmarks.targets.adb import Adb, AdbTarget
from edgefit_benchmarks.targets.android import parse_devices

EDGEFIT = Path(sys.executable).with_name("edgefit")
ODD = "Pixel\x1b[2J\u202e[blink]7[/blink]\x07"
SHOWN = r"Pixel\x1b[2J\u202e[blink]7[/blink]\x07"


def test_its_model_and_its_complaints(world: World, adb: Adb) -> None:
    target = AdbTarget(world.phone(model=ODD).serial, adb)
    assert target.facts().name == SHOWN
    assert target.facts().label.startswith(SHOWN)
    ran = target.run(["sh", "-c", "printf 'no\\033[31m such' >&2; exit 1"])
    assert ran.complaint == r"no\x1b[31m such"


def test_the_commands_that_list_it(world: World, adb: Adb) -> None:
    world.phone(model=ODD)
    environment = os.environ | {"PATH": f"{world.adb.parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "300"}
    for command in ("devices", "doctor"):
        done = subprocess.run([EDGEFIT, command], capture_output=True, text=True, env=environment, timeout=120)
        assert SHOWN in done.stdout, done.stdout + done.stderr
        assert "\x1b[2J" not in done.stdout


def test_the_list_of_adb() -> None:
    (found,) = parse_devices("1A2B device model:Pix\x1b[2Jel transport_id:1\n")
    assert found.model == r"Pix\x1b[2Jel"
