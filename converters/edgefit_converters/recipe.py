"""What the int8 model has to be, as data: how it is made and below what it is not handed over."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgefit_toolkit.records import IoDtype

# (scale, zero point) at the input and at the output: raw bytes are the input, probabilities in 1/256 the output
IO_QUANTIZATION = {"uint8": ((1 / 128, 127), (1 / 256, 0)), "int8": ((1 / 128, -1), (1 / 256, -128))}


@dataclass(frozen=True)
class Floors:
    """Below any of these the int8 model is not handed over.

    They are what a healthy model clears at the first step and a broken one does not (Lite0-2 step by step:
    benchmarks/results/guard_ladder.md). SQNR is the sharper tool: on a small test set one photograph weighs much, and a
    near tie between two classes is lost by any int8 model.
    """

    top1: float = 0.95  # share of held-out photographs with the float model's first answer
    top5: float = 0.99  # share whose first float answer is among int8's first five
    sqnr_db: float = 15.0  # of the logits
    accuracy_loss: float = 0.02  # int8 may not answer fewer labelled photographs right by more than this, significantly
    false_alarms: float = 0.05  # share of healthy runs in which a class or kind of photograph may seem lost
    top5_classes: int = 10  # top-5 is judged from so many classes on: below, five guesses hit every second time or more


@dataclass(frozen=True)
class Recipe:
    """How a float .tflite becomes int8."""

    io_dtype: IoDtype = "uint8"  # what the app hands in; uint8 takes raw RGB bytes
    calibration_photos: int = 100
    training_photos: int = 300  # further ones for quantization-aware training, which sees no more
    floors: Floors = field(default_factory=Floors)
    first: str = "bias correction"  # the ladder is climbed at least to this step, which has always paid

    @property
    def name(self) -> str:
        """Of a model that no step of the ladder made: `int8 W8A8 per-channel, minmax, uint8 doors`."""
        return f"int8 W8A8 per-channel, minmax, {self.io_dtype} doors"
