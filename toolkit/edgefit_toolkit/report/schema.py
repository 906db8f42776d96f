"""The report document, `edgefit.report/1`: what stands in report.json, field by field, and its validation.

The TypedDicts are the schema: `validate` walks them, so a field that is described here is a field that is checked.
Fields may be added freely; a reader must ignore those it does not know. A `NotRequired` field that is missing drops
its section from the rendered report. Milliseconds, bytes and shares (0..1) throughout; never a bare percentage.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from edgefit_toolkit.errors import InputError
from edgefit_toolkit.records import Family, Origin
from edgefit_toolkit.report.checker import check

SCHEMA = "edgefit.report/1"
PLAN_SCHEMA = "edgefit.plan/1"


class LatencyDoc(TypedDict):
    """records.Latency: one inference, in ms."""

    p50: float
    p90: float
    low: float  # predicted: 80% interval of the budget's percentile; measured: 95% interval of it
    high: float
    origin: Origin
    basis: str  # where the figure comes from, one sentence


class CandidateDoc(TypedDict):
    """One network that the picker weighed."""

    phi: float
    family: Family
    width: float
    depth: float
    resolution_px: int
    madds: int  # multiply-adds of one inference
    params: int
    latency_ms: LatencyDoc
    label: NotRequired[str]
    classes: NotRequired[int]
    dropout: NotRequired[float]
    released: NotRequired[str | None]  # "lite2": a network with published ImageNet weights


class FrontierPoint(TypedDict):
    """One network on the curve of latency against phi."""

    phi: float
    latency_ms: float  # at the budget's percentile
    low_ms: float  # as LatencyDoc's
    high_ms: float
    origin: NotRequired[Origin]  # "predicted" where it is not said
    released: NotRequired[str | None]
    resolution_px: NotRequired[int]
    madds: NotRequired[int]
    fits: NotRequired[bool]


class ProofDoc(CandidateDoc):
    """One untrained network of the same graph, measured before training; `latency_ms` is the median round."""

    fits: bool
    rounds_ms: list[float]  # of each round, at the budget's percentile


class PlanDoc(TypedDict):
    """`edgefit.plan/1`: what `edgefit plan --json` prints."""

    schema: Literal["edgefit.plan/1"]
    device: str
    budget_ms: float
    percentile: int
    pick: CandidateDoc | None  # None: nothing fits
    next: CandidateDoc | None  # the next phi up, which does not fit; None: the whole range fits
    frontier: NotRequired[list[FrontierPoint]]
    notes: NotRequired[list[str]]  # what the picker has to say about its pick
    proof: NotRequired[list[ProofDoc]]  # what was measured to find it, in that order


class VerdictDoc(TypedDict):
    """Does it fit, by how much, how do we know."""

    fits: bool
    latency_ms: float  # at the budget's percentile
    budget_ms: float
    margin: float  # share of the budget left: 1 - latency_ms / budget_ms; negative when it is missed
    origin: Origin
    sentence: str


class SplitCounts(TypedDict):
    """Pictures per split."""

    train: int
    val: int
    test: int


class SkippedDoc(TypedDict):
    """A file that was left out, and why."""

    file: str
    reason: str


class CreditDoc(TypedDict):
    """Whose picture, under which licence."""

    file: str
    author: str
    license: str
    url: NotRequired[str]


class DataDoc(TypedDict):
    """What the model was trained and tested on."""

    name: str
    kind: Literal["photographs", "drawn"]  # drawn pictures are said in a banner
    classes: list[str]
    counts: SplitCounts
    skipped: NotRequired[list[SkippedDoc]]
    notes: NotRequired[list[str]]
    license: NotRequired[str]
    credits: NotRequired[list[CreditDoc]]


class WeightsDoc(TypedDict):
    """Where the network's first weights came from (weights.Provenance)."""

    parent: str  # "lite2"
    how: str  # "released" | "grown" | "cut"
    source: str  # package or hub name with its version or revision
    sha256: str
    license: str
    note: NotRequired[str]


class EpochDoc(TypedDict):
    """records.Epoch: one line of the training trace."""

    epoch: int
    phase: str
    train_loss: float
    train_top1: float
    val_loss: float
    val_top1: float
    images_per_s: NotRequired[float]
    lr: NotRequired[float]
    observation: NotRequired[str]


