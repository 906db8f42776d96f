"""A classifier that outweighs the rest of its network, as two layers with few channels between them.

Of very many classes the classifier is most of what ships: 10,000 of them are 12.8 million weights, Lite2 has 4.8
million others. The trained one is factorized so that its logits on the training pictures are kept best
(network.head.Factors), learns the trained one's answers to them, and is taken at the smallest rank that val allows:
there the lower end of the 95% interval of the difference in top-1, on the same pictures, is no more than MOST_LOST
below the full classifier; and where each class counts alike, neither is the mean over classes. A rank has to halve the
classifier at least. Where none does all that, it stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from edgefit_toolkit.intervals import paired_interval
from edgefit_toolkit.network.graph import classifier_params
from edgefit_toolkit.network.head import Classifier, FactorizedLinear, Factors, full_layer
from edgefit_toolkit.network.scaling import with_head_rank
from edgefit_toolkit.records import Variant
from edgefit_toolkit.training.balance import mean_share
from edgefit_toolkit.training.inputs.views import CROP
from edgefit_toolkit.training.trainer import Trainer

RANKS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
MOST_LOST = 0.01  # of val top-1
MOST_WEIGHTS = 0.5  # of the full classifier's
FITTED_TO = 10_000  # training pictures at most: eight for each of 1280 features
EPOCHS, BATCH, LR = 4, 32, 1e-4  # of learning the full one's answers: see `taught`
PART_ROWS = 1024
LABEL = "factorizing the classifier"


def outweighs(variant: Variant) -> bool:
    """Whether the classifier has more weights than the rest of the network."""
    return 2 * classifier_params(variant) > variant.params


def ranks_of(variant: Variant, features: int) -> list[int]:
    """Those that a classifier of that many features may have, from the smallest."""
    full = classifier_params(variant)

    def weights(rank: int) -> int:
        return rank * (features + variant.classes) + rank + variant.classes

    return [r for r in RANKS if r < min(features, variant.classes) and weights(r) <= MOST_WEIGHTS * full]


def factorize(trainer: Trainer) -> tuple[str, Tensor]:
    """Factorizes the classifier of a finished training, in place, where val allows it.

    What became of it, in a sentence; and the val logits [N, classes] as `Trainer.finish` gives them. Every process of
    the training has to call it; the first one's network is what counts.
    """
    network, variant = trainer.network, trainer.network.variant
    val = trainer.world.all_rows(
        _pooled(trainer, trainer.inputs.val_batches(trainer.compute.forward_batch)), len(trainer.inputs.val_labels)
    )
    full = full_layer(network.classifier).cpu()
    ranks = ranks_of(variant, full.in_features)
    found: FactorizedLinear | None = None
    said = "no rank halves it"
    if ranks and trainer.world.first:
        train = _pooled(trainer, _crops(trainer))
        factors = Factors(full, train, min(ranks[-1], len(train)))
        tried = [rank for rank in ranks if rank <= len(train)]
        found, said = smallest(
            full, (taught(factors.of_rank(rank), full, train) for rank in tried), val, trainer.inputs.val_labels,
            balanced=trainer.log_shares is not None, on_tried=lambda n: trainer.on_progress(LABEL, n, len(tried)),
        )  # fmt: skip
        trainer.on_progress(LABEL, 1, 1)
    share = f"{classifier_params(variant) / 1e6:.2f} of {variant.params / 1e6:.2f} million weights"
    text = f"The classifier has {share} and is not factorized: {said}"
    if found is not None:
        network.classifier = found
        network.variant = with_head_rank(variant, found.rank)
        text = (
            f"The classifier, {share}, is factorized at rank {found.rank}: the network has "
            f"{network.variant.params / 1e6:.2f} million now; {said}"
        )
    with torch.no_grad():
        logits: Tensor = (full if found is None else found)(val)
    if trainer.log_shares is not None:
        logits = logits + trainer.log_shares
    return text, logits


@torch.enable_grad()
def taught(made: FactorizedLinear, full: Classifier, features: Tensor) -> FactorizedLinear:
    """`made`, after some epochs of learning the full classifier's probabilities on training features [N, C]; in place.

    What is nearest in the square of all logits is not nearest in the answers. 700 classes, phi -6, test top-1 .971 with
    the full one: at rank 96 .936 before and .966 after, at 128 .959 and .969, at 192 .963 and .971 (on val .967: .946
    and .964, .954 and .962, .961 and .966). Labels in place of the probabilities teach no more, and classes of which
    no picture is among the rows would lose by them.
    """
    optimizer = torch.optim.AdamW(made.parameters(), lr=LR, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * math.ceil(len(features) / BATCH))
    random = torch.Generator().manual_seed(0)
    for _ in range(EPOCHS):
        for rows in torch.split(features[torch.randperm(len(features), generator=random)], BATCH):
            with torch.no_grad():
                wanted = full(rows).softmax(1)
            optimizer.zero_grad()
            F.cross_entropy(made(rows), wanted).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return made


@torch.no_grad()
def smallest(
    full: Classifier, ranks: Iterator[FactorizedLinear], features: Tensor, truth: Tensor, *, balanced: bool = False,
    on_tried: Callable[[int], None] = lambda number: None,
) -> tuple[FactorizedLinear | None, str]:  # fmt: skip
    """The first of these that loses no more than MOST_LOST on val features [N, C], and what val says of it."""
    before = _answers(full, features)
    right_before = before == truth
    said = ""
    for number, made in enumerate(ranks):
        on_tried(number)
        answers = _answers(made, features)
        right = answers == truth
        both, only, other = (int(x.sum()) for x in (right & right_before, right & ~right_before, right_before & ~right))
        low, high = paired_interval(both, only, other, len(truth) - both - only - other)
        lost = mean_share(right_before, truth) - mean_share(right, truth) if balanced else 0.0
        said = (
            f"at rank {made.rank} val top-1 is {right.double().mean():.3f} in place of "
            f"{right_before.double().mean():.3f} (95% interval of the difference {100 * low:+.1f} to {100 * high:+.1f} "
            f"points), {(answers == before).double().mean():.1%} of {len(truth):,} answers the same"
        )
        if low >= -MOST_LOST and lost <= MOST_LOST:
            return made, said
    return None, f"{said}; {100 * MOST_LOST:g} point may be lost"


def _answers(classifier: Classifier, features: Tensor) -> Tensor:
    parts = [classifier(part).argmax(1) for part in torch.split(features, PART_ROWS)]
    return torch.cat(parts)


def _crops(trainer: Trainer) -> Iterator[Tensor]:
    """As `TrainingInputs.val_batches`, of some of this process's training pictures, evenly spread."""
    inputs = trainer.inputs
    step, size = -(-len(inputs.dataset.train) // FITTED_TO), trainer.compute.forward_batch
    if inputs.cut:
        rows = torch.arange(0, len(inputs.dataset.train), step)
        return (inputs.activations[0][part].float() for part in torch.split(rows, size))
    return map(torch.from_numpy, inputs.views.batches(range(0, len(inputs.dataset.train), step), CROP, size))


@torch.no_grad()
def _pooled(trainer: Trainer, batches: Iterator[Tensor]) -> Tensor:
    """Features [n, C] of the trained network, on the CPU."""
    size = trainer.compute.forward_batch
    given = [trainer.upper.features(trainer.on_device(x, size))[: len(x)].cpu() for x in batches]
    empty = torch.empty(0, trainer.network.classifier.in_features)
    return torch.cat(given or [empty])
