"""Any phi against released variants only, under the same budgets, on real photographs.

    python -m experiments.training.compare_scaling FLOWERS

FLOWERS is a folder of photographs by class (or with train/val/test in it: they are pooled). Five folds: each photograph
is tested once by a network that never saw it, so both strategies answer all of them at every budget. `default` is what
`edgefit` trains on this computer, `all` trains every layer on fresh views, as it does on a GPU, for `--epochs` epochs.
Answers are the float network's in torch; int8 keeps them (that is what the guard is for). Finished trainings are kept
in the results file, so an interrupted run goes on. Writes scaling_strategies.json and .md into the results folder
(`--out`).

Which strategy wins was settled before the budgets were run (they are the preferred numbers R10 of ISO 3, up to the
last for which the released network's weights are on a computer without a network):

1. Over the budgets that both can answer: the one that tells more right, if the 95% interval of the difference (the
   photographs are the sample) does not hold 0.
2. Else the one that has an answer to more of the budgets.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from edgefit_toolkit.data.dataset import Dataset, Photo, labels
from edgefit_toolkit.data.pixels import load_pixels
from edgefit_toolkit.data.preprocessing import preprocessing_for
from edgefit_toolkit.data.sources import load_dataset
from edgefit_toolkit.errors import BudgetMissed
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.host import environment
from edgefit_toolkit.intervals import Z_95, paired_interval
from edgefit_toolkit.picker.plan import Candidate
from edgefit_toolkit.picker.search import make_plan
from edgefit_toolkit.records import Budget
from edgefit_toolkit.training.compute import choose_compute
from edgefit_toolkit.training.evaluation import predict
from edgefit_toolkit.training.fine_tune import fine_tune
from edgefit_toolkit.training.initial import initial_network
from edgefit_toolkit.training.settings import TrainSettings

RESULTS = Path(__file__).parents[2] / "results"
BUDGETS_MS = (2.5, 3.15, 4.0, 5.0, 6.3, 8.0, 10.0, 12.5, 16.0)
FOLDS = 5
STRATEGIES = ("continuous", "released")
NAMES = {"continuous": "any phi", "released": "released variants"}
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
    started = time.monotonic()
    network, provenance = initial_network(candidate.variant, dataset, fold, device=choose_compute().device)
    made = time.monotonic()
    result = fine_tune(network, dataset, settings_for(recipe, candidate, len(dataset.train), fold, epochs))
    trained = time.monotonic()
    pixels = load_pixels(dataset.test, preprocessing_for(network.variant))
    right = predict(result.network, pixels).argmax(1) == labels(dataset.test)
    names = [f"{dataset.classes[photo.label]}/{photo.name}" for photo in dataset.test]
    return {
        "label": candidate.variant.label, "grown_from": provenance.parent, "how": provenance.how,
        "predicted_p90_ms": round(candidate.latency.p90, 3), "fold": fold, "best_epoch": result.best_epoch,
        "trained_from_stage": result.settings.unfreeze_from, "epochs": result.settings.epochs,
        "val_top1": result.val_top1, "making_s": round(made - started, 1), "seconds": round(trained - made, 1),
        "right": dict(zip(names, right.tolist(), strict=True)),
    }  # fmt: skip


def answers(rows: Sequence[Row]) -> dict[str, bool]:
    """Photograph -> told right, over all folds."""
    return {name: right for row in rows for name, right in row["right"].items()}


def paired(first: Sequence[Row], second: Sequence[Row]) -> dict[str, float]:
    """Top-1 of both on the same photographs, their difference (Newcombe's 95% interval), the exact McNemar p."""
    a, b = answers(first), answers(second)
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


def verdict(budgets: Sequence[dict[str, list[Row]]]) -> dict[str, Any]:
    """Who wins by the rule above. Each budget: strategy -> its five rows, without a strategy that has no network."""
    shared = [{name: answers(rows[name]) for name in STRATEGIES} for rows in budgets if len(rows) == len(STRATEGIES)]
    answered = {name: sum(name in rows for rows in budgets) for name in STRATEGIES}
    photographs = list(shared[0][STRATEGIES[0]]) if shared else []
    gains = [statistics.fmean(at["continuous"][k] - at["released"][k] for at in shared) for k in photographs]
    mean = statistics.fmean(gains) if gains else 0.0
    half = Z_95 * statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else 0.0
    if abs(mean) > half:
        winner, why = ("continuous" if mean > 0 else "released"), "more right where both have a network"
    elif answered["continuous"] != answered["released"]:
        winner = max(STRATEGIES, key=lambda name: answered[name])
        why = "no difference can be told where both have a network, and it has one for more of the budgets"
    else:
        winner, why = None, "neither rule tells them apart"
    return {
        "winner": winner, "why": why, "budgets": len(budgets), "shared": len(shared), "answered": answered,
        "difference": mean, "low": mean - half, "high": mean + half,
        "top1": {n: statistics.fmean(statistics.fmean(at[n].values()) for at in shared) for n in STRATEGIES}
        if shared else {},
    }  # fmt: skip


def markdown(doc: dict[str, Any]) -> str:
    """The table for people."""
    lines = [
        "# Any phi against released variants only, on real photographs",
        "",
        "`benchmarks/experiments/training/compare_scaling.py`: the largest network that is *predicted* to answer on "
        f"{doc['device']} within the budget (p90), any phi against released variants. {doc['photographs']} "
        f"photographs of {doc['classes']} classes, {FOLDS} folds, each photograph tested once. Float answers in torch. "
        f"{doc['cpu']}, {doc['cores']} cores, {doc['date']}.",
    ]
    for recipe, found in doc["verdicts"].items():
        top1 = ", ".join(f"{NAMES[n]} {share:.4f}" for n, share in found["top1"].items())
        lines += [
            "",
            f"Training `{recipe}`: **{NAMES.get(found['winner'], 'neither')}** wins: {found['why']} (the rule, settled "
            f"before the run, is in the script). {found['shared']} of {found['budgets']} budgets have a network of "
            f"both: {top1}, difference {found['difference']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f}, 95%, "
            f"over photographs). Budgets with a network: any phi {found['answered']['continuous']}, released "
            f"{found['answered']['released']}.",
        ]
    lines += [
        "",
        "| budget | training | any phi: network, p90 | top-1 | released: network, p90 | top-1 | difference (95%) "
        "| right only with any phi / only released | McNemar p |",
        "|--:|---|---|--:|---|--:|--:|--:|--:|",
    ]
    for found in doc["comparisons"]:
        cells = [f"{found['budget_ms']:g} ms", found["recipe"]]
        for name in STRATEGIES:
            net = found[name]
            if net is None:
                cells += ["none fits", ""]
            else:
                cells += [f"{net['label']} ({net['how']}), {net['predicted_p90_ms']:.1f} ms", f"{net['top1']:.4f}"]
        pair = found["paired"]
        if pair is None:
            cells += ["", "", ""]
        elif found["continuous"]["label"] == found["released"]["label"]:
            cells += ["the same network", "", ""]
        else:
            cells += [
                f"{pair['difference']:+.4f} ({pair['low']:+.4f} to {pair['high']:+.4f})",
                f"{pair['only_first']} / {pair['only_second']}",
                f"{pair['mcnemar_p']:.2f}",
            ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def pick(budget_ms: float, device: str, strategy: str) -> Candidate | None:
    """The strategy's network for a budget, or None where it has none."""
    try:
        return make_plan(Budget(budget_ms), device, scaling=strategy).pick
    except BudgetMissed:
        return None


def compared(budget_ms: float, recipe: str, rows: dict[str, list[Row]]) -> dict[str, Any]:
    """One line of the table."""
    found: dict[str, Any] = {"budget_ms": budget_ms, "recipe": recipe, "paired": None}
    for name in STRATEGIES:
        found[name] = None
        if name in rows:
            told = answers(rows[name])
            found[name] = {k: rows[name][0][k] for k in ("label", "predicted_p90_ms", "grown_from", "how")}
            found[name]["top1"] = sum(told.values()) / len(told)
    if len(rows) == len(STRATEGIES):
        found["paired"] = paired(rows["continuous"], rows["released"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--device", default="pixel4")
    parser.add_argument("--budgets", nargs="+", type=float, default=list(BUDGETS_MS))
    parser.add_argument("--recipes", nargs="+", choices=["default", "all"], default=["default"])
    parser.add_argument("--epochs", type=int, default=12, help="of the recipe `all`")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    file = args.out / "scaling_strategies.json"
    runs: dict[str, Row] = json.loads(file.read_text())["runs"] if file.is_file() else {}
    dataset = load_dataset(str(args.photographs), seed=0)
    splits = folds(dataset)
    host = environment()
    doc = {
        "schema": "edgefit.scaling-strategies/2", "date": datetime.now(UTC).date().isoformat(), "device": args.device,
        "cpu": host["cpu"], "cores": host["cores"], "versions": host["versions"],
        "photographs": sum(len(split.test) for split in splits), "classes": len(dataset.classes),
        "verdicts": {}, "comparisons": [], "runs": runs,
    }  # fmt: skip
    for recipe in args.recipes:
        budgets: list[dict[str, list[Row]]] = []
        for budget_ms in args.budgets:
            rows: dict[str, list[Row]] = {}
            for strategy in STRATEGIES:
                candidate = pick(budget_ms, args.device, strategy)
                if candidate is None:
                    continue
                for fold in range(FOLDS):
                    key = f"{candidate.variant.label}|{recipe}|{fold}"
                    if key not in runs:
                        row = runs[key] = one(splits[fold], fold, candidate, recipe, args.epochs)
                        told = f"{sum(row['right'].values())} of {len(row['right'])}"
                        print(f"{key}: {told}, made in {row['making_s']} s, trained in {row['seconds']} s", flush=True)
                        _write(file, doc)
                    rows.setdefault(strategy, []).append(runs[key])
            budgets.append(rows)
            doc["comparisons"].append(compared(budget_ms, recipe, rows))
            doc["verdicts"][recipe] = verdict(budgets)
            _write(file, doc)
            write_atomic(file.with_suffix(".md"), markdown(doc))
    print(markdown(doc), flush=True)


def _write(file: Path, doc: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, json.dumps(doc, indent=1) + "\n")


if __name__ == "__main__":
    main()
