"""What a bundle takes from a finished run, checked before anything is written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefit_toolkit.app.shipped_model import Ends, read_ends
from edgefit_toolkit.data import class_names
from edgefit_toolkit.data.answers.answering import Answering, read_answer_doc
from edgefit_toolkit.data.answers.taxonomy import CLASS, Taxonomy
from edgefit_toolkit.errors import GuardFailed, InputError
from edgefit_toolkit.files import inside, read_verified
from edgefit_toolkit.records import Preprocessing
from edgefit_toolkit.report.documents import read_report
from edgefit_toolkit.report.schema import ReportDoc

DEFAULT_THRESHOLD = 0.5  # confidences are calibrated (temperature fitted on val): below, the answer is likelier wrong


@dataclass(frozen=True)
class Label:
    """One class: as the training folder was named, and as people call it."""

    label: str
    common: str = ""
    scientific: str = ""

    @property
    def line(self) -> str:
        """Its line in labels.txt: empty columns at the end are left out."""
        return "\t".join((self.label, self.common, self.scientific)).rstrip("\t")


@dataclass(frozen=True)
class Source:
    """A run that may be shipped."""

    report: ReportDoc
    model: bytes
    ends: Ends
    labels: tuple[Label, ...]
    preprocessing: Preprocessing
    threshold: float  # of one class: below this confidence the app is not sure of it
    answering: Answering


def read_source(run_dir: Path) -> Source:
    """Raises InputError for an unfinished or damaged run, GuardFailed for one whose int8 model did not pass."""
    if not run_dir.is_dir():
        raise InputError(f"there is no run directory {run_dir}", "name the --out of a run")
    if not (run_dir / "report.json").is_file():
        raise InputError(
            f"{run_dir} has no report.json: the run is not finished, or its int8 model failed the guard",
            "run the same `edgefit fit` command again; it goes on where it stopped",
        )
    report = read_report(run_dir)
    check_guard(report)
    facts = report["models"]["int8"]
    model = read_verified(run_dir, facts["path"], facts["sha256"])
    ends = read_ends(model)
    labels = parse_labels(_labels_text(run_dir), report["data"]["classes"])
    if ends.classes != len(labels):
        raise InputError(f"the model tells {ends.classes} classes apart, labels.txt names {len(labels)}")
    preprocessing = _preprocessing(run_dir, ends)
    reliability = report.get("reliability")
    threshold = reliability.get("threshold", DEFAULT_THRESHOLD) if reliability else DEFAULT_THRESHOLD
    classes = report["data"]["classes"]
    answering = Answering(Taxonomy.of_classes(classes), {CLASS: threshold})  # as runs without answer.json have it
    if "taxonomy" in report or "other" in report:
        answering = read_answer_doc(_answer_json(run_dir), classes)
    return Source(report, model, ends, labels, preprocessing, threshold, answering)


def check_guard(report: ReportDoc) -> None:
    """Raises GuardFailed when the recipe that was kept did not pass its floors on the held-out pictures."""
    quantization = report.get("quantization")
    if quantization is None:
        return
    steps = {step["name"]: step["passed"] for step in quantization.get("ladder", [])}
    if steps and not steps.get(quantization["recipe"], any(steps.values())):
        raise GuardFailed(
            f"the int8 model of this run failed its guard (recipe {quantization['recipe']}): it is not bundled",
            "more calibration photographs, another recipe, or a larger budget may help",
        )


def parse_labels(text: str, classes: list[str]) -> tuple[Label, ...]:
    """labels.txt: one class a line in the model's order, `label [TAB common name [TAB scientific name]]`.

    Raises InputError unless the first column is the run's classes.
    """
    labels = []
    for number, line in enumerate(text.splitlines(), 1):
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) > 3 or not columns[0]:
            raise InputError(
                f"labels.txt, line {number}: expected a label, then at most a common and a scientific name, by tabs"
            )
        labels.append(Label(*columns))
    fault = class_names.fault_among([label.label for label in labels])
    if fault is not None:
        raise InputError(f"labels.txt: {fault}", class_names.RULE)
    if [label.label for label in labels] != list(classes):
        raise InputError(
            f"labels.txt names {len(labels)} classes that are not the report's {len(classes)} in their order",
            "names may be added in the second and third column; the first is the model's own",
        )
    return tuple(labels)


def _preprocessing(run_dir: Path, ends: Ends) -> Preprocessing:
    path = run_dir / "preprocessing.json"
    try:
        doc: Any = json.loads(_read(path))
        fields = {name: doc[name] for name in ("resolution_px", "crop_padding_px", "interpolation", "mean", "std")}
        preprocessing = Preprocessing(**fields)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path.name} is not the run's preprocessing: {error}", "run `edgefit fit` again") from error
    if preprocessing.resolution_px != ends.resolution_px:
        raise InputError(f"{path.name} says {preprocessing.resolution_px} px, the model takes {ends.resolution_px} px")
    expected = (1 / preprocessing.std, preprocessing.mean)
    if abs(ends.input_scale - expected[0]) > 1e-9 or ends.input_zero_point != expected[1]:
        raise InputError(
            f"the model's input has scale {ends.input_scale:g} and zero point {ends.input_zero_point}; raw pixels need "
            f"{expected[0]:g} and {expected[1]:g}"
        )
    return preprocessing


def _answer_json(run_dir: Path) -> Any:
    path = run_dir / "answer.json"
    try:
        return json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: {error}", "run `edgefit fit` again") from error


def _labels_text(run_dir: Path) -> str:
    try:
        return _read(run_dir / "labels.txt").decode()
    except UnicodeDecodeError as error:
        raise InputError(f"labels.txt is not UTF-8: {error}", "save it as UTF-8") from error


def _read(path: Path) -> bytes:
    try:
        return inside(path.parent, path.name).read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}", "run the same `edgefit fit` command again"
        ) from error
