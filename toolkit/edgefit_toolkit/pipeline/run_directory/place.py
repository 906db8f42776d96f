"""Which directory a run gets: a finished run of other data, another device or budget is never replaced."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgefit_toolkit.data.sources import DEMO, FLOWERS, HUGGING_FACE, SHARDS
from edgefit_toolkit.errors import OutputError
from edgefit_toolkit.network.families import released_names

RUNS = Path("edgefit-runs")
DECIDE = ("data", "device", "budget_ms", "percentile")  # another one of these makes it another job
# what may differ between two runs of one default directory: the model is the same, or made anew on purpose
FREE = ("command", "threads", "offline", "where", "measure", "calibration_n")
AUTO_TEACHER = "auto"
FILES = ("taxonomy", "other", "places")  # settings that name a file or a folder beside the data


def place_of(data: str | None) -> str:
    """What --data names, as it can be named from any folder."""
    if data is None or data in (DEMO, FLOWERS):
        return data or DEMO
    if data.startswith(HUGGING_FACE):
        named = data.removeprefix(HUGGING_FACE)
        here = any(Path(text).expanduser().is_dir() for text in (named, named.partition(":")[0]))
        return HUGGING_FACE + _absolute(named) if here else data  # else a name on the hub
    if data.startswith(SHARDS):
        return SHARDS + _absolute(data.removeprefix(SHARDS))
    return _absolute(data)


def anywhere(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with every file and folder that they name as it can be named from any folder."""
    found = dict(settings)
    for name in FILES:
        if found.get(name) is not None:
            found[name] = _absolute(found[name])
    if found.get("data") is not None:
        found["data"] = place_of(found["data"])
    teacher = found.get("teacher")
    names = (AUTO_TEACHER, *released_names())  # which are no folders
    if teacher is not None and teacher.lower() not in names and Path(teacher).expanduser().exists():
        found["teacher"] = _absolute(teacher)
    return found


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def first_free(name: str, settings: Mapping[str, Any]) -> Path:
    """The first of NAME, NAME-2, NAME-3, ... that is new or holds a run of these settings: the same command finds its
    own run again."""
    for number in itertools.count(1):
        path = RUNS / (name if number == 1 else f"{name}-{number}")
        if not path.exists() or (path.is_dir() and _takes(path, settings)):
            return path
    raise AssertionError


def _takes(path: Path, settings: Mapping[str, Any]) -> bool:
    before = _settings_in(path)
    if before is None:  # broken: it is rebuilt, where that replaces nothing
        ours = (path / ".lock").exists() or not any(path.iterdir())
        return ours and _finished(path) is None
    names = [name for name in settings if name not in FREE]
    return all(_value(before, name) == _value(settings, name) for name in names if name in before)


def check_keeps(path: Path, before: Any, settings: Mapping[str, Any]) -> None:
    """Raises OutputError where `path` holds a finished run whose settings (`before`) say that it was another job."""
    report = _finished(path)
    if report is None:
        return
    known = before if isinstance(before, dict) else {name: report["plan"].get(name) for name in DECIDE[1:]}
    for name in DECIDE:
        if name in known and name in settings and _value(known, name) != _value(settings, name):
            raise OutputError(
                f"{path} holds a finished run with {name} {_value(known, name)}, not {_value(settings, name)}",
                "name another directory with --out DIR, or remove that one first",
            )


def _value(settings: Mapping[str, Any], name: str) -> Any:
    value = settings[name]
    if name in (*FILES, "teacher") and isinstance(value, str):
        place = anywhere({name: value})[name]
        return str(Path(place).resolve()) if Path(place).is_absolute() else place
    if name != "data" or not isinstance(value, str | None):
        return value
    place = place_of(value)
    return place if place in (DEMO, FLOWERS) else str(Path(place).resolve())


def _settings_in(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((path / "manifest.json").read_bytes())["settings"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _finished(path: Path) -> dict[str, Any] | None:
    """The report of a finished run, which is none after the guard's no."""
    try:
        report = json.loads((path / "report.json").read_bytes())
        return report if isinstance(report["plan"], dict) and report["models"] else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
