"""Does balance lift the mean over classes of a long-tailed set, and what does it cost the mean over pictures?

    python -m experiments.training.long_tail FLOWERS

FLOWERS is a folder of photographs split into train, val and test. Training and val pictures are cut to a tail of one
class after another (TRAIN, VAL); the test pictures stay as they are, of each class as many. `--seeds` times `--heads`
trainings each without and with balance, with the same pictures, first weights and seed. Writes long_tail.md into the
results folder (`--out`).
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgefit_toolkit.data.dataset import Dataset, Photo, labels
from edgefit_toolkit.data.pixels import load_pixels
from edgefit_toolkit.data.sources import load_dataset
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.intervals import Z_95
from edgefit_toolkit.network.scaling import variant_from_phi
from edgefit_toolkit.training.evaluation import logits
from edgefit_toolkit.training.fine_tune import fine_tune
from edgefit_toolkit.training.initial import initial_network
from edgefit_toolkit.training.settings import TrainSettings

RESULTS = Path(__file__).parents[2] / "results"
TRAIN, VAL = (50, 22, 10, 5, 3), (15, 7, 3, 2, 1)  # pictures of the largest class to the smallest
Scores = tuple[float, float, float]  # mean over classes, recall of the largest and of the smallest two classes


def tail(photos: Sequence[Photo], kept: Sequence[int], head: int, seed: int) -> tuple[Photo, ...]:
    """As many photographs of each class as `kept` says, class `head` being the largest."""
    order = np.random.default_rng(seed).permutation(len(photos))
    cut: list[Photo] = []
    for place, count in enumerate(kept):
        own = [photos[i] for i in order if photos[i].label == (head + place) % len(kept)]
        cut += own[:count]
    return tuple(sorted(cut, key=lambda photo: (photo.label, photo.name)))


def trained(dataset: Dataset, head: int, seed: int, phi: float, epochs: int) -> dict[bool, Scores]:
    """Without and with balance."""
    variant = variant_from_phi(phi, classes=len(dataset.classes))
    first, _ = initial_network(variant, dataset, seed, allow_download=False)
    chosen = replace(TrainSettings.default_for(variant, len(dataset.train), seed=seed), epochs=epochs)
    found = {}
    for balance in (False, True):
        result = fine_tune(copy.deepcopy(first), dataset, replace(chosen, balance=balance))
        answers = logits(result.network, load_pixels(dataset.test, result.preprocessing)).argmax(1)
        truth = labels(dataset.test)
        recall = [float((answers[truth == label] == label).mean()) for label in range(len(dataset.classes))]
        recall = recall[head:] + recall[:head]
        found[balance] = (float(np.mean(recall)), recall[0], float(np.mean(recall[-2:])))
    return found


def table(rows: Sequence[tuple[int, int, dict[bool, Scores]]], title: str) -> str:
    """The results file."""
    lines = [
        f"# {title}",
        "",
        f"`python -m experiments.training.long_tail FLOWERS`: {', '.join(map(str, TRAIN))} training and "
        f"{', '.join(map(str, VAL))} val pictures of the classes; shares of the test pictures, without -> with.",
        "",
        "| seed | largest class | mean over classes | largest class | smallest two |",
        "|---|---|---|---|---|",
    ]
    for seed, head, found in rows:
        cells = [f"{off:.3f} -> {on:.3f}" for off, on in zip(found[False], found[True], strict=True)]
        lines.append(f"| {seed} | {head} | {' | '.join(cells)} |")
    gains = np.array([np.subtract(found[True], found[False]) for *_, found in rows])
    return "\n".join([*lines, f"| gain | mean, 95% | {gained(gains)} |", ""])


def gained(gains: NDArray[np.float64]) -> str:
    """Cells of the mean gain in each column, with its interval; `gains` [trainings, columns]."""
    mean = gains.mean(0)
    error = Z_95 * gains.std(0, ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.full_like(mean, np.nan)
    return " | ".join(f"{m:+.3f} ({m - e:+.3f} to {m + e:+.3f})" for m, e in zip(mean, error, strict=True))


def main() -> None:
    """The trainings, then the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("flowers", type=Path)
    parser.add_argument("--phi", type=float, default=-4.0)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--heads", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    whole = load_dataset(str(chosen.flowers), seed=0)
    rows = []
    for seed in range(chosen.seeds):
        for head in chosen.heads:
            cut = replace(
                whole, train=tail(whole.train, TRAIN, head, seed), val=tail(whole.val, VAL, head, seed), sha256=""
            )
            rows.append((seed, head, trained(cut, head, seed, chosen.phi, chosen.epochs)))
            print(rows[-1], flush=True)
            title = f"A long tail of flowers, phi {chosen.phi:g}, {chosen.epochs} epochs"
            write_atomic(chosen.out / "long_tail.md", table(rows, title))


if __name__ == "__main__":
    main()
