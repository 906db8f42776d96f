"""Intervals of paired differences: exact properties, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefit_toolkit.intervals import paired_interval

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
