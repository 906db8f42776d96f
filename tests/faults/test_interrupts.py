"""Ctrl-C and SIGTERM while native code swallows them, blocks, or waits for others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.interrupting import ALLOWANCE, interruptible

BEGIN = "import ctypes, subprocess, sys, tempfile, threading, time\nfrom edgefit_toolkit import interrupts\n"
BEGIN += "interrupts.watch()\n"
BUSY = {
    "Python": "while True: pass",
    "native code without the interpreter's lock": "ctypes.CDLL(None).sleep(60)",
    "a callback of native code, which drops exceptions": (
        "compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)\n"
        "def slow(a, b):\n    for _ in range(100_000): pass\n    return 0\n"
        "slow = compare(slow)\n"
        "while True: ctypes.CDLL(None).qsort(bytes(1000), 1000, 1, slow)"
    ),
    "callbacks that follow at once": (
        "compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)\n"
        "def slow(a, b):\n    for _ in range(1000): pass\n    return 0\n"
        "slow = compare(slow)\n"
        "while True: ctypes.CDLL(None).qsort(bytes(1000), 1000, 1, slow)"
    ),
    "code that catches everything": (
        "while True:\n    try: time.sleep(60)\n    except BaseException: pass"
    ),
    "a wait for a thread": "t = threading.Thread(target=time.sleep, args=(60,)); t.start(); t.join()",
    "a wait for a child": "subprocess.run(['sleep', '60'])",
    "native() work": "\nwith interrupts.native():\n    while True:\n        time.sleep(0.01)",
    "finally that takes too long": "\ntry: time.sleep(60)\nfinally: time.sleep(60)",
}  # fmt: skip
PROGRAM = """
folder = tempfile.TemporaryDirectory()
child = subprocess.Popen(["sleep", "60"])
def work():
    BUSY
try:
    print(folder.name, child.pid, flush=True)
    work()
except BaseException:
    interrupts.end()
"""


@pytest.mark.fault("an interrupt that native code swallows or holds up")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("busy", BUSY)
def test_it_ends_in_time_with_its_children_and_temporary_folders(busy: str, number: signal.Signals) -> None:
    code = BEGIN + PROGRAM.replace("BUSY", BUSY[busy].replace("\n", "\n    "))
    with interruptible([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        folder, child = process.stdout.readline().split()
        time.sleep(0.3)
        process.send_signal(number)
        began_s = time.monotonic()
        assert process.wait(60) == 128 + number
        assert time.monotonic() - began_s < 3 * ALLOWANCE()
    assert not Path(folder).exists()
    assert not psutil.pid_exists(int(child)) or psutil.Process(int(child)).status() == psutil.STATUS_ZOMBIE


@pytest.mark.fault("an interrupt that native code swallows or holds up")
def test_a_second_one_does_not_wait() -> None:
    code = BEGIN + "try: print(flush=True); time.sleep(60)\nfinally: print(flush=True); time.sleep(60)"
    with interruptible([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        began_s = time.monotonic()
        assert process.wait(60) == 130
        assert time.monotonic() - began_s < 1 * ALLOWANCE()


@pytest.mark.fault("an interrupt that is an order")
def test_one_that_was_handled_ends_nothing() -> None:
    code = BEGIN + "try: print(flush=True); time.sleep(60)\nexcept KeyboardInterrupt: interrupts.handled()\n"
    code += "time.sleep(2.5); sys.exit(5)"
    with interruptible([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 5


@pytest.mark.fault("an interrupt that is too late")
def test_one_that_comes_when_all_is_done_changes_no_exit_code() -> None:
    code = BEGIN + "import atexit; interrupts.over(); atexit.register(lambda: (print(flush=True), time.sleep(1)))"
    code += "; sys.exit(5)"
    with interruptible([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 5


@pytest.mark.fault("an error that nobody expected")
@pytest.mark.parametrize("writable", [True, False])
def test_an_unexpected_error_has_a_code_of_its_own_and_keeps_its_traceback(tmp_path: Path, writable: bool) -> None:
    code = "import sys; sys.argv = ['edgefit', 'doctor']\nfrom edgefit_toolkit.cli import doctor\n"
    code += "from edgefit_toolkit.cli.main import main\n"
    code += "def fails(): raise KeyError('\\x1b[31mfoo')\ndoctor.command.callback = lambda **_: fails()\n"
    code += "main()"
    logs = tmp_path / "state"
    if not writable:
        logs.write_text("a file")
    environment = os.environ | {"XDG_STATE_HOME": str(logs), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 70, done.stderr
    assert "a fault of edgefit's own: KeyError" in done.stderr
    assert "Traceback" not in done.stderr
    assert "\x1b[31mfoo" not in done.stderr
    [kept] = list(tmp_path.rglob("*.txt"))
    assert str(kept) in done.stderr
    assert "in fails" in kept.read_text()
    assert kept.is_relative_to(logs) == writable
