"""Intervals of paired differences: exact properties, and how often they hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from edgefit_toolkit.intervals import paired_interval, wilson

counts = st.integers(0, 60)


@given(counts, counts, counts, counts)
def test_the_interval_holds_the_difference_and_turns_with_it(both: int, first: int, second: int, neither: int) -> None:
    n = both + first + second + neither
    low, high = paired_interval(both, first, second, neither)
    assert -1 <= low <= high <= 1
    if n:
        assert low - 1e-12 <= (first - second) / n <= high + 1e-12
    turned = paired_interval(both, second, first, neither)
    assert turned == pytest.approx((-high, -low))


def test_nothing_counted_says_nothing() -> None:
    assert paired_interval(0, 0, 0, 0) == (-1.0, 1.0)


@pytest.mark.parametrize("n", [40, 200])
@pytest.mark.parametrize("shares", [(0.88, 0.02, 0.04, 0.06), (0.6, 0.15, 0.05, 0.2)])
def test_about_95_of_100_intervals_hold_the_truth(n: int, shares: tuple[float, ...]) -> None:
    tables = np.random.default_rng(1).multinomial(n, shares, 3000)
    truth = shares[1] - shares[2]
    held = sum(low <= truth <= high for low, high in (paired_interval(*map(int, table)) for table in tables))
    assert 0.93 < held / len(tables) < 0.999


@given(st.integers(1, 400), st.data())
def test_wilson_is_scipys(n: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, n))
    expected = binomtest(correct, n).proportion_ci(method="wilson")
    assert wilson(correct, n) == pytest.approx((expected.low, expected.high), abs=1e-12)
    low, high = wilson(correct, n)
    assert 0 <= low <= correct / n <= high <= 1


def test_no_pictures_say_nothing_of_a_share() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_newcombes_own_example() -> None:
    """Statistics in Medicine 17, 1998, 2635-2650, method 10: 36, 12, 2, 0."""
    assert paired_interval(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def independent(both: int, first: int, second: int, neither: int) -> tuple[float, float]:
    """The interval of two shares that know nothing of one another, as if on different pictures."""
    n = both + first + second + neither
    p1, p2 = (both + first) / n, (both + second) / n
    (low1, high1), (low2, high2) = wilson(both + first, n), wilson(both + second, n)
    difference = p1 - p2
    return difference - math.hypot(p1 - low1, high2 - p2), difference + math.hypot(high1 - p1, p2 - low2)


@pytest.mark.parametrize("table", [(20, 20, 20, 20), (11, 10, 10, 10), (12, 10, 10, 10), (30, 10, 60, 21)])
def test_pairs_hardly_more_alike_than_by_chance_count_as_independent(table: tuple[int, int, int, int]) -> None:
    """both * neither - first * second between 0 and n / 2: Newcombe's continuity correction."""
    assert paired_interval(*table) == pytest.approx(independent(*table), abs=1e-12)


@given(counts, counts, counts, counts)
def test_pairs_that_agree_are_known_better_and_pairs_that_oppose_worse(a: int, b: int, c: int, d: int) -> None:
    n = a + b + c + d
    if n and a * d - b * c > n / 2:
        assert np.ptp(paired_interval(a, b, c, d)) < np.ptp(independent(a, b, c, d)) + 1e-12
    if n and a * d < b * c and (a or d):
        assert np.ptp(paired_interval(a, b, c, d)) > min(np.ptp(independent(a, b, c, d)), 1.0) - 1e-12


def test_a_large_table_has_the_wald_interval() -> None:
    a, b, c, d = 60_000, 12_000, 9_000, 19_000
    n, difference = a + b + c + d, (b - c) / (a + b + c + d)
    half = 1.959964 * math.sqrt((b + c) / n - difference**2) / math.sqrt(n)
    assert paired_interval(a, b, c, d) == pytest.approx((difference - half, difference + half), abs=2e-5)
    a, b, c, d = 5_000, 47_000, 41_000, 7_000  # opposed
    n, difference = a + b + c + d, (b - c) / (a + b + c + d)
    half = 1.959964 * math.sqrt((b + c) / n - difference**2) / math.sqrt(n)
    assert paired_interval(a, b, c, d) == pytest.approx((difference - half, difference + half), abs=2e-5)
