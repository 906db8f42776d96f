"""Shares of counted pictures: their 95% intervals, alone and in pairs. Pure, standard library only."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054  # standard normal quantile of 0.975


def wilson(correct: float, n: float) -> tuple[float, float]:
    """Wilson's 95% interval of a share (Wilson 1927): honest for small n and near 0 and 1. (0, 1) where n is 0.

    Counts averaged over several trainings need not be whole."""
    if n == 0:
        return 0.0, 1.0
    share = correct / n
    scale = 1 + Z_95**2 / n
    centre = (share + Z_95**2 / (2 * n)) / scale
    half = Z_95 * math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n * n)) / scale
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def paired_interval(both: float, only_first: float, only_second: float, neither: float) -> tuple[float, float]:
    """95% interval of share(first) - share(second), both counted on the same pictures.

    Newcombe's method 10 (Statistics in Medicine 17, 1998, 2635-2650): Wilson's limits of each, joined by their
    correlation. (-1, 1) where there are no pictures.
    """
    n = both + only_first + only_second + neither
    if n == 0:
        return -1.0, 1.0
    first, second = both + only_first, both + only_second
    (low1, high1), (low2, high2) = wilson(first, n), wilson(second, n)
    p1, p2 = first / n, second / n
    product = first * (n - first) * second * (n - second)
    cross = both * neither - only_first * only_second
    cross_corrected = max(cross - n / 2, 0.0) if cross >= 0 else float(cross)  # Newcombe's continuity correction
    phi = cross_corrected / math.sqrt(product) if product else 0.0
    below = _joined(p1 - low1, high2 - p2, phi)
    above = _joined(high1 - p1, p2 - low2, phi)
    difference = p1 - p2
    return max(-1.0, difference - below), min(1.0, difference + above)


def binomial_tail(least: int, n: int, chance: float) -> float:
    """The probability of at least `least` of n, each with this chance; 1 up to the mean and one more.

    There, and only there, it also bounds that of n unequal chances with this mean (Hoeffding, Annals of Mathematical
    Statistics 27, 1956, 713-721).
    """
    if least < n * chance + 1:
        return 1.0
    if chance <= 0:
        return 0.0
    total = 0.0
    for k in range(least, n + 1):
        ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        rest = (n - k) * math.log1p(-chance) if k < n else 0.0
        term = math.exp(ways + k * math.log(chance) + rest)
        total += term
        if term < total * 1e-12:  # beyond the mean they only get smaller
            break
    return min(1.0, total)


def _joined(a: float, b: float, phi: float) -> float:
    return math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))
