"""Is the target fit to be timed? A Condition in, findings out; and the wait until it has cooled."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from edgefit_benchmarks.targets.target import Condition, Target
from edgefit_toolkit.errors import DeviceError

# Android's PowerManager.THERMAL_STATUS_*: from MODERATE on, the system throttles visibly
THERMAL_WORDS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
THERMAL_WARN, THERMAL_REFUSE = 1, 2

BATTERY_REFUSE_PERCENT = 15  # Android's battery saver, which lowers clocks, starts at 15 to 20%
BATTERY_WARN_PERCENT = 30
BATTERY_WARN_C = 40.0
POWER_SAVING_GOVERNORS = frozenset({"powersave", "conservative"})


@dataclass(frozen=True)
class Finding:
    """One thing worth saying about a target before it is timed."""

    level: Literal["refuse", "warn", "note"]
    message: str
    hint: str = ""


def check(condition: Condition, *, threads: int = 1) -> tuple[Finding, ...]:
    """What makes timing impossible ("refuse"), doubtful ("warn"), or is only worth recording ("note")."""
    found: list[Finding] = []
    c = condition
    if c.load_1min is not None:
        free = c.cores - c.load_1min
        if free < threads - 0.5:
            timed = "1 thread shares" if threads == 1 else f"{threads} threads share"
            found.append(
                Finding(
                    "warn",
                    f"load average {c.load_1min:.1f} on {c.cores} cores: {timed} them with other work",
                    "stop other programs and measure again",
                )
            )
        else:
            found.append(Finding("note", f"load average {c.load_1min:.1f} on {c.cores} cores"))
    if c.governors:
        saving = POWER_SAVING_GOVERNORS.intersection(c.governors)
        found.append(
            Finding(
                "warn" if saving else "note",
                f"CPU governor {', '.join(c.governors)}",
                "switch off power saving" if saving else "",
            )
        )
    if c.thermal_status is not None and c.thermal_status >= THERMAL_WARN:
        word = THERMAL_WORDS[min(c.thermal_status, len(THERMAL_WORDS) - 1)]
        level: Literal["refuse", "warn"] = "refuse" if c.thermal_status >= THERMAL_REFUSE else "warn"
        found.append(Finding(level, f"thermal status {word}: the device throttles", "let it cool, then measure again"))
    if c.battery_c is not None and c.battery_c >= BATTERY_WARN_C:
        found.append(Finding("warn", f"battery at {c.battery_c:.1f} C", "let it cool, then measure again"))
    if c.battery_percent is not None:
        charging = ", charging" if c.charging else ""
        text = f"battery {c.battery_percent}%{charging}"
        if c.battery_percent <= BATTERY_REFUSE_PERCENT:
            found.append(Finding("refuse", f"{text}: the system saves power", "charge it above 30%"))
        elif c.battery_percent <= BATTERY_WARN_PERCENT:
            found.append(Finding("warn", text, "charge it"))
        else:
            found.append(Finding("note", text))
    if c.screen_on is not None:
        found.append(Finding("note", f"screen {'on' if c.screen_on else 'off'}"))
    return tuple(found)


def cooled(
    target: Target, *, limit_s: float, pause_s: float = 5.0, sleep: Callable[[float], None] = time.sleep
) -> tuple[Condition, float]:
    """The target's condition once it is neither warm nor throttled, or after `limit_s`; and the wait in s."""
    waited_s = 0.0
    condition = target.condition()
    while _warm(condition) and waited_s < limit_s:
        sleep(pause_s)
        waited_s += pause_s
        condition = target.condition()
    return condition, waited_s


def _warm(condition: Condition) -> bool:
    throttles = (condition.thermal_status or 0) >= THERMAL_WARN
    return throttles or (condition.battery_c or 0.0) >= BATTERY_WARN_C


def notes(findings: Iterable[Finding]) -> tuple[str, ...]:
    """The findings as a Measurement's notes; DeviceError on the first one that refuses."""
    kept = []
    for finding in findings:
        if finding.level == "refuse":
            raise DeviceError(f"the device is not fit to be timed: {finding.message}", finding.hint)
        kept.append(finding.message if finding.level == "note" else f"warning: {finding.message}")
    return tuple(kept)
