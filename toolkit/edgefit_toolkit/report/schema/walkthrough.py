"""One picture on its way through preprocessing and network."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class StageDoc(TypedDict):
    """One stage of the network."""

    name: str
    operator: str
    repeats: int
    stride: int
    shape: list[int]  # height, width, channels of what leaves it
    madds: NotRequired[int]


class WorkedPixel(TypedDict):
    """One pixel of a real picture through the preprocessing."""

    x: int
    y: int
    raw: list[int]  # R, G, B after crop and resize
    value: list[float]  # (raw - mean) / std
    formula: str


class TraceStep(TypedDict):
    """One step of the pipeline trace."""

    step: str  # input | preprocessing | features | pooling | classification
    text: str
    shape: list[int]
    stages: NotRequired[list[StageDoc]]
    pixel: NotRequired[WorkedPixel]


class PredictionStep(TypedDict):
    """What one picture looked like at one step: its largest values."""

    name: str
    text: str
    shape: list[int]
    top: list[tuple[str, float]]


class PredictionTraceDoc(TypedDict):
    """One test picture, step by step."""

    file: str
    truth: str
    answer: str
    steps: list[PredictionStep]
    picture: NotRequired[str]
