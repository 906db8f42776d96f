"""Names that would steer a terminal, a spreadsheet or a parser: of classes, files, tensors, phones."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text
from support import report_fixture
from support.tiny_model import tiny_tflite

from edgefit_toolkit.api.console import PlainConsole, Terminal
from edgefit_toolkit.cli import main
from edgefit_toolkit.devices import load_profile
from edgefit_toolkit.devices.schema import read_profile, write_profile
from edgefit_toolkit.report.csv_table import render_csv
from edgefit_toolkit.report.html import render_html
from edgefit_toolkit.report.markdown import render_markdown
from edgefit_toolkit.report.side_by_side import render_comparison

EDGEFIT = Path(sys.executable).with_name("edgefit")
EVIL = "[red]x[/]\x1b[31m\x1b]0;title\x07\x9b2J\u202e\u2028\r"


def test_every_way_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.stage(1, 8, EVIL)
    terminal.note(EVIL)
    terminal.warn(EVIL)
    table = Table(title=EVIL)
    table.add_column(EVIL)
    table.add_row(EVIL)
    table.add_row(Text(EVIL))
    out = PlainConsole()
    out.print(table)
    out.print(EVIL)
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        assert not any(c in text for c in "\x1b\x07\x9b\u202e\u2028\r")
        assert "[red]x" in text
        assert "\\x1b" in text


def test_no_command_prints_past_it() -> None:
    """`say` and PlainConsole are the ways to a terminal; reports and JSON are plain by themselves (below)."""
    for file in Path(main.__code__.co_filename).parent.glob("*.py"):
        text = file.read_text()
        if file.name not in ("options.py", "main.py", "report.py"):
            assert not re.findall(r'click\.echo\((?!"", err=True)|\bprint\((?<!\.print\()', text), file.name
        assert not re.search(r"(?<!Plain)Console\(", text), file.name


def run(*arguments: str | Path | bytes, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([EDGEFIT, *arguments], cwd=cwd, capture_output=True, timeout=120, check=False)


def test_the_commands_show_names_as_they_are(tmp_path: Path) -> None:
    name = "[x]\x1b[31m\u202e.tflite"
    tiny_tflite(tmp_path / name)
    outputs = [
        run("inspect", name, "--no-time", cwd=tmp_path),
        run("report", name, cwd=tmp_path),
        run("bundle", name, cwd=tmp_path),
        run("plan", "--budget-ms", "9", "--device", name, cwd=tmp_path),
        run("fit", "--budget-ms", "9", "--device", "pixel4", "--data", name, "--out", "out", cwd=tmp_path),
        run("inspect", b"\xff\x1b[31m.tflite", cwd=tmp_path),
    ]
    assert [done.returncode for done in outputs] == [0, 2, 2, 2, 2, 2]
    for done in outputs:
        text = (done.stdout + done.stderr).decode()
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "Traceback" not in text
        assert "\\x1b[31m" in text
    assert "[x]" in outputs[0].stdout.decode()


def evil_document() -> dict[str, object]:
    """Every name in a document that other people choose, made evil."""
    text = json.dumps(report_fixture.document())
    for name in (
        "tulip",
        "fixture-flowers",
        "host (Fixture CPU)",
        "a fixture's note",
        "daisy-000.jpg",
        "Fixture phone",
    ):
        assert name in text
        text = text.replace(name, json.dumps(name + EVIL)[1:-1])
    return json.loads(text)


def test_reports_are_plain_text() -> None:
    document = evil_document()
    for text in (
        render_html(document), render_markdown(document), render_csv(document), render_comparison([document, document]),
        render_comparison([document, document], html=True),
    ):  # fmt: skip
        assert not any(c in text.replace("\r\n", "\n") for c in "\x1b\x07\x9b\u202e\u2028\r")


@pytest.mark.parametrize("name", ['=HYPERLINK("http://x","y")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_spreadsheet_gets_no_formula(name: str) -> None:
    text = json.dumps(report_fixture.document()).replace('"tulip"', json.dumps(name))
    rows = list(csv.reader(io.StringIO(render_csv(json.loads(text)), newline="")))
    cells = [cell for row in rows for cell in row if name.strip("\t\r") in cell]
    assert cells
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)


@given(st.text(), st.floats(0.1, 50))
def test_a_written_profile_is_read_back(tmp_path_factory: pytest.TempPathFactory, title: str, memory_gb: float) -> None:
    path = tmp_path_factory.mktemp("profile") / "pixel4.toml"
    profile = replace(load_profile("pixel4"), title=f"a {title}", note=title, memory_gb=memory_gb)
    write_profile(profile, path)
    tomllib.loads(path.read_text(encoding="utf-8"))
    readable = f"a {title}".encode(errors="replace").decode()
    assert read_profile(path).title == readable
