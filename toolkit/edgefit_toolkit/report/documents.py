"""report.json, report.md and report.html of a run directory: the report, or after the guard's no the refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgefit_toolkit.errors import GuardFailed, InputError, OutputError
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.report.html import refusal_html, render_html
from edgefit_toolkit.report.markdown import refusal_markdown, render_markdown
from edgefit_toolkit.report.schema import REFUSAL_SCHEMA, ReportDoc, validate
from edgefit_toolkit.report.schema.refusal import RefusalDoc
from edgefit_toolkit.report.schema.validation import check

FILES = ("report.json", "report.md", "report.html")


def write_report(doc: ReportDoc | dict[str, Any], run_dir: Path) -> dict[str, Path]:
    """Writes the three files, all rendered before the first is written, each atomically; returns name -> path.

    Raises InputError for a document that is not valid, OutputError where it cannot be written.
    """
    report = validate(doc)
    return _write(run_dir, _json(report), render_markdown(report), render_html(report))


def write_refusal(doc: RefusalDoc | dict[str, Any], run_dir: Path) -> dict[str, Path]:
    """As `write_report`, in the place of an earlier run's report."""
    refusal = check(doc, RefusalDoc)
    return _write(run_dir, _json(refusal), refusal_markdown(refusal), refusal_html(refusal))


def read_report(path: Path) -> ReportDoc:
    """The document of a run directory, or of a report.json file.

    Raises InputError that says what is wrong, GuardFailed where the report is a refusal: there is no model to report
    on or to ship.
    """
    doc = _read(path)
    if _is_refusal(doc):
        refusal = check(doc, RefusalDoc)
        first_line = refusal["sentence"].partition("\n")[0]
        raise GuardFailed(f"the guard refused this run's model ({refusal['stage']}): {first_line}", refusal["hint"])
    return validate(doc)


def read_refusal(path: Path) -> RefusalDoc | None:
    """The refusal that a run directory holds; None where its report is another one, or missing."""
    try:
        doc = _read(path)
    except InputError:
        return None
    return check(doc, RefusalDoc) if _is_refusal(doc) else None


def clear_refusal(run_dir: Path) -> None:
    """Remove the refusal of an earlier attempt: the run begins anew."""
    try:
        refused = read_refusal(run_dir) is not None
    except InputError:
        refused = True  # a refusal that cannot be read is none worth keeping
    for name in FILES if refused else ():
        (run_dir / name).unlink(missing_ok=True)


def _read(path: Path) -> Any:
    file = path / FILES[0] if path.is_dir() else path
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{file} does not exist", "finish the run: edgefit fit, with the same flags") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file} is not a report: {error}", "make the run again: edgefit fit") from error


def _is_refusal(doc: Any) -> bool:
    return isinstance(doc, dict) and doc.get("schema") == REFUSAL_SCHEMA


def _json(doc: Any) -> str:
    return json.dumps(doc, indent=1, allow_nan=False) + "\n"


def _write(run_dir: Path, *texts: str) -> dict[str, Path]:
    paths = {name: run_dir / name for name in FILES}
    try:
        for path, text in zip(paths.values(), texts, strict=True):
            write_atomic(path, text)
    except OSError as error:
        problem = f"the report cannot be written to {run_dir}: {error.strerror}"
        raise OutputError(problem, "choose another directory with --out") from error
    return paths
