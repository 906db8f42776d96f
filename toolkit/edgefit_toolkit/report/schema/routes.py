"""`edgefit.compare/1`: one checkpoint by every converter route, as `edgefit compare` writes it."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from edgefit_toolkit.report.schema.quantization import LadderStep


class RouteDoc(TypedDict):
    """One route: its int8 file and how it answers, or in `error` why there is none."""

    converter: str  # as in --converter
    stack: str  # "torch -> ONNX -> ..."
    versions: dict[str, str]  # of the packages that convert
    float_seconds: NotRequired[float]
    float_sqnr_db: NotRequired[float]  # of the float file against the checkpoint in torch
    steps: NotRequired[list[LadderStep]]
    error: NotRequired[str]
    exit_code: NotRequired[int]
    # of an int8 file:
    int8_seconds: NotRequired[float]
    step: NotRequired[str]  # the recipe that was kept
    left_out: NotRequired[list[str]]  # steps of the ladder that this way cannot take, with the reason
    agreement: NotRequired[float]  # top-1, against float
    agreement_top5: NotRequired[float]
    sqnr_db: NotRequired[float]
    n: NotRequired[int]  # pictures of agreement and SQNR
    size_bytes: NotRequired[int]
    sha256: NotRequired[str]
    ops: NotRequired[dict[str, int]]
    partitions: NotRequired[int]
    fallback: NotRequired[list[str]]  # operators outside XNNPACK
    io_dtype: NotRequired[str]
    notes: NotRequired[list[str]]


class RouteLatencyDoc(TypedDict):
    """One route's int8 file, timed in turns with the others'."""

    converter: str
    threads: int
    p50_ms: list[float]  # of each round
    ratios: list[float]  # of each round, to the default's p50 of the same round
    ratio: float  # their median
    origin: Literal["measured on host"]
    notes: list[str]


class RoutesHostDoc(TypedDict):
    """Where they were timed."""

    cpu: str
    cores: int
    versions: dict[str, str]


class RoutesDoc(TypedDict):
    """compare.json."""

    schema: Literal["edgefit.compare/1"]
    edgefit: str  # version
    network: str
    photographs: str  # which calibrated and which judged
    default: str  # the route that the ratios are to
    floors: dict[str, Any]
    rows: list[RouteDoc]
    latencies: list[RouteLatencyDoc]
    environment: RoutesHostDoc
