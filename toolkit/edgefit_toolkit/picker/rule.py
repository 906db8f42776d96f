"""The picking rule: the largest network that fits, or a released one that is hardly smaller. Pure.

Networks are places in a frontier, smallest first, each with what it takes in ms at the budget's percentile. Latency is
not monotone in size (a pixel more can cost another tile row, a deeper network can come with cheaper shapes), so all of
them are looked at; smaller ones may miss.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from edgefit_toolkit.errors import InputError
from edgefit_toolkit.records import Budget, Variant

FITS_BY = (
    0.01  # relative: a measured pick is this far under the budget at least: the trained model has to fit later, too
)
MISSES_BY = 0.015  # relative: the measured next one is at least this far over it
RELEASED_REACH_PHI = 0.1  # real ImageNet weights are worth more than a step of phi this small (about 7% multiply-adds)
RELEASED_REACH_MADDS = 0.9  # unless it happens to be a large one: just above phi 0 every stage gains a block


def largest_within(times_ms: Sequence[float], limit_ms: float) -> int | None:
    """The last place that takes no more than the limit, or None."""
    return max(all_within(times_ms, limit_ms), default=None)


def all_within(times_ms: Sequence[float], limit_ms: float) -> list[int]:
    """Every place that takes no more than the limit."""
    return [place for place, ms in enumerate(times_ms) if ms <= limit_ms]


def first_beyond(times_ms: Sequence[float], limit_ms: float, above: int) -> int | None:
    """The first place above that one which takes more than the limit, or None."""
    return next((place for place in range(above + 1, len(times_ms)) if times_ms[place] > limit_ms), None)


def released_or(variants: Sequence[Variant], places: Iterable[int], largest: int) -> int:
    """The largest released network of these places that is hardly smaller than `largest`, or else that."""
    phi, madds = variants[largest].phi - RELEASED_REACH_PHI, variants[largest].madds * RELEASED_REACH_MADDS
    known = (place for place in places if variants[place].released)
    return max((p for p in known if variants[p].phi >= phi and variants[p].madds >= madds), default=largest)


def check_budget(budget: Budget) -> None:
    """Raises InputError for a budget that no latency can be compared with."""
    if not (math.isfinite(budget.latency_ms) and budget.latency_ms > 0):
        raise InputError(
            f"the budget is {budget.latency_ms:g} ms; it must be a positive number of milliseconds",
            "give what one frame may cost, such as --budget-ms 30",
        )
    if budget.percentile not in (50, 90):
        raise InputError(f"percentile {budget.percentile}; predictions exist for 50 and 90", "use p50 or p90")
    if not 0.5 <= budget.confidence < 1:
        raise InputError(f"confidence is {budget.confidence:g}; it must be at least 0.5 and below 1", "such as 0.9")
