"""The network cut in two: a frozen lower part, run once per view, and an upper part that trains on what it gave.

A cut is the index of the first block that trains: 0 trains everything, `len(network.blocks)` only head and
classifier. Batch norms keep their ImageNet statistics (eval mode) on both sides of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from edgefit_toolkit.data.dataset import Photo
from edgefit_toolkit.data.preprocessing import Pixels, to_network_input
from edgefit_toolkit.data.sources import augment, augmentation_rng, load_pixels, open_photo, room_for_augmentation
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.records import Preprocessing
from edgefit_toolkit.training.compute import Compute

OnEvent = Callable[[str, int, int, str], None]  # what is being done, how much is done, of how much, detail

FORWARD_BATCH = 16  # larger ones are no faster on a CPU and cost memory at high resolutions
READ_AHEAD = 64
ROOM_LIMIT_BYTES = 1_500_000_000  # beyond it, training pictures are read from disk for each view


def ignore_event(label: str, done: int, total: int, detail: str) -> None:
    """An OnEvent that says nothing."""


class Meter:
    """Turns a count into events with images/s and the time left."""

    def __init__(self, on_event: OnEvent, label: str, total: int) -> None:
        self.on_event, self.label, self.total = on_event, label, total
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
        self.on_event(self.label, self.done, self.total, f"{detail}, {text}" if detail else text)


class Pictures:
    """The training photographs, each under as many random views as are asked for."""

    def __init__(self, photos: Sequence[Photo], preprocessing: Preprocessing, seed: int, on_event: OnEvent) -> None:
        self.photos, self.preprocessing, self.seed = photos, preprocessing, seed
        room = room_for_augmentation(preprocessing)
        self._room: Pixels | None = None
        if len(photos) * room.resolution_px**2 * 3 <= ROOM_LIMIT_BYTES:
            label = "reading training pictures"
            self._room = load_pixels(photos, room, on_progress=lambda done, total: on_event(label, done, total, ""))

    def __len__(self) -> int:
        return len(self.photos)

    def view(self, index: int, number: int) -> Pixels:
        """uint8 [R, R, 3]: the photograph's random view of that number, the same whenever it is asked for."""
        picture = open_photo(self.photos[index]) if self._room is None else self._room[index]
        return augment(picture, augmentation_rng(self.seed, number, index), self.preprocessing)

    def batches(self, order: Sequence[int], number: int, size: int) -> Iterator[Pixels]:
        """uint8 [<= size, R, R, 3] in that order; the next batch is made while this one is used."""
        parts = [order[at : at + size] for at in range(0, len(order), size)]
        with ThreadPoolExecutor() as pool:

            def start(part: Sequence[int]) -> list[Future[Pixels]]:
                return [pool.submit(self.view, index, number) for index in part]

            ahead = start(parts[0]) if parts else []
            for at in range(len(parts)):
                batch, ahead = ahead, start(parts[at + 1]) if at + 1 < len(parts) else []
                yield np.stack([future.result() for future in batch])


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


def upper(network: EfficientNet, x: Tensor, cut: int) -> Tensor:
    """What `lower` gave -> pooled features [N, C]."""
    if cut == 0:
        return network.features(x)
    for block in network.blocks[cut:]:
        x = block(x)
    return F.adaptive_avg_pool2d(network.head(x), 1).flatten(1)


def upper_parameters(network: EfficientNet, cut: int) -> list[torch.nn.Parameter]:
    """The weights that train for this cut, classifier last, always in the same order."""
    parts: list[torch.nn.Module] = [network.stem] if cut == 0 else []
    parts += [*list(network.blocks)[cut:], network.head, network.classifier]
    return [parameter for part in parts for parameter in part.parameters()]


@dataclass(frozen=True)
class Split:
    """What one pass over some pictures left: activations at the cut and pooled features, float32 on the CPU."""

    activations: Tensor  # [N, C, H, W]; bfloat16 when made for training, float32 for evaluation
    features: Tensor  # [N, C] float32


@torch.no_grad()
def run_split(
    network: EfficientNet, batches: Iterator[Pixels], cut: int, compute: Compute, meter: Meter, *, exact: bool
) -> Split:
    """One pass over batches of pixels: in float32 throughout where `exact`, else in bfloat16 where that is fast."""
    bf16 = compute.bf16_forward and not exact
    kept: list[Tensor] = []
    pooled: list[Tensor] = []
    for pixels in batches:
        x = to_network_input(pixels).to(compute.device, memory_format=torch.channels_last)
        with compute.autocast(bf16):
            middle = lower(network, x, cut)
            features = upper(network, middle, cut)
        if cut > 0:
            kept.append(middle.to("cpu", torch.float32 if exact else torch.bfloat16))
        pooled.append(features.float().cpu())
        meter.add(len(pixels))
    activations = torch.cat(kept) if kept else torch.empty(0)
    return Split(activations, torch.cat(pooled))


def crop_batches(photos: Sequence[Photo], preprocessing: Preprocessing) -> Iterator[Pixels]:
    """uint8 [<= FORWARD_BATCH, R, R, 3]: the evaluation crops of photographs, read as they are asked for."""
    for at in range(0, len(photos), READ_AHEAD):
        pixels = load_pixels(photos[at : at + READ_AHEAD], preprocessing)
        yield from in_batches(pixels)


def in_batches(pixels: Pixels, size: int = FORWARD_BATCH) -> Iterator[Pixels]:
    """uint8 [N, R, R, 3] in slices."""
    return (pixels[at : at + size] for at in range(0, len(pixels), size))
