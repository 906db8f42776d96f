"""Which L2 the full solve of a probe wants of dozens to hundreds of classes with few rows.

    python -m experiments.training.probe_grid DATA FEATURES [--write]

Probes fitted on the grid that suits few classes, whatever their number (L2_GRID), against those on the grid that goes
weaker with their number (`grid_for`): on a cut of DATA, a set of thousands of pictures, in which each class keeps at
most TRAIN of its training pictures; and on drawn pictures that are hard to tell apart. SEEDS splits and choices of
classes. Of each grid the probe with the lowest val loss answers the test pictures. FEATURES is a file of what Lite0
gave for all of DATA's pictures, made where it is not there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.data.sources import load_dataset
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.network import scaling
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.network.weights import load_network
from edgefit_toolkit.training.balance import mean_share
from edgefit_toolkit.training.probe.linear_probe import L2_GRID, best_probe, fit_probes, grid_for, score
from edgefit_toolkit.training.probe.streamed_probe import is_large
from experiments.training import many_classes
from experiments.training.long_tail import gained
from experiments.training.long_tail_many import features_of

PAGE = Path(__file__).parents[2] / "results" / "probe_grid.md"
SEEDS, CLASSES = 3, (20, 50, 100, 200)
TRAIN = 10
DRAWN, NOISE = {"train": 4, "val": 2, "test": 5}, 60  # pictures of each class, and how much each differs from its own
COLUMNS = ("val loss", "test loss", "test top-1", "mean over classes")
Rows = tuple[Tensor, Tensor]  # features [n, C] and labels [n]


def photographs(data: Dataset, seen: Mapping[str, Tensor], seed: int) -> Iterator[Rows]:
    """Training, val and test rows of as many classes as CLASSES has at most; `seen`: place -> features."""
    place = np.random.default_rng(seed).permutation(len(data.classes))
    for part, most in ((data.train, TRAIN), (data.val, None), (data.test, None)):
        own: list[list[Tensor]] = [[] for _ in range(len(place))]
        for photo in part:
            own[place[photo.label]].append(seen[photo.place])
        kept = [rows[:most] for rows in own[: max(CLASSES)]]
        truth = torch.repeat_interleave(torch.tensor([len(rows) for rows in kept]))
        yield torch.stack([row for rows in kept for row in rows]), truth


def drawn(network: EfficientNet, seed: int) -> Iterator[Rows]:
    """The same of drawn pictures: other ones of the same patterns for each seed."""
    many_classes.NOISE = NOISE
    first = seed * sum(DRAWN.values())
    for each in DRAWN.values():
        rows = [many_classes.features(network, some) for some in many_classes.pictures(max(CLASSES), each, first)]
        yield torch.cat(rows), torch.arange(max(CLASSES)).repeat_interleave(each)
        first += each


def figures(parts: Sequence[Rows], classes: int) -> tuple[int, list[list[float]], list[float]]:
    """Training rows, COLUMNS on each of the two grids, and the L2 that each took: of the first `classes` classes."""
    train, val, test = [(rows[truth < classes], truth[truth < classes]) for rows, truth in parts]
    assert not is_large(len(train[1]), classes)
    found, taken = [], []
    for grid in (L2_GRID, grid_for(classes)):
        probe = best_probe(fit_probes(*train, *val, classes, grid))
        logits = F.linear(test[0], probe.weight, probe.bias)
        found.append([probe.val_loss, *score(logits, test[1]), mean_share(logits.argmax(1) == test[1], test[1])])
        taken.append(probe.l2)
    return len(train[1]), found, taken


def table(title: str, sets: Sequence[Sequence[Rows]]) -> list[str]:
    """Of sets of rows, one a seed."""
    lines = [f"## {title}", "", f"| classes | rows | L2 taken | {' | '.join(COLUMNS)} |", f"|--:|--:|{'---|' * 5}"]
    for classes in CLASSES:
        rows, found, taken = zip(*[figures(parts, classes) for parts in sets], strict=True)
        scores, l2 = np.array(found), [" ".join(f"{one:.2g}" for one in some) for some in zip(*taken, strict=True)]
        cells = [f"{a:.3f} -> {b:.3f}" for a, b in zip(*scores.mean(0), strict=True)]
        lines.append(f"| {classes} | {np.mean(rows):.0f} | {' -> '.join(l2)} | {' | '.join(cells)} |")
        lines.append(f"| | | gain, 95% | {gained(scores[:, 1] - scores[:, 0])} |")
        print(lines[-2], lines[-1], sep="\n", flush=True)
    return [*lines, ""]


def main() -> None:
    """Prints the tables, or writes the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("features", type=Path)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    lines = [
        "# One grid of L2 for any number of classes",
        "",
        "`python -m experiments.training.probe_grid DATA FEATURES`: probes by the full solve, on the grid of few "
        f"classes -> on that which goes weaker with the classes; Lite0's features, means of {SEEDS} seeds, gains with "
        "their 95% intervals over the seeds.",
        "",
    ]
    small = load_network(scaling.variant_from_factors(1.0, 1.0, many_classes.SIZE_PX, "lite"), allow_download=False)[0]
    many = f"{', '.join(map(str, DRAWN.values()))} to train on, for val and to test"
    lines += table(f"Drawn pictures, hard ones: of each class {many}", [[*drawn(small, s)] for s in range(SEEDS)])
    splits = [load_dataset(chosen.data, seed=seed) for seed in range(SEEDS)]
    if not chosen.features.exists():
        torch.save(features_of([*splits[0].train, *splits[0].val, *splits[0].test]), chosen.features)
    seen = torch.load(chosen.features)
    sets = [[*photographs(data, seen, seed)] for seed, data in enumerate(splits)]
    lines += table(f"A long tail: up to {TRAIN} training pictures of each class, as the app sees them", sets)
    print(text := "\n".join(lines))
    if chosen.write:
        write_atomic(PAGE, text)


if __name__ == "__main__":
    main()
