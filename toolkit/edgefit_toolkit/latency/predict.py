"""How long a network takes on a device that is not here: what its cores or GPU promise, pulled to its points. Pure.

    p50_ms = matmul_scale * matmul_ms + other_scale * other_ms + fixed_ms

speed.py (CPU) and gpu.py give the two parts; with nothing else known of a device both scales are 1. Every latency point
of its profile, published or measured by `edgefit calibrate`, pulls the scales and the fixed cost towards itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgefit_toolkit.devices.profile import DeviceProfile, Point
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.latency.gpu import Gpu, gpus
from edgefit_toolkit.latency.points import FIXED_MS, fit_points
from edgefit_toolkit.latency.speed import Speed, core_data, cpu_speed
from edgefit_toolkit.network.graph import Operator
from edgefit_toolkit.records import Latency, Precision, Variant


@dataclass(frozen=True)
class Terms:
    """One device's own part of the prediction, for one precision."""

    matmul_scale: float
    other_scale: float
    fixed_ms: float
    basis: str  # "published" | "measured here" | "scaled"
    sentence: str
    share: float  # half-width of the 80% interval, as a factor minus one
    known_ms: tuple[float, float] | None = None  # latencies that the points span

    def ms(self, work: tuple[float, float]) -> float:
        """p50 of a network whose parts take this long by the promise."""
        return self.matmul_scale * work[0] + self.other_scale * work[1] + self.fixed_ms


def predict(
    variant: Variant, profile: DeviceProfile, precision: Precision = "int8", *, percentile: int = 90
) -> Latency:
    """Predicted latency in ms with an 80% interval of the given percentile (50 or 90).

    int8 and float32 run on the CPU with the profile's threads, float16 on the GPU. Raises InputError where nothing is
    known of that precision on the device.
    """
    return _latency(promise(profile, precision).variant_ms(variant), profile, precision, percentile)


def predict_graph(
    graph: tuple[Operator, ...], profile: DeviceProfile, precision: Precision = "int8", *, percentile: int = 90
) -> Latency:
    """The same for the operators of any network."""
    return _latency(promise(profile, precision).graph_ms(graph), profile, precision, percentile)


def operator_us(layer: Operator, profile: DeviceProfile, precision: Precision = "int8") -> float:
    """What one operator is predicted to cost on the device, in microseconds, without the fixed cost of an inference."""
    terms = fit_terms(profile, precision)
    return 1000 * (terms.ms(promise(profile, precision).operator_ms(layer)) - terms.fixed_ms)


def fit_terms(profile: DeviceProfile, precision: Precision) -> Terms:
    """The device's scales and fixed cost: from its points of this precision, held to what its cores promise."""
    speed = promise(profile, precision)
    points = _usable(profile, precision)
    intervals = core_data()["interval"]
    if not points:
        if isinstance(speed, Gpu):
            sentence = f"published: {speed.rows} {precision} latencies of the {profile.gpu} ({speed.source})"
            return Terms(1.0, 1.0, speed.fixed_ms, "published", sentence, speed.interval)
        sentence = f"scaled: no published latency of this class on this device; from its cores ({_cores(profile)}, "
        sentence += f"the fastest {_EVIDENCE[speed.evidence]}) by {speed.reference}"
        several = "several" if profile.threads > 1 else "one"
        return Terms(1.0, 1.0, FIXED_MS, "scaled", sentence, intervals[several][speed.evidence])
    matmul_scale, other_scale, fixed_ms = fit_points(tuple(points), speed)
    seen = [point.latency_ms for point in points]
    where = "; ".join(dict.fromkeys(profile.sources[point.source] for point in points))
    basis = "measured here" if points[0].measured else "published"
    sentence = f"{basis}: {len(points)} {precision} latenc{'ies' if len(points) > 1 else 'y'} of this device ({where})"
    share = intervals["points"][basis] if len(points) > 1 else intervals["points"]["one point"]
    return Terms(matmul_scale, other_scale, fixed_ms, basis, sentence, share, (min(seen), max(seen)))


def promise(profile: DeviceProfile, precision: Precision) -> Speed | Gpu:
    """What is known of the device beside its points. Raises InputError for a GPU that nothing is known of."""
    if precision != "float16":
        return cpu_speed(profile, precision)
    if profile.gpu in gpus():
        return gpus()[profile.gpu]
    if not _usable(profile, precision):
        raise InputError(
            f"nothing is known of {precision} on the GPU of {profile.title}",
            "plan for int8, which runs on the CPU, or add a measured point to the profile",
        )
    # a start that the profile's own points move
    return sorted(gpus().values(), key=lambda gpu: gpu.ms_per_mb)[len(gpus()) // 2]


def _usable(profile: DeviceProfile, precision: Precision) -> list[Point]:
    """The points that count: with the profile's threads, and the user's own alone where there are any.

    A GPU's published points are among the rows of gpus.toml already.
    """
    points = [point for point in profile.points_of(precision) if point.threads in (0, profile.threads)]
    own = [point for point in points if point.measured]
    return own or ([] if precision == "float16" and profile.gpu in gpus() else points)


def _latency(work: tuple[float, float], profile: DeviceProfile, precision: Precision, percentile: int) -> Latency:
    terms = fit_terms(profile, precision)
    p50 = terms.ms(work)
    p90 = p50 * (profile.p90_over_p50 or core_data()["spread"]["p90_over_p50"])
    middle = p50 if percentile <= 50 else p90
    spread = 1 + _interval(terms, p50)
    return Latency(p50, p90, middle / spread, middle * spread, "predicted", terms.sentence)


def _interval(terms: Terms, p50_ms: float) -> float:
    """Half-width of the 80% interval as a share, wider outside of what the device's points span."""
    if terms.known_ms is None:
        return terms.share
    low, high = terms.known_ms
    outside = max(0.0, math.log2(low / p50_ms), math.log2(p50_ms / high))
    return terms.share * (1 + outside)


def _cores(profile: DeviceProfile) -> str:
    return " + ".join(f"{core.count}x {core.kind} {core.clock_ghz:g} GHz" for core in profile.cores)


_EVIDENCE = {
    "seen": "seen in another device",
    "modelled": "known by its pipeline model only",
    "stand-in": "known by a related core's model only",
    "nothing": "of a kind that nothing is known of",
}
