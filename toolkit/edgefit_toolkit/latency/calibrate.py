"""A few measured probes turn a profile into one of this very device. Pure: who measures is somebody else's part."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from edgefit_toolkit.devices.profile import DeviceProfile, Point
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.latency.predict import predict
from edgefit_toolkit.network.scaling import variant_from_phi
from edgefit_toolkit.records import Precision, Variant

# spread over the latencies that budgets ask for; about 0.2 to 3 G multiply-adds
PROBE_PHIS = (-2.0, -0.5, 0.8, 2.0, 3.0)
FEW = {1: (0.8,), 2: (-0.5, 2.0)}  # nearer to the middle, where one scale is right for most budgets
MOST_PROBES = len(PROBE_PHIS)
MEASURED = "measured"  # the source's name in the profile

Probe = tuple[Variant, float]  # and its p50 in ms


@dataclass(frozen=True)
class Calibration:
    """The fitted profile, and how well it and the old one predict the probes."""

    profile: DeviceProfile
    before_percent: tuple[float, ...]  # error of the old profile on each probe, signed
    after_percent: tuple[float, ...]  # error of a profile fitted to the other probes, signed; empty for one probe

    @property
    def sentence(self) -> str:
        """Both errors in words."""
        if not self.after_percent:
            return (
                f"predicted {self.before_percent[0]:+.0f}% off before; one probe sets the speed and cannot check "
                "itself: measure two or more to know the error"
            )
        before, after = (statistics.median(map(abs, errors)) for errors in (self.before_percent, self.after_percent))
        worst = [max(map(abs, errors)) for errors in (self.before_percent, self.after_percent)]
        return (
            f"predicted with a median error of {before:.0f}% (worst {worst[0]:.0f}%) before, "
            f"{after:.0f}% (worst {worst[1]:.0f}%) after, each probe predicted from the others"
        )


def probes(count: int = len(PROBE_PHIS)) -> tuple[Variant, ...]:
    """Networks to measure, 1 to 5 of them, smallest first."""
    if not 1 <= count <= MOST_PROBES:
        raise InputError(f"{count} probes; 1 to {MOST_PROBES} are possible")
    step = (MOST_PROBES - 1) / max(1, count - 1)
    phis = FEW.get(count) or tuple(PROBE_PHIS[round(index * step)] for index in range(count))
    return tuple(variant_from_phi(phi) for phi in phis)


def fit_profile(
    profile: DeviceProfile,
    measured: Sequence[Probe],
    *,
    source: str,
    threads: int | None = None,
    precision: Precision = "int8",
) -> Calibration:
    """The profile with these latencies as its own points of that precision; earlier measured ones are replaced.

    `source` says what measured them (tool, version, date); `threads` becomes the profile's. Raises InputError for no
    probe, a latency that is none, or a network that a profile cannot name (neither released nor of a phi).
    """
    if not measured:
        raise InputError("no probe was measured; one is needed for the device's speed")
    for variant, p50_ms in measured:
        if not (math.isfinite(p50_ms) and p50_ms > 0):
            raise InputError(f"{variant.label} was measured at {p50_ms} ms; it must be a positive number")
    threads = threads or profile.threads
    points = [_point(variant, p50_ms, threads, precision) for variant, p50_ms in measured]
    fitted = _with_points(profile, points, source)
    before = [predict(variant, dataclasses.replace(profile, threads=threads), precision).p50 for variant, _ in measured]
    after = []
    for left_out, (variant, _) in enumerate(measured if len(measured) > 1 else []):
        others = [point for index, point in enumerate(points) if index != left_out]
        after.append(predict(variant, _with_points(profile, others, source), precision).p50)
    return Calibration(fitted, _percent(before, measured), _percent(after, measured if after else []))


def _with_points(profile: DeviceProfile, points: list[Point], source: str) -> DeviceProfile:
    precision, threads = points[0].precision, points[0].threads
    kept = [point for point in profile.points if not (point.measured and point.precision == precision)]
    used = {profile.source, profile.soc_source, *(core.source for core in profile.cores)}
    used |= {point.source for point in kept}
    sources = {name: text for name, text in profile.sources.items() if name in used}
    own = f"{MEASURED}-{precision}"
    points = [dataclasses.replace(point, source=own) for point in points]
    return dataclasses.replace(
        profile,
        basis="measured here",
        threads=threads or profile.threads,
        points=(*kept, *points),
        sources={**sources, own: source},
    )


def _point(variant: Variant, p50_ms: float, threads: int, precision: Precision) -> Point:
    if not variant.released and variant_from_phi(variant.phi, variant.family, variant.classes) != variant:
        raise InputError(f"{variant.label} is neither a released network nor that of its phi, so it cannot be a probe")
    network, phi = (variant.released, None) if variant.released else (variant.family, variant.phi)
    return Point(
        network=network,
        precision=precision,
        threads=0 if precision == "float16" else threads,
        latency_ms=p50_ms,
        stat="p50",
        source=MEASURED,
        phi=phi,
        measured=True,
    )


def _percent(predicted: Sequence[float], measured: Sequence[Probe]) -> tuple[float, ...]:
    return tuple(100 * (value / p50_ms - 1) for value, (_, p50_ms) in zip(predicted, measured, strict=True))
