"""Any phi against released variants only, under the same budget, on real photographs.

    python benchmarks/compare_scaling.py FLOWERS --budgets 12.4 17 --recipes default all

FLOWERS is a folder of photographs by class (or with train/val/test in it: they are pooled). Five folds: each photograph
is tested once by a network that never saw it, so both strategies answer all of them. `default` is what `edgefit` trains
on this computer, `all` trains every layer on fresh views, as it does on a GPU, for `--epochs` epochs. Answers are the
float network's in torch; int8 keeps them (that is what the guard is for). Finished trainings are kept in the results
file, so an interrupted run goes on. Writes scaling_strategies.json and .md into the results folder (`--out`).
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from edgefit_toolkit.compute import choose_compute
from edgefit_toolkit.data import labels, load_dataset, load_pixels
from edgefit_toolkit.dataset import Dataset, Photo
from edgefit_toolkit.evaluation import predict
from edgefit_toolkit.plan import Candidate
from edgefit_toolkit.planning import make_plan
from edgefit_toolkit.preprocessing import preprocessing_for
from edgefit_toolkit.runs import environment, write_atomic
from edgefit_toolkit.scaling import with_classes
from edgefit_toolkit.shares import paired_interval
from edgefit_toolkit.train import TrainSettings, fine_tune
from edgefit_toolkit.weights import load_network

RESULTS = Path(__file__).parent / "edgefit_benchmarks" / "results"
FOLDS = 5
STRATEGIES = ("continuous", "released")
Row = dict[str, Any]


def folds(dataset: Dataset) -> list[Dataset]:
    """Five data sets whose test splits together are every photograph; the next fold validates."""
    pooled = (*dataset.train, *dataset.val, *dataset.test)
    parts: list[list[Photo]] = [[] for _ in range(FOLDS)]
    order = np.random.default_rng(0).permutation(len(pooled))
    for label in range(len(dataset.classes)):
        for place, index in enumerate(i for i in order if pooled[i].label == label):
            parts[place % FOLDS].append(pooled[index])
    made = []
    for test in range(FOLDS):
        val = (test + 1) % FOLDS
        train = [photo for part in range(FOLDS) if part not in (test, val) for photo in parts[part]]
        made.append(replace(dataset, train=tuple(train), val=tuple(parts[val]), test=tuple(parts[test]), sha256=""))
    return made


def settings_for(recipe: str, candidate: Candidate, n_train: int, seed: int, epochs: int) -> TrainSettings:
    """`default`: edgefit's own for this computer; `all`: every layer."""
    if recipe == "default":
        return TrainSettings.default_for(candidate.variant, n_train, choose_compute().device, seed)
    return TrainSettings(seed=seed, epochs=epochs, views=4, unfreeze_from=0, patience=epochs)


def one(dataset: Dataset, fold: int, candidate: Candidate, recipe: str, epochs: int) -> Row:
    """One training: which test photographs were told right."""
    variant = with_classes(candidate.variant, len(dataset.classes))
    network, provenance = load_network(variant, seed=fold)
    started = time.monotonic()
    result = fine_tune(network, dataset, settings_for(recipe, candidate, len(dataset.train), fold, epochs))
    seconds = time.monotonic() - started
    pixels = load_pixels(dataset.test, preprocessing_for(variant))
    right = predict(result.network, pixels).argmax(1) == labels(dataset.test)
    names = [f"{photo.path.parent.name}/{photo.path.name}" for photo in dataset.test]
    return {
        "label": variant.label, "grown_from": provenance.parent, "how": provenance.how,
        "predicted_p90_ms": round(candidate.latency.p90, 3), "fold": fold, "best_epoch": result.best_epoch,
        "trained_from_stage": result.settings.unfreeze_from, "epochs": result.settings.epochs,
        "val_top1": result.val_top1, "seconds": round(seconds, 1),
        "right": dict(zip(names, right.tolist(), strict=True)),
    }  # fmt: skip


