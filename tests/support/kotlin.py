"""Kotlin of the Android app that needs no Android, compiled and run on a JVM."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest


def compile_kotlin(sources: Sequence[Path], main: str, folder: Path) -> list[str]:
    """The command that runs `main`, a file with fun main(); skips the test where there is no compiler."""
    compiler, java = shutil.which("kotlinc"), shutil.which("java")
    if compiler is None or java is None:
        pytest.skip("no Kotlin compiler: the app's Kotlin cannot run here (Debian's package: kotlin)")
    file, jar = folder / "Main.kt", folder / "main.jar"
    file.write_text(main)
    command = [compiler, *map(str, sources), str(file), "-include-runtime", "-d", str(jar)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert jar.is_file(), done.stderr
    return [java, "-cp", str(jar), "org.edgefit.nameit.MainKt"]


def run_kotlin(sources: Sequence[Path], main: str, sent: bytes, folder: Path) -> bytes:
    """What the compiled program prints."""
    command = compile_kotlin(sources, main, folder)
    return subprocess.run(command, input=sent, capture_output=True, timeout=120, check=True).stdout
