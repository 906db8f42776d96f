"""How long a network takes on a device that is not here: microseconds of work per operator, summed. Pure.

    latency_ms = scale * sum(work_us of every operator) / 1000 + fixed_ms

`work_us` is the engine's: what one operator costs in compute, memory and start on the engine's reference device
(latency_model.toml; an engine is a precision on a kind of kernel, such as int8 with SDOT). `scale` and `fixed_ms` are
the device's: from its cores and clocks when nothing else is known, pulled to its published or measured points where
there are some, and replaced by its own fit once `edgefit calibrate` has measured it.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgefit_toolkit.devices import DeviceProfile, Point
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.records import Latency, Precision, Variant
from edgefit_toolkit.scaling import Layer, layers, released, variant_from_phi

MODEL_FILE = Path(__file__).with_name("latency_model.toml")
POINT_SIGMA = 0.03  # relative: published figures have two digits
SCALE_SIGMA, FIXED_SIGMA = 0.35, 0.5  # relative: how far cores and clocks alone may be trusted


@dataclass(frozen=True)
class Engine:
    """Kernels of one precision on one kind of processor, timed on a reference device."""

    name: str
    reference: str  # the device and threads that the microseconds are for
    us_per_mmadds: dict[str, float]  # by operator kind
    us_per_melement: float  # a million input and output elements moved
    per_op_us: float
    fixed_ms: float
    reference_ghz: float  # core throughput of the reference: sum of GHz * (work per GHz of the core)


@dataclass(frozen=True)
class Terms:
    """One device's own part of the prediction."""

    scale: float  # times the engine's work
    fixed_ms: float
    basis: str  # "published" | "measured here" | "calibrated" | "scaled": which interval applies
    sentence: str
    known_ms: tuple[float, float] | None = None  # latencies that the points span


def predict(
    variant: Variant, profile: DeviceProfile, precision: Precision = "int8", *, percentile: int = 90
) -> Latency:
    """Predicted latency in ms with an 80% interval of the given percentile (50 or 90).

    int8 and float32 run on the CPU with the profile's threads, float16 on the GPU.
    """
    terms = fit_terms(profile, precision)
    engine = engine_of(profile, precision)
    p50 = terms.scale * work_ms(variant, engine) + terms.fixed_ms
    p90 = p50 * (profile.p90_over_p50 or _model()["spread"]["p90_over_p50"])
    middle = p50 if percentile <= 50 else p90
    spread = 1 + _interval(terms, p50)
    return Latency(p50, p90, middle / spread, middle * spread, "predicted", terms.sentence)


def engine_of(profile: DeviceProfile, precision: Precision) -> Engine:
    """Which kernels run this precision on this device."""
    if precision == "float16":
        return _engine("float16-gpu")
    if profile.architecture == "x86_64":
        return _engine(f"{precision}-x86")
    if precision == "float32":
        return _engine("float32-neon")
    return _engine("int8-dotprod" if profile.dotprod else "int8-neon")


def work_ms(variant: Variant, engine: Engine) -> float:
    """What all operators cost on the engine's reference device, in ms."""
    return sum(layer_us(layer, engine) for layer in layers(variant)) / 1000


def layer_us(layer: Layer, engine: Engine) -> float:
    """What one operator costs on the engine's reference device, in microseconds."""
    elements = math.prod(layer.in_shape) + math.prod(layer.out_shape)
    compute = engine.us_per_mmadds.get(layer.kind, 0.0) * layer.madds
    return (compute + engine.us_per_melement * elements) / 1e6 + engine.per_op_us


@lru_cache(maxsize=256)
def _point_variant(point: Point) -> Variant:
    if point.phi is None:
        return released(point.network)
    return variant_from_phi(point.phi, "b" if point.network == "b" else "lite")