class TrainingDoc(TypedDict):
    """How fine-tuning went."""

    trace: list[EpochDoc]
    best_epoch: NotRequired[int]
    seconds: NotRequired[float]
    settings: NotRequired[dict[str, Any]]
    device: NotRequired[str]  # what it was trained on
    temperature: NotRequired[float]  # fitted on val, divides the logits inside the model file


class ModelDoc(TypedDict):
    """records.TFLiteModel: a .tflite file and what reading it back showed."""

    path: str  # relative to the run directory
    sha256: str
    size_bytes: int
    io_dtype: str
    ops: dict[str, int]  # operator kind -> count
    partitions: int  # XNNPACK partitions; 1: nothing falls back
    recipe: NotRequired[str]
    notes: NotRequired[list[str]]


class ModelsDoc(TypedDict):
    """The two files of a run. `float` is float32."""

    float: ModelDoc
    int8: ModelDoc


class CalibrationDoc(TypedDict):
    """The representative data set."""

    n: int
    seed: int
    source: NotRequired[str]


class LadderStep(TypedDict):
    """One recipe that was tried, in order."""

    name: str
    agreement: float  # top-1, against float
    sqnr_db: float
    seconds: float
    passed: bool
    note: NotRequired[str]


class QuantizationDoc(TypedDict):
    """How int8 was reached."""

    recipe: str  # the step that was kept
    calibration: NotRequired[CalibrationDoc]
    ladder: NotRequired[list[LadderStep]]
    guard: NotRequired[dict[str, Any]]  # the floors on held-out pictures, e.g. {"top1": 0.95, "sqnr_db": 15}


class ScoreDoc(TypedDict):
    """Share of n test pictures answered correctly; low and high are Wilson's 95% interval."""

    top1: float
    n: int
    low: NotRequired[float]
    high: NotRequired[float]


class AccuracyDoc(TypedDict):
    """The same test pictures through three networks."""

    float_torch: ScoreDoc
    float_tflite: ScoreDoc
    int8_tflite: ScoreDoc


class RecallDoc(TypedDict):
    """int8 on the test pictures of one class."""

    label: str
    recall: float
    n: int
    low: NotRequired[float]
    high: NotRequired[float]


class ConfusionDoc(TypedDict):
    """int8 on test: matrix[truth][answer] counts pictures."""

    labels: list[str]
    matrix: list[list[int]]


