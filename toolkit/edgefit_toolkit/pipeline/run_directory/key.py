"""What a stage's result depends on, kept in parts, so that a stage that runs again can say why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from edgefit_toolkit.files import key_of

SHOWN = 3  # differences that are named; the others are counted
SHORT = 40  # characters of a value


@dataclass(frozen=True)
class Key:
    """The parts are JSON-able: `settings` (every choice), `sources` (sources.py), `versions`, and `after`, the hash of
    each stage before it by name."""

    parts: dict[str, Any]

    @cached_property
    def hash(self) -> str:
        """Equal when every part is; hex."""
        return key_of(**self.parts)

    def why_not(self, before: Mapping[str, Any]) -> str:
        """What differs from an earlier key's parts: `settings.lr 0.001 -> 0.002`, `toolkit/data/splits.py changed`."""
        old, new = dict(_flat(before)), dict(_flat(self.parts))
        names = [name for name in {**new, **old} if old.get(name) != new.get(name)]
        said = [_difference(name, old.get(name), new.get(name)) for name in names]
        more = f" and {len(said) - SHOWN} more" if len(said) > SHOWN else ""
        return ", ".join(said[:SHOWN]) + more


def _flat(parts: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in parts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, (*path, name))
        else:
            yield (*path, name), value if value is not None else "none"


def _difference(path: tuple[str, ...], old: Any, new: Any) -> str:
    part, name = path[0], path[-1]
    if part == "after":
        return f"after another {name}"
    if part == "sources":
        return f"{name} {'is new' if old is None else 'is gone' if new is None else 'changed'}"
    if len(f"{old}{new}") > 2 * SHORT:
        return f"{'.'.join(path)} changed"
    return f"{'.'.join(path)} {'unset' if old is None else old} -> {'unset' if new is None else new}"
