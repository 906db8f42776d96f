"""Compound scaling: one real number phi becomes a whole EfficientNet, with its cost, without torch.

    depth = 1.2^phi    width = 1.1^phi    resolution = 224 px * 1.15^phi

Sources. Exponents, rounding of repeats, base network: Tan & Le, "EfficientNet" (ICML 2019), section 3.3 and table 1.
Rounding of channels: `round_filters` in tensorflow/tpu models/official/efficientnet/efficientnet_model.py. Lite rules
(fixed stem and head, first and last stage not deepened, no squeeze-excite, ReLU6) and released factors: the
efficientnet_builder.py and lite/efficientnet_lite_builder.py beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from edgefit_toolkit.errors import ScalingError
from edgefit_toolkit.records import Family, Variant

DEPTH_BASE, WIDTH_BASE, RESOLUTION_BASE = 1.2, 1.1, 1.15  # alpha, beta, gamma: alpha * beta^2 * gamma^2 is about 2
BASE_RESOLUTION_PX = 224
RESOLUTION_STEP_PX = 2  # even sizes: the fine knob of phi, and the first (stride 2) layer loses no row
MIN_RESOLUTION_PX = 32  # five halvings leave one pixel
CHANNEL_DIVISOR = 8
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280  # of B0; Lite keeps them at every width
SE_RATIO = 0.25  # of the channels that enter the block
MAX_FACTOR = 64.0  # of width or depth; nobody can train or run what lies beyond (phi is about 22.8)
MAX_RESOLUTION_PX = 8192

Kind = Literal["conv", "pointwise", "depthwise", "se", "act", "add", "pool", "fc"]


@dataclass(frozen=True)
class ReleasedSpec:
    """The factors of a variant with published ImageNet weights."""

    family: Family
    width: float
    depth: float
    resolution_px: int
    dropout: float


RELEASED: dict[str, ReleasedSpec] = {
    "lite0": ReleasedSpec("lite", 1.0, 1.0, 224, 0.2),
    "lite1": ReleasedSpec("lite", 1.0, 1.1, 240, 0.2),
    "lite2": ReleasedSpec("lite", 1.1, 1.2, 260, 0.3),
    "lite3": ReleasedSpec("lite", 1.2, 1.4, 280, 0.3),
    "lite4": ReleasedSpec("lite", 1.4, 1.8, 300, 0.3),
    "b0": ReleasedSpec("b", 1.0, 1.0, 224, 0.2),
    "b1": ReleasedSpec("b", 1.0, 1.1, 240, 0.2),
    "b2": ReleasedSpec("b", 1.1, 1.2, 260, 0.3),
    "b3": ReleasedSpec("b", 1.2, 1.4, 300, 0.3),
    "b4": ReleasedSpec("b", 1.4, 1.8, 380, 0.4),
    "b5": ReleasedSpec("b", 1.6, 2.2, 456, 0.4),
    "b6": ReleasedSpec("b", 1.8, 2.6, 528, 0.5),
    "b7": ReleasedSpec("b", 2.0, 3.1, 600, 0.5),
}


@dataclass(frozen=True)
class Stage:
    """One row of the base network (EfficientNet-B0), before any scaling."""

    kernel: int
    stride: int  # of the first block; the others have 1
    expand: int  # hidden channels / input channels
    channels: int
    repeats: int


STAGES = (
    Stage(3, 1, 1, 16, 1),
    Stage(3, 2, 6, 24, 2),
    Stage(5, 2, 6, 40, 2),
    Stage(3, 2, 6, 80, 3),
    Stage(5, 1, 6, 112, 3),
    Stage(5, 2, 6, 192, 4),
    Stage(3, 1, 6, 320, 1),
)


@dataclass(frozen=True)
class Block:
    """One mobile inverted bottleneck: expand 1x1 (none where expand is 1), depthwise, [squeeze-excite], project 1x1."""

    stage: int  # 0..6, index into STAGES
    kernel: int
    stride: int
    expand: int
    in_channels: int
    out_channels: int
    skip: bool  # input is added to the output

    @property
    def hidden_channels(self) -> int:
        """Channels of the depthwise convolution."""
        return self.in_channels * self.expand

    @property
    def se_channels(self) -> int:
        """Squeezed channels of the squeeze-excite (B only)."""
        return max(1, int(self.in_channels * SE_RATIO))


@dataclass(frozen=True)
class Layer:
    """One operator of the inference graph: batch norm folded, ReLU6 fused, so neither has a row of its own."""

    name: str  # "stem", "blocks.3.expand", "classifier"
    kind: Kind
    stage: int  # 0..6 for blocks, -1 stem, 7 head and after
    in_shape: tuple[int, int, int]  # height, width, channels
    out_shape: tuple[int, int, int]
    kernel: int
    stride: int
    madds: int
    params: int  # trainable, batch norm's gain and bias included


def round_channels(channels: float) -> int:
    """Nearest multiple of 8, at least 8, one step up where that would fall below 0.9 of the wish."""
    rounded = max(CHANNEL_DIVISOR, int(channels + CHANNEL_DIVISOR / 2) // CHANNEL_DIVISOR * CHANNEL_DIVISOR)
    return rounded + CHANNEL_DIVISOR if rounded < 0.9 * channels else rounded


def round_repeats(repeats: int, depth: float) -> int:
    """Upwards, so that a stage never loses its last block."""
    return math.ceil(repeats * depth)


def round_resolution(resolution_px: float) -> int:
    """Nearest even number of pixels (halves go up), at least 32."""
    steps = math.floor(resolution_px / RESOLUTION_STEP_PX + 0.5)
    return max(MIN_RESOLUTION_PX, steps * RESOLUTION_STEP_PX)


def stem_channels(family: Family, width: float) -> int:
    """Channels after the first convolution."""
    return STEM_CHANNELS if family == "lite" else round_channels(STEM_CHANNELS * width)


def head_channels(family: Family, width: float) -> int:
    """Channels that are pooled and classified."""
    return HEAD_CHANNELS if family == "lite" else round_channels(HEAD_CHANNELS * width)


@lru_cache(maxsize=1024)
def blocks(family: Family, width: float, depth: float) -> tuple[Block, ...]:
    """Every block in order. Raises ScalingError for a factor that is not a positive finite number."""
    _check_factors(width, depth, BASE_RESOLUTION_PX)
    found = []
    channels = stem_channels(family, width)
    for index, stage in enumerate(STAGES):
        fixed = family == "lite" and index in (0, len(STAGES) - 1)
        out = round_channels(stage.channels * width)
        for repeat in range(stage.repeats if fixed else round_repeats(stage.repeats, depth)):
            stride = stage.stride if repeat == 0 else 1
            # TensorFlow also skips round a first block whose channels happen to agree, which no released network has
            # and Lite gets from phi 5.4 on (stem 32, stage 0 at 32): a parent's function could not be kept there.
            skip = repeat > 0
            found.append(Block(index, stage.kernel, stride, stage.expand, channels, out, skip))
            channels = out
    return tuple(found)


def layers(variant: Variant) -> tuple[Layer, ...]:
    """Every operator in the order it runs, with its shapes and costs."""
    return _layers(variant.family, variant.width, variant.depth, variant.resolution_px, variant.classes)


@lru_cache(maxsize=1024)
def _layers(family: Family, width: float, depth: float, resolution_px: int, classes: int) -> tuple[Layer, ...]:
    return tuple(_walk(family, width, depth, resolution_px, classes))


def _walk(family: Family, width: float, depth: float, resolution_px: int, classes: int) -> Iterator[Layer]:
    swish = family == "b"  # a separate operator; ReLU6 is fused into the convolution before it

    def conv(name: str, kind: Kind, stage: int, size: int, cin: int, cout: int, k: int, s: int) -> Layer:
        out = -(-size // s)  # TF SAME padding: ceil
        weights = k * k * cout * (1 if kind == "depthwise" else cin)
        madds = weights * out * out
        return Layer(name, kind, stage, (size, size, cin), (out, out, cout), k, s, madds, weights + 2 * cout)

    def plain(name: str, kind: Kind, stage: int, size: int, channels: int) -> Layer:
        shape = (size, size, channels)
        return Layer(name, kind, stage, shape, shape, 1, 1, 0, 0)

    channels = stem_channels(family, width)
    yield conv("stem", "conv", -1, resolution_px, 3, channels, 3, 2)
    size = -(-resolution_px // 2)
    if swish:
        yield plain("stem.act", "act", -1, size, channels)
    for index, block in enumerate(blocks(family, width, depth)):
        at, stage, hidden = f"blocks.{index}", block.stage, block.hidden_channels
        if block.expand != 1:
            yield conv(f"{at}.expand", "pointwise", stage, size, block.in_channels, hidden, 1, 1)
            if swish:
                yield plain(f"{at}.expand.act", "act", stage, size, hidden)
        yield conv(f"{at}.depthwise", "depthwise", stage, size, hidden, hidden, block.kernel, block.stride)
        size = -(-size // block.stride)
        if swish:
            yield plain(f"{at}.depthwise.act", "act", stage, size, hidden)
            shape, squeezed = (size, size, hidden), block.se_channels
            madds = 2 * hidden * squeezed
            yield Layer(f"{at}.se", "se", stage, shape, shape, 1, 1, madds, madds + squeezed + hidden)
        yield conv(f"{at}.project", "pointwise", stage, size, hidden, block.out_channels, 1, 1)
        if block.skip:
            yield plain(f"{at}.add", "add", stage, size, block.out_channels)
        channels = block.out_channels
    head = head_channels(family, width)
    yield conv("head", "pointwise", 7, size, channels, head, 1, 1)
    if swish:
        yield plain("head.act", "act", 7, size, head)
    yield Layer("pool", "pool", 7, (size, size, head), (1, 1, head), size, 1, 0, 0)
    fc = head * classes
    yield Layer("classifier", "fc", 7, (1, 1, head), (1, 1, classes), 1, 1, fc, fc + classes)


def madds(family: Family, width: float, depth: float, resolution_px: int, classes: int = 1000) -> int:
    """Multiply-adds of one inference: convolutions, squeeze-excite and classifier (never FLOPs)."""
    return sum(layer.madds for layer in _layers(family, width, depth, resolution_px, classes))


def params(family: Family, width: float, depth: float, classes: int = 1000) -> int:
    """Trainable weights: convolutions, batch norm gain and bias, squeeze-excite, classifier."""
    return sum(layer.params for layer in _layers(family, width, depth, BASE_RESOLUTION_PX, classes))


def factors(phi: float) -> tuple[float, float, int]:
    """(width, depth, resolution_px) of the published formula. Raises ScalingError where no network follows."""
    return _factors(phi, WIDTH_BASE, DEPTH_BASE, RESOLUTION_BASE)


def variant_from_phi(
    phi: float,
    family: Family = "lite",
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
    family: Family = "lite",
    classes: int = 1000,
    phi: float | None = None,
    dropout: float | None = None,
) -> Variant:
    """The network of these factors. `phi` (where it sits on the axis) is the equivalent one unless given.

    Raises ScalingError for a factor that is not a positive finite number, or a family or class count that none has.
    """
    _check_family(family)
    _check_factors(width, depth, resolution_px)
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
    if key not in RELEASED:
        raise ScalingError(f"no released variant is called {name!r}; released are {', '.join(RELEASED)}")
    spec = RELEASED[key]
    variant = variant_from_factors(
        spec.width, spec.depth, spec.resolution_px, spec.family, classes, dropout=spec.dropout
    )
    return replace(variant, released=key)


def with_classes(variant: Variant, classes: int) -> Variant:
    """The same network with another classifier."""
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


@lru_cache(maxsize=256)
def equivalent_phi(family: Family, target_madds: int) -> float:
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


def _nearest_dropout(family: Family, phi: float) -> float:
    """That of the released variant nearest in phi: released rates are the only ones known to train well."""
    own = [spec for spec in RELEASED.values() if spec.family == family]
    return min(own, key=lambda spec: abs(_released_phi(spec) - phi)).dropout


@lru_cache(maxsize=32)
def _released_phi(spec: ReleasedSpec) -> float:
    return equivalent_phi(spec.family, madds(spec.family, spec.width, spec.depth, spec.resolution_px))


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
    _check_factors(wide, deep, size)
    return wide, deep, round_resolution(size)


def _check_family(family: str) -> None:
    if family not in ("lite", "b"):
        raise ScalingError(f"no family is called {family!r}; there are lite and b")


def _check_factors(width: float, depth: float, resolution_px: float) -> None:
    named = (("width", width, MAX_FACTOR), ("depth", depth, MAX_FACTOR))
    for name, value, most in (*named, ("resolution_px", resolution_px, MAX_RESOLUTION_PX)):
        if not (math.isfinite(value) and value > 0):
            raise ScalingError(f"{name} is {value}; it must be a positive finite number")
        if value > most:
            raise ScalingError(f"{name} is {value:g}; no network beyond {most:g} can be built")
