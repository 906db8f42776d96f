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