def paired(first: Sequence[Row], second: Sequence[Row]) -> dict[str, float]:
    """Top-1 of both on the same photographs, their difference (Newcombe's 95% interval), the exact McNemar p."""
    a = {name: right for row in first for name, right in row["right"].items()}
    b = {name: right for row in second for name, right in row["right"].items()}
    if a.keys() != b.keys():
        raise ValueError("the two strategies answered different photographs")
    n = len(a)
    both = sum(a[k] and b[k] for k in a)
    only_a, only_b = sum(a.values()) - both, sum(b.values()) - both
    low, high = paired_interval(both, only_a, only_b, n - both - only_a - only_b)
    differ, least = only_a + only_b, min(only_a, only_b)
    tail = sum(math.comb(differ, k) for k in range(least + 1)) / 2**differ if differ else 1.0
    return {
        "n": n, "first": sum(a.values()) / n, "second": sum(b.values()) / n, "difference": (only_a - only_b) / n,
        "low": low, "high": high, "only_first": only_a, "only_second": only_b,
        "mcnemar_p": min(1.0, 2 * tail),
    }  # fmt: skip


def markdown(doc: dict[str, Any]) -> str:
    """The table for people."""
    lines = [
        "# Any phi against released variants only, on real photographs",
        "",
        "`benchmarks/compare_scaling.py`: the largest network that is *predicted* to answer on "
        f"{doc['device']} within the "
        f"budget (p90), any phi against released variants whose weights are on this machine. {doc['photographs']} "
        f"photographs of {doc['classes']} classes, {FOLDS} folds, each photograph tested once. Float answers in torch. "
        f"{doc['cpu']}, {doc['cores']} cores, {doc['date']}.",
        "",
        "| budget | training | any phi: network, p90 | top-1 | released: network, p90 | top-1 | difference (95%) "
        "| right only with any phi / only released | McNemar p |",
        "|--:|---|---|--:|---|--:|--:|--:|--:|",
    ]
    for found in doc["comparisons"]:
        cells = [f"{found['budget_ms']:g} ms", found["recipe"]]
        for name, key in (("continuous", "first"), ("released", "second")):
            net = found[name]
            cells += [f"{net['label']}, {net['predicted_p90_ms']:.1f} ms", f"{found[key]:.4f}"]
        cells += [
            f"{found['difference']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f})",
            f"{found['only_first']} / {found['only_second']}",
            f"{found['mcnemar_p']:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--device", default="pixel4")
    parser.add_argument("--budgets", nargs="+", type=float, default=[12.4, 17])
    parser.add_argument("--recipes", nargs="+", choices=["default", "all"], default=["default", "all"])
    parser.add_argument("--epochs", type=int, default=12, help="of the recipe `all`")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    file = args.out / "scaling_strategies.json"
    before = json.loads(file.read_text()) if file.is_file() else {}
    runs: dict[str, Row] = before.get("runs", {})
    dataset = load_dataset(str(args.photographs), seed=0)
    splits = folds(dataset)
    host = environment()
    comparisons = before.get("comparisons", [])
    for recipe in args.recipes:
        for budget_ms in args.budgets:
            rows: dict[str, list[Row]] = {}
            for fold in range(FOLDS):
                for strategy in STRATEGIES:
                    plan = make_plan(budget_ms, args.device, 90, "lite", strategy)
                    key = f"{plan.pick.variant.label}|{recipe}|{fold}"
                    if key not in runs:
                        runs[key] = one(splits[fold], fold, plan.pick, recipe, args.epochs)
                        row = runs[key]
                        print(
                            f"{key}: {sum(row['right'].values())} of {len(row['right'])}, {row['seconds']} s",
                            flush=True,
                        )
                    rows.setdefault(strategy, []).append(runs[key])
                _write(file, before | {"runs": runs})
            found = paired(rows["continuous"], rows["released"]) | {"budget_ms": budget_ms, "recipe": recipe}
            for strategy in STRATEGIES:
                found[strategy] = {k: rows[strategy][0][k] for k in ("label", "predicted_p90_ms", "grown_from", "how")}
            comparisons = [c for c in comparisons if (c["budget_ms"], c["recipe"]) != (budget_ms, recipe)] + [found]
            doc = {
                "schema": "edgefit.scaling-strategies/1",
                "date": datetime.now(UTC).date().isoformat(),
                "device": args.device,
                "cpu": host["cpu"],
                "cores": host["cores"],
                "versions": host["versions"],
                "photographs": found["n"],
                "classes": len(dataset.classes),
                "comparisons": comparisons,
                "runs": runs,
            }
            _write(file, doc)
            write_atomic(file.with_suffix(".md"), markdown(doc))
            print(markdown(doc), flush=True)
            before = doc


def _write(file: Path, doc: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, json.dumps(doc, indent=1) + "\n")


if __name__ == "__main__":
    main()
