"""The report of a run whose model the guard refused: where it fell and what was tried. Nothing of it can be shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from edgefit_toolkit.errors import GuardFailed, InputError, OutputError
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.report import view
from edgefit_toolkit.report.checker import check
from edgefit_toolkit.report.render import environment
from edgefit_toolkit.report.schema import EnvironmentDoc, LadderStep, TrainingDoc, WeightsDoc

SCHEMA = "edgefit.refusal/1"
FILES = ("report.json", "report.md", "report.html")


class RefusalDoc(TypedDict):
    """report.json of a run that ended at the guard."""

    schema: Literal["edgefit.refusal/1"]
    edgefit: str  # version
    created: str  # UTC, ISO 8601
    command: str  # reproduces the run
    stage: str  # where it fell: "convert" or "quantize"
    sentence: str  # what was found, with figures
    hint: str  # what to do
    network: str
    device: str
    data: str  # one line about the pictures
    ladder: list[LadderStep]  # what was tried, in order; empty when it fell before
    guard: NotRequired[dict[str, Any]]  # the floors
    training: NotRequired[TrainingDoc]
    weights: NotRequired[WeightsDoc]
    environment: NotRequired[EnvironmentDoc]


def validate_refusal(doc: Any) -> RefusalDoc:
    """The document, if it is an `edgefit.refusal/1`; raises InputError that names the first bad field."""
    check(doc, RefusalDoc, "report")
    refusal: RefusalDoc = doc
    return refusal


def render_refusal(doc: RefusalDoc | dict[str, Any], *, html: bool) -> str:
    """The page, or Markdown."""
    refusal = validate_refusal(doc)
    template = environment(html=html).get_template("refusal.html.j2" if html else "refusal.md.j2")
    text = template.render({"doc": refusal, "floors": view.floors(refusal.get("guard"))})
    return text.strip() + "\n"


def write_refusal(doc: RefusalDoc | dict[str, Any], run_dir: Path) -> None:
    """report.json, report.md and report.html, in the place of an earlier run's. OutputError where it cannot."""
    refusal = validate_refusal(doc)
    texts = (
        json.dumps(refusal, indent=1, allow_nan=False) + "\n",
        render_refusal(refusal, html=False),
        render_refusal(refusal, html=True),
    )
    try:
        for name, text in zip(FILES, texts, strict=True):
            write_atomic(run_dir / name, text)
    except OSError as error:
        raise OutputError(
            f"the report cannot be written to {run_dir}: {error.strerror}", "choose another directory with --out"
        ) from error


def read_refusal(path: Path) -> RefusalDoc | None:
    """The refusal that a run directory holds; None where its report is another one, or missing."""
    try:
        doc = json.loads((path / "report.json" if path.is_dir() else path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return validate_refusal(doc) if isinstance(doc, dict) and doc.get("schema") == SCHEMA else None


def clear_refusal(run_dir: Path) -> None:
    """Remove the refusal of an earlier attempt: the run begins anew."""
    try:
        refused = read_refusal(run_dir) is not None
    except InputError:
        refused = True  # a refusal that cannot be read is none worth keeping
    for name in FILES if refused else ():
        (run_dir / name).unlink(missing_ok=True)


def raise_if_refused(path: Path) -> None:
    """Raises GuardFailed when the run directory holds a refusal: there is no model to report on or to ship."""
    refusal = read_refusal(path)
    if refusal is not None:
        first_line = refusal["sentence"].splitlines()[0]
        raise GuardFailed(f"the guard refused this run's model ({refusal['stage']}): {first_line}", refusal["hint"])
