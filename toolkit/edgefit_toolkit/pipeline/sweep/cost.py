"""What a sweep will cost before it starts: networks, images, time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.network.scaling import with_classes
from edgefit_toolkit.pipeline.run_directory.run import MANIFEST
from edgefit_toolkit.pipeline.sweep.grid import Network
from edgefit_toolkit.pipeline.sweep.plan import Site, SweepPlan
from edgefit_toolkit.records import Variant
from edgefit_toolkit.report.words import seconds
from edgefit_toolkit.training.compute import Compute, choose_compute
from edgefit_toolkit.training.settings import TrainSettings, upper_madds

TIMED_S = 1.0  # of each rate
BATCH = 16
# Converting with litert-torch: 16 s at phi -1 (0.25 G multiply-adds), 30 s at phi 3.4 (3.55 G), on two cores
CONVERT_S, CONVERT_S_PER_MADDS = 15.0, 4.2e-9
GUARD_PASSES = 6  # of validation and test pictures by interpreters and torch, from the guard to the report


@dataclass(frozen=True)
class NetworkCost:
    """What one network takes, on one process that has this machine for itself."""

    network: Network
    images: int  # passes through the network: cached views, and every epoch's
    seconds: float
    made_before: bool  # its run directory holds it; a run decides by its keys


@dataclass(frozen=True)
class Rates:
    """Multiply-adds of a forward pass that this machine does in a second."""

    forward: float
    training: float  # forward and backward, counted forward


def costs(plan: SweepPlan, site: Site, dataset: Dataset) -> list[NetworkCost]:
    """Of every network; a few steps of the smallest are timed for it, two seconds."""
    if not plan.networks:
        return []
    compute = choose_compute()
    smallest = min((network.variant for network in plan.networks), key=lambda variant: variant.madds)
    rates = timed(with_classes(smallest, len(dataset.classes)), compute)
    return [_cost(network, site.made_in(network), dataset, compute, rates) for network in plan.networks]


def timed(variant: Variant, compute: Compute) -> Rates:
    """Rates of this machine, by a network with random weights."""
    network = EfficientNet.from_variant(variant).to(compute.device).eval()
    x = torch.zeros(BATCH, 3, variant.resolution_px, variant.resolution_px, device=compute.device)

    def forward() -> None:
        with torch.no_grad(), compute.autocast(compute.bf16_forward):
            network(x).sum().item()

    def training() -> None:
        with compute.autocast(compute.bf16_training):
            loss = network(x).float().sum()
        loss.backward()
        network.zero_grad()

    return Rates(_rate(forward, variant), _rate(training, variant))


def _rate(step: Callable[[], None], variant: Variant) -> float:
    step()
    started, steps = time.monotonic(), 0
    while not steps or time.monotonic() - started < TIMED_S:
        step()
        steps += 1
    return steps * BATCH * variant.madds / (time.monotonic() - started)


def _cost(network: Network, run_dir: Path, dataset: Dataset, compute: Compute, rates: Rates) -> NetworkCost:
    variant = with_classes(network.variant, len(dataset.classes))
    n_train, held_out = len(dataset.train), len(dataset.val) + len(dataset.test)
    settings = TrainSettings.default_for(variant, n_train, compute.device, network.settings.seed)
    epochs = settings.epochs if network.settings.epochs is None else network.settings.epochs
    cached = n_train * (settings.views + 1) + len(dataset.val)
    trained = n_train * epochs
    passes = cached + network.settings.calibration_n + GUARD_PASSES * held_out
    seconds = (
        passes * variant.madds / rates.forward
        + trained * upper_madds(variant, settings.unfreeze_from) / rates.training
        + CONVERT_S + CONVERT_S_PER_MADDS * variant.madds
    )  # fmt: skip
    return NetworkCost(network, cached + trained, seconds, _made_before(run_dir))


def _made_before(run_dir: Path) -> bool:
    try:
        return "evaluate" in json.loads((run_dir / MANIFEST).read_bytes())["stages"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def said(plan: SweepPlan, found: list[NetworkCost], dataset: Dataset) -> list[str]:
    """The cost in lines for people."""
    ahead = [cost for cost in found if not cost.made_before]
    devices = {cell.settings.device for cell in plan.cells}
    lines = [
        f"{len(plan.cells)} cells on {', '.join(sorted(devices))}: {len(plan.networks)} distinct networks, "
        f"{len(found) - len(ahead)} made before",
        dataset.summary,
    ]
    for cost in found:
        took = "made before" if cost.made_before else f"{cost.images:,} images, about {seconds(cost.seconds)}"
        lines.append(f"{cost.network.variant.label}: {took}; {', '.join(_wants(plan, cost.network))}")
    lines += [f"{cell.label}: {plan.failed[cell.name].message}" for cell in plan.cells if cell.name in plan.failed]
    total = sum(cost.seconds for cost in ahead)
    lines.append(
        f"in all {sum(cost.images for cost in ahead):,} images through networks, about {seconds(total)} one after "
        "the other on this machine (by steps timed just now)"
    )
    return lines


def plan_json(plan: SweepPlan, found: list[NetworkCost]) -> dict[str, Any]:
    """The same as the document `edgefit.sweep-plan/1`."""
    return {
        "schema": "edgefit.sweep-plan/1",
        "cells": [
            {"device": cell.settings.device, "budget_ms": cell.settings.budget_ms, "seed": cell.settings.seed}
            | (
                {"reason": plan.failed[cell.name].message, "next": plan.failed[cell.name].hint}
                if cell.name in plan.failed
                else {"network": plan.picks[cell.name].pick.variant.label, "phi": plan.picks[cell.name].pick.phi}
            )
            for cell in plan.cells
        ],
        "networks": [
            {"label": cost.network.variant.label, "phi": cost.network.variant.phi, "seed": cost.network.settings.seed,
             "cells": len(cost.network.cells), "images": cost.images, "seconds": round(cost.seconds, 1),
             "made_before": cost.made_before}
            for cost in found
        ],
    }  # fmt: skip


def _wants(plan: SweepPlan, network: Network) -> list[str]:
    return [cell.label for cell in plan.cells if cell.name in network.cells]
