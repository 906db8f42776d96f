"""Does a network learn more from a teacher? Five folds of photographs, without and with, the same first weights.

    python -m experiments.training.distillation FLOWERS

FLOWERS is a folder of photographs by class (or with train/val/test in it: they are pooled). The networks are what fits
each of `--budgets-ms` on a Pixel 4, cut from a released one; the teacher is a released network with a classifier fitted
to the fold's training pictures. Each photograph is tested once, by networks that never saw it. Writes distillation.md
into the results (`--out`), after every fold.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edgefit_toolkit.data.dataset import Dataset, labels
from edgefit_toolkit.data.pixels import load_pixels
from edgefit_toolkit.data.preprocessing import preprocessing_for
from edgefit_toolkit.data.sources import load_dataset
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.intervals import paired_interval
from edgefit_toolkit.network.scaling import with_classes
from edgefit_toolkit.picker.search import make_plan
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.pipeline.teacher import open_teacher
from edgefit_toolkit.progress import Silent
from edgefit_toolkit.records import Budget
from edgefit_toolkit.training.evaluation import predict
from edgefit_toolkit.training.fine_tune import fine_tune
from edgefit_toolkit.training.initial import initial_network
from edgefit_toolkit.training.settings import TrainSettings
from edgefit_toolkit.training.teacher import Teacher
from edgefit_toolkit.training.trace import best_of
from experiments.training.compare_scaling import folds

RESULTS = Path(__file__).parents[2] / "results"
PHONE = "pixel4"
Right = NDArray[np.bool_]


@dataclass(frozen=True)
class Row:
    """One fold at one budget: which test pictures are told right, and the best val loss and top-1, without and with."""

    budget_ms: float
    right: tuple[Right, Right]
    val_loss: tuple[float, float]
    val_top1: tuple[float, float]
    probes_kept: tuple[bool, bool]


def fold(dataset: Dataset, chosen: argparse.Namespace) -> tuple[list[Row], Right]:
    """A row for each budget, and which test pictures the teacher itself tells right."""
    choices = FitSettings(chosen.budgets_ms[0], PHONE, offline=True)
    teacher = open_teacher(chosen.teacher, dataset, choices, Silent())
    rows = [at_budget(budget_ms, dataset, teacher, chosen) for budget_ms in chosen.budgets_ms]
    how = preprocessing_for(teacher.network.variant)
    own = predict(teacher.network, load_pixels(dataset.test, how)).argmax(1) == labels(dataset.test)
    return rows, own


def at_budget(budget_ms: float, dataset: Dataset, teacher: Teacher, chosen: argparse.Namespace) -> Row:
    """The same network trained without and with the teacher."""
    variant = with_classes(make_plan(Budget(budget_ms), PHONE).pick.variant, len(dataset.classes))
    first, _ = initial_network(variant, dataset, 0, allow_download=False)
    settings = replace(TrainSettings.default_for(variant, len(dataset.train)), epochs=chosen.epochs, views=chosen.views)
    found = [
        fine_tune(copy.deepcopy(first), dataset, replace(settings, teacher=name), teacher=whom)
        for name, whom in (("", None), (chosen.teacher, teacher))
    ]
    pixels, truth = load_pixels(dataset.test, found[0].preprocessing), labels(dataset.test)
    best = [best_of(result.trace) for result in found]
    return Row(
        budget_ms=budget_ms,
        right=(
            predict(found[0].network, pixels).argmax(1) == truth,
            predict(found[1].network, pixels).argmax(1) == truth,
        ),
        val_loss=(best[0].val_loss, best[1].val_loss),
        val_top1=(best[0].val_top1, best[1].val_top1),
        probes_kept=(best[0].epoch == 0, best[1].epoch == 0),
    )


def difference(rows: Sequence[Row]) -> str:
    """Without, with, and the paired interval, over the test pictures of all rows."""
    without, taught = (np.concatenate([row.right[at] for row in rows]) for at in (0, 1))
    both, neither = int((without & taught).sum()), int((~without & ~taught).sum())
    low, high = paired_interval(both, int((taught & ~without).sum()), int((without & ~taught).sum()), neither)
    return (
        f"{without.mean():.3f} | {taught.mean():.3f} | {taught.mean() - without.mean():+.3f} "
        f"({low:+.3f} to {high:+.3f})"
    )


def page(folds_done: Sequence[tuple[list[Row], Right]], chosen: argparse.Namespace) -> str:
    """The results file."""
    budgets = " ".join(f"{ms:g}" for ms in chosen.budgets_ms)
    own = np.concatenate([right for _, right in folds_done])
    lines = [
        f"# Without and with {chosen.teacher} as a teacher, on a Pixel 4's budgets",
        "",
        f"`python -m experiments.training.distillation FLOWERS --budgets-ms {budgets} --epochs {chosen.epochs} --views "
        f"{chosen.views}`: five folds, the same first weights, pictures and seeds; the epoch that is best on val. "
        f"Of {len(own)} test pictures the teacher itself, fitted to the same training pictures, tells {own.mean():.3f} "
        f"right. Of both budgets together each photograph counts twice. torch {torch.__version__}.",
        "",
        "| budget, ms | test pictures | without | with | difference (95% interval, paired) |",
        "|---:|---:|---:|---:|---|",
    ]
    every = [row for rows, _ in folds_done for row in rows]
    for budget_ms in chosen.budgets_ms:
        rows = [row for row in every if row.budget_ms == budget_ms]
        lines.append(f"| {budget_ms:g} | {sum(len(row.right[0]) for row in rows)} | {difference(rows)} |")
    lines += [
        f"| both | {sum(len(row.right[0]) for row in every)} | {difference(every)} |",
        "",
        "| fold | budget, ms | test, without -> with | val top-1 | val loss | probe kept |",
        "|---:|---:|---|---|---|---|",
    ]
    for number, (rows, _) in enumerate(folds_done, start=1):
        for row in rows:
            pairs = [(row.right[0].mean(), row.right[1].mean()), row.val_top1, row.val_loss]
            cells = [f"{off:.3f} -> {on:.3f}" for off, on in pairs]
            cells.append(" -> ".join("yes" if kept else "no" for kept in row.probes_kept))
            lines.append(f"| {number} | {row.budget_ms:g} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Fold by fold; the page is written after each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("flowers", type=Path)
    parser.add_argument("--budgets-ms", type=float, nargs="+", default=[3.0, 4.0])
    parser.add_argument("--teacher", default="lite2")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    done = []
    for dataset in folds(load_dataset(str(chosen.flowers), seed=0)):
        done.append(fold(dataset, chosen))
        write_atomic(chosen.out / "distillation.md", page(done, chosen))
        print(f"fold {len(done)}", *done[-1][0], sep="\n", flush=True)


if __name__ == "__main__":
    main()
