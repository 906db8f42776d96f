"""The report document's contract: what is required, and that a wrong field is named."""

from __future__ import annotations

import copy
import json
import re
from typing import Any, NotRequired, get_origin, get_type_hints

import jsonschema
import pytest
from support import report_fixture

from edgefit_toolkit.errors import InputError
from edgefit_toolkit.report import schema
from edgefit_toolkit.report.schema import validate


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return report_fixture.document()


def required_paths(kind: Any, prefix: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every field of a TypedDict that may not be missing, as a path into the fixture document."""
    found: list[tuple[str | int, ...]] = []
    for name, inner in get_type_hints(kind, include_extras=True).items():
        if get_origin(inner) is NotRequired:
            continue
        found.append((*prefix, name))
        nested = next((t for t in (inner, *getattr(inner, "__args__", ())) if hasattr(t, "__required_keys__")), None)
        if nested is not None:
            found += required_paths(nested, (*prefix, name, 0) if get_origin(inner) is list else (*prefix, name))
    return found


PATHS = required_paths(schema.ReportDoc)


def test_a_whole_document_is_valid(document: dict[str, Any]) -> None:
    assert validate(json.loads(json.dumps(document))) == json.loads(json.dumps(document))


def test_the_contract_with_the_other_rooms_is_required() -> None:
    dotted = {".".join(str(p) for p in path if not isinstance(p, int)) for path in PATHS}
    for key in ("path", "sha256", "size_bytes", "io_dtype", "ops", "partitions"):
        assert {f"models.int8.{key}", f"models.float.{key}"} <= dotted
    for key in ("phi", "family", "width", "depth", "resolution_px", "madds", "params"):
        assert {f"plan.pick.{key}", f"plan.next.{key}"} <= dotted
    for key in ("p50", "p90", "low", "high", "origin", "basis"):
        assert f"plan.pick.latency_ms.{key}" in dotted
    for key in ("model", "target", "delegate", "threads", "origin", "p50_ms", "p90_ms", "p99_ms", "samples_ms"):
        assert f"measurements.{key}" in dotted
    assert {"agreement.top1", "agreement.sqnr_db", "agreement.n"} <= dotted
    assert {"reference.hardware", "reference.dtype", "reference.p50_ms", "reference.top1"} <= dotted


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)))
def test_a_missing_field_is_named(document: dict[str, Any], path: tuple[str | int, ...]) -> None:
    broken = copy.deepcopy(document)
    at: Any = broken
    for step in path[:-1]:
        at = at[step]
    del at[path[-1]]
    name = re.sub(r"\.(\d+)", r"[\1]", ".".join(map(str, path)))
    with pytest.raises(InputError, match=re.escape(f"report: {name} is missing")):
        validate(broken)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("schema",), "edgefit.report/2", "schema: invalid enum value 'edgefit.report/2'"),
        (("verdict", "origin"), "guessed", "verdict.origin: invalid enum value 'guessed'"),
        (("verdict", "fits"), False, "verdict.fits is False"),
        (("verdict", "margin"), 0.5, "verdict.margin is 0.5"),
        (("agreement", "sqnr_db"), float("nan"), "agreement.sqnr_db is nan, not a finite number"),
        (("agreement", "sqnr_db"), 1e200, "agreement.sqnr_db is 1e.200, not a finite number"),
        (("accuracy", "int8_tflite", "top1"), 1.5, "accuracy.int8_tflite.top1: expected `float` <= 1.0"),
        (("accuracy", "int8_tflite"), {"top1": 0.5, "n": 3, "low": 0.1}, "int8_tflite has one end of an interval"),
        (("agreement", "n"), True, "agreement.n: expected `int`, got `bool`"),
        (("measurements", 0, "origin"), "predicted", r"measurements\[0\].origin: invalid enum value 'predicted'"),
        (("measurements", 1, "samples_ms"), [], r"measurements\[1\].samples_ms is empty"),
        (("predictions", 0, "picture"), "https://example.org/a.jpg", r"predictions\[0\].picture is not"),
        (("predictions", 0, "top3"), [["daisy"]], r"predictions\[0\].top3\[0\]: expected `array` of length 2, got 1"),
        (("confusion", "matrix"), [[1]], "confusion.matrix is not 5 x 5"),
        (("plan", "pick"), 3, "plan.pick: expected `object . null`, got `int`"),
    ],
)
def test_a_wrong_field_is_named(document: dict[str, Any], path: tuple[str | int, ...], value: Any, words: str) -> None:
    broken = copy.deepcopy(document)
    at: Any = broken
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    with pytest.raises(InputError, match=words):
        validate(broken)


@pytest.mark.parametrize("name", ["report", "plan", "refusal", "compare", "sweep"])
def test_the_published_schema_is_that_of_the_types(name: str) -> None:
    committed = (schema.FOLDER / f"{name}.schema.json").read_text()
    assert committed == schema.published()[f"{name}.schema.json"], "run python -m edgefit_toolkit.report.schema"


def test_another_validator_agrees_with_the_published_schema(document: dict[str, Any]) -> None:
    checker = jsonschema.Draft202012Validator(json.loads((schema.FOLDER / "report.schema.json").read_text()))
    plain = json.loads(json.dumps(document)) | {"a field of a later version": 1}
    assert list(checker.iter_errors(plain)) == []
    for path in PATHS:
        broken = copy.deepcopy(plain)
        at: Any = broken
        for step in path[:-1]:
            at = at[step]
        del at[path[-1]]
        assert not checker.is_valid(broken)
