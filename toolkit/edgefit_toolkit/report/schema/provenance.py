"""How the model came about: data, weights, training, conversion, and the machine that did it."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from edgefit_toolkit.report.schema.quantities import Bytes, Count


class SplitCounts(TypedDict):
    """Pictures per split."""

    train: Count
    val: Count
    test: Count


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
    val_recall: NotRequired[float | None]  # mean over classes, where each was to count alike
    waiting_share: NotRequired[float]  # of the time: waiting for pictures


class TrainingDoc(TypedDict):
    """How fine-tuning went."""

    trace: list[EpochDoc]
    best_epoch: NotRequired[int]
    seconds: NotRequired[float]
    settings: NotRequired[dict[str, Any]]
    device: NotRequired[str]  # what it was trained on
    processes: NotRequired[int]  # that trained together
    speed: NotRequired[str]  # of the last epoch, in words: images/s in all and of each process, share of waiting
    balance: NotRequired[str]  # why and how each class counts alike; empty where pictures do
    classifier: NotRequired[str]  # whether and how it is factorized; empty where it does not outweigh the network
    teacher: NotRequired[str]  # whose answers were learnt beside the labels, and why; empty where no one's
    temperature: NotRequired[float]  # fitted on val, divides the logits inside the model file


class ModelDoc(TypedDict):
    """records.TFLiteModel: a .tflite file and what reading it back showed."""

    path: str  # relative to the run directory
    sha256: str
    size_bytes: Bytes
    io_dtype: str
    ops: dict[str, Count]  # operator kind -> count
    partitions: int  # XNNPACK partitions; 1: nothing falls back
    recipe: NotRequired[str]
    notes: NotRequired[list[str]]


class ModelsDoc(TypedDict):
    """The two files of a run. `float` is float32."""

    float: ModelDoc
    int8: ModelDoc


class EnvironmentDoc(TypedDict):
    """The machine that made the run."""

    host: str
    cpu: str
    versions: dict[str, str]
    seed: int
    gpu: NotRequired[str]
