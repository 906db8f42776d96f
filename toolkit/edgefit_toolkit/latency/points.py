"""A device's own latencies against what its cores or GPU promise: two scales and a fixed cost. Pure.

Three unknowns and a handful of points: each is held to a prior. Published points may be of older software, whose
operators outside of matrix products cost another share. So how much those count, and how loosely the fixed cost is
held, is left to the points where there are enough of them: every choice is weighed by how well it predicts each point
from the others, and the answers are averaged. Choices that the figures' own digits cannot tell apart count alike.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from edgefit_toolkit.devices.profile import Point
from edgefit_toolkit.latency.gpu import Gpu
from edgefit_toolkit.latency.least_squares import solve
from edgefit_toolkit.latency.speed import Speed
from edgefit_toolkit.network.scaling import released, variant_from_phi
from edgefit_toolkit.records import Variant

POINT_SIGMA = 0.03  # relative: a published figure has two digits, a measured one this much noise
SCALE_SIGMA = 0.35  # how far convolutions may be off the pace that the points have as a whole
RATIO_SIGMA = 0.2  # how far the cost of matrix products may move without that of everything else
FIXED_MS = 0.1  # of one inference beyond its operators' calls: hardly known
ROUNDS = 4  # of weighing the points
ENOUGH = 4  # points that can tell which priors suit them

Fit = tuple[float, float, float]  # matmul_scale, other_scale, fixed_ms


@dataclass(frozen=True)
class Priors:
    """The two constants that may be chosen by leaving points out."""

    other: float = 1.0  # scale of everything else over that of matrix products
    fixed_sigma_ms: float = 1.0


OPTIONS = tuple(Priors(other, sigma) for other, sigma in product((1.0, 0.3, 0.1, 0.03), (1.0, 3.0, 10.0)))


@lru_cache(maxsize=256)
def fit_points(points: tuple[Point, ...], speed: Speed | Gpu) -> Fit:
    """(matmul_scale, other_scale, fixed_ms) of the device that these points were seen on."""
    if len(points) < ENOUGH:
        return solve_points(points, speed, Priors())
    each = [solve_points(points, speed, priors) for priors in OPTIONS]
    weights = [_likelihood(points, speed, priors) for priors in OPTIONS]
    matmul, other, fixed = (
        math.fsum(weight * value for weight, value in zip(weights, values, strict=True)) / math.fsum(weights)
        for values in zip(*each, strict=True)
    )
    return matmul, other, fixed


def _likelihood(points: Sequence[Point], speed: Speed | Gpu, priors: Priors) -> float:
    """How likely the points are, each predicted from the others; relative, at their own precision."""
    errors = [left_out(points, index, speed, priors) for index in range(len(points))]
    return math.exp(-math.fsum((error / POINT_SIGMA) ** 2 for error in errors) / 2)


def left_out(points: Sequence[Point], index: int, speed: Speed | Gpu, priors: Priors) -> float:
    """Relative error on one point, predicted from the others."""
    held = points[index]
    fit = solve_points([point for at, point in enumerate(points) if at != index], speed, priors)
    return sum(a * x for a, x in zip(_row(held, speed), fit, strict=True)) - 1


def solve_points(points: Sequence[Point], speed: Speed | Gpu, priors: Priors) -> Fit:
    """The unknowns with the least relative error over the points, held to the priors.

    Points far off the rest count less (a Student-like weight, a few rounds): one probe that something else on the
    machine disturbed must not bend the others.
    """
    rows = [_row(point, speed) for point in points]
    pace = statistics.median(1 / (matmul + other) for matmul, other, _ in rows)  # of the device, over its promise
    fixed_ms = pace * (speed.fixed_ms if isinstance(speed, Gpu) else FIXED_MS)
    fixed_sigma_ms = pace * priors.fixed_sigma_ms
    held = [
        ([1 / (SCALE_SIGMA * pace), 0.0, 0.0], 1 / SCALE_SIGMA),
        ([priors.other / (RATIO_SIGMA * pace), -1 / (RATIO_SIGMA * pace), 0.0], 0.0),
        ([0.0, 0.0, 1 / fixed_sigma_ms], fixed_ms / fixed_sigma_ms),
    ]
    sigmas = [POINT_SIGMA] * len(points)
    fit: Fit = (pace, pace * priors.other, fixed_ms)
    for _ in range(ROUNDS):
        scaled = [([part / sigma for part in row], 1 / sigma) for row, sigma in zip(rows, sigmas, strict=True)]
        matmul, other, fixed = solve(scaled + held)
        fit = (matmul, other, fixed)
        errors = [sum(a * x for a, x in zip(row, fit, strict=True)) - 1 for row in rows]
        sigmas = [math.hypot(POINT_SIGMA, error) for error in errors]
    return fit


def _row(point: Point, speed: Speed | Gpu) -> list[float]:
    """What the unknowns are multiplied by, over the point's latency."""
    matmul, other = speed.variant_ms(point_variant(point))
    return [matmul / point.latency_ms, other / point.latency_ms, 1 / point.latency_ms]


@lru_cache(maxsize=256)
def point_variant(point: Point) -> Variant:
    """The network that was timed (1000 classes)."""
    if point.phi is None:
        return released(point.network)
    return variant_from_phi(point.phi, point.network)
