"""The network cut in two: a frozen lower part, run once per view, and an upper part that trains on what it gave.

A cut is the index of the first block that trains: 0 trains everything, `len(network.blocks)` only head and
classifier. Batch norms keep their ImageNet statistics (eval mode) on both sides of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

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
from edgefit_toolkit.training.feature_store import FeatureStore, Rows
from edgefit_toolkit.training.settings import TrainSettings, cut_shape, first_block
from edgefit_toolkit.training.views import FORWARD_BATCH, Views, crop_batches

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
    """What passes over some pictures left: activations at the cut and pooled features, in files."""

    activations: Tensor  # [N, C, H, W]; bfloat16 when made for training, float32 for evaluation; empty for cut 0
    features: Tensor  # [N, C] float32


@dataclass(frozen=True)
class TrainingInputs:
    """Everything that a training looks at: read, and passed once through the layers that do not train."""

    cut: int
    views: Views
    labels: Tensor  # [N]
    features: Tensor  # [1 + views, N, C]: of the evaluation crop and of each view
    activations: tuple[Tensor, ...]  # 1 + views tensors [N, C, H, W]
    val: Passed
    val_labels: Tensor
    dataset: Dataset
    images_per_s: float  # of these passes

    def val_batches(self) -> Iterator[Tensor]:
        """What the upper part takes of the val pictures, [<= FORWARD_BATCH, C, H, W] float32."""
        if self.cut:
            return iter(torch.split(self.val.activations, FORWARD_BATCH))
        return map(to_network_input, crop_batches(self.dataset.val, self.views.preprocessing))


def prepare_inputs(
    network: EfficientNet,
    dataset: Dataset,
    settings: TrainSettings,
    compute: Compute,
    on_progress: Progress,
    store: FeatureStore | None = None,
) -> TrainingInputs:
    """Reads the pictures and runs the crop and every view of each, and the val pictures, through the network.

    What `store` has of an earlier run is not done again. Raises DataError when a picture cannot be read any more,
    OutputError when the disk is full.
    """
    cut = 0 if settings.unfreeze_from == 0 else first_block(network.variant, settings.unfreeze_from)
    preprocessing = preprocessing_for(network.variant)
    count = settings.views if cut else min(settings.views, PROBE_VIEWS_LIVE)
    n, n_val = len(dataset.train), len(dataset.val)
    store = store or FeatureStore(None, "")
    views = Views(dataset.train, preprocessing, settings.seed, on_progress)
    first = n * (count + 1)  # rows before those of val
    with closing(store):
        store.open(_holds(network, settings, first, n_val))
        meter = Meter(on_progress, "features", first + n_val - store.done)
        for number in range(store.done // n, count + 1):
            left = range(store.done - number * n, n)
            batches = views.batches(left, number - 1, FORWARD_BATCH)
            if number == 0:
                batches = crop_batches(dataset.train[left.start :], preprocessing)
            for middle, features in pass_through(network, batches, cut, compute, meter, exact=False):
                _keep(store, "", store.done, middle, features)
        batches = crop_batches(dataset.val[store.done - first :], preprocessing)
        for middle, features in pass_through(network, batches, cut, compute, meter, exact=True):
            _keep(store, "val_", store.done - first, middle, features)
        store.save()
    activations, val_activations = (store.tensor(f"{of}activations") for of in ("", "val_"))
    return TrainingInputs(
        cut=cut,
        views=views,
        labels=torch.from_numpy(labels_of(dataset.train)),
        features=store.tensor("features").view(count + 1, n, -1),
        activations=torch.split(activations, n),
        val=Passed(val_activations, store.tensor("val_features")),
        val_labels=torch.from_numpy(labels_of(dataset.val)),
        dataset=dataset,
        images_per_s=meter.images_per_s,
    )


def _holds(network: EfficientNet, settings: TrainSettings, rows: int, val_rows: int) -> dict[str, Rows]:
    shape = cut_shape(network.variant, settings.unfreeze_from) if settings.unfreeze_from else (0,)
    pooled = (network.classifier.in_features,)
    return {
        "features": Rows(rows, pooled, torch.float32),
        "activations": Rows(rows, shape, torch.bfloat16),
        "val_features": Rows(val_rows, pooled, torch.float32),
        "val_activations": Rows(val_rows, shape, torch.float32),
    }


def _keep(store: FeatureStore, of: str, at: int, middle: Tensor, features: Tensor) -> None:
    if len(middle):
        store.write(f"{of}activations", at, middle)
    store.write(f"{of}features", at, features)
    store.advance(len(features))


@torch.no_grad()
def pass_through(
    network: EfficientNet, batches: Iterator[Pixels], cut: int, compute: Compute, meter: Meter, *, exact: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Activations at the cut (none for 0) and features of each batch of pixels, on the CPU.

    In float32 throughout where `exact`, else in bfloat16 where that is fast.
    """
    network = fold_batch_norm(network)  # on a CPU a third less work
    upper = UpperPart(network, cut)
    bf16 = compute.bf16_forward and not exact
    for pixels in batches:
        kept: list[Tensor] = []
        pooled: list[Tensor] = []
        for x in slices(to_network_input(pixels).to(compute.device, memory_format=torch.channels_last)):
            with compute.autocast(bf16):
                middle = lower(network, x, cut)
                features = upper.features(middle)
            if cut > 0:
                kept.append(middle.to("cpu", torch.float32 if exact else torch.bfloat16))
            pooled.append(features.float().cpu())
        yield torch.cat(kept) if kept else torch.empty(0), torch.cat(pooled)
        meter.add(len(pixels))
