"""What the finished models were measured to do."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from edgefit_toolkit.report.schema.provenance import CreditDoc
from edgefit_toolkit.report.schema.quantities import Count, Ms, Share, Top


class ScoreDoc(TypedDict):
    """Share of n test pictures answered correctly; low and high are Wilson's 95% interval."""

    top1: Share
    n: Count
    low: NotRequired[Share]
    high: NotRequired[Share]


class AccuracyDoc(TypedDict):
    """The same test pictures through three networks."""

    float_torch: ScoreDoc
    float_tflite: ScoreDoc
    int8_tflite: ScoreDoc


class RecallDoc(TypedDict):
    """int8 on the test pictures of one class; a class without any has no row."""

    label: str
    recall: Share
    n: Count
    low: NotRequired[Share]
    high: NotRequired[Share]
    train: NotRequired[int]  # training pictures of the class


class ShotsDoc(TypedDict):
    """int8 on the classes that had so many training pictures."""

    name: Literal["many", "medium", "few"]  # over 100, 20 to 100, under 20
    classes: Count  # with test pictures
    top1: ScoreDoc  # over their pictures
    mean_recall: Share  # over the classes, each counting once


class BalanceDoc(TypedDict):
    """Every class counts once: what the mean over pictures hides where some classes have many more than others."""

    mean_recall: Share
    classes: Count  # with test pictures
    shots: NotRequired[list[ShotsDoc]]  # of groups that hold classes, most training pictures first


class ConfusionDoc(TypedDict):
    """int8 on test, by indices into `labels`; of many classes the most frequent mistakes instead of the matrix."""

    labels: list[str]
    matrix: NotRequired[list[list[Count]]]  # matrix[truth][answer] counts pictures
    mistakes: NotRequired[list[tuple[Count, Count, Count]]]  # (truth, answer, pictures), most frequent first
    left_out: NotRequired[Count]  # pictures of mistakes that are not listed


class ReliabilityBin(TypedDict):
    """Test pictures whose confidence lies in [low, high]; confidence and accuracy are means over them."""

    low: Share
    high: Share
    n: Count
    confidence: Share
    accuracy: Share


class ReliabilityDoc(TypedDict):
    """Does int8 know when it is unsure?"""

    bins: list[ReliabilityBin]
    ece: NotRequired[Share]  # expected calibration error: mean |confidence - accuracy| weighted by n
    threshold: NotRequired[Share]  # below this confidence the app says "not sure"


class AnsweredDoc(TypedDict):
    """Test pictures that int8 answers when it is sure, and how many of those answers are right; shares."""

    answered: float
    precision: float | None  # None: nothing was answered


class RankDoc(TypedDict):
    """One rank of the taxonomy."""

    rank: str
    names: int  # nodes of the rank
    accuracy: float  # share of the test pictures whose likeliest name of this rank is right, sure or not
    answered: float  # share of the test pictures that are answered at this very rank
    precision: float | None  # of those answers; None: there are none
    threshold: NotRequired[float]  # missing: the rank never answers


class TreeDoc(AnsweredDoc):
    """Answers at any rank."""

    by_rank: list[RankDoc]  # from fine to coarse


class PrecisionDoc(TypedDict):
    """What another wanted precision would give, its thresholds chosen on val as well."""

    precision_wanted: float
    flat: AnsweredDoc
    tree: AnsweredDoc


class TaxonomyDoc(TypedDict):
    """Answers up the taxonomy against one threshold on the class, both chosen on val for the same precision."""

    precision_wanted: float
    n: int  # test pictures
    n_val: int  # validation pictures that chose the thresholds
    flat: AnsweredDoc
    tree: TreeDoc
    curve: list[PrecisionDoc]


class TurnedAwayDoc(TypedDict):
    """How well the surest name tells the classes' test pictures from those of other things."""

    auroc: Share
    fpr95: Share  # of other things that are kept when 95% of the classes' pictures are


class OtherDoc(TypedDict):
    """None of these: pictures of which no name is as certain as a floor."""

    floor: Share  # chosen so that 95% of the validation pictures of the classes are kept, by int8
    n_val: int
    examples: bool  # whether the model learnt from photographs of other things
    kept: Share  # of the classes' test pictures, by int8
    n: int
    n_other: int  # test pictures of other things
    turned_away: NotRequired[Share]  # of these, by int8
    float: NotRequired[TurnedAwayDoc]
    int8: NotRequired[TurnedAwayDoc]


class PlacedDoc(AnsweredDoc):
    """Test pictures whose region or month is known, by int8."""

    top1: Share


class PlacesDoc(TypedDict):
    """What it gains to lower classes that do not occur where and when a picture was taken."""

    n: int  # test pictures whose region or month is known
    regions: list[str]  # of these
    without: PlacedDoc
    lowered: PlacedDoc
    mended: int  # wrong first answers that became right
    spoiled: int  # right ones that became wrong


class AgreementDoc(TypedDict):
    """int8 against float on the same pictures: the same first answer, not accuracy."""

    top1: Share
    sqnr_db: float
    n: Count


class MeasurementDoc(TypedDict):
    """records.Measurement with its derived statistics."""

    model: str  # "int8" | "float"
    target: str
    delegate: str
    threads: Count
    origin: Literal["measured on device", "measured on host"]
    p50_ms: Ms
    p90_ms: Ms
    p99_ms: Ms
    samples_ms: list[Ms]
    model_sha256: NotRequired[str]
    runtime: NotRequired[str]
    warmups: NotRequired[Count]
    emulated: NotRequired[bool]  # an emulator ran it: its milliseconds are not a latency and are not shown as one
    notes: NotRequired[list[str]]


class ReferenceDoc(TypedDict):
    """The float network in torch, on a GPU where there is one."""

    hardware: str
    dtype: str
    p50_ms: Ms
    top1: Share
    device: NotRequired[str]  # "cuda" | "mps" | "cpu"
    p90_ms: NotRequired[Ms]
    n: NotRequired[Count]
    samples_ms: NotRequired[list[Ms]]
    note: NotRequired[str]


class PredictionDoc(TypedDict):
    """What int8 said about one test picture."""

    file: str  # name only, never a machine's path
    truth: str
    top3: Top
    correct: bool
    picture: NotRequired[str]  # data:image/jpeg;base64,... about 160 px
    credit: NotRequired[CreditDoc]  # of that picture
    note: NotRequired[str]


class DeviceAccuracyDoc(TypedDict):
    """The test pictures answered on the device itself, and on this host."""

    target: str
    n: Count
    top1: Share  # on the device
    host_top1: Share
    equal: Count  # pictures whose outputs are the same bytes on both
    agreement: Share  # share with the same first answer on both


class OperatorTime(TypedDict):
    """Time of one operator kind within an inference."""

    op: str
    count: Count
    ms: Ms
    kernels: NotRequired[list[str]]  # XNNPACK's names for what ran; empty: outside XNNPACK


class OperatorTimesDoc(TypedDict):
    """Per-operator profile of one model on one target."""

    model: str
    target: str
    origin: Literal["measured on device", "measured on host"]
    rows: list[OperatorTime]
    threads: NotRequired[Count]
    runtime: NotRequired[str]
    invoke_ms: NotRequired[Ms]  # the whole inference by the clock, while it was profiled
