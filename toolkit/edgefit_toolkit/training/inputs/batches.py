"""The batches of an epoch: which pictures, and which of them this process shows to the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from edgefit_toolkit.training.inputs.features import PROBE_VIEWS_LIVE, TrainingInputs
from edgefit_toolkit.training.world import World


@dataclass(frozen=True)
class Batch:
    """This process's part of one batch; where it has none, a picture that does not count."""

    pictures: int  # of the batch, in all processes
    places: Tensor  # of the own ones in the batch, int [n]
    own: Tensor  # which pictures of the data set they are, int [n]
    counted: int  # n, or 0
    inputs: Tensor  # what the upper part takes, [n, C, H, W] float32, or pixels, uint8 [n, R, R, 3]
    taught: Tensor | None = None  # a teacher's logits [n, classes], where they were kept


def batches_of(
    inputs: TrainingInputs, world: World, order: Tensor, chosen: Tensor, number: int, size: int
) -> Iterator[Batch]:  # fmt: skip
    """`order`: pictures; `chosen`: the view of each; `number` of the epoch.

    Cached activations of the chosen views, which lie in the process whose the picture is; or fresh views of pixels, as
    many in every process.
    """
    parts = torch.split(order, size)
    if inputs.cut:
        for part, view in zip(parts, torch.split(chosen, size), strict=True):
            mine = (part % world.size == world.rank).nonzero().flatten()
            places = mine if len(mine) else torch.zeros(1, dtype=torch.long)
            rows = part[places] // world.size if len(mine) else [0]
            taken = list(zip(view[places].tolist(), map(int, rows), strict=True))
            activations = torch.stack([inputs.activations[v][i] for v, i in taken]).float()
            said = torch.stack([inputs.taught[v][i] for v, i in taken]) if inputs.taught else None
            yield Batch(len(part), places, part[places], len(mine), activations, said)
        return
    fresh = PROBE_VIEWS_LIVE + number  # views that the probe has not seen
    wanted = (part[_shown(len(part), world)].tolist() for part in parts)
    for part, pixels in zip(parts, inputs.views.parts(wanted, fresh), strict=True):
        at = _shown(len(part), world)
        counted = len(range(world.rank, len(part), world.size))
        yield Batch(len(part), at, part[at], counted, torch.from_numpy(pixels))


def _shown(pictures: int, world: World) -> Tensor:
    """Which pictures of a batch of so many this process shows: its own, or, where it has none, one that does not
    count."""
    mine = torch.arange(pictures)[world.rank :: world.size]
    return mine if len(mine) else torch.zeros(1, dtype=torch.long)
