"""report.json, report.md and report.html in a run directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgefit_toolkit.errors import InputError, OutputError
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.report.html import render_html
from edgefit_toolkit.report.markdown import render_markdown
from edgefit_toolkit.report.refusal import raise_if_refused
from edgefit_toolkit.report.schema import ReportDoc, validate

FILES = ("report.json", "report.md", "report.html")


def write_report(doc: ReportDoc | dict[str, Any], run_dir: Path) -> dict[str, Path]:
    """Writes the three files, all rendered before the first is written, each atomically; returns name -> path.

    Raises InputError for a document that is not valid, OutputError where it cannot be written.
    """
    report = validate(doc)
    texts = (json.dumps(report, indent=1, allow_nan=False) + "\n", render_markdown(report), render_html(report))
    paths = {name: run_dir / name for name in FILES}
    try:
        for path, text in zip(paths.values(), texts, strict=True):
            write_atomic(path, text)
    except OSError as error:
        problem = f"the report cannot be written to {run_dir}: {error.strerror}"
        raise OutputError(problem, "choose another directory with --out") from error
    return paths


def read_report(path: Path) -> ReportDoc:
    """The document of a run directory, or of a report.json file.

    Raises InputError that says what is wrong, GuardFailed where the report is a refusal.
    """
    file = path / "report.json" if path.is_dir() else path
    try:
        doc = json.loads(file.read_text())
    except FileNotFoundError as error:
        raise InputError(f"{file} does not exist", "finish the run: edgefit fit, with the same flags") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{file} is not a report: {error}", "make the run again: edgefit fit") from error
    raise_if_refused(file)
    return validate(doc)
