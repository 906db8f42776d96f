"""Checks plain JSON data against the documents' types (by msgspec), and names the field that is wrong."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from edgefit_toolkit.errors import InputError

HINT = "the fields are described in edgefit_toolkit/report/schema"
MESSAGE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<where>.*)`)?", re.DOTALL)  # how msgspec words an error
MISSING = re.compile(r"Object missing required field `(.*)`")

T = TypeVar("T")

SMALLEST, LARGEST = 1e-100, 1e100  # sizes of numbers; a product or a quotient of two is still one


def check(value: Any, expected: type[T], where: str = "") -> T:
    """The value; raises InputError naming the first field below `where` (a dotted path) that is not of that type.

    A float field takes an int; no field takes NaN or infinity, which JSON cannot say; bool is never a number.
    Unknown keys pass.
    """
    try:
        msgspec.convert(value, expected)
    except msgspec.ValidationError as error:
        found = MESSAGE.fullmatch(str(error))
        assert found is not None  # it matches any text
        what, at = found["what"], _joined(where, found["where"] or "")
        if missing := MISSING.fullmatch(what):
            raise InputError(f"report: {_joined(at, missing[1])} is missing", HINT) from error
        raise InputError(f"report: {at or 'the document'}: {what[0].lower()}{what[1:]}", HINT) from error
    _check_values(value, where)
    checked: T = value
    return checked


def json_schema(expected: Any, title: str) -> dict[str, Any]:
    """The type as a JSON Schema (draft 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title} | msgspec.json.schema(expected)


def _check_values(value: Any, where: str) -> None:
    """What no type can say: numbers that can be reckoned with, intervals with both ends."""
    if isinstance(value, (int, float)) and value and not SMALLEST <= abs(value) <= LARGEST:
        shown = "a whole number" if isinstance(value, int) else value
        raise InputError(f"report: {where} is {shown}, not a finite number up to {LARGEST:g}", HINT)
    if isinstance(value, dict):
        if ("low" in value) != ("high" in value):
            raise InputError(f"report: {where} has one end of an interval, low or high, and not the other", HINT)
        for key, item in value.items():
            _check_values(item, _joined(where, str(key)))
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            _check_values(item, f"{where}[{i}]")


def _joined(where: str, name: str) -> str:
    return where + ("." if where and name and not name.startswith("[") else "") + name