def fit_terms(profile: DeviceProfile, precision: Precision) -> Terms:
    """The device's scale and fixed cost: its own fit, else its points, else its cores and clocks."""
    engine = engine_of(profile, precision)
    if fit := profile.fits.get(precision):
        sentence = f"calibrated: {profile.sources[fit.source]}"
        return Terms(fit.scale, fit.fixed_ms, "calibrated", sentence)
    points = [point for point in profile.points_of(precision) if point.threads in (0, profile.threads)]
    prior = _core_scale(profile, engine)
    if prior is None:
        if not points:
            raise InputError(
                f"nothing is known of {precision} on {profile.title}: no published point, and its GPU has no scale",
                "plan for int8, which runs on the CPU",
            )
        prior = 1.0
    if not points:
        sentence = (
            f"scaled: no published EfficientNet latency of this device; its cores ({_cores(profile)}) against "
            f"{engine.reference.split(':')[0]}"
        )
        return Terms(prior, engine.fixed_ms, "scaled", sentence)
    pairs = [(work_ms(_point_variant(point), engine), point.latency_ms) for point in points]
    scale, fixed_ms = _least_squares(pairs, prior, engine.fixed_ms)
    seen = [latency for _, latency in pairs]
    where = "; ".join(dict.fromkeys(profile.sources[point.source] for point in points))
    basis = profile.basis if profile.basis != "scaled" else "published"
    sentence = f"{basis}: {len(points)} {precision} points of this device ({where})"
    return Terms(scale, fixed_ms, basis, sentence, (min(seen), max(seen)))


def _least_squares(pairs: Sequence[tuple[float, float]], prior: float, fixed_prior: float) -> tuple[float, float]:
    """(scale, fixed_ms) with the least relative error over (work, latency) pairs, held to the priors.

    The normal equations of two unknowns; each prior is one more equation, so one point, or none, has an answer too.
    """
    rows = [(work / (POINT_SIGMA * ms), 1 / (POINT_SIGMA * ms), 1 / POINT_SIGMA) for work, ms in pairs]
    rows.append((1 / (SCALE_SIGMA * prior), 0.0, 1 / SCALE_SIGMA))
    rows.append((0.0, 1 / (FIXED_SIGMA * fixed_prior), 1 / FIXED_SIGMA))
    aa, ab, bb = (sum(r[i] * r[j] for r in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    ay, by = (sum(r[i] * r[2] for r in rows) for i in (0, 1))
    fixed_ms = (aa * by - ab * ay) / (aa * bb - ab * ab)
    if fixed_ms <= 0:
        return ay / aa, 0.0
    return (ay - ab * fixed_ms) / aa, fixed_ms


def _core_scale(profile: DeviceProfile, engine: Engine) -> float | None:
    """The reference's core throughput over this device's, for the threads that the profile is for. None for a GPU."""
    if not engine.reference_ghz:
        return None
    per_ghz: dict[str, float] = _model()["cores"]
    for core in profile.cores:
        if core.kind not in per_ghz:
            raise InputError(
                f"{profile.path}: nothing is known of {core.kind!r} cores; known: {', '.join(sorted(per_ghz))}",
                "name the nearest known microarchitecture, and say so in the profile's note",
            )
    each = [core.clock_ghz * per_ghz[core.kind] for core in profile.cores for _ in range(core.count)]
    return engine.reference_ghz / sum(sorted(each, reverse=True)[: profile.threads])


def _interval(terms: Terms, p50_ms: float) -> float:
    """Half-width of the 80% interval as a share, wider outside of what the device's points span."""
    share: float = _model()["interval"][terms.basis]
    if terms.known_ms is None:
        return share
    low, high = terms.known_ms
    outside = max(0.0, math.log2(low / p50_ms), math.log2(p50_ms / high))
    return share * (1 + outside)


def _cores(profile: DeviceProfile) -> str:
    return " + ".join(f"{core.count}x {core.kind} {core.clock_ghz:g} GHz" for core in profile.cores)


@lru_cache(maxsize=32)
def _engine(name: str) -> Engine:
    return Engine(name=name, **_model()["engines"][name])


@lru_cache(maxsize=1)
def _model() -> dict[str, Any]:
    return tomllib.loads(MODEL_FILE.read_text(encoding="utf-8"))
