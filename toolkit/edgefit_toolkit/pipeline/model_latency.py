"""What any network is predicted to take on a device: one of ours by name or phi, or the operators of a .tflite file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgefit_toolkit.devices.profile import DeviceProfile
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.latency.predict import operator_us, predict_graph
from edgefit_toolkit.network.families import released_names
from edgefit_toolkit.network.graph import Operator, operators
from edgefit_toolkit.network.scaling import released, variant_from_phi
from edgefit_toolkit.records import Latency, Precision

SCHEMA = "edgefit.latency/1"
TITLES = {"conv": "convolution", "pointwise": "pointwise convolution", "depthwise": "depthwise convolution"}
TITLES |= {
    "fc": "fully connected",
    "add": "elementwise",
    "act": "activation",
    "pool": "pooling",
    "se": "squeeze-excite",
}


@dataclass(frozen=True)
class KindTime:
    """All operators of one kind together."""

    kind: str
    count: int
    ms: float


@dataclass(frozen=True)
class ModelLatency:
    """The prediction and what it is made of."""

    model: str
    device: str
    precision: Precision
    threads: int  # 0: the GPU
    latency: Latency
    kinds: tuple[KindTime, ...]  # the dearest first
    unknown: dict[str, int]  # operators without a known cost: not in the figures


def predict_model(
    model: str, profile: DeviceProfile, precision: Precision | None = None, threads: int | None = None
) -> ModelLatency:
    """`model`: lite0..lite4, b0..b7, a phi, or the path of a .tflite. Raises InputError for anything else, or where
    nothing is known of the precision on the device."""
    if threads is not None:
        profile = replace(profile, threads=threads)
    label, graph, unknown, own = _graph(model)
    precision = precision or own
    counts: dict[str, list[float]] = {}
    for layer in graph:
        counts.setdefault(TITLES[layer.kind], []).append(operator_us(layer, profile, precision) / 1000)
    kinds = [KindTime(kind, len(each), sum(each)) for kind, each in counts.items()]
    return ModelLatency(
        model=label,
        device=profile.name,
        precision=precision,
        threads=0 if precision == "float16" else profile.threads,
        latency=predict_graph(graph, profile, precision),
        kinds=tuple(sorted(kinds, key=lambda row: -row.ms)),
        unknown=unknown,
    )


def latency_json(found: ModelLatency) -> dict[str, object]:
    """The document `edgefit.latency/1`."""
    return {
        "schema": SCHEMA,
        "model": found.model,
        "device": found.device,
        "precision": found.precision,
        "threads": found.threads,
        "latency_ms": vars(found.latency),
        "operators": [vars(row) for row in found.kinds],
        "unknown_operators": found.unknown,
    }


def _graph(model: str) -> tuple[str, tuple[Operator, ...], dict[str, int], Precision]:
    if model.lower() in released_names():
        variant = released(model)
        return variant.label, operators(variant), {}, "int8"
    try:
        variant = variant_from_phi(float(model))
        return variant.label, operators(variant), {}, "int8"
    except ValueError:
        pass
    from edgefit_converters.tflite.operators import read_operators

    found = read_operators(Path(model))
    if not found.layers:
        raise InputError(f"{model} has no operator that the predictor knows", "`edgefit inspect` shows what is inside")
    return Path(model).name, found.layers, found.unknown, found.precision
