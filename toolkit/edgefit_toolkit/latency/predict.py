"""How long a network takes on a device that is not here: work of every operator, over the speed of the cores. Pure.

    p50_ms = matmul_scale * matmul_ms + other_scale * other_ms + fixed_ms
    *_ms   = cycles per instruction * millions of instructions (kernels.py) / speed of the cores in use (cores.toml)

With nothing else known of a device both scales are 1: a prediction from microarchitecture and clocks. Every latency
point of its profile, published or measured by `edgefit calibrate`, pulls the scales and the fixed cost towards itself.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgefit_toolkit.devices import DeviceProfile, Point
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.latency.kernels import Engine, engine, engine_name, operator_work, variant_work
from edgefit_toolkit.latency.least_squares import solve
from edgefit_toolkit.network.graph import Operator
from edgefit_toolkit.network.scaling import released, variant_from_phi
from edgefit_toolkit.records import Latency, Precision, Variant

CORES_FILE = Path(__file__).with_name("cores.toml")
POINT_SIGMA = 0.03  # relative: a published figure has two digits, a measured one this much noise
SCALE_SIGMA = 0.35  # how far cores and clocks alone may be off
RATIO_SIGMA = 0.2  # how far the cost of matrix products may move without that of everything else
ROUNDS = 4  # of weighing the points
FIXED_SIGMA = 3.0  # relative: hardly known; with 0.7 the Pixel 4's int8 points are missed by 5% instead of 2%


@dataclass(frozen=True)
class Terms:
    """One device's own part of the prediction, for one precision."""

    matmul_scale: float
    other_scale: float
    fixed_ms: float
    basis: str  # "published" | "measured here" | "scaled": which interval applies
    sentence: str
    known_ms: tuple[float, float] | None = None  # latencies that the points span


@dataclass(frozen=True)
class Speed:
    """What microarchitecture and clocks promise, for one precision."""

    kernels: Engine
    ms_per_million: float  # instructions
    fixed_ms: float
    reference: str  # what taught the model, for the basis sentence


def predict(
    variant: Variant, profile: DeviceProfile, precision: Precision = "int8", *, percentile: int = 90
) -> Latency:
    """Predicted latency in ms with an 80% interval of the given percentile (50 or 90).

    int8 and float32 run on the CPU with the profile's threads, float16 on the GPU. Raises InputError where nothing is
    known of that precision on the device.
    """
    terms = fit_terms(profile, precision)
    p50 = _p50(variant, core_speed(profile, precision), terms)
    p90 = p50 * (profile.p90_over_p50 or _data()["spread"]["p90_over_p50"])
    middle = p50 if percentile <= 50 else p90
    spread = 1 + _interval(terms, p50)
    return Latency(p50, p90, middle / spread, middle * spread, "predicted", terms.sentence)


def operator_us(operator: Operator, profile: DeviceProfile, precision: Precision = "int8") -> float:
    """What one operator is predicted to cost on the device, in microseconds, without the fixed cost of an inference."""
    terms, speed = fit_terms(profile, precision), core_speed(profile, precision)
    matmul, other = operator_work(operator, speed.kernels)
    return 1000 * speed.ms_per_million * (terms.matmul_scale * matmul + terms.other_scale * other)


def fit_terms(profile: DeviceProfile, precision: Precision) -> Terms:
    """The device's scales and fixed cost: from its points of this precision, held to what its cores promise."""
    speed = core_speed(profile, precision)
    points = _usable(profile, precision)
    if not points:
        if precision == "float16":
            raise InputError(
                f"nothing is known of {precision} on the GPU of {profile.title}",
                "plan for int8, which runs on the CPU, or add a measured point to the profile",
            )
        sentence = f"scaled: no published latency of this class on this device; from its cores ({_cores(profile)})"
        return Terms(1.0, 1.0, speed.fixed_ms, "scaled", f"{sentence} by {speed.reference}")
    matmul_scale, other_scale, fixed_ms = _solve_terms(points, speed)
    seen = [point.latency_ms for point in points]
    where = "; ".join(dict.fromkeys(profile.sources[point.source] for point in points))
    basis = "measured here" if points[0].measured else "published"
    sentence = f"{basis}: {len(points)} {precision} latenc{'ies' if len(points) > 1 else 'y'} of this device ({where})"
    return Terms(matmul_scale, other_scale, fixed_ms, basis, sentence, (min(seen), max(seen)))


