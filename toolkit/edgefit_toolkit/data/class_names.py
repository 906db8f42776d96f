"""Which names a class may have: one rule for folders, labels, bundles and servers."""

from __future__ import annotations

from collections.abc import Sequence

from edgefit_toolkit.progress import plain

RULE = "a class name is one line of text without control characters, and no blank stands before or after it"


def fault_of(name: str) -> str | None:
    """What is wrong with one name, None for a good one. It must survive a line of a text file and a cell of a table."""
    if not name.strip():
        return "is empty"
    if plain(name) != name:
        return "holds characters that no line of text can hold"
    if name != name.strip():
        return "begins or ends with a blank"
    return None


def fault_among(names: Sequence[str]) -> str | None:
    """The first fault of several names, named (as it can be shown); two alike are one."""
    for name in names:
        fault = fault_of(name)
        if fault is not None:
            return f"class '{plain(name)}' {fault}"
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) != len(names) else []
    return f"class {twice[0]!r} is named twice" if twice else None
