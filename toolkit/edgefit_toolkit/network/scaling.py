"""Compound scaling: one real number phi becomes a whole EfficientNet, with its cost, without torch.

    depth = 1.2^phi    width = 1.1^phi    resolution = 224 px * 1.15^phi

Source: Tan & Le, "EfficientNet" (ICML 2019), section 3.3.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

from edgefit_toolkit.errors import ScalingError
from edgefit_toolkit.network.blocks import check_factor, check_factors
from edgefit_toolkit.network.families import DEFAULT_FAMILY, FAMILIES, ReleasedSpec, family_named, released_names
from edgefit_toolkit.network.graph import madds, operators, params
from edgefit_toolkit.records import Variant

DEPTH_BASE, WIDTH_BASE, RESOLUTION_BASE = 1.2, 1.1, 1.15  # alpha, beta, gamma: alpha * beta^2 * gamma^2 is about 2
BASE_RESOLUTION_PX = 224
RESOLUTION_STEP_PX = 2  # even sizes: the fine knob of phi, and the first (stride 2) layer loses no row
MIN_RESOLUTION_PX = 32  # five halvings leave one pixel
MAX_RESOLUTION_PX = 8192


def round_resolution(resolution_px: float) -> int:
    """Nearest even number of pixels (halves go up), at least 32."""
    steps = math.floor(resolution_px / RESOLUTION_STEP_PX + 0.5)
    return max(MIN_RESOLUTION_PX, steps * RESOLUTION_STEP_PX)


def factors(phi: float) -> tuple[float, float, int]:
    """(width, depth, resolution_px) of the published formula. Raises ScalingError where no network follows."""
    return _factors(phi, WIDTH_BASE, DEPTH_BASE, RESOLUTION_BASE)


def variant_from_phi(
    phi: float,
    family: str = DEFAULT_FAMILY,
    classes: int = 1000,
    *,
    scale_width: float = WIDTH_BASE,
    scale_depth: float = DEPTH_BASE,
    scale_resolution: float = RESOLUTION_BASE,
) -> Variant:
    """The network of any real phi; the same phi gives the same network.

    Other bases than the published ones give the network of those bases; its `phi` is then the published formula's
    equivalent (see `equivalent_phi`), so that all variants stand on one axis.
    """
    width, depth, resolution_px = _factors(phi, scale_width, scale_depth, scale_resolution)
    published = (scale_width, scale_depth, scale_resolution) == (WIDTH_BASE, DEPTH_BASE, RESOLUTION_BASE)
    return variant_from_factors(width, depth, resolution_px, family, classes, phi=float(phi) if published else None)


def variant_from_factors(
    width: float,
    depth: float,
    resolution_px: int,
    family: str = DEFAULT_FAMILY,
    classes: int = 1000,
    phi: float | None = None,
    dropout: float | None = None,
) -> Variant:
    """The network of these factors. `phi` (where it sits on the axis) is the equivalent one unless given.

    Raises ScalingError for a factor that is not a positive finite number, or a family or class count that none has.
    """
    check_factors(width, depth)
    check_factor("resolution_px", resolution_px, MAX_RESOLUTION_PX)
    if classes < 2 or int(classes) != classes:
        raise ScalingError(f"{classes} classes: a classifier tells at least 2 apart")
    size = int(resolution_px)
    if phi is None:
        phi = equivalent_phi(family, madds(family, width, depth, size))
    if dropout is None:
        dropout = _nearest_dropout(family, phi)
    cost, weights = madds(family, width, depth, size, classes), params(family, width, depth, classes)
    return Variant(family, float(phi), float(width), float(depth), size, dropout, int(classes), cost, weights)


def released(name: str, classes: int = 1000) -> Variant:
    """A variant with published ImageNet weights: "lite0".."lite4", "b0".."b7", in any case of letters."""
    key = name.lower()
    for family, rules in FAMILIES.items():
        if spec := rules.released.get(key):
            variant = variant_from_factors(
                spec.width, spec.depth, spec.resolution_px, family, classes, dropout=spec.dropout
            )
            return replace(variant, released=key)
    raise ScalingError(f"no released variant is called {name!r}; released are {', '.join(released_names())}")


def with_classes(variant: Variant, classes: int) -> Variant:
    """The same network with another classifier, a full one."""
    fresh = variant_from_factors(
        variant.width,
        variant.depth,
        variant.resolution_px,
        variant.family,
        classes,
        phi=variant.phi,
        dropout=variant.dropout,
    )
    return replace(fresh, released=variant.released)


def with_head_rank(variant: Variant, rank: int | None) -> Variant:
    """The same network with a classifier of that rank, in two layers; None: a full one, in one.

    Raises ScalingError for a rank that saves no weights.
    """
    made = replace(variant, head_rank=rank)
    graph = operators(made)
    made = replace(made, madds=sum(layer.madds for layer in graph), params=sum(layer.params for layer in graph))
    if rank is not None and not (rank >= 1 and made.params < with_head_rank(variant, None).params):
        raise ScalingError(f"a classifier of {variant.classes} classes saves nothing by a rank of {rank}")
    return made


@lru_cache(maxsize=256)
def equivalent_phi(family: str, target_madds: int) -> float:
    """The largest phi whose formula network (1000 classes) needs no more than `target_madds` (rounded down to 1e-4).

    Lite0 and B0 come out at 0: the network of phi = 0 ends there, since a deeper one begins just above.
    """
    low, high = -40.0, 20.0

    def cost(phi: float) -> int:
        width, depth, resolution_px = factors(phi)
        return madds(family, width, depth, resolution_px)

    if cost(low) > target_madds:
        return low
    while high - low > 1e-7:
        middle = (low + high) / 2
        low, high = (middle, high) if cost(middle) <= target_madds else (low, middle)
    phi = round(math.floor(high * 1e4) / 1e4, 4) + 0.0  # + 0.0: never "-0.0"
    return phi if cost(phi) <= target_madds else round(phi - 1e-4, 4)


def _nearest_dropout(family: str, phi: float) -> float:
    """That of the released variant nearest in phi: released rates are the only ones known to train well."""

    def distance(spec: ReleasedSpec) -> float:
        return abs(equivalent_phi(family, madds(family, spec.width, spec.depth, spec.resolution_px)) - phi)

    return min(family_named(family).released.values(), key=distance).dropout


def _factors(phi: float, width: float, depth: float, resolution: float) -> tuple[float, float, int]:
    if not math.isfinite(phi):
        raise ScalingError(f"phi is {phi}; it must be a finite number, such as 0 (Lite0) or 1.5")
    for name, base in (("width", width), ("depth", depth), ("resolution", resolution)):
        if not (math.isfinite(base) and base > 0):
            raise ScalingError(f"scale_{name} is {base}; it must be a positive finite number")
    try:
        wide, deep, size = width**phi, depth**phi, BASE_RESOLUTION_PX * resolution**phi
    except OverflowError as error:
        raise ScalingError(f"phi {phi} is far too large: no such network can be built") from error
    check_factors(wide, deep)
    check_factor("resolution_px", size, MAX_RESOLUTION_PX)
    return wide, deep, round_resolution(size)
