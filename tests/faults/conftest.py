"""Faults on purpose: the table at the end, and the phones and boards of tests/phone for those that need one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from phone.conftest import adb, host_package, needs_sshd, world  # noqa: F401  (fixtures)

HERE = Path(__file__).parent
COLUMNS = ("tried", "survived", "lost", "not tried")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(text): what goes wrong in this test; else its file's first sentence")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and isinstance(item, pytest.Function):
            marker = item.get_closest_marker("fault")
            text = marker.args[0] if marker else (item.module.__doc__ or item.path.stem).splitlines()[0].rstrip(".")
            item.user_properties.append(("fault", text))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts: dict[str, Counter[str]] = {}
    for outcome, columns in (
        ("passed", ("tried", "survived")),
        ("failed", ("tried", "lost")),
        ("error", ("tried", "lost")),
        ("skipped", ("not tried",)),
    ):
        for report in terminalreporter.stats.get(outcome, ()):
            fault = dict(getattr(report, "user_properties", ())).get("fault")  # none of an unreadable file
            if fault is not None:
                counts.setdefault(str(fault), Counter()).update(columns)
    if not counts:
        return
    counts["all"] = sum(counts.values(), Counter())
    width = max(map(len, counts))
    terminalreporter.section("faults")
    terminalreporter.line(f"{'':{width}}" + "".join(f"{column:>11}" for column in COLUMNS))
    for fault, count in counts.items():
        terminalreporter.line(f"{fault:{width}}" + "".join(f"{count[column]:>11}" for column in COLUMNS))
