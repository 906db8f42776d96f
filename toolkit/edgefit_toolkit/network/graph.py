"""The inference graph of a network: every operator with its shapes and cost. Without torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from edgefit_toolkit.network.blocks import blocks, head_channels, stem_channels
from edgefit_toolkit.network.families import family_named
from edgefit_toolkit.records import Variant

OperatorKind = Literal["conv", "pointwise", "depthwise", "se", "act", "add", "pool", "fc"]
ANY_RESOLUTION_PX = 224  # weights do not depend on it


@dataclass(frozen=True)
class Operator:
    """One operator of the inference graph: batch norm folded, ReLU6 fused, so neither has a row of its own."""

    name: str  # "stem", "blocks.3.expand", "classifier"
    kind: OperatorKind
    stage: int  # of its block; -1 stem, one more than the last stage: head and after
    in_shape: tuple[int, int, int]  # height, width, channels
    out_shape: tuple[int, int, int]
    kernel: int
    stride: int
    madds: int
    params: int  # trainable, batch norm's gain and bias included


def operators(variant: Variant) -> tuple[Operator, ...]:
    """Every operator in the order it runs, with its shapes and costs."""
    size = variant.width, variant.depth, variant.resolution_px
    return _operators(variant.family, *size, variant.classes, variant.head_rank)


@lru_cache(maxsize=1024)
def _operators(
    family: str, width: float, depth: float, resolution_px: int, classes: int, head_rank: int | None = None
) -> tuple[Operator, ...]:
    return tuple(_walk(family, width, depth, resolution_px, classes, head_rank))


def _walk(
    family: str, width: float, depth: float, resolution_px: int, classes: int, head_rank: int | None
) -> Iterator[Operator]:
    rules = family_named(family)
    apart = not rules.fused_activation

    def conv(name: str, kind: OperatorKind, stage: int, size: int, cin: int, cout: int, k: int, s: int) -> Operator:
        out = -(-size // s)  # TF SAME padding: ceil
        weights = k * k * cout * (1 if kind == "depthwise" else cin)
        madds = weights * out * out
        return Operator(name, kind, stage, (size, size, cin), (out, out, cout), k, s, madds, weights + 2 * cout)

    def plain(name: str, kind: OperatorKind, stage: int, size: int, channels: int) -> Operator:
        shape = (size, size, channels)
        return Operator(name, kind, stage, shape, shape, 1, 1, 0, 0)

    channels = stem_channels(family, width)
    yield conv("stem", "conv", -1, resolution_px, 3, channels, 3, 2)
    size = -(-resolution_px // 2)
    if apart:
        yield plain("stem.act", "act", -1, size, channels)
    for index, block in enumerate(blocks(family, width, depth)):
        at, stage, hidden = f"blocks.{index}", block.stage, block.hidden_channels
        if block.expand != 1:
            yield conv(f"{at}.expand", "pointwise", stage, size, block.in_channels, hidden, 1, 1)
            if apart:
                yield plain(f"{at}.expand.act", "act", stage, size, hidden)
        yield conv(f"{at}.depthwise", "depthwise", stage, size, hidden, hidden, block.kernel, block.stride)
        size = -(-size // block.stride)
        if apart:
            yield plain(f"{at}.depthwise.act", "act", stage, size, hidden)
        if block.se_channels:
            shape, squeezed = (size, size, hidden), block.se_channels
            madds = 2 * hidden * squeezed
            yield Operator(f"{at}.se", "se", stage, shape, shape, 1, 1, madds, madds + squeezed + hidden)
        yield conv(f"{at}.project", "pointwise", stage, size, hidden, block.out_channels, 1, 1)
        if block.skip:
            yield plain(f"{at}.add", "add", stage, size, block.out_channels)
        channels = block.out_channels
    head, last = head_channels(family, width), len(rules.stages)
    yield conv("head", "pointwise", last, size, channels, head, 1, 1)
    if apart:
        yield plain("head.act", "act", last, size, head)
    yield Operator("pool", "pool", last, (size, size, head), (1, 1, head), size, 1, 0, 0)
    if head_rank is None:
        yield _linear("classifier", last, head, classes)
    else:
        yield _linear("classifier.reduce", last, head, head_rank)
        yield _linear("classifier.expand", last, head_rank, classes)


def _linear(name: str, stage: int, inputs: int, outputs: int) -> Operator:
    weights = inputs * outputs
    return Operator(name, "fc", stage, (1, 1, inputs), (1, 1, outputs), 1, 1, weights, weights + outputs)


def madds(family: str, width: float, depth: float, resolution_px: int, classes: int = 1000) -> int:
    """Multiply-adds of one inference: convolutions, squeeze-excite and classifier (never FLOPs)."""
    return sum(operator.madds for operator in _operators(family, width, depth, resolution_px, classes))


def params(family: str, width: float, depth: float, classes: int = 1000) -> int:
    """Trainable weights: convolutions, batch norm gain and bias, squeeze-excite, classifier."""
    return sum(operator.params for operator in _operators(family, width, depth, ANY_RESOLUTION_PX, classes))


def classifier_params(variant: Variant) -> int:
    """Those of them that the classifier has."""
    return sum(operator.params for operator in operators(variant) if operator.kind == "fc")
