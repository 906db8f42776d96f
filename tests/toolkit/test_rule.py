"""The picking rule: the largest that fits, the first that does not, and a released network nearby."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefit_toolkit.errors import InputError
from edgefit_toolkit.network.scaling import released
from edgefit_toolkit.picker import rule
from edgefit_toolkit.picker.rule import all_within, check_budget, first_beyond, largest_within, released_or
from edgefit_toolkit.records import Budget, Variant

times = st.lists(st.floats(0.1, 10), max_size=12)


@given(times, st.floats(0.1, 10))
def test_the_largest_that_fits_has_none_above_it(times_ms: list[float], limit_ms: float) -> None:
    fitting = all_within(times_ms, limit_ms)
    assert {times_ms[place] <= limit_ms for place in fitting} <= {True}
    assert len(fitting) == sum(ms <= limit_ms for ms in times_ms)
    largest = largest_within(times_ms, limit_ms)
    assert largest == (fitting[-1] if fitting else None)
    assert not any(ms <= limit_ms for ms in times_ms[-1 if largest is None else largest + 1 :]) or largest is None


@given(times, st.floats(0.1, 10), st.integers(0, 11))
def test_between_a_network_and_the_first_beyond_all_fit(times_ms: list[float], limit_ms: float, above: int) -> None:
    beyond = first_beyond(times_ms, limit_ms, above)
    end = len(times_ms) if beyond is None else beyond
    assert all(ms <= limit_ms for ms in times_ms[above + 1 : end])
    assert beyond is None or (beyond > above and times_ms[beyond] > limit_ms)


def test_a_time_at_the_limit_is_within() -> None:
    assert largest_within([1.0, 2.0, 3.0], 2.0) == 1
    assert first_beyond([1.0, 2.0, 3.0], 2.0, above=0) == 2
    assert largest_within([1.0], 0.5) is None
    assert first_beyond([1.0], 5.0, above=0) is None


def variant(phi: float, madds: int, name: str | None = None) -> Variant:
    return dataclasses.replace(released("lite0"), phi=phi, madds=madds, released=name)


@pytest.mark.parametrize(
    ("phi", "madds", "reached"),
    [(1.0, 1000, True), (0.9, 900, True), (0.899, 1000, False), (1.0, 899, False), (0.95, 950, True)],
)
def test_reach_ends_at_a_tenth_of_phi_and_of_the_work(phi: float, madds: int, reached: bool) -> None:
    variants = [variant(phi, madds, "lite1"), variant(1.0, 1000)]
    assert released_or(variants, [0, 1], 1) == (0 if reached else 1)
    assert released_or(variants, [1], 1) == 1  # one that does not fit is not taken
    assert released_or([dataclasses.replace(v, released=None) for v in variants], [0, 1], 1) == 1


def test_of_several_released_networks_the_largest_is_taken() -> None:
    variants = [
        variant(0.95, 980, "lite1"),
        variant(0.96, 990, "lite2"),
        variant(1.0, 1000),
        variant(1.1, 1200, "lite3"),
    ]
    assert released_or(variants, range(3), 2) == 1
    assert released_or(variants, range(4), 3) == 3


def test_a_measured_pick_keeps_its_distance() -> None:
    """Percents, not more: test_prove.py says what they are for."""
    assert 0.005 <= rule.FITS_BY < rule.MISSES_BY <= 0.02


@pytest.mark.parametrize("ms", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_budget(ms: float) -> None:
    with pytest.raises(InputError, match="positive number"):
        check_budget(Budget(ms))
    for percentile in (49, 51, 89, 91, 99, 0):
        with pytest.raises(InputError, match="50 and 90"):
            check_budget(Budget(1.0, percentile))
    for percentile in (50, 90):
        check_budget(Budget(1e-3, percentile))
