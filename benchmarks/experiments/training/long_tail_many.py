"""What balance gives and costs where most classes are rare, and which L2 a probe of so many classes wants.

    python -m experiments.training.long_tail_many DATA [--write]

DATA is a long-tailed set of thousands of pictures. Each goes through Lite0 once, as the app sees it; for each of
SEEDS splits the linear probe that edgefit fits to so many rows answers the test pictures, its logits as they are
(without balance) and less the logarithm of each class's share (with balance, which changes nothing else of a probe).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from numpy.typing import NDArray
from torch import Tensor

from edgefit_toolkit.data.dataset import Photo, labels
from edgefit_toolkit.data.preprocessing import preprocessing_for
from edgefit_toolkit.data.sources import load_dataset
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.network.scaling import released
from edgefit_toolkit.network.weights import load_network
from edgefit_toolkit.report import derive
from edgefit_toolkit.training.balance import log_shares
from edgefit_toolkit.training.compute import choose_compute
from edgefit_toolkit.training.inputs.features import pass_through
from edgefit_toolkit.training.inputs.views import CROP, Views
from edgefit_toolkit.training.probe.linear_probe import L2_GRID, best_probe
from edgefit_toolkit.training.probe.streamed_probe import fit_streamed
from experiments.training.long_tail import gained

PAGE = Path(__file__).parents[2] / "results" / "long_tail_many.md"
SEEDS = 3
GRID = (*L2_GRID[2:], 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
COLUMNS = ("mean over pictures", "mean over classes", "classes of over 100", "of 20 to 100", "of under 20")


def features_of(photos: Sequence[Photo]) -> dict[str, Tensor]:
    """Place -> pooled features [1280] of Lite0, of the pixels that the app would see."""
    network = load_network(released("lite0"), allow_download=False)[0].eval()
    batches = Views(photos, preprocessing_for(released("lite0"))).batches(range(len(photos)), CROP, 16)
    rows: list[Tensor] = []
    for _, pooled in pass_through(network, batches, len(network.blocks), choose_compute(), exact=False):
        rows += pooled
        if len(rows) % 1000 < len(pooled):
            print(f"{len(rows)} of {len(photos)} pictures", flush=True)
    return {photo.place: row for photo, row in zip(photos, rows, strict=True)}


def figures(logits: Tensor, truth: Tensor, train: Tensor, classes: Sequence[str]) -> list[float]:
    """COLUMNS, of the test pictures: logits [N, classes], truth [N]; labels of the training pictures."""
    answers, counts = logits.argmax(1), torch.bincount(train, minlength=len(classes))
    found = derive.balance(derive.per_class(truth.tolist(), answers.tolist(), classes, counts.tolist()))
    return [
        (answers == truth).double().mean().item(),
        found["mean_recall"],
        *(group["mean_recall"] for group in found["shots"]),
    ]


def main() -> None:
    """Prints the table, or writes the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    features: dict[str, Tensor] = {}
    found, losses = [], []
    for seed in range(SEEDS):
        data = load_dataset(chosen.data, seed=seed)
        features = features or features_of([*data.train, *data.val, *data.test])
        parts = [torch.stack([features[photo.place] for photo in part]) for part in (data.train, data.val, data.test)]
        truth = [torch.from_numpy(labels(part)) for part in (data.train, data.val, data.test)]
        probes = fit_streamed(parts[0], truth[0], parts[1], truth[1], len(data.classes), GRID)
        losses.append([one.val_loss for one in probes])
        probe = best_probe(probes)
        logits = F.linear(parts[2], probe.weight, probe.bias)
        shares = log_shares(truth[0], len(data.classes))
        found.append([figures(some, truth[2], truth[0], data.classes) for some in (logits, logits - shares)])
        print(found[-1], flush=True)
    text = page(np.array(found), losses, f"{sum(map(len, parts)):,} pictures of {len(data.classes):,} classes")
    print(text)
    if chosen.write:
        write_atomic(PAGE, text)


def page(found: NDArray[np.float64], losses: Sequence[Sequence[float]], what: str) -> str:
    """`found` [seeds, without and with balance, COLUMNS], `losses` [seeds, GRID] on val."""
    lines = [
        f"# Balance on {what}",
        "",
        "`python -m experiments.training.long_tail_many DATA`: Lite0's features as they are, the linear probe fitted "
        f"in a stream, {len(found)} splits; shares of the test pictures told right, in float, without -> with balance.",
        "",
        f"| seed | {' | '.join(COLUMNS)} |",
        f"|---|{'---|' * len(COLUMNS)}",
    ]
    for seed, (without, balanced) in enumerate(found):
        cells = [f"{a:.3f} -> {b:.3f}" for a, b in zip(without, balanced, strict=True)]
        lines.append(f"| {seed} | {' | '.join(cells)} |")
    lines += [
        f"| gain, 95% | {gained(found[:, 1] - found[:, 0])} |",
        "",
        "Val loss of the probe at each L2; the best one is taken:",
        "",
    ]
    lines += [f"| seed | {' | '.join(f'{l2:g}' for l2 in GRID)} |", f"|---|{'--:|' * len(GRID)}"]
    lines += [f"| {seed} | {' | '.join(f'{loss:.3f}' for loss in some)} |" for seed, some in enumerate(losses)]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
