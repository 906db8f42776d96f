"""Modules in the current folder are never imported: not by edgefit, not by a Python that it starts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.tiny_model import tiny_tflite

EDGEFIT = Path(sys.executable).with_name("edgefit")
ROOMS = Path(__file__).resolve().parents[2]
PACKAGES = ("toolkit/edgefit_toolkit", "converters/edgefit_converters", "benchmarks/edgefit_benchmarks")
TRAPS = (
    "argparse",
    "random",
    "json",
    "numpy",
    "PIL",
    "ctypes",
    "gc",
    "ai_edge_litert",
    "sitecustomize",
    "usercustomize",
)


@pytest.fixture
def trapped(tmp_path: Path) -> Path:
    """A folder full of modules of well-known names; each that is imported leaves a file IMPORTED.<name>."""
    for name in TRAPS:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path)!r} + '/IMPORTED.{name}', 'w')\nraise ImportError\n")
    tiny_tflite(tmp_path / "model.tflite", resolution_px=64)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ("bench", "model.tflite", "--threads", "1", "--min-samples", "10", "--json"),
        ("inspect", "model.tflite", "--threads", "1", "--json"),
    ],
)
def test_a_model_among_traps(trapped: Path, command: tuple[str, ...]) -> None:
    done = subprocess.run([EDGEFIT, *command], cwd=trapped, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in trapped.glob("IMPORTED.*")) == []


def test_the_traps_catch_a_python_that_is_not_isolated(trapped: Path) -> None:
    command = [sys.executable, "-m", "edgefit_benchmarks.sessions.worker", "model.tflite", "--threads", "1"]
    subprocess.run(command, cwd=trapped, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    assert list(trapped.glob("IMPORTED.*"))


def test_the_demo_is_drawn_among_traps(trapped: Path) -> None:
    """Drawn by processes of their own, into a fresh cache."""
    code = "import sys; sys.path.pop(0); from edgefit_toolkit.data.demo import drawn_set; drawn_set._draw_apart("
    code += f"__import__('pathlib').Path({str(trapped / 'drawn')!r}), [('daisy', 0)], print)"
    (trapped / "drawn").mkdir()
    subprocess.run([sys.executable, "-c", code], cwd=trapped, env=os.environ, capture_output=True, timeout=120)
    assert list(trapped.glob("IMPORTED.*")) == []


def test_every_python_is_started_by_the_one_function_that_isolates_it() -> None:
    sources = {path: path.read_text() for package in PACKAGES for path in (ROOMS / package).rglob("*.py")}
    own = {str(path.relative_to(ROOMS)) for path, text in sources.items() if "sys.executable" in text}
    assert own == {
        "toolkit/edgefit_toolkit/host.py",
        "converters/edgefit_converters/routes/environments.py",  # only to name it, and to make an environment with -I
    }
    starts = re.compile(r"\[[^\[\]]*\bpython\w*(?:\(\w*\))?,(?! *\"-I\")[^\[\]]*\]")
    assert [str(path) for path, text in sources.items() if starts.search(text)] == []
