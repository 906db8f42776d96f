"""Latency statistics against numpy and scipy, and their own laws."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from edgefit_benchmarks import stats
from edgefit_toolkit.errors import InputError

times = st.lists(st.floats(min_value=1e-3, max_value=1e4), min_size=1, max_size=200)


@given(times, st.floats(min_value=0, max_value=1))
def test_quantile_is_numpys_default(samples: list[float], q: float) -> None:
    assert stats.quantile(samples, q) == pytest.approx(float(np.quantile(samples, q)), rel=1e-9)


@given(times)
def test_summary_is_ordered(samples: list[float]) -> None:
    s = stats.summarise(samples)
    assert s.n == len(samples)
    assert s.min_ms <= s.p50_ms <= s.p90_ms <= s.p99_ms <= s.max_ms
    assert s.min_ms <= s.mean_ms <= s.max_ms
    assert s.p90_low_ms <= s.p90_high_ms
    assert s.p90_low_ms in samples
    assert s.p90_high_ms in samples


@given(times, st.floats(min_value=0.01, max_value=100))
def test_summary_scales_with_the_unit(samples: list[float], factor: float) -> None:
    one, other = stats.summarise(samples), stats.summarise([x * factor for x in samples])
    for name in ("p50_ms", "p90_ms", "p99_ms", "mean_ms", "p90_low_ms", "p90_high_ms"):
        assert getattr(other, name) == pytest.approx(getattr(one, name) * factor, rel=1e-9)


@given(times)
def test_order_matters_to_drift_alone(samples: list[float]) -> None:
    one, other = stats.summarise(samples), stats.summarise(samples[::-1])
    assert (one.p50_ms, one.p90_ms, one.outliers) == (other.p50_ms, other.p90_ms, other.outliers)


@given(st.integers(min_value=3, max_value=300), st.sampled_from([0.5, 0.9, 0.99]))
def test_interval_ranks_are_the_binomials(n: int, q: float) -> None:
    low, high = stats.quantile_interval([float(i) for i in range(n)], q, 0.95)
    # samples 0..n-1, so a value is its own rank: P(B <= rank) is the chance that the quantile lies below x[rank]
    if low > 0:
        assert binom.cdf(low, n, q) <= 0.025 + 1e-9  # less than low + 1 samples below
        assert binom.cdf(low + 1, n, q) > 0.025 - 1e-9  # and no tighter rank would do
    if high < n - 1:
        assert binom.sf(high, n, q) <= 0.025 + 1e-9
        assert binom.sf(high - 1, n, q) > 0.025 - 1e-9


def test_interval_covers_the_true_quantile() -> None:
    rng = random.Random(1)
    true_p90 = -math.log(0.1)  # of an exponential with mean 1
    hits = 0
    for _ in range(600):
        low, high = stats.quantile_interval([rng.expovariate(1) for _ in range(80)], 0.9)
        hits += low <= true_p90 <= high
    assert hits / 600 > 0.93  # at least the nominal 0.95, less three standard errors of this simulation


def test_more_samples_narrow_the_interval() -> None:
    rng = random.Random(2)
    samples = [10 + rng.random() for _ in range(2000)]
    assert stats.summarise(samples).p90_spread < stats.summarise(samples[:60]).p90_spread / 2


def test_outliers_are_found_and_kept() -> None:
    samples = [10.0 + 0.01 * (i % 7) for i in range(60)]
    samples[17], samples[40] = 30.0, 2.0
    assert stats.outliers(samples) == (17, 40)
    summary = stats.summarise(samples)
    assert summary.outliers == 2
    assert summary.max_ms == 30.0
    assert summary.n == 60


def test_equal_samples_have_no_outliers_and_one_different_sample_is_one() -> None:
    assert stats.outliers([5.0] * 20) == ()
    assert stats.outliers([5.0] * 19 + [6.0]) == (19,)


def test_throttling_is_said() -> None:
    slowing = [10.0] * 30 + [11.0] * 30 + [13.0] * 30
    summary = stats.summarise(slowing)
    assert summary.drift == pytest.approx(0.3)
    assert any("30% slower" in note for note in stats.observations(summary))
    assert stats.observations(stats.summarise([10.0] * 90)) == ()


@pytest.mark.parametrize("samples", [[], [1.0, float("nan")], [1.0, -0.5], [float("inf")]])
def test_what_is_no_time_is_refused(samples: list[float]) -> None:
    with pytest.raises(InputError):
        stats.summarise(samples)


def test_only_kept_percentiles_are_answered() -> None:
    summary = stats.summarise([1.0, 2.0, 3.0])
    assert (summary.at(50), summary.at(90)) == (summary.p50_ms, summary.p90_ms)
    with pytest.raises(InputError, match="50, 90 and 99"):
        summary.at(75)


def test_an_outlier_lies_beyond_the_limit_and_not_at_it() -> None:
    """Iglewicz and Hoaglin's 3.5 robust deviations: 1.4826 * MAD, or 1.2533 * mean deviation where the MAD is 0."""
    spread = [9.0, 10.0, 11.0, 9.0, 10.0, 11.0, 9.0, 11.0]  # median 10, MAD 1
    for far, counted in ((3.5 * 1.4826 - 1e-6, False), (3.5 * 1.4826 + 1e-6, True)):
        assert stats.outliers([*spread, 10.0 + far, 10.0 - 0.5]) == ((8,) if counted else ())
    assert stats.outliers([0.0, 0.0, 1.0], limit=3 / 1.2533) == ()  # exactly at it: mean deviation 1/3
    assert stats.outliers([0.0, 0.0, 1.0], limit=3 / 1.2533 - 1e-9) == (2,)
    equal = [5.0] * 4  # median 5, mean deviation far / 5: one of five is at 1.2533 / 5 * 3.5 = 0.877 of the limit
    assert stats.outliers([*equal, 6.0]) == (4,)
    assert stats.outliers([*equal[:3], 6.0]) == ()  # of four: 1.2533 / 4 * 3.5 = 1.097


