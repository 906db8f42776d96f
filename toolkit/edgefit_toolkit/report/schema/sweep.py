"""`edgefit.sweep/1`: budgets times devices, as `edgefit sweep` writes it."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from edgefit_toolkit.records import Origin
from edgefit_toolkit.report.schema.quantities import BudgetMs, Bytes, Count, Ms, Share
from edgefit_toolkit.report.schema.results import MeasurementDoc

Status = Literal["fits", "misses", "failed", "waiting"]
Shown = Literal["better", "not shown", "worse", "same network"]


class SweepCellDoc(TypedDict):
    """One budget on one device with one seed. Where it failed, its figures are null and `reason` says why."""

    device: str
    budget_ms: BudgetMs
    seed: int
    network: str | None  # its label, such as "Lite2 260px"; null where none fits
    phi: float | None
    status: Status  # "waiting": not yet reached
    latency_ms: Ms | None  # at the sweep's percentile
    origin: Origin | None
    top1: Share | None  # of int8 on the test pictures
    n: Count | None  # test pictures
    low: Share | None  # 95% interval of top1
    high: Share | None
    run: str  # its run directory, relative to this document's; a refused network's where the guard said no
    released: NotRequired[str | None]
    latency_low_ms: NotRequired[Ms | None]  # 80% interval of a prediction, 95% of a measurement
    latency_high_ms: NotRequired[Ms | None]
    float_top1: NotRequired[Share | None]
    agreement: NotRequired[Share | None]  # top-1 of int8 with float, on the test pictures
    size_bytes: NotRequired[Bytes | None]  # of the int8 model
    reason: NotRequired[str]
    next: NotRequired[str]  # what to do about it
    exit_code: NotRequired[int]  # that a run of this cell alone ends with


class SweepStepDoc(TypedDict):
    """What a larger budget buys on one device, on the same test pictures."""

    device: str
    from_ms: BudgetMs
    to_ms: BudgetMs
    kind: Shown  # whether these pictures show a difference
    difference: float  # top-1 at to_ms minus top-1 at from_ms, mean of the seeds
    low: float  # 95% interval of it, in pairs
    high: float
    n: Count  # test pictures
    words: str  # "a difference that these 75 pictures cannot show (...)"


class ReleasedDoc(TypedDict):
    """Where a released network lies on a device's axis of latency."""

    name: str  # "lite2"
    latency_ms: Ms  # predicted
    low: Ms  # 80% interval
    high: Ms


class SweepDeviceDoc(TypedDict):
    """One device of the grid."""

    name: str  # of its profile
    title: str  # "Pixel 4"
    sentence: str  # what each budget buys there
    released: list[ReleasedDoc]


class SweepNetworkDoc(TypedDict):
    """One distinct network, made once for all its cells."""

    label: str
    phi: float
    released: str | None
    seed: int
    cells: Count
    run: str  # its run directory, relative to this document's


class FleetRowDoc(TypedDict):
    """One network's int8 model on one attached phone or board, or why it was not timed."""

    network: str
    seed: int
    target: str
    flag: str  # that names it on the command line, without dashes: "serial"
    name: str  # what the flag names: "1A2B"
    measurement: NotRequired[MeasurementDoc]
    reason: NotRequired[str]
    next: NotRequired[str]


class SweepDataDoc(TypedDict):
    """The pictures, those of the first seed."""

    name: str
    kind: Literal["photographs", "drawn"]
    summary: str


class SweepDoc(TypedDict):
    """sweep.json."""

    schema: Literal["edgefit.sweep/1"]
    edgefit: str  # version
    created: str  # UTC, ISO 8601
    command: str  # makes the sweep again, or goes on with it
    percentile: int
    budgets_ms: list[BudgetMs]
    seeds: list[int]
    data: SweepDataDoc
    devices: list[SweepDeviceDoc]
    networks: list[SweepNetworkDoc]
    cells: list[SweepCellDoc]
    steps: list[SweepStepDoc]
    fleet: NotRequired[list[FleetRowDoc]]
