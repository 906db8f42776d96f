"""How much work one fine-tuning is: chosen from the size of the job, never from a clock, so that a seed repeats it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgefit_toolkit.errors import InputError
from edgefit_toolkit.network.blocks import blocks
from edgefit_toolkit.network.families import FAMILIES, family_named
from edgefit_toolkit.network.graph import operators
from edgefit_toolkit.records import Variant
from edgefit_toolkit.training.compute import Device

STAGES = max(len(family.stages) for family in FAMILIES.values())  # 7; `unfreeze_from` of 7: head and classifier

# Work of one job on a CPU, in multiply-adds of a forward pass. Two Zen 5 cores do about 90e9 a second forward in
# bfloat16, and train at 24e9 (counted forward) from stage 3 on, 33e9 from stage 6 on; Sapphire Rapids about half that.
CPU_FORWARD_MADDS = 2.0e12
CPU_TRAINING_MADDS = 1.4e12
USUAL_PICTURES = 400  # beyond them the work grows with the square root of their number
CPU_CACHE_BYTES = 1_500_000_000  # activations of all views
MAX_VIEWS = 8
DEEPEST = 3  # stage; Lite2, flowers, 5-fold cross-validation: val loss .218 probe, .182 from stage 5, .154 from stage 3
EPOCHS = (6, 10)  # fewer do not settle, more only overfit a small set
GPU_EPOCHS = 30


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides the result, besides the network and the pictures."""

    seed: int = 0
    epochs: int = 10  # of fine-tuning after the probe; 0 keeps the probe
    views: int = 8  # random views of each training picture, beside the evaluation crop itself
    unfreeze_from: int = 3  # first stage (0..6) that trains; 0 trains the stem too, 7 only head and classifier
    lr: float = 1e-4  # AdamW's peak: one epoch of warm-up, then a cosine to zero
    batch: int = 32
    patience: int = 5  # epochs without a better val result before stopping
    weight_decay: float = 0.05  # of convolutions and classifier, not of batch norms and biases
    average: float = 0.33  # share of all steps that the moving average of the weights looks back over; 0 for none
    factorize: bool = True  # the classifier, where it outweighs the rest of the network and val allows it
    dropout: float | None = None  # before the classifier; None takes the variant's
    compiled: bool = False  # by torch.compile, which takes a minute or two before the first step
    teacher: str = ""  # which network's answers it learns beside the labels: a released one's name, or a SHA-256
    balance: bool = False  # each class counts alike, whatever its share of the pictures: see balance.py

    def __post_init__(self) -> None:
        if not 0 <= self.unfreeze_from <= STAGES:
            raise InputError(f"unfreeze_from {self.unfreeze_from}: stages are 0 to {STAGES - 1}, {STAGES} for the head")
        if self.epochs < 0 or self.views < 0 or self.batch < 1 or self.patience < 1:
            raise InputError(
                f"epochs {self.epochs}, views {self.views}, batch {self.batch}, patience {self.patience}: "
                "epochs and views are 0 or more, batch and patience 1 or more"
            )
        if not 0 < self.lr < 1:
            raise InputError(f"learning rate {self.lr}: valid is a number between 0 and 1, such as 1e-4")

    @classmethod
    def default_for(cls, variant: Variant, n_train: int, device: Device = "cpu", seed: int = 0) -> TrainSettings:
        """Settings for a variant and that many training pictures.

        A GPU trains every layer on fresh views. A CPU caches as many views as its work allows and trains on them from
        as deep a stage as leaves enough epochs, at most from stage 3 on; a very large job trains only the head.
        """
        if device != "cpu":
            return cls(seed=seed, epochs=GPU_EPOCHS, views=4, unfreeze_from=0, patience=10)
        more = max(1.0, n_train / USUAL_PICTURES) ** 0.5
        views = round(more * CPU_FORWARD_MADDS / (variant.madds * n_train)) - 1
        views = min(max(views, 1), MAX_VIEWS)
        fewest, most = EPOCHS
        stages = len(family_named(variant.family).stages)
        unfreeze_from = min(DEEPEST, stages)
        while unfreeze_from < stages:
            cache_bytes = cut_values(variant, unfreeze_from) * 2 * n_train
            affordable = more * CPU_TRAINING_MADDS / (upper_madds(variant, unfreeze_from) * n_train)
            if affordable >= fewest and cache_bytes * (views + 1) <= CPU_CACHE_BYTES:
                break
            unfreeze_from += 1
        cache_bytes = cut_values(variant, unfreeze_from) * 2 * n_train
        views = min(views, max(CPU_CACHE_BYTES // cache_bytes - 1, 1))
        affordable = more * CPU_TRAINING_MADDS / (upper_madds(variant, unfreeze_from) * n_train)
        epochs = min(max(int(affordable), fewest), most)
        return cls(seed=seed, epochs=epochs, views=views, unfreeze_from=unfreeze_from)


def first_block(variant: Variant, stage: int) -> int:
    """Index of the first block of a stage: the cut that `features` speaks of."""
    return sum(block.stage < stage for block in blocks(variant.family, variant.width, variant.depth))


def upper_madds(variant: Variant, stage: int) -> int:
    """Multiply-adds of one forward pass through that stage and all after it."""
    return sum(operator.madds for operator in operators(variant) if operator.stage >= stage)


def cut_values(variant: Variant, stage: int) -> int:
    """Numbers in one picture's activations where that stage begins."""
    return math.prod(cut_shape(variant, stage))


def cut_shape(variant: Variant, stage: int) -> tuple[int, int, int]:
    """Channels, height and width of one picture's activations where that stage begins."""
    first = next(operator for operator in operators(variant) if operator.stage >= stage)
    height, width, channels = first.in_shape
    return channels, height, width
