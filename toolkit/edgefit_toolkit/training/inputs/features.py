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
from edgefit_toolkit.data.dataset import labels as labels_of
from edgefit_toolkit.data.decoding import Pixels
from edgefit_toolkit.data.preprocessing import preprocessing_for, to_network_input
from edgefit_toolkit.network.efficientnet import EfficientNet, fold_batch_norm
from edgefit_toolkit.progress import Progress, duration
from edgefit_toolkit.training.compute import Compute, slices
from edgefit_toolkit.training.inputs.feature_store import FeatureStore, Rows
from edgefit_toolkit.training.inputs.reading import Reading
from edgefit_toolkit.training.inputs.views import CROP, Crops, Views, in_order
from edgefit_toolkit.training.settings import TrainSettings, cut_shape, first_block
from edgefit_toolkit.training.world import ALONE, World

PROBE_VIEWS_LIVE = 4  # random views that a probe sees where every layer trains and nothing is cached


class Meter:
    """Turns a count into progress with images/s and the time left."""

    def __init__(self, on_progress: Progress, label: str, total: int, done: int = 0, seconds: float = 0.0) -> None:
        """`done`: what an earlier run did in that many seconds."""
        self.on_progress, self.label, self.total = on_progress, label, total
        self.done = done
        self.started = time.monotonic() - seconds

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started

    @property
    def images_per_s(self) -> float:
        """So far; 0 before the first."""
        return self.done / max(self.seconds, 1e-9)

    def add(self, images: int, detail: str = "") -> None:
        """That many more are done."""
        self.done += images
        speed = self.images_per_s
        left_s = (self.total - self.done) / max(speed, 1e-9)
        text = f"{speed:.0f} images/s, {duration(left_s)} left"
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
    """What passes over some pictures left: activations at the cut and pooled features, where the store has them."""

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
    val_reading: Reading  # of its val pictures' crops
    images_per_s: float  # of these passes, of all processes
    taught: tuple[Tensor, ...] = ()  # a teacher's logits [n, classes] of each of the 1 + views, where there is one

    def close(self) -> None:
        """Ends the processes that read pictures."""
        self.views.close()
        self.val_reading.close()

    def val_batches(self, size: int) -> Iterator[Tensor]:
        """What the upper part takes of this process's val pictures, [<= size, C, H, W] float32, or their pixels uint8
        [<= size, R, R, 3]."""
        if self.cut:
            return iter(torch.split(self.val.activations, size))
        return map(torch.from_numpy, self.val_reading.batches(in_order(range(len(self.dataset.val)), size)))


