"""The schema of a profile file: every key is known, carries its unit in its name and has a source, or it is refused.

Messages name the file and the line, so that a hand-written profile can be mended without reading this.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from edgefit_toolkit.devices.profile import Accelerator, Core, DeviceProfile, Point
from edgefit_toolkit.errors import OutputError, ProfileError
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.network.families import FAMILIES, released_names

Check = Callable[[Any], str | None]  # what is wrong with the value, or None


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and value.strip() else "must be a non-empty text"


def _texts(value: Any) -> str | None:
    return None if isinstance(value, list) and all(isinstance(v, str) for v in value) else "must be a list of texts"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _positive(value: Any) -> str | None:
    return None if _finite(value) is None and value > 0 else "must be a positive number"


def _finite(value: Any) -> str | None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return None if good else "must be a number"


def _count(value: Any) -> str | None:
    good = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    return None if good else "must be a whole number, 1 or more"


def _threads(value: Any) -> str | None:
    return None if value == 0 and not isinstance(value, bool) else _count(value) and "must be 0 (GPU) or a whole number"


def _one_of(*words: str) -> Check:
    return lambda value: None if value in words else f"must be one of: {', '.join(words)}"


PRECISIONS = ("int8", "float32", "float16")
SCHEMA: dict[str, dict[str, tuple[Check, bool]]] = {  # table -> key -> (check, required)
    "device": {
        "title": (_text, True),
        "kind": (_one_of("phone", "board", "computer"), True),
        "codenames": (_texts, True),
        "threads": (_count, True),
        "memory_gb": (_positive, True),
        "basis": (_one_of("published", "scaled", "measured here"), True),
        "note": (_text, False),
        "p90_over_p50": (_positive, False),
        "source": (_text, True),
    },
    "soc": {
        "name": (_text, True),
        "architecture": (_one_of("arm64", "x86_64"), False),
        "dotprod": (_flag, True),
        "i8mm": (_flag, True),
        "gpu": (_text, False),
        "cache_mb": (_positive, False),
        "copy_gb_s": (_positive, False),
        "source": (_text, True),
    },
    "cores": {
        "kind": (_text, True),
        "count": (_count, True),
        "clock_ghz": (_positive, True),
        "source": (_text, True),
    },
    "points": {
        "network": (lambda value: _one_of(*released_names(), *FAMILIES)(value), True),
        "phi": (_finite, False),
        "precision": (_one_of(*PRECISIONS), True),
        "threads": (_threads, True),
        "latency_ms": (_positive, True),
        "stat": (_text, True),
        "measured": (_flag, False),
        "source": (_text, True),
    },
    "accelerators": {
        "kind": (_text, True),
        "network": (_text, True),
        "precision": (_text, True),
        "latency_ms": (_positive, True),
        "software": (_text, True),
        "source": (_text, True),
    },
}


def read_profile(path: Path) -> DeviceProfile:
    """The profile in this file. Raises ProfileError, with file and line, for what the schema does not allow."""
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ProfileError(f"{path}: is not UTF-8 text: {error.reason}") from error
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{path}: is not TOML: {error}", _HELP) from error
    return _Reader(path, text, raw).profile()


_HELP = "README.md in edgefit_toolkit/devices says what a profile holds; pixel4.toml beside it is a full example"


class _Reader:
    """Checks one parsed file against SCHEMA and builds the profile."""

    def __init__(self, path: Path, text: str, raw: dict[str, Any]) -> None:
        self.path, self.lines, self.raw = path, text.splitlines(), raw

    def profile(self) -> DeviceProfile:
        for name in self.raw:
            if name not in SCHEMA and name != "sources":
                self._unknown(
                    name, (*SCHEMA, "sources"), self._line(rf"\[+\s*{re.escape(name)}\b|{re.escape(name)}\s*=")
                )
        self.sources = self._sources()
        device, soc = self._table("device"), self._table("soc")
        cores = tuple(Core(**core) for core in self._tables("cores"))
        if not cores:
            self._refuse(1, "has no [[cores]]: a prediction needs at least one kind of core")
        points = tuple(self._point(values, index) for index, values in enumerate(self._tables("points")))
        if device["basis"] != "scaled" and not points:
            self._refuse(
                self._line(r"basis\s*="), f"basis is {device['basis']!r}, yet there are no [[points]]; say 'scaled'"
            )
        return DeviceProfile(
            name=self.path.stem,
            soc=soc.pop("name"),
            soc_source=soc.pop("source"),
            codenames=tuple(device.pop("codenames")),
            cores=cores,
            points=points,
            accelerators=tuple(Accelerator(**values) for values in self._tables("accelerators")),
            sources=self.sources,
            path=self.path,
            **device,
            **soc,
        )

    def _sources(self) -> dict[str, str]:
        sources = self.raw.get("sources")
        if not isinstance(sources, dict) or not sources:
            self._refuse(1, "has no [sources] table: every figure must name where it was read")
        for name, value in sources.items():
            if problem := _text(value):
                self._refuse(self._line(rf"{re.escape(name)}\s*="), f"source {name!r} {problem}")
        return dict(sources)

    def _table(self, name: str) -> dict[str, Any]:
        if not isinstance(self.raw.get(name), dict):
            self._refuse(1, f"has no [{name}] table")
        return self._checked(name, self.raw[name], f"[{name}]", self._line(rf"\[\s*{name}\s*\]"))

    def _tables(self, name: str) -> list[dict[str, Any]]:
        found = self.raw.get(name, [])
        if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
            self._refuse(self._line(rf"\[+\s*{name}|{name}\s*="), f"{name} must be a list of tables: [[{name}]]")
        starts = [n for n, line in enumerate(self.lines, 1) if re.match(rf"\s*\[\[\s*{name}\s*\]\]", line)]
        starts += [1] * (len(found) - len(starts))  # written as one inline array
        return [self._checked(name, entry, f"[[{name}]]", line) for entry, line in zip(found, starts, strict=True)]

    def _point(self, values: dict[str, Any], index: int) -> Point:
        if (values["network"] in FAMILIES) != ("phi" in values):
            starts = [n for n, line in enumerate(self.lines, 1) if re.match(r"\s*\[\[\s*points\s*\]\]", line)]
            self._refuse(
                starts[index] if index < len(starts) else 1,
                f"a point of network {values['network']!r} {'has no' if 'phi' not in values else 'needs no'} phi: "
                f"{' and '.join(map(repr, FAMILIES))} need one, a released variant has none",
            )
        return Point(**values)

    def _checked(self, table: str, values: dict[str, Any], title: str, start: int) -> dict[str, Any]:
        keys = SCHEMA[table]
        for key, value in values.items():
            line = self._line(rf"{re.escape(key)}\s*=", start)
            if key not in keys:
                self._unknown(key, tuple(keys), line, f" in {title}")
            if problem := keys[key][0](value):
                self._refuse(line, f"{key} in {title} is {value!r}; it {problem}")
            if key == "source" and value not in self.sources:
                self._refuse(line, f"source {value!r} is not in [sources]; there are: {', '.join(self.sources)}")
        for key, (_, required) in keys.items():
            if required and key not in values:
                self._refuse(start, f"{title} has no {key}")
        return dict(values)

    def _line(self, pattern: str, start: int = 1) -> int:
        """The first line from `start` on that begins like `pattern`, else `start`."""
        for number, line in enumerate(self.lines[start - 1 :], start):
            if re.match(rf"\s*(?:{pattern})", line) or (number == start and re.search(rf"[\s,{{]{pattern}", line)):
                return number
        return start

    def _unknown(self, key: str, valid: tuple[str, ...], line: int, where: str = "") -> NoReturn:
        near = difflib.get_close_matches(key, valid, n=2, cutoff=0.5)
        near = near or [known for known in valid if known.startswith(f"{key}_")]  # the unit is missing
        meant = f"; near: {' or '.join(near)} (units belong to the name)" if near else f"; valid: {', '.join(valid)}"
        self._refuse(line, f"unknown key {key!r}{where}{meant}")

    def _refuse(self, line: int, what: str) -> NoReturn:
        raise ProfileError(f"{self.path}:{line}: {what}", _HELP)


def write_profile(profile: DeviceProfile, path: Path) -> None:
    """Write the profile as TOML that `read_profile` reads back equal. Raises OutputError where it cannot be written."""
    values = vars(profile) | {"codenames": list(profile.codenames), "note": profile.note.strip() or None}
    soc = values | {"name": profile.soc, "source": profile.soc_source}
    tables: list[tuple[str, Mapping[str, Any]]] = [
        ("[sources]", profile.sources),
        ("[device]", {key: values[key] for key in SCHEMA["device"]}),
        ("[soc]", {key: soc[key] for key in SCHEMA["soc"]}),
        *(("[[cores]]", vars(core)) for core in profile.cores),
        *(("[[points]]", vars(point)) for point in profile.points),
        *(("[[accelerators]]", vars(known)) for known in profile.accelerators),
    ]
    blocks = [
        "\n".join([title, *(f"{key} = {_toml(value)}" for key, value in table.items() if value is not None)])
        for title, table in tables
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, "\n\n".join(blocks) + "\n")
    except OSError as error:
        raise OutputError(f"cannot write the device profile {path}: {error.strerror}") from error


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').encode(errors="replace").decode()
        return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\u{ord(found[0]):04x}", escaped) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    return repr(float(value)) if isinstance(value, float) else repr(value)  # numpy's floats are floats too
