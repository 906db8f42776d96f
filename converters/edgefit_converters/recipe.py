"""What the int8 model has to be, as data: how it is made and below what it is not handed over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgefit_toolkit.records import IoDtype

DOOR = {"uint8": ((1 / 128, 127), (1 / 256, 0)), "int8": ((1 / 128, -1), (1 / 256, -128))}  # (scale, zero point)

RangeMethod = Literal["minmax", "percentile", "mse"]
WeightMethod = Literal["nearest", "corrected", "learned", "trained"]


@dataclass(frozen=True)
class Floors:
    """Below any of these the int8 model is not handed over.

    Lite0-2 with ImageNet weights keep .975-.99 of their answers and 17-19 dB by plain min-max PTQ, and 22 dB or more
    after bias correction (benchmarks/results/guard_ladder.md), so these floors are what a healthy
    model clears at the first step and a broken one does not. SQNR is the sharper tool: on a small test set one
    photograph weighs much, and a near tie between two classes is lost by any int8 model.
    """

    top1: float = 0.95  # share of held-out photographs with the float model's first answer
    top5: float = 0.99  # share whose first float answer is among int8's first five
    sqnr_db: float = 15.0  # of the logits
    accuracy_loss: float = 0.02  # int8 may not answer fewer labelled photographs right by more than this, significantly
    top5_classes: int = 10  # top-5 is judged from so many classes on: below, five guesses hit every second time or more


@dataclass(frozen=True)
class Rung:
    """One way to make int8, each dearer than the one before."""

    name: str
    why: str
    ranges: RangeMethod = "minmax"  # how activations get their ranges
    weights: WeightMethod = "nearest"  # how weights are rounded; all but "nearest" correct the biases as well
    equalized: bool = False  # residual streams scaled channel by channel first


LADDER = (
    Rung("min-max PTQ", "the plain recipe: every range as wide as what was seen"),
    Rung("bias correction", "each layer's mean output is the float model's again", weights="corrected"),
    # cheaper than bias correction, but behind it, which is climbed anyway: Lite gains little here. What swish lets
    # through has no upper end, and a few large values take most of the range (a distilled B0: 14.1 -> 18.8 dB).
    Rung("narrower ranges", "rare large activations are clipped for finer steps everywhere else", ranges="mse"),
    Rung(
        "learned rounding",
        "residual streams are equalized, and each weight goes up or down as keeps the layer's output",
        weights="learned",
        equalized=True,
    ),
    Rung(
        "least-squares ranges",
        "learned rounding and narrower ranges together",
        ranges="mse",
        weights="learned",
        equalized=True,
    ),
    Rung(
        "quantization-aware training",
        "the int8 network is taught the float network's logits",
        weights="trained",
        equalized=True,
    ),
)


@dataclass(frozen=True)
class Recipe:
    """How a float .tflite becomes int8."""

    ranges: RangeMethod = "minmax"  # of quantize_int8 alone; the ladder's rungs have their own
    io_dtype: IoDtype = "uint8"  # what the app hands in; uint8 takes raw RGB bytes
    calibration_photos: int = 100
    training_photos: int = 300  # further ones for quantization-aware training, which sees no more
    floors: Floors = field(default_factory=Floors)
    ladder: tuple[Rung, ...] = LADDER
    first: int = 1  # climb at least to this rung: bias correction has always paid, so it is on by default

    @property
    def name(self) -> str:
        """As in tables: `int8 W8A8 per-channel, minmax, uint8 doors`."""
        return f"int8 W8A8 per-channel, {self.ranges}, {self.io_dtype} doors"