def _solve_terms(points: list[Point], speed: Speed) -> tuple[float, ...]:
    """(matmul_scale, other_scale, fixed_ms) with the least relative error over the points, held to the priors.

    Points far off the rest count less (a Student-like weight, three rounds): one probe that something else on the
    machine disturbed must not bend the others.
    """
    priors = [
        ([1 / SCALE_SIGMA, 0.0, 0.0], 1 / SCALE_SIGMA),
        ([1 / RATIO_SIGMA, -1 / RATIO_SIGMA, 0.0], 0.0),
        ([0.0, 0.0, 1 / (FIXED_SIGMA * speed.fixed_ms)], 1 / FIXED_SIGMA),
    ]
    rows = []
    for point in points:
        work = variant_work(point_variant(point), speed.kernels.name)
        rows.append([part * speed.ms_per_million / point.latency_ms for part in work] + [1 / point.latency_ms])
    sigmas = [POINT_SIGMA] * len(points)
    for _ in range(ROUNDS):
        scaled = [([part / sigma for part in row], 1 / sigma) for row, sigma in zip(rows, sigmas, strict=True)]
        terms = solve(scaled + priors)
        errors = [sum(a * x for a, x in zip(row, terms, strict=True)) - 1 for row in rows]
        sigmas = [math.hypot(POINT_SIGMA, error) for error in errors]
    return terms


def _usable(profile: DeviceProfile, precision: Precision) -> list[Point]:
    """The points that count: with the profile's threads, and the user's own alone where there are any."""
    points = [point for point in profile.points_of(precision) if point.threads in (0, profile.threads)]
    return [point for point in points if point.measured] or points


def core_speed(profile: DeviceProfile, precision: Precision) -> Speed:
    """What the profile's cores, clocks and threads promise. Raises InputError for a core that nothing is known of."""
    data = _data()
    kernels = engine(engine_name(precision, profile.architecture, profile.dotprod, profile.i8mm))
    own = data["engines"][kernels.name]
    if precision == "float16":
        return Speed(kernels, own["cycles_per_instruction"], own["fixed_ghz_ms"], own["reference"])
    per_ghz: dict[str, float] = data["per_ghz"][precision]
    for core in profile.cores:
        if core.kind not in per_ghz:
            raise InputError(
                f"{profile.path}: nothing is known of {core.kind!r} cores; known: {', '.join(sorted(per_ghz))}",
                "name the nearest known microarchitecture, and say so in the profile's note",
            )
    each = sorted((c.clock_ghz * per_ghz[c.kind] for c in profile.cores for _ in range(c.count)), reverse=True)
    used = each[: profile.threads]
    speed = sum(used) * len(used) ** -data["thread_loss"][profile.kind]
    fixed = own["fixed_ghz_ms"][0 if len(used) == 1 else 1]
    return Speed(kernels, own["cycles_per_instruction"] / speed, fixed / each[0], own["reference"])


@lru_cache(maxsize=256)
def point_variant(point: Point) -> Variant:
    """The network that was timed (1000 classes)."""
    if point.phi is None:
        return released(point.network)
    return variant_from_phi(point.phi, point.network)


def _p50(variant: Variant, speed: Speed, terms: Terms) -> float:
    matmul, other = variant_work(variant, speed.kernels.name)
    return speed.ms_per_million * (terms.matmul_scale * matmul + terms.other_scale * other) + terms.fixed_ms


def _interval(terms: Terms, p50_ms: float) -> float:
    """Half-width of the 80% interval as a share, wider outside of what the device's points span."""
    share: float = _data()["interval"][terms.basis]
    if terms.known_ms is None:
        return share
    low, high = terms.known_ms
    outside = max(0.0, math.log2(low / p50_ms), math.log2(p50_ms / high))
    return share * (1 + outside)


def _cores(profile: DeviceProfile) -> str:
    return " + ".join(f"{core.count}x {core.kind} {core.clock_ghz:g} GHz" for core in profile.cores)


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    return tomllib.loads(CORES_FILE.read_text(encoding="utf-8"))
