"""edgefit from Python: one import, the documented session, a notebook, progress, and errors of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image
from support.small_run import make_run

import edgefit_toolkit as edgefit
from edgefit_toolkit.api.console import Terminal, listener
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.progress import Silent

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def blocks() -> list[str]:
    """The Python of the page, in order."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def plants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's folder: a finished run, a photograph. `fit` is not run again: its stages have tests of their own."""
    (tmp_path / "runs").mkdir()
    make_run(tmp_path / "runs" / "plants")
    Image.new("RGB", (80, 60), (200, 40, 60)).save(tmp_path / "rose.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def finished(path: Path) -> Any:
    """`fit` of a run that is there already."""
    return edgefit.Run(path, json.loads((path / "report.json").read_text()))


def test_the_documented_session_runs(
    plants: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edgefit_toolkit.api.fit.fit", lambda **_: finished(plants / "runs" / "plants"))
    names: dict[str, Any] = {}
    for block in blocks():
        exec(compile(block, str(PAGE), "exec"), names)
    said = capsys.readouterr().out
    assert names["net"].variant.phi == 1.0
    assert names["plan"].pick.latency.p90 <= 30 < names["plan"].next.latency.p90
    assert names["measured"].origin == "measured on host"
    assert "no device profile is called 'pixle7'" in said
    assert f"{names['answer'].name} {names['answer'].probability}" in said


def test_the_session_in_a_notebook(plants: Path) -> None:
    shown = 'import edgefit_toolkit as edgefit\nedgefit.plan(budget_ms=30, device="pixel7", measure=False)'
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(shown)])
    NotebookClient(book, timeout=120, resources={"metadata": {"path": str(plants)}}).execute()
    (output,) = [o for o in book.cells[0].outputs if o.output_type == "execute_result"]
    assert "<iframe srcdoc=" in output.data["text/html"]
    assert "&lt;svg" in output.data["text/html"]
    assert "next, does not fit" in output.data["text/plain"]


def test_importing_is_light() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import edgefit_toolkit; spent = time.perf_counter() - start; "
        "print(spent, any(name in sys.modules for name in ('torch', 'numpy', 'PIL', 'rich', 'click')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, heavy = done.stdout.split()
    assert heavy == "False"
    assert float(seconds) < 0.3


def test_what_it_offers_is_there() -> None:
    for name in edgefit.__all__:
        assert getattr(edgefit, name) is not None
    assert dir(edgefit) == edgefit.__all__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        edgefit.nothing  # noqa: B018


def test_a_wrong_choice_names_the_near_ones() -> None:
    with pytest.raises(InputError, match="no choice 'epoch'; near: epochs"):
        edgefit.fit(30, "pixel7", epoch=3)


def test_a_callback_hears_stages_and_steps() -> None:
    heard: list[tuple[str, int, int]] = []
    with listener(lambda label, done, total, detail="": heard.append((label, done, total))) as ui:
        ui.stage(2, 8, "data")
        ui.progress("reading", 3, 10)
        ui.note("a note")
        with pytest.warns(UserWarning, match="look out"):
            ui.warn("look out")
    assert heard == [("data", 2, 8), ("reading", 3, 10)]
    own = Silent()
    with listener(own) as ui:
        assert ui is own


def test_silence_does_not_last(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal(every_s=0.2) as ui:
        ui.stage(3, 8, "fine-tune")
        time.sleep(0.5)
        ui.progress("features", 0, 100)
        ui.progress("features", 40, 100)
        time.sleep(0.5)
        ui.progress("features", 100, 100)
        time.sleep(0.5)
    lines = capsys.readouterr().err.splitlines()
    assert any(re.search(r"\.\.\. fine-tune: \d+ s so far", line) for line in lines)
    assert any(re.search(r"\.\.\. features: 40 of 100, \d+(\.\d+)?/s, \d+ s left", line) for line in lines)
    assert "fine-tune" in lines[-1], "a count that is full is over: what goes on is the stage"
    told = len(lines)
    time.sleep(0.5)
    assert capsys.readouterr().err == "" or told == 0


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal(verbosity=0, every_s=0.1) as ui:
        ui.stage(1, 8, "pick")
        ui.progress("features", 1, 100)
        time.sleep(0.3)
    assert capsys.readouterr().err == ""
