"""The network cut in two: a frozen lower part, run once per view, and an upper part that trains on what it gave.

A cut is the index of the first block that trains: 0 trains everything, `len(network.blocks)` only head and
classifier. Batch norms keep their ImageNet statistics (eval mode) on both sides of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.data.decoding import Pixels
from edgefit_toolkit.data.pixels import labels as labels_of
from edgefit_toolkit.data.preprocessing import preprocessing_for, to_network_input
from edgefit_toolkit.network.efficientnet import EfficientNet, fold_batch_norm
from edgefit_toolkit.progress import Progress
from edgefit_toolkit.training.compute import Compute, slices
from edgefit_toolkit.training.settings import TrainSettings, first_block
from edgefit_toolkit.training.views import FORWARD_BATCH, Views, crop_batches
from edgefit_toolkit.training.world import ALONE, World

PROBE_VIEWS_LIVE = 4  # random views that a probe sees where every layer trains and nothing is cached


class Meter:
    """Turns a count into progress with images/s and the time left."""

    def __init__(self, on_progress: Progress, label: str, total: int) -> None:
        self.on_progress, self.label, self.total = on_progress, label, total
        self.done = 0
        self.started = time.monotonic()

    @property
    def images_per_s(self) -> float:
        """So far; 0 before the first."""
        return self.done / max(time.monotonic() - self.started, 1e-9)

    def add(self, images: int, detail: str = "") -> None:
        """That many more are done."""
        self.done += images
        speed = self.images_per_s
        left_s = (self.total - self.done) / max(speed, 1e-9)
        text = f"{speed:.0f} images/s, {left_s:.0f} s left"
        self.on_progress(self.label, self.done, self.total, f"{detail}, {text}" if detail else text)


def lower(network: EfficientNet, x: Tensor, cut: int) -> Tensor:
    """Pictures [N, 3, R, R] -> activations [N, C, H, W] where block `cut` begins (`x` itself for 0)."""
    if cut == 0:
        return x
    if network.input_norm is not None:
        x = network.input_norm(x)
    x = network.stem(x)
    for block in network.blocks[:cut]:
        x = block(x)
    return x


class UpperPart(nn.Module):
    """What trains: the blocks from `cut` on, head and classifier. They are the network's own layers, not copies."""

    def __init__(self, network: EfficientNet, cut: int, dropout: float = 0.0) -> None:
        super().__init__()
        first: list[nn.Module] = [] if cut or network.input_norm is None else [network.input_norm]
        first += [] if cut else [network.stem]
        self.layers = nn.Sequential(*first, *list(network.blocks)[cut:], network.head)
        self.classifier = network.classifier
        self.dropout = dropout

    def features(self, x: Tensor) -> Tensor:
        """What `lower` gave -> pooled features [N, C]."""
        return F.adaptive_avg_pool2d(self.layers(x), 1).flatten(1)

    def forward(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """What `lower` gave -> logits [N, classes]. `kept`, bool [N, C], says which features dropout leaves."""
        features = self.features(x)
        if kept is not None:
            features = features * kept / (1 - self.dropout)
        logits: Tensor = self.classifier(features)
        return logits


@dataclass(frozen=True)
class Passed:
    """What one pass over some pictures left: activations at the cut and pooled features, on the CPU."""

    activations: Tensor  # [N, C, H, W]; bfloat16 when made for training, float32 for evaluation; empty for cut 0
    features: Tensor  # [N, C] float32


@dataclass(frozen=True)
class TrainingInputs:
    """Everything that a training looks at: read, and passed once through the layers that do not train."""

    cut: int
    views: Views
    labels: Tensor  # [N], of all processes
    features: Tensor  # [1 + views, N, C]: of the evaluation crop and of each view; of all in the first process only
    activations: tuple[Tensor, ...]  # 1 + views tensors [n, C, H, W] of this process's own pictures
    val: Passed  # activations of this process's own
    val_labels: Tensor  # of all
    dataset: Dataset  # this process's own
    images_per_s: float  # of these passes, of all processes

    def val_batches(self) -> Iterator[Tensor]:
        """What the upper part takes of this process's val pictures, [<= FORWARD_BATCH, C, H, W] float32."""
        if self.cut:
            return iter(torch.split(self.val.activations, FORWARD_BATCH))
        return map(to_network_input, crop_batches(self.dataset.val, self.views.preprocessing))


def prepare_inputs(
    network: EfficientNet,
    dataset: Dataset,
    settings: TrainSettings,
    compute: Compute,
    on_progress: Progress,
    world: World = ALONE,
) -> TrainingInputs:
    """Reads the pictures and runs the crop and every view of each, and the val pictures, through the network.

    Each process of the world does so with its own.
    Raises DataError when a picture cannot be read any more.
    """
    cut = 0 if settings.unfreeze_from == 0 else first_block(network.variant, settings.unfreeze_from)
    preprocessing = preprocessing_for(network.variant)
    whole, numbers = dataset, world.share(range(len(dataset.train)))
    dataset = replace(dataset, train=tuple(world.share(dataset.train)), val=tuple(world.share(dataset.val)))
    views = Views(dataset.train, preprocessing, settings.seed, on_progress, numbers)
    count = settings.views if cut else min(settings.views, PROBE_VIEWS_LIVE)
    n = len(views)
    meter = Meter(on_progress, "features", n * (count + 1) + len(dataset.val))
    crops = crop_batches(dataset.train, preprocessing)
    passed = [pass_through(network, crops, cut, compute, meter, exact=False)]
    for number in range(count):
        batches = views.batches(range(n), number, FORWARD_BATCH)
        passed.append(pass_through(network, batches, cut, compute, meter, exact=False))
    val = pass_through(network, crop_batches(dataset.val, preprocessing), cut, compute, meter, exact=True)
    features = torch.stack([world.rows_of_all(one.features, len(whole.train)) for one in passed])
    val_features = world.rows_of_all(val.features, len(whole.val))
    if world.size > 1 and cut == 0:  # in a step anyone may show any picture
        views = Views(whole.train, preprocessing, settings.seed, on_progress)
    return TrainingInputs(
        cut=cut,
        views=views,
        labels=torch.from_numpy(labels_of(whole.train)),
        features=features,
        activations=tuple(one.activations for one in passed),
        val=Passed(val.activations, val_features),
        val_labels=torch.from_numpy(labels_of(whole.val)),
        dataset=dataset,
        images_per_s=meter.images_per_s * world.size,
    )


@torch.no_grad()
def pass_through(
    network: EfficientNet, batches: Iterator[Pixels], cut: int, compute: Compute, meter: Meter, *, exact: bool
) -> Passed:
    """One pass over batches of pixels: in float32 throughout where `exact`, else in bfloat16 where that is fast."""
    network = fold_batch_norm(network)  # on a CPU a third less work
    upper = UpperPart(network, cut)
    bf16 = compute.bf16_forward and not exact
    kept: list[Tensor] = []
    pooled: list[Tensor] = []
    for pixels in batches:
        pictures = to_network_input(pixels).to(compute.device, memory_format=torch.channels_last)
        for x in slices(pictures):
            with compute.autocast(bf16):
                middle = lower(network, x, cut)
                features = upper.features(middle)
            if cut > 0:
                kept.append(middle.to("cpu", torch.float32 if exact else torch.bfloat16))
            pooled.append(features.float().cpu())
        meter.add(len(pixels))
    return Passed(torch.cat(kept) if kept else torch.empty(0), torch.cat(pooled))