class ReliabilityBin(TypedDict):
    """Test pictures whose confidence lies in [low, high]; confidence and accuracy are means over them."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


class ReliabilityDoc(TypedDict):
    """Does int8 know when it is unsure?"""

    bins: list[ReliabilityBin]
    ece: NotRequired[float]  # expected calibration error: mean |confidence - accuracy| weighted by n
    threshold: NotRequired[float]  # below this confidence the app says "not sure"


class AgreementDoc(TypedDict):
    """int8 against float on the same pictures: the same first answer, not accuracy."""

    top1: float
    sqnr_db: float
    n: int


class MeasurementDoc(TypedDict):
    """records.Measurement with its derived statistics."""

    model: str  # "int8" | "float"
    target: str
    delegate: str
    threads: int
    origin: Literal["measured on device", "measured on host"]
    p50_ms: float
    p90_ms: float
    p99_ms: float
    samples_ms: list[float]
    model_sha256: NotRequired[str]
    runtime: NotRequired[str]
    warmups: NotRequired[int]
    emulated: NotRequired[bool]  # an emulator ran it: its milliseconds are not a latency and are not shown as one
    notes: NotRequired[list[str]]


class ReferenceDoc(TypedDict):
    """The float network in torch, on a GPU where there is one."""

    hardware: str
    dtype: str
    p50_ms: float
    top1: float
    device: NotRequired[str]  # "cuda" | "mps" | "cpu"
    p90_ms: NotRequired[float]
    n: NotRequired[int]
    samples_ms: NotRequired[list[float]]
    note: NotRequired[str]


class PredictionDoc(TypedDict):
    """What int8 said about one test picture."""

    file: str  # name only, never a machine's path
    truth: str
    top3: list[tuple[str, float]]
    correct: bool
    picture: NotRequired[str]  # data:image/jpeg;base64,... about 160 px
    credit: NotRequired[CreditDoc]  # of that picture
    note: NotRequired[str]


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


class AttemptDoc(TypedDict):
    """A network that was trained, measured over the budget after all, and set aside for a smaller one."""

    label: str
    phi: float
    latency_ms: LatencyDoc  # of the trained int8 model
    top1: float  # int8, on test
    folder: str  # in the run directory: what is left of it


class DeviceAccuracyDoc(TypedDict):
    """The test pictures answered on the device itself, and on this host."""

    target: str
    n: int
    top1: float  # on the device
    host_top1: float
    equal: int  # pictures whose outputs are the same bytes on both
    agreement: float  # share with the same first answer on both


class OperatorTime(TypedDict):
    """Time of one operator kind within an inference."""

    op: str
    count: int
    ms: float
    kernels: NotRequired[list[str]]  # XNNPACK's names for what ran; empty: outside XNNPACK


class OperatorTimesDoc(TypedDict):
    """Per-operator profile of one model on one target."""

    model: str
    target: str
    origin: Literal["measured on device", "measured on host"]
    rows: list[OperatorTime]
    threads: NotRequired[int]
    runtime: NotRequired[str]
    invoke_ms: NotRequired[float]  # the whole inference by the clock, while it was profiled


class EnvironmentDoc(TypedDict):
    """The machine that made the run."""

    host: str
    cpu: str
    versions: dict[str, str]
    seed: int
    gpu: NotRequired[str]


class ReportDoc(TypedDict):
    """report.json."""

    schema: Literal["edgefit.report/1"]
    edgefit: str  # version
    created: str  # UTC, ISO 8601
    command: str  # reproduces the run
    verdict: VerdictDoc
    plan: PlanDoc
    data: DataDoc
    models: ModelsDoc
    accuracy: AccuracyDoc
    agreement: AgreementDoc
    measurements: list[MeasurementDoc]
    reference: ReferenceDoc
    weights: NotRequired[WeightsDoc]
    training: NotRequired[TrainingDoc]
    quantization: NotRequired[QuantizationDoc]
    per_class: NotRequired[list[RecallDoc]]
    confusion: NotRequired[ConfusionDoc]
    reliability: NotRequired[ReliabilityDoc]
    predictions: NotRequired[list[PredictionDoc]]
    worst_mistakes: NotRequired[list[PredictionDoc]]
    pipeline_trace: NotRequired[list[TraceStep]]
    prediction_trace: NotRequired[PredictionTraceDoc]
    attempts: NotRequired[list[AttemptDoc]]
    device_accuracy: NotRequired[DeviceAccuracyDoc]
    operator_times: NotRequired[list[OperatorTimesDoc]]
    environment: NotRequired[EnvironmentDoc]
    warnings: NotRequired[list[str]]


def validate(doc: Any) -> ReportDoc:
    """The document, if it is an `edgefit.report/1`; raises InputError that names the first bad field."""
    check(doc, ReportDoc, "report")
    report: ReportDoc = doc
    _agree(report)
    return report


def _agree(doc: ReportDoc) -> None:
    """Fields that say the same thing twice must not differ."""
    verdict = doc["verdict"]
    if verdict["fits"] != (verdict["latency_ms"] <= verdict["budget_ms"]):
        raise _bad("verdict.fits", f"is {verdict['fits']}, yet {verdict['latency_ms']} ms meets a budget of "
                   f"{verdict['budget_ms']} ms: {verdict['latency_ms'] <= verdict['budget_ms']}")  # fmt: skip
    margin = 1 - verdict["latency_ms"] / verdict["budget_ms"]
    if abs(margin - verdict["margin"]) > 0.005:
        raise _bad("verdict.margin", f"is {verdict['margin']:g}; 1 - latency_ms / budget_ms is {margin:.4f}")
    for i, row in enumerate(doc["measurements"]):
        if not row["samples_ms"]:
            raise _bad(f"measurements[{i}].samples_ms", "is empty; statistics without their samples are not kept")
        if row.get("emulated") and row["origin"] == "measured on device":
            raise _bad(f"measurements[{i}].origin", "says 'measured on device' of an emulator")
    confusion = doc.get("confusion")
    if confusion is not None:
        size = len(confusion["labels"])
        if [len(row) for row in confusion["matrix"]] != [size] * size:
            raise _bad("confusion.matrix", f"is not {size} x {size}, as its labels ask")
    for i, prediction in enumerate([*doc.get("predictions", []), *doc.get("worst_mistakes", [])]):
        picture = prediction.get("picture")
        if picture is not None and not picture.startswith(("data:image/jpeg;base64,", "data:image/png;base64,")):
            raise _bad(f"predictions[{i}].picture", "is not a JPEG or PNG data URI: the report must stand alone")


def _bad(field: str, problem: str) -> InputError:
    return InputError(f"report: {field} {problem}", "make the run again: edgefit fit")
