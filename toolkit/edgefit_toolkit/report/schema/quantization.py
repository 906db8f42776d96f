"""How int8 was reached: what was tried, what each step was worth, and below what nothing is handed over."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from edgefit_toolkit.report.schema.results import ScoreDoc


class CalibrationDoc(TypedDict):
    """The representative data set."""

    n: int
    seed: int
    source: NotRequired[str]


class GuardAccuracyDoc(TypedDict):
    """What the guard saw of accuracy: int8 and float on the same labelled pictures."""

    split: str  # "val": the guard does not look at test labels
    int8_top1: ScoreDoc
    float_top1: ScoreDoc
    difference: float  # int8 minus float, of shares
    low: float  # 95% interval of the difference (Newcombe's, paired)
    high: float
    lost: int  # pictures that float answers right and int8 wrong
    won: int  # the other way round


class GroupDoc(TypedDict):
    """A class or a kind of photograph, judged alone."""

    words: str
    n: int
    changed: int
    healthy: float  # how many a healthy int8 model would change


class LadderStep(TypedDict):
    """One recipe that was tried, in order."""

    name: str
    agreement: float  # top-1, against float
    sqnr_db: float
    seconds: float
    passed: bool
    note: NotRequired[str]
    agreement_top5: NotRequired[float]  # share whose first float answer is among int8's first five
    n: NotRequired[int]  # held-out pictures of agreement and SQNR: val and test, labels not looked at
    size_bytes: NotRequired[int]
    gain_db: NotRequired[float]  # SQNR over the step before
    gain_agreement: NotRequired[float]  # agreement over the step before
    accuracy: NotRequired[GuardAccuracyDoc]
    shortfalls: NotRequired[list[str]]  # what is below its floor, in words
    groups: NotRequired[int]  # how many classes and kinds of photographs were judged alone, each in its ways
    most_changed: NotRequired[list[GroupDoc]]  # of these the least probable ones in a healthy model


class ConverterDoc(TypedDict):
    """Which way the network took to .tflite."""

    name: str  # as in --converter
    stack: str  # "torch -> ONNX -> ..."
    versions: dict[str, str]  # of the packages that convert
    left_out: list[str]  # steps of the ladder that this way cannot take, with the reason


class QuantizationDoc(TypedDict):
    """How int8 was reached."""

    recipe: str  # the step that was kept
    converter: NotRequired[ConverterDoc]
    calibration: NotRequired[CalibrationDoc]
    ladder: NotRequired[list[LadderStep]]
    guard: NotRequired[dict[str, float]]  # the floors on held-out pictures, e.g. {"top1": 0.95, "sqnr_db": 15}
