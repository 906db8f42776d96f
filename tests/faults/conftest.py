"""Faults on purpose: the table at the end, and the phones and boards of tests/phone for those that need one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from phone.conftest import adb, host_package, needs_sshd, world  # noqa: F401  (fixtures)
from support.ray_nodes import cluster  # noqa: F401  (a fixture)
from support.tally import Tally

HERE = Path(__file__).parent
COLUMNS = ("tried", "survived", "lost", "not tried")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="tests/faults: every fault as often as its results say")


@pytest.fixture
def often(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """How often to try: `often(short, long)`, the second with --long."""
    return lambda short, long: long if request.config.getoption("--long") else short


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Tally:
    """What a test counts that tries a fault many times."""
    return Tally(record_property)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes minutes on a quiet machine, so only with --long")
    config.addinivalue_line("markers", "fault(text): what goes wrong in this test; else its file's first sentence")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: python -m pytest tests/faults --long tries it"))
        if HERE in item.path.parents and isinstance(item, pytest.Function):
            marker = item.get_closest_marker("fault")
            text = marker.args[0] if marker else (item.module.__doc__ or item.path.stem).splitlines()[0].rstrip(".")
            item.user_properties.append(("fault", text))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts: dict[str, Counter[str]] = {}
    measured: list[str] = []
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, ()):
            said = dict(report.user_properties)
            if "fault" not in said:
                continue
            count = counts.setdefault(str(said["fault"]), Counter())
            if outcome == "skipped":
                count["not tried"] += 1
                continue
            own = {} if outcome == "error" else said  # of a test that has been counted, or was never begun
            tried, lost = int(own.get("tried", 1)), int(own.get("lost", 0))
            lost = max(lost, outcome != "passed")
            count.update({"tried": max(tried, lost), "survived": max(tried, lost) - lost, "lost": lost})
            measured += [str(value) for name, value in report.user_properties if name == "measured"]
    if not counts:
        return
    counts["all"] = sum(counts.values(), Counter())
    width = max(map(len, counts))
    terminalreporter.section("faults")
    terminalreporter.line(f"{'':{width}}" + "".join(f"{column:>11}" for column in COLUMNS))
    for fault, count in counts.items():
        terminalreporter.line(f"{fault:{width}}" + "".join(f"{count[column]:>11}" for column in COLUMNS))
    for line in measured:
        terminalreporter.line(line)
