"""Checks plain JSON data against TypedDicts, and names the field that is wrong."""

from __future__ import annotations

import math
import types
import typing
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints

from edgefit_toolkit.errors import InputError

HINT = "the fields are documented in edgefit_toolkit/report/schema"


def check(value: Any, expected: Any, where: str) -> None:
    """Raises InputError naming `where` (a dotted path) unless `value` is of the type `expected`.

    Knows TypedDicts, list, dict, tuple, Literal, unions and scalars. A float field takes an int; no field takes NaN
    or infinity, which JSON cannot say; bool is never a number. Unknown keys pass.
    """
    kind = get_origin(expected)
    if kind is NotRequired:
        check(value, get_args(expected)[0], where)
    elif typing.is_typeddict(expected):
        _check_typed_dict(value, expected, where)
    elif kind in (Union, types.UnionType):
        _check_union(value, expected, where)
    elif kind is Literal:
        if value not in get_args(expected):
            raise _wrong(where, value, "one of " + ", ".join(repr(a) for a in get_args(expected)))
    elif kind is list:
        if not isinstance(value, list):
            raise _wrong(where, value, "a list")
        for i, item in enumerate(value):
            check(item, get_args(expected)[0], f"{where}[{i}]")
    elif kind is tuple:
        parts = get_args(expected)
        if not isinstance(value, (list, tuple)) or len(value) != len(parts):
            raise _wrong(where, value, f"a list of {len(parts)}")
        for i, (item, part) in enumerate(zip(value, parts, strict=True)):
            check(item, part, f"{where}[{i}]")
    elif kind is dict:
        if not isinstance(value, dict):
            raise _wrong(where, value, "an object")
        for key, item in value.items():
            check(item, get_args(expected)[1], f"{where}.{key}")
    elif expected is not Any:
        _check_scalar(value, expected, where)


def _check_typed_dict(value: Any, expected: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise _wrong(where, value, "an object")
    prefix = "" if "." not in where and where == "report" else where + "."
    for name, kind in get_type_hints(expected, include_extras=True).items():
        if name in value:
            check(value[name], kind, prefix + name)
        elif get_origin(kind) is not NotRequired:
            raise InputError(f"report: {prefix}{name} is missing", HINT)


def _check_union(value: Any, expected: Any, where: str) -> None:
    options = [option for option in get_args(expected) if option is not type(None)]
    if value is None:
        if len(options) == len(get_args(expected)):
            raise _wrong(where, value, "a value")
        return
    if len(options) == 1:  # T | None: the inner error names the inner field
        check(value, options[0], where)
        return
    raise TypeError(f"{where}: the checker knows only unions with None, not {expected}")


def _check_scalar(value: Any, expected: Any, where: str) -> None:
    if expected is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _wrong(where, value, "a number")
        if not math.isfinite(value):
            raise _wrong(where, value, "a finite number")
    elif expected is int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong(where, value, "a whole number")
    elif not isinstance(value, expected):
        raise _wrong(where, value, {str: "text", bool: "true or false"}.get(expected, str(expected)))


def _wrong(where: str, value: Any, wanted: str) -> InputError:
    shown = repr(value)
    return InputError(f"report: {where} is {shown[:57] + '...' if len(shown) > 60 else shown}, not {wanted}", HINT)
