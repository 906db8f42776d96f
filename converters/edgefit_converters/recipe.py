"""What the int8 model has to be, as data: how it is made and below what it is not handed over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

RangeMethod = Literal["minmax", "percentile", "mse"]


@dataclass(frozen=True)
class Floors:
    """Below any of these the int8 model is not handed over.

    On a small test set one photograph weighs much, so agreement alone is a blunt tool; SQNR is what tells a healthy
    int8 model from a lucky one.
    """

    top1: float = 0.95  # share of held-out photographs with the float model's first answer
    sqnr_db: float = 15.0  # of the logits


@dataclass(frozen=True)
class Recipe:
    """How a float .tflite becomes int8."""

    ranges: RangeMethod = "minmax"  # how activations get their ranges
    io_dtype: Literal["uint8", "int8"] = "uint8"  # what the app hands in; uint8 takes raw RGB bytes
    calibration_photos: int = 100
    floors: Floors = field(default_factory=Floors)

    @property
    def name(self) -> str:
        """As in tables: `int8 W8A8 per-channel, minmax, uint8 doors`."""
        return f"int8 W8A8 per-channel, {self.ranges}, {self.io_dtype} doors"
