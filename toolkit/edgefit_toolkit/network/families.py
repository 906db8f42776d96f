"""The families of networks, as data: what EfficientNet-Lite and EfficientNet-B have in common, and what not.

A further family is one more entry of FAMILIES. Without torch. Sources: base network, Tan & Le, "EfficientNet" (ICML
2019), table 1; Lite's rules (fixed stem and head, first and last stage not deepened, no squeeze-excite, ReLU6) and the
released factors, tensorflow/tpu models/official/efficientnet, efficientnet_builder.py and
lite/efficientnet_lite_builder.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgefit_toolkit.errors import ScalingError
from edgefit_toolkit.network.key_names import PYPI, TIMM, KeyNames

Colour = tuple[float, float, float]  # red, green, blue


@dataclass(frozen=True)
class StageSpec:
    """One row of a base network, before any scaling."""

    kernel: int
    stride: int  # of the first block; the others have 1
    expand: int  # hidden channels / input channels
    channels: int
    repeats: int


@dataclass(frozen=True)
class ReleasedSpec:
    """The factors of a network with published ImageNet weights."""

    width: float
    depth: float
    resolution_px: int
    dropout: float


B0_STAGES = (
    StageSpec(3, 1, 1, 16, 1),
    StageSpec(3, 2, 6, 24, 2),
    StageSpec(5, 2, 6, 40, 2),
    StageSpec(3, 2, 6, 80, 3),
    StageSpec(5, 1, 6, 112, 3),
    StageSpec(5, 2, 6, 192, 4),
    StageSpec(3, 1, 6, 320, 1),
)


@dataclass(frozen=True)
class Family:
    """Networks that are made by the same rules and differ in width, depth and resolution only."""

    title: str  # in a report: "EfficientNet-" and this
    summary: str  # a few words for --help
    activation: str  # a class of torch.nn
    released: Mapping[str, ReleasedSpec]  # at least one: dropout rates come from here
    stages: tuple[StageSpec, ...] = B0_STAGES
    fixed_stages: frozenset[int] = frozenset()  # those that depth does not deepen
    stem: int = 32  # channels
    head: int = 1280
    fixed_ends: bool = False  # stem and head keep their channels at every width
    squeeze_ratio: float = 0.0  # squeezed channels of squeeze-excites / channels entering the block; 0: there are none
    input_norm: tuple[Colour, Colour] | None = None  # mean and deviation of pixels / 255 that its weights expect
    key_names: Mapping[str, KeyNames] = field(default_factory=lambda: {"pypi": PYPI, "timm": TIMM})

    @property
    def fused_activation(self) -> bool:
        """Whether TFLite computes it inside the convolution before it: else it is an operator of its own."""
        return self.activation in ("ReLU", "ReLU6")

    @property
    def skeleton(self) -> bool:
        """Whether edgefit_converters' skeletons have all its operators."""
        return self.activation == "ReLU6" and not self.squeeze_ratio and self.input_norm is None

    @property
    def scaled_channels(self) -> set[int]:
        """The base channels that follow the width: where their rounding moves, so does the network."""
        return {stage.channels for stage in self.stages} | (set() if self.fixed_ends else {self.stem, self.head})

    @property
    def scaled_repeats(self) -> set[int]:
        """The base repeats that follow the depth."""
        return {stage.repeats for index, stage in enumerate(self.stages) if index not in self.fixed_stages}


DEFAULT_FAMILY = "lite"
FAMILIES: dict[str, Family] = {
    "lite": Family(
        title="Lite",
        summary="ReLU6, made for int8",
        activation="ReLU6",
        fixed_stages=frozenset({0, 6}),
        fixed_ends=True,
        released={
            "lite0": ReleasedSpec(1.0, 1.0, 224, 0.2),
            "lite1": ReleasedSpec(1.0, 1.1, 240, 0.2),
            "lite2": ReleasedSpec(1.1, 1.2, 260, 0.3),
            "lite3": ReleasedSpec(1.2, 1.4, 280, 0.3),
            "lite4": ReleasedSpec(1.4, 1.8, 300, 0.3),
        },
    ),
    "b": Family(
        title="B",
        summary="swish and squeeze-excite",
        activation="SiLU",
        squeeze_ratio=0.25,
        input_norm=((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        released={
            "b0": ReleasedSpec(1.0, 1.0, 224, 0.2),
            "b1": ReleasedSpec(1.0, 1.1, 240, 0.2),
            "b2": ReleasedSpec(1.1, 1.2, 260, 0.3),
            "b3": ReleasedSpec(1.2, 1.4, 300, 0.3),
            "b4": ReleasedSpec(1.4, 1.8, 380, 0.4),
            "b5": ReleasedSpec(1.6, 2.2, 456, 0.4),
            "b6": ReleasedSpec(1.8, 2.6, 528, 0.5),
            "b7": ReleasedSpec(2.0, 3.1, 600, 0.5),
        },
    ),
}


def family_named(name: str) -> Family:
    """The family that records call so. Raises ScalingError for another name."""
    if name not in FAMILIES:
        raise ScalingError(f"no family is called {name!r}; there are {' and '.join(FAMILIES)}")
    return FAMILIES[name]


def released_names() -> tuple[str, ...]:
    """Every network with published ImageNet weights, family by family."""
    return tuple(name for family in FAMILIES.values() for name in family.released)
