"""What the report derives from raw answers: verdict, intervals, recall, confusion, reliability. Pure."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgefit_toolkit.data.answers.taxonomy import LEAST, lowest_confidence
from edgefit_toolkit.intervals import wilson
from edgefit_toolkit.report import words
from edgefit_toolkit.report.schema.plan import VerdictDoc
from edgefit_toolkit.report.schema.provenance import CreditDoc
from edgefit_toolkit.report.schema.results import (
    BalanceDoc,
    ConfusionDoc,
    PredictionDoc,
    RecallDoc,
    ReliabilityDoc,
    ScoreDoc,
    ShotsDoc,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgefit_toolkit.records import Origin

MOST_IN_MATRIX = 100  # classes: 10,000 cells are 0.1 MB of report.json, those of 1,081 classes are 8 MB
MOST_MISTAKES = 2000  # pairs that are listed where there is no matrix
# Groups of classes by their training pictures, as the long-tail literature has them (Liu et al. 2019, ImageNet-LT)
SHOTS: tuple[tuple[Literal["many", "medium", "few"], int, int], ...] = (
    ("many", 101, sys.maxsize),
    ("medium", 20, 100),
    ("few", 0, 19),
)


def score(correct: int, n: int) -> ScoreDoc:
    """Top-1 with its interval."""
    low, high = wilson(correct, n)
    return {"top1": correct / n if n else 0.0, "n": n, "low": low, "high": high}


def verdict(latency_ms: float, budget_ms: float, origin: Origin, device: str, percentile: int) -> VerdictDoc:
    """The verdict and its sentence."""
    fits = latency_ms <= budget_ms
    how = {"predicted": "is predicted to answer", "measured on device": "answered", "measured on host": "answered"}
    where = f"on {device}"
    if origin == "measured on host":
        where = "on this computer" if device == "host" else f"on this computer, not on {device},"
    gap = words.gap(budget_ms - latency_ms, latency_ms)
    sentence = (
        f"The int8 model {how[origin]} {where} within {words.ms(latency_ms)} (p{percentile}); the budget is "
        f"{budget_ms:g} ms: {gap} {'to spare' if fits else 'too slow'}."
    )
    margin = 1 - latency_ms / budget_ms
    return {"fits": fits, "latency_ms": latency_ms, "budget_ms": budget_ms, "margin": margin, "origin": origin,
            "sentence": sentence}  # fmt: skip


def confusion(truth: Sequence[int], answers: Sequence[int], labels: Sequence[str]) -> ConfusionDoc:
    """matrix[truth][answer] counts; of more than MOST_IN_MATRIX classes the most frequent mistakes only."""
    if len(labels) > MOST_IN_MATRIX:
        wrong = Counter((t, a) for t, a in zip(truth, answers, strict=True) if t != a)
        ranked = sorted(((t, a, count) for (t, a), count in wrong.items()), key=lambda row: (-row[2], *row[:2]))
        left_out = sum(count for *_, count in ranked[MOST_MISTAKES:])
        return {"labels": list(labels), "mistakes": ranked[:MOST_MISTAKES], "left_out": left_out}
    matrix = [[0] * len(labels) for _ in labels]
    for true, answer in zip(truth, answers, strict=True):
        matrix[true][answer] += 1
    return {"labels": list(labels), "matrix": matrix}


def per_class(
    truth: Sequence[int], answers: Sequence[int], labels: Sequence[str], train: Sequence[int] | None = None
) -> list[RecallDoc]:
    """Recall of every class that has test pictures, with Wilson's interval; `train` counts training pictures."""
    tested = Counter(truth)
    right = Counter(t for t, a in zip(truth, answers, strict=True) if t == a)
    rows: list[RecallDoc] = []
    for i, label in enumerate(labels):
        if n := tested[i]:
            low, high = wilson(right[i], n)
            row: RecallDoc = {"label": label, "recall": right[i] / n, "n": n, "low": low, "high": high}
            rows.append(row if train is None else {**row, "train": int(train[i])})
    return rows


