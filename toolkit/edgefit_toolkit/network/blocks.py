"""The blocks of a network at any width and depth: what weights have to fit. Without torch.

Rounding of channels: `round_filters` in tensorflow/tpu models/official/efficientnet/efficientnet_model.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from edgefit_toolkit.errors import ScalingError
from edgefit_toolkit.network.families import family_named
from edgefit_toolkit.records import Variant

CHANNEL_DIVISOR = 8
MAX_FACTOR = 64.0  # of width or depth; nobody can train or run what lies beyond (phi is about 22.8)


@dataclass(frozen=True)
class Block:
    """One mobile inverted bottleneck: expand 1x1 (none where expand is 1), depthwise, [squeeze-excite], project 1x1."""

    stage: int  # index into the family's stages
    kernel: int
    stride: int
    expand: int
    in_channels: int
    out_channels: int
    skip: bool  # input is added to the output
    se_channels: int  # squeezed channels of its squeeze-excite; 0: it has none

    @property
    def hidden_channels(self) -> int:
        """Channels of the depthwise convolution."""
        return self.in_channels * self.expand


def round_channels(channels: float) -> int:
    """Nearest multiple of 8, at least 8, one step up where that would fall below 0.9 of the wish."""
    rounded = max(CHANNEL_DIVISOR, int(channels + CHANNEL_DIVISOR / 2) // CHANNEL_DIVISOR * CHANNEL_DIVISOR)
    return rounded + CHANNEL_DIVISOR if rounded < 0.9 * channels else rounded


def round_repeats(repeats: int, depth: float) -> int:
    """Upwards, so that a stage never loses its last block."""
    return math.ceil(repeats * depth)


def stem_channels(family: str, width: float) -> int:
    """Channels after the first convolution."""
    return _end_channels(family_named(family).stem, family, width)


def head_channels(family: str, width: float) -> int:
    """Channels that are pooled and classified."""
    return _end_channels(family_named(family).head, family, width)


def _end_channels(channels: int, family: str, width: float) -> int:
    return channels if family_named(family).fixed_ends else round_channels(channels * width)


@lru_cache(maxsize=1024)
def blocks(family: str, width: float, depth: float) -> tuple[Block, ...]:
    """Every block in order. Raises ScalingError for a factor that is not a positive finite number."""
    check_factors(width, depth)
    rules = family_named(family)
    found = []
    channels = stem_channels(family, width)
    for index, stage in enumerate(rules.stages):
        out = round_channels(stage.channels * width)
        fixed = index in rules.fixed_stages
        for repeat in range(stage.repeats if fixed else round_repeats(stage.repeats, depth)):
            stride = stage.stride if repeat == 0 else 1
            # TensorFlow also skips round a first block whose channels happen to agree, which no released network has
            # and Lite gets from phi 5.4 on (stem 32, stage 0 at 32): a parent's function could not be kept there.
            skip = repeat > 0
            squeezed = max(1, int(channels * rules.squeeze_ratio)) if rules.squeeze_ratio else 0
            found.append(Block(index, stage.kernel, stride, stage.expand, channels, out, skip, squeezed))
            channels = out
    return tuple(found)


def shape_of(variant: Variant) -> tuple[tuple[int, int], ...]:
    """(channels, blocks) of every stage, and (stem, head): what weights have to fit; resolution is not in it."""
    every = blocks(variant.family, variant.width, variant.depth)
    stages = [[block for block in every if block.stage == stage] for stage in range(every[-1].stage + 1)]
    ends = (stem_channels(variant.family, variant.width), head_channels(variant.family, variant.width))
    return (*((own[0].out_channels, len(own)) for own in stages), ends)


def fits_into(small: Variant, large: Variant) -> bool:
    """Whether `small` can grow into `large`: same family, nowhere more channels or blocks."""
    if small.family != large.family:
        return False
    pairs = zip(shape_of(small), shape_of(large), strict=True)
    return all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairs)


def check_factors(width: float, depth: float) -> None:
    """Raises ScalingError for factors that no network has."""
    for name, value in (("width", width), ("depth", depth)):
        check_factor(name, value, MAX_FACTOR)


def check_factor(name: str, value: float, most: float) -> None:
    """Raises ScalingError for one that is not a positive number up to `most`."""
    if not (math.isfinite(value) and value > 0):
        raise ScalingError(f"{name} is {value}; it must be a positive finite number")
    if value > most:
        raise ScalingError(f"{name} is {value:g}; no network beyond {most:g} can be built")
