"""What the int8 model has to be, as data: how it is made and below what it is not handed over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

RangeMethod = Literal["minmax", "percentile", "mse"]
WeightMethod = Literal["nearest", "corrected", "learned"]


@dataclass(frozen=True)
class Floors:
    """Below any of these the int8 model is not handed over.

    On a small test set one photograph weighs much, so agreement alone is a blunt tool; SQNR is what tells a healthy
    int8 model from a lucky one.
    """

    top1: float = 0.95  # share of held-out photographs with the float model's first answer
    sqnr_db: float = 15.0  # of the logits


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
    Rung(
        "learned rounding",
        "residual streams are equalized, and each weight goes up or down as keeps the layer's output",
        weights="learned",
        equalized=True,
    ),
    Rung(
        "least-squares ranges",
        "rare large activations are clipped for finer steps everywhere else",
        ranges="mse",
        weights="learned",
        equalized=True,
    ),
)


@dataclass(frozen=True)
class Recipe:
    """How a float .tflite becomes int8."""

    ranges: RangeMethod = "minmax"  # of quantize_int8 alone; the ladder's rungs have their own
    io_dtype: Literal["uint8", "int8"] = "uint8"  # what the app hands in; uint8 takes raw RGB bytes
    calibration_photos: int = 100
    floors: Floors = field(default_factory=Floors)
    ladder: tuple[Rung, ...] = LADDER
    first: int = 1  # the first rung that may be handed over: bias correction always paid, so it is on by default

    @property
    def name(self) -> str:
        """As in tables: `int8 W8A8 per-channel, minmax, uint8 doors`."""
        return f"int8 W8A8 per-channel, {self.ranges}, {self.io_dtype} doors"
