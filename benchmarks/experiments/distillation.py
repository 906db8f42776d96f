"""Does a network learn more from a teacher? Five folds of photographs, without and with, the same first weights.

    python -m experiments.distillation FLOWERS

FLOWERS is a folder of photographs by class (or with train/val/test in it: they are pooled). The network is what fits
`--budget-ms` on a Pixel 4, the teacher a released network with a classifier fitted to the fold's training pictures.
Each photograph is tested once, by a network that never saw it. Writes distillation.md into the results (`--out`).
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.data.pixels import labels, load_pixels
from edgefit_toolkit.data.sources import load_dataset
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.intervals import paired_interval
from edgefit_toolkit.network.scaling import with_classes
from edgefit_toolkit.picker.search import make_plan
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.pipeline.teacher import open_teacher
from edgefit_toolkit.progress import Silent
from edgefit_toolkit.training.evaluation import predict
from edgefit_toolkit.training.fine_tune import fine_tune
from edgefit_toolkit.training.initial import initial_network
from edgefit_toolkit.training.settings import TrainSettings
from experiments.compare_scaling import folds

RESULTS = Path(__file__).parents[1] / "results"
Right = NDArray[np.bool_]


def fold(dataset: Dataset, chosen: argparse.Namespace) -> tuple[Right, Right, float]:
    """Which test pictures are told right without and with the teacher, and the teacher's own share."""
    budget = make_plan(chosen.budget_ms, "pixel4", 90, "lite", "continuous").pick.variant
    variant = with_classes(budget, len(dataset.classes))
    first, _ = initial_network(variant, dataset, 0, allow_download=False)
    settings = replace(TrainSettings.default_for(variant, len(dataset.train)), epochs=chosen.epochs, views=chosen.views)
    teacher = open_teacher(chosen.teacher, dataset, FitSettings(chosen.budget_ms, "pixel4", offline=True), Silent())
    truth = labels(dataset.test)
    found = []
    for taught in (None, teacher):
        named = replace(settings, teacher="" if taught is None else chosen.teacher)
        result = fine_tune(copy.deepcopy(first), dataset, named, teacher=taught)
        found.append(predict(result.network, load_pixels(dataset.test, result.preprocessing)).argmax(1) == truth)
    size = replace(result.preprocessing, resolution_px=teacher.network.variant.resolution_px)
    own = predict(teacher.network, load_pixels(dataset.test, size)).argmax(1) == truth
    return found[0], found[1], float(own.mean())


def page(rows: Sequence[tuple[Right, Right, float]], chosen: argparse.Namespace) -> str:
    """The results file."""
    without, taught = (np.concatenate(column) for column in list(zip(*rows, strict=True))[:2])
    both, neither = int((without & taught).sum()), int((~without & ~taught).sum())
    low, high = paired_interval(both, int((taught & ~without).sum()), int((without & ~taught).sum()), neither)
    lines = [
        f"# Without and with {chosen.teacher} as a teacher, {chosen.budget_ms:g} ms on a Pixel 4",
        "",
        f"`python -m experiments.distillation FLOWERS --budget-ms {chosen.budget_ms:g} --epochs {chosen.epochs} "
        f"--views {chosen.views}`: shares of the test pictures told right.",
        "",
        "| fold | without | with | the teacher itself |",
        "|---|---|---|---|",
    ]
    lines += [f"| {i + 1} | {a.mean():.3f} | {b.mean():.3f} | {own:.3f} |" for i, (a, b, own) in enumerate(rows)]
    gain = taught.mean() - without.mean()
    lines += [
        "",
        f"Over {len(without)} photographs: {without.mean():.3f} without, {taught.mean():.3f} with; difference "
        f"{gain:+.3f} (95% interval {low:+.3f} to {high:+.3f}).",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Fold by fold; the page is written after each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("flowers", type=Path)
    parser.add_argument("--budget-ms", type=float, default=3.0)
    parser.add_argument("--teacher", default="lite2")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    rows = []
    for dataset in folds(load_dataset(str(chosen.flowers), seed=0)):
        rows.append(fold(dataset, chosen))
        print([float(np.mean(part)) for part in rows[-1]], flush=True)
        write_atomic(chosen.out / "distillation.md", page(rows, chosen))


if __name__ == "__main__":
    main()
