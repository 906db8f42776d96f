"""A teacher: a larger network, whose answers the one that trains learns beside the labels (Hinton et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.progress import Progress
from edgefit_toolkit.training.compute import Compute, slices
from edgefit_toolkit.training.inputs.feature_store import FeatureStore, Rows
from edgefit_toolkit.training.inputs.features import Meter, TrainingInputs, pass_through
from edgefit_toolkit.training.inputs.views import CROP

SHARE = 0.5  # of the loss; the labels have the rest
SOFTENED = 2.0  # temperature at which both networks' answers are compared


@dataclass(frozen=True)
class Teacher:
    """A network of the data set's classes, in eval mode, where it is called."""

    network: EfficientNet
    log_shares: Tensor | None = None  # [classes]: what balance has taken off its logits

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of pictures [N, 3, R, R] of any R, where they lie: they are resized to its own."""
        side = self.network.variant.resolution_px
        if x.shape[-1] != side:
            x = F.interpolate(x, (side, side), mode="bicubic", antialias=True)
        parts = slices(x.contiguous(memory_format=torch.channels_last))
        return self.of_features(torch.cat([self.network.features(part) for part in parts]))

    @torch.no_grad()
    def of_features(self, features: Tensor) -> Tensor:
        """Logits [N, classes] of its pooled features [N, C], where they lie."""
        logits: Tensor = self.network.classifier(features)
        return logits if self.log_shares is None else logits + self.log_shares.to(logits.device)


def answers(
    teacher: Teacher, inputs: TrainingInputs, compute: Compute, on_progress: Progress, store: FeatureStore
) -> tuple[Tensor, ...]:
    """The teacher's logits [n, classes] of the crop and of each view that `inputs` holds activations of.

    It looks at the same part of each picture, at its own size: enlarged from the network's it would see less. As all
    that is frozen it computes in bfloat16 where that is fast. What the `store` has of an earlier run is left out.
    """
    theirs, n = inputs.views.preprocessing, len(inputs.dataset.train)
    side = teacher.network.variant.resolution_px
    padding = round(theirs.crop_padding_px * side / theirs.resolution_px)
    seen = replace(theirs, resolution_px=side, crop_padding_px=padding)
    views, count = inputs.views.at(seen), n * len(inputs.activations)
    rows = store.open({"answers": Rows(count, (teacher.network.variant.classes,), torch.float32)})["answers"]
    meter = Meter(on_progress, "the teacher's answers", count, store.done, store.seconds)
    for number in range(store.done // n, len(inputs.activations)):
        pixels = views.batches(range(store.done - number * n, n), number + CROP, compute.forward_batch)
        for _, features in pass_through(teacher.network, pixels, 0, compute, exact=False):
            at = slice(store.done, store.done + len(features))
            rows[at] = teacher.of_features(features.to(compute.device)).cpu()
            store.advance(len(features), meter.seconds)
            meter.add(len(features))
    views.close()
    store.save()
    return torch.split(rows, n)


def distilled(logits: Tensor, truth: Tensor, taught: Tensor) -> Tensor:
    """The mean loss against labels [N] and the teacher's logits [N, classes]."""
    softened = F.log_softmax(logits / SOFTENED, 1), F.log_softmax(taught / SOFTENED, 1)
    told = (
        F.kl_div(*softened, reduction="batchmean", log_target=True) * SOFTENED**2
    )  # gradients as large as the labels'
    return (1 - SHARE) * F.cross_entropy(logits, truth) + SHARE * told