def prepare_inputs(
    network: EfficientNet,
    dataset: Dataset,
    settings: TrainSettings,
    compute: Compute,
    on_progress: Progress,
    world: World = ALONE,
    store: FeatureStore | None = None,
) -> TrainingInputs:
    """Reads the pictures and runs the crop and every view of each, and the val pictures, through the network.

    Each process of the world does so with its own, and leaves out what its `store` has of an earlier run.
    Raises DataError when a picture cannot be read any more, OutputError when the disk is full, PeerLost.
    """
    cut = 0 if settings.unfreeze_from == 0 else first_block(network.variant, settings.unfreeze_from)
    preprocessing = preprocessing_for(network.variant)
    whole, numbers = dataset, world.share(range(len(dataset.train)))
    dataset = replace(dataset, train=world.share(dataset.train), val=world.share(dataset.val))
    store = store or FeatureStore(None, "")
    processes = compute.reading_processes
    views = Views(dataset.train, preprocessing, settings.seed, on_progress, numbers, store.folder, processes)
    val_reading = Crops(dataset.val, preprocessing).reading(processes)
    count = settings.views if cut else min(settings.views, PROBE_VIEWS_LIVE)
    n = len(views)
    rows = n * (count + 1)  # before those of val
    train, val = _opened(store, network, settings, (rows, len(dataset.val)))
    if store.done < rows:
        views.read()  # not in the time of the passes
    meter = Meter(on_progress, "features", rows + len(dataset.val), store.done, store.seconds)

    def passes(into: Passed, at: int, batches: Iterator[Pixels], *, exact: bool) -> None:
        for middle, features in pass_through(network, batches, cut, compute, exact=exact):
            to = at + len(features)
            into.features[at:to] = features
            if cut > 0:
                into.activations[at:to] = middle
            store.advance(len(features), meter.seconds)
            meter.add(len(features))
            world.check()
            at = to

    for number in range(store.done // n, count + 1):
        left = range(store.done - number * n, n)
        passes(train, store.done, views.batches(left, number + CROP, compute.forward_batch), exact=False)
    left = range(store.done - rows, len(dataset.val))
    passes(val, left.start, val_reading.batches(in_order(left, compute.forward_batch)), exact=True)
    store.save()
    val_features = world.rows_of_all(val.features, len(whole.val))  # with which all have saved
    features = _of_all(world, store, train.features.view(count + 1, n, -1), len(whole.train))
    if world.size > 1 and cut == 0:  # in a step anyone may show any picture
        views = Views(whole.train, preprocessing, settings.seed, on_progress, None, store.folder, processes)
    return TrainingInputs(
        cut=cut,
        views=views,
        labels=torch.from_numpy(labels_of(whole.train)),
        features=features,
        activations=torch.split(train.activations, n) if cut else (),
        val=Passed(val.activations, val_features),
        val_labels=torch.from_numpy(labels_of(whole.val)),
        dataset=dataset,
        val_reading=val_reading,
        images_per_s=meter.images_per_s * world.size,
    )


def _of_all(world: World, store: FeatureStore, own: Tensor, total: int) -> Tensor:
    """Features [views, total, C] in the first process, from each one's own [views, n, C]; elsewhere the own ones.

    By the files that processes of one machine have side by side, else through the first one's memory.
    """
    if world.size == 1:
        return own
    found: list[Tensor] = []

    def found_here() -> bool:
        counts = [len(range(rank, total, world.size)) for rank in range(world.size)]
        features = store.features_of_all(len(own), counts)
        found.extend([] if features is None else [features])
        return bool(found)

    if world.by_first(found_here):
        return found[0] if found else own
    return torch.stack([world.rows_of_all(one, total) for one in own])


def _opened(
    store: FeatureStore, network: EfficientNet, settings: TrainSettings, pictures: tuple[int, int]
) -> tuple[Passed, Passed]:
    """Room for what the passes over so many pictures, and over so many of val, leave."""
    shape = cut_shape(network.variant, settings.unfreeze_from) if settings.unfreeze_from else (0,)
    holds = {}
    for of, count, dtype in zip(("", "val_"), pictures, (torch.bfloat16, torch.float32), strict=True):
        holds[f"{of}activations"] = Rows(count, shape, dtype)
        holds[f"{of}features"] = Rows(count, (network.classifier.in_features,), torch.float32)
    rows = store.open(holds)
    train, val = (Passed(rows[f"{of}activations"], rows[f"{of}features"]) for of in ("", "val_"))
    return train, val


@torch.no_grad()
def pass_through(
    network: EfficientNet, batches: Iterator[Pixels], cut: int, compute: Compute, *, exact: bool
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
        batch = compute.padded(to_network_input(pixels, device=compute.device), compute.forward_batch)
        for x in slices(batch.contiguous(memory_format=torch.channels_last)):
            with compute.autocast(bf16):
                middle = lower(network, x, cut)
                features = upper.features(middle)
            if cut > 0:
                kept.append(middle.to("cpu", torch.float32 if exact else torch.bfloat16))
            pooled.append(features.float().cpu())
        yield torch.cat(kept)[: len(pixels)] if kept else torch.empty(0), torch.cat(pooled)[: len(pixels)]