def test_drift_compares_the_last_third_with_the_first() -> None:
    assert stats.drift([1.0, 2.0]) == 0.0
    assert stats.drift([1.0, 9.0, 3.0]) == 2.0
    assert stats.drift([4.0, 9.0, 9.0, 9.0, 9.0, 9.0, 3.0]) == pytest.approx(6.0 / 6.5 - 1)
    assert stats.drift([0.0, 0.0, 5.0]) == 0.0


def summary(
    n: int = 100, outliers: int = 0, drift: float = 0.0, low: float = 10.0, high: float = 10.0
) -> stats.Summary:
    return stats.Summary(n, 9.0, 10.0, 11.0, 9.0, 8.0, 12.0, outliers, drift, low, high)


def test_what_is_said_begins_beyond_its_limits() -> None:
    for sign, word in ((1, "slower"), (-1, "faster")):
        assert stats.observations(summary(drift=sign * stats.DRIFT_LIMIT)) == ()
        (note,) = stats.observations(summary(drift=sign * 0.124))
        assert note.startswith(f"the last third of the samples is 12% {word} than the first")
    assert stats.DRIFT_LIMIT == 0.10
    assert stats.observations(summary(outliers=10)) == ()
    (note,) = stats.observations(summary(outliers=11))
    assert note.startswith("11 of 100 samples are outliers")
    assert stats.observations(summary(low=9.5, high=10.5)) == ()
    (note,) = stats.observations(summary(low=9.4, high=10.6))
    assert note == "p90 is known to +-6% only (95% interval 9.40 to 10.60 ms)"
    assert stats.observations(summary(low=9.4, high=10.6), spread_limit=0.06) == ()


def test_a_spread_is_half_the_interval_as_a_share_of_p90() -> None:
    assert summary(low=9.0, high=12.0).p90_spread == pytest.approx(0.15)
    assert stats.summarise([0.0, 0.0]).p90_spread == 0.0
    assert stats.summarise([0.0] * 19 + [2.0]).p90_spread == 0.0  # p90 itself is 0
    assert stats.summarise([1e-3, 3e-3]).p90_spread > 0.3


def test_figures_of_a_summary_have_their_names() -> None:
    made = summary()
    assert [made.at(percentile) for percentile in (50, 90, 99)] == [9.0, 10.0, 11.0]


@pytest.mark.parametrize("q", [-1e-9, 1 + 1e-9, float("nan")])
def test_quantiles_and_intervals_of_nothing(q: float) -> None:
    with pytest.raises(InputError, match="outside"):
        stats.quantile([1.0], q)
    for refused in (lambda: stats.quantile([], 0.5), lambda: stats.quantile_interval([], 0.5)):
        with pytest.raises(InputError, match="no samples"):
            refused()


@given(times, st.sampled_from([0.0, 1.0]))
def test_the_ends_are_known_to_lie_at_the_extreme_sample(samples: list[float], q: float) -> None:
    extreme = max(samples) if q else min(samples)
    low, high = stats.quantile_interval(samples, q)
    assert extreme in (low, high)


@given(st.integers(5, 200), st.sampled_from([0.5, 0.9]))
def test_less_confidence_is_a_narrower_interval(n: int, q: float) -> None:
    samples = [float(i) for i in range(n)]
    (low, high), (low_50, high_50) = stats.quantile_interval(samples, q), stats.quantile_interval(samples, q, 0.5)
    assert low <= low_50 <= high_50 <= high
    assert stats.quantile_interval(samples, q, 0.95) == (low, high)