def balance(rows: Sequence[RecallDoc]) -> BalanceDoc:
    """Recall as the mean over classes, each counting once: of all, and by how many training pictures a class had.

    `rows` are those of `per_class`, at least one.
    """
    found: BalanceDoc = {"mean_recall": _mean_recall(rows), "classes": len(rows)}
    shots: list[ShotsDoc] = []
    for name, fewest, most in SHOTS:
        own = [row for row in rows if fewest <= row.get("train", -1) <= most]
        if own:
            correct = sum(round(row["recall"] * row["n"]) for row in own)
            top1 = score(correct, sum(row["n"] for row in own))
            shots.append({"name": name, "classes": len(own), "top1": top1, "mean_recall": _mean_recall(own)})
    return found | {"shots": shots} if shots else found


def _mean_recall(rows: Sequence[RecallDoc]) -> float:
    return sum(row["recall"] for row in rows) / len(rows)


def reliability(confidence: Sequence[float], correct: Sequence[bool], bins: int = 10) -> ReliabilityDoc:
    """Equal-width bins of the top-1 confidence (empty ones dropped) and the expected calibration error."""
    found: ReliabilityDoc = {"bins": [], "ece": 0.0}
    total = len(confidence)
    ece = 0.0
    for i in range(bins):
        inside = [
            (float(c), bool(ok))
            for c, ok in zip(confidence, correct, strict=True)
            if min(int(float(c) * bins), bins - 1) == i
        ]
        if not inside:
            continue
        mean = sum(c for c, _ in inside) / len(inside)
        right = sum(ok for _, ok in inside) / len(inside)
        ece += abs(mean - right) * len(inside) / total
        found["bins"].append(
            {"low": i / bins, "high": (i + 1) / bins, "n": len(inside), "confidence": mean, "accuracy": right}
        )
    found["ece"] = ece
    return found


def not_sure_below(confidence: Sequence[float], correct: Sequence[bool], wanted: float = 0.95) -> float:
    """The confidence below which an app should say "not sure", from validation answers.

    The lowest confidence from which on at least `wanted` of the answers are right; never below 0.5, where all other
    classes together are likelier; 1.0 where no confidence is enough.
    """
    lowest = lowest_confidence(confidence, correct, wanted)
    return 1.0 if lowest is None else max(lowest, LEAST)


def auroc(kept: NDArray[np.floating[Any]], away: NDArray[np.floating[Any]]) -> float:
    """The chance that one to be kept scores higher than one to be turned away; equal ones count half."""
    ranked = np.sort(away)
    below, not_above = np.searchsorted(ranked, kept, "left"), np.searchsorted(ranked, kept, "right")
    return float((below + not_above).sum() / (2 * len(kept) * len(away)))


def kept_at_95(kept: NDArray[np.floating[Any]], away: NDArray[np.floating[Any]]) -> float:
    """FPR95: the share of `away` that scores as high as the highest threshold that at least 95% of `kept` meet."""
    threshold = np.sort(kept)[int(0.05 * len(kept))]
    return float((away >= threshold).mean())


def prediction(
    file: str,
    truth: int,
    probabilities: NDArray[np.float32],
    labels: Sequence[str],
    picture: str | None = None,
    credit: CreditDoc | None = None,
) -> PredictionDoc:
    """One answer. `probabilities` is [classes]; `credit` belongs to the picture that is shown."""
    order = sorted(range(len(labels)), key=lambda i: (-float(probabilities[i]), i))[:3]
    row: PredictionDoc = {
        "file": file,
        "truth": labels[truth],
        "top3": [(labels[i], float(probabilities[i])) for i in order],
        "correct": order[0] == truth,
    }
    if picture is not None:
        row["picture"] = picture
    if credit is not None:
        row["credit"] = credit
    return row


def worst(truth: Sequence[int], probabilities: NDArray[np.float32], most: int = 8) -> list[int]:
    """Indices of the mistakes that the model was surest of, surest first. `probabilities` is [N, classes]."""
    answers = probabilities.argmax(axis=1)
    wrong = [i for i, true in enumerate(truth) if int(answers[i]) != true]
    return sorted(wrong, key=lambda i: (-float(probabilities[i, answers[i]]), i))[:most]
