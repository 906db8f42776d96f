"""The frozen records that travel between stages. Standard library only, no logic beyond their own consistency."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, Literal

Origin = Literal["predicted", "measured on device", "measured on host"]
IoDtype = Literal["uint8", "int8"]  # of an int8 model's input and output
Precision = Literal["int8", "float32", "float16"]

PIXEL_MEAN, PIXEL_STD = 127.0, 128.0  # every network takes (pixels - 127) / 128: a scale of 1/128 makes it raw bytes


@dataclass(frozen=True)
class Budget:
    """What one frame may cost."""

    latency_ms: float
    percentile: int = 90  # which percentile of the samples must stay within latency_ms
    confidence: float = 0.5  # that a predicted figure must hold with; 0.5 is its median


@dataclass(frozen=True)
class Variant:
    """One EfficientNet: everything that its graph depends on. Made by network.scaling only."""

    family: str  # "lite", "b": a name of network.families
    phi: float  # compound coefficient; for a released variant the phi that the picker orders it by
    width: float  # multiplies channels
    depth: float  # multiplies block repeats
    resolution_px: int  # input height and width
    dropout: float  # before the classifier, in training only
    classes: int
    madds: int  # multiply-adds of one inference (never FLOPs)
    params: int  # trainable weights
    released: str | None = None  # "lite2", "b0": a variant with published ImageNet weights
    head_rank: int | None = None  # of a classifier in two layers; None: it is one

    @property
    def label(self) -> str:
        """A short name for tables, such as `lite phi=1.37 272px` or `Lite2 260px`."""
        name = self.released.capitalize() if self.released else f"{self.family} phi={self.phi:.3f}"
        return f"{name} {self.resolution_px}px"


@dataclass(frozen=True)
class Preprocessing:
    """From a photograph to the network's input. The app must repeat it to the pixel.

    1. upright RGB (EXIF orientation applied); 2. centre crop of a square with side
    min(width, height) * resolution_px / (resolution_px + crop_padding_px); 3. resize to
    resolution_px by `interpolation` with antialiasing; 4. (raw - mean) / std.
    """

    resolution_px: int
    crop_padding_px: int = 32  # EfficientNet's evaluation crop: 224 / 256
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    mean: float = PIXEL_MEAN
    std: float = PIXEL_STD


@dataclass(frozen=True)
class Latency:
    """The time of one inference with what is known about it."""

    p50: float  # ms
    p90: float  # ms
    low: float  # ms, 80% interval of the budget's percentile
    high: float  # ms
    origin: Origin
    basis: str  # where the figure comes from, one sentence

    def at(self, percentile: int, confidence: float = 0.5) -> float:
        """The figure that a budget of this percentile is compared with (50 or 90), in ms.

        A prediction is off by a factor; the figure of another `confidence` than 0.5 is the one that the true latency
        stays below with that probability, by the 80% interval. A measured latency is what it is.
        """
        figure = self.p50 if percentile <= 50 else self.p90
        if confidence == 0.5 or self.origin != "predicted":
            return figure
        normal = NormalDist()
        share = normal.inv_cdf(confidence) / normal.inv_cdf(0.9)
        return figure * math.pow(self.high / figure, share)


@dataclass(frozen=True)
class Measurement:
    """Raw samples of one model on one target: statistics are derived, never stored alone."""

    model: str  # "int8" | "float"
    model_sha256: str
    target: str  # "host (Intel ...)", "Pixel 7 (serial ...)"
    runtime: str  # "ai-edge-litert 2.3.0"
    delegate: str  # "xnnpack", "gpu", "none"
    threads: int
    origin: Origin
    warmups: int
    samples_ms: tuple[float, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TFLiteModel:
    """A .tflite file and what reading it back showed."""

    path: str
    sha256: str
    size_bytes: int
    io_dtype: str  # "uint8", "int8", "float32"
    ops: dict[str, int]  # operator kind -> count
    partitions: int  # XNNPACK partitions; 1 means that nothing falls back
    recipe: str = "float32"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parity:
    """How well one model repeats another's answers on the same photographs."""

    top1: float  # share of photographs with the same first answer (not accuracy)
    top5: float
    sqnr_db: float  # of the logits
    n: int
    per_image: tuple[bool, ...] = field(default=(), repr=False)
    classes: int = 0  # how many there are; 0: not said


@dataclass(frozen=True)
class Epoch:
    """One line of the training trace."""

    epoch: int
    phase: str  # "probe" | "finetune"
    train_loss: float
    train_top1: float
    val_loss: float
    val_top1: float
    images_per_s: float
    lr: float
    observation: str = ""
    val_recall: float | None = None  # mean over classes, of a training in which each counts alike
    waiting_share: float = 0.0  # of the time: waiting for pictures


def as_json(record: Any) -> Any:
    """The record as plain dicts, lists and scalars, ready for json.dumps."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: as_json(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, dict):
        return {str(k): as_json(v) for k, v in record.items()}
    if isinstance(record, (list, tuple)):
        return [as_json(v) for v in record]
    return record
