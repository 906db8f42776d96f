"""Statistics of latency samples. Pure: standard library only, no clock, no files.

Quantiles are Hyndman and Fan's type 7, numpy's default: with the samples sorted as x[0..n-1], the q-quantile lies at
position (n - 1) * q and is interpolated linearly between its two neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from edgefit_toolkit.errors import InputError

# A sample this many robust standard deviations from the median is an outlier: Iglewicz and Hoaglin, "How to Detect
# and Handle Outliers" (1993), which also gives the two factors that make MAD and mean deviation comparable with sigma.
OUTLIER_LIMIT = 3.5
MAD_TO_SIGMA = 1.4826
MEAN_DEVIATION_TO_SIGMA = 1.2533

# Last third slower than the first third by more than this: called drift (throttling, or a machine that got busy).
DRIFT_LIMIT = 0.10

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """What a set of samples says. Times in ms; shares as fractions."""

    n: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    min_ms: float
    max_ms: float
    outliers: int  # samples more than OUTLIER_LIMIT robust deviations from the median; counted, never dropped
    drift: float  # median of the last third / median of the first third - 1
    p90_low_ms: float  # confidence interval of p90, from order statistics
    p90_high_ms: float

    @property
    def p90_spread(self) -> float:
        """Half the width of p90's confidence interval, as a fraction of p90."""
        return (self.p90_high_ms - self.p90_low_ms) / 2 / self.p90_ms if self.p90_ms > 0 else 0.0

    def at(self, percentile: int) -> float:
        """The figure in ms that a budget of this percentile (50, 90 or 99) is compared with."""
        figures = {50: self.p50_ms, 90: self.p90_ms, 99: self.p99_ms}
        if percentile not in figures:
            raise InputError(f"percentile {percentile} is not kept; 50, 90 and 99 are")
        return figures[percentile]


def quantile(samples: Sequence[float], q: float) -> float:
    """The q-quantile (0 <= q <= 1) by linear interpolation of order statistics (type 7). InputError when empty."""
    if not samples:
        raise InputError("no samples: a quantile needs at least one")
    if not 0.0 <= q <= 1.0:
        raise InputError(f"quantile {q} is outside [0, 1]")
    ordered = sorted(samples)
    position = (len(ordered) - 1) * q
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    # not lower + (upper - lower) * t: that one can leave [lower, upper] by a rounding error
    t = position - below
    return min(max(ordered[below] * (1 - t) + ordered[above] * t, ordered[below]), ordered[above])


def quantile_interval(samples: Sequence[float], q: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """A confidence interval of the q-quantile from order statistics: no assumption about the distribution.

    The number of samples below the true quantile is Binomial(n, q); the two order statistics are the ones that cut at
    most (1 - confidence) / 2 from each tail, or the extremes where n is too small for that. It takes samples as
    independent; latencies that come in bursts make it a little too narrow.
    """
    ordered = sorted(samples)
    n = len(ordered)
    if n == 0:
        raise InputError("no samples: an interval needs at least one")
    tail = (1 - confidence) / 2
    low, high = 0, n - 1
    cumulative = 0.0
    found_high = False
    for k in range(n + 1):  # k samples below the true quantile
        before = cumulative
        cumulative += _binomial(n, k, q)
        if before <= tail:
            low = k - 1  # P(B < k) <= tail: the quantile lies at or above x[k - 1]
        if not found_high and 1 - cumulative <= tail:
            high, found_high = min(k, n - 1), True  # P(B > k) <= tail: at or below x[k]
    return ordered[max(low, 0)], ordered[high]


def _binomial(n: int, k: int, p: float) -> float:
    """P(B = k) for B ~ Binomial(n, p)."""
    if p <= 0.0:
        return 1.0 if k == 0 else 0.0
    if p >= 1.0:
        return 1.0 if k == n else 0.0
    log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log + k * math.log(p) + (n - k) * math.log1p(-p))


def outliers(samples: Sequence[float], limit: float = OUTLIER_LIMIT) -> tuple[int, ...]:
    """Indices of the samples further than `limit` robust standard deviations from the median.

    The deviation is 1.4826 * MAD; where more than half of the samples are equal (MAD 0), 1.2533 * mean deviation.
    """
    middle = quantile(samples, 0.5)
    deviations = [abs(s - middle) for s in samples]
    sigma = MAD_TO_SIGMA * quantile(deviations, 0.5) or MEAN_DEVIATION_TO_SIGMA * fmean(deviations)
    return tuple(i for i, d in enumerate(deviations) if d > limit * sigma)


def drift(samples: Sequence[float]) -> float:
    """Median of the last third over median of the first third, minus 1; 0 for fewer than three samples."""
    third = len(samples) // 3
    if third == 0:
        return 0.0
    first, last = quantile(samples[:third], 0.5), quantile(samples[-third:], 0.5)
    return last / first - 1 if first > 0 else 0.0


def summarise(samples_ms: Sequence[float]) -> Summary:
    """The summary of samples in ms, in the order in which they were taken.

    InputError when there is none, or when one is not a finite time >= 0.
    """
    if not samples_ms:
        raise InputError("no samples to summarise")
    bad = [s for s in samples_ms if not math.isfinite(s) or s < 0]
    if bad:
        raise InputError(f"{bad[0]!r} ms is not a time")
    low, high = quantile_interval(samples_ms, 0.9)
    smallest, largest = min(samples_ms), max(samples_ms)
    return Summary(
        n=len(samples_ms),
        p50_ms=quantile(samples_ms, 0.5),
        p90_ms=quantile(samples_ms, 0.9),
        p99_ms=quantile(samples_ms, 0.99),
        mean_ms=min(max(fmean(samples_ms), smallest), largest),
        min_ms=smallest,
        max_ms=largest,
        outliers=len(outliers(samples_ms)),
        drift=drift(samples_ms),
        p90_low_ms=low,
        p90_high_ms=high,
    )


def observations(summary: Summary, *, spread_limit: float = 0.05) -> tuple[str, ...]:
    """What a reader must know before trusting the figures, one sentence each; none when there is nothing to say."""
    notes = []
    if summary.drift > DRIFT_LIMIT:
        notes.append(
            f"the last third of the samples is {summary.drift:.0%} slower than the first: throttling or other load"
        )
    elif summary.drift < -DRIFT_LIMIT:
        notes.append(
            f"the last third of the samples is {-summary.drift:.0%} faster than the first: "
            "other load, or a clock that rose late"
        )
    if summary.outliers > 0.1 * summary.n:
        notes.append(f"{summary.outliers} of {summary.n} samples are outliers: the machine was not quiet")
    if summary.p90_spread > spread_limit:
        notes.append(
            f"p90 is known to +-{summary.p90_spread:.0%} only "
            f"({CONFIDENCE:.0%} interval {summary.p90_low_ms:.2f} to {summary.p90_high_ms:.2f} ms)"
        )
    return tuple(notes)
