"""What kind of break a broken model is: known breaks are undone one by one, and the one whose undoing heals is named.

The guard (guard.py) says that a model is broken, by figures; these functions say how. Each returns one sentence, or
None when it finds nothing. All of them take what the user's own run holds; none needs a healthy copy of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgefit_converters.judge.accuracy import LEAST_JUDGED, Labels
from edgefit_converters.judge.parity import sqnr_db
from edgefit_converters.recipe import IO_QUANTIZATION
from edgefit_converters.tflite.inspect import ModelFacts
from edgefit_toolkit.data.answers.power import softmax as probabilities_of
from edgefit_toolkit.interpreter import Floats, Pixels, TFLite
from edgefit_toolkit.intervals import paired_interval
from edgefit_toolkit.records import PIXEL_MEAN, PIXEL_STD

FAITHFUL_DB = 40.0  # float against float: another order of additions leaves 90 dB and more
HEALED_DB = 10.0  # an undone break must bring this much, and the answers above this
FEW = 16  # photographs that a break is named by
CONTRAST = 0.25  # of the held-out photographs': with less, calibration has seen something else
SOFTMAX_LIMIT = 0.02  # int8 scores lie within 2/256 of their logits' softmax
EXCHANGED = 0.2  # of the photographs must be right after an exchange of labels, and wrong before
USUAL = 0.5  # of the photographs must be answered as their class usually is: shuffled one by one, fewer are

# (mean, std) that other networks take their pixels by; ours is (127, 128)
_NORMALIZATIONS = {
    "0 to 1 (raw / 255)": (0.0, 255.0),
    "0 to 255 (raw bytes)": (0.0, 1.0),
    "-127 to 128": (127.0, 1.0),
}


def calibration(calibration_pixels: Pixels, holdout_pixels: Pixels) -> str | None:
    """Calibration photographs that are nothing like the held-out ones (both uint8 [N, R, R, 3])."""
    if not len(calibration_pixels) or not len(holdout_pixels):
        return None
    mean, contrast = _look(calibration_pixels)
    held_mean, held_contrast = _look(holdout_pixels)
    if contrast < CONTRAST * held_contrast:
        if calibration_pixels.max() == 0:
            return "the calibration photographs are all black"
        if calibration_pixels.max() <= 1:
            return "the calibration photographs hold 0 and 1 only: scaled to 0..1 where raw bytes (0..255) are expected"
        return (
            f"the calibration photographs hardly differ from one grey (contrast {contrast:.1f}, the held-out ones have "
            f"{held_contrast:.1f} of 255)"
        )
    apart, turned = (float(np.linalg.norm(values - held_mean)) for values in (mean, mean[::-1]))
    if apart > 10 and turned < apart / 3:
        return "the calibration photographs have red and blue exchanged (BGR where RGB is expected)"
    return None


def io_quantization(facts: ModelFacts, io_dtype: str) -> list[str]:
    """What is not as ordered at an int8 file's ends: an app hands in raw bytes and trusts them to be understood."""
    found = []
    for end, (scale, zero_point) in zip((facts.inputs[0], facts.outputs[0]), IO_QUANTIZATION[io_dtype], strict=True):
        is_there = (end.dtype, end.scale, end.zero_point)
        if is_there != (io_dtype, scale, zero_point):
            found.append(f"{end.name} is {is_there}, not {(io_dtype, scale, zero_point)}")
    return found


def softmax(scores: Floats, logits: Floats) -> str | None:
    """Scores that are not the softmax of their own logits (both [N, classes], from one file)."""
    expected = probabilities_of(logits)
    if float(np.abs(scores - expected).max(initial=0.0)) <= SOFTMAX_LIMIT:
        return None
    if np.allclose(scores, logits, atol=SOFTMAX_LIMIT):
        return "the model ends without a softmax: its scores are no probabilities"
    if float(np.abs(scores - probabilities_of(probabilities_of(logits))).max()) <= SOFTMAX_LIMIT:
        return "the softmax is applied twice: every answer looks unsure"
    sums = scores.sum(1)
    if float(np.abs(sums - 1).max()) > 0.1:
        return (
            f"the scores of a photograph add up to {sums.min():.2f} to {sums.max():.2f} instead of 1: "
            "wrong softmax, or a wrong scale at the output"
        )
    return "the scores are not the softmax of the model's own logits: wrong temperature or wrong softmax"


def conversion(reference: Floats, path: str | Path, pixels: Pixels, classes: Sequence[str] = ()) -> str | None:
    """A float .tflite against the checkpoint that it was converted from.

    `reference` is the checkpoint's own logits / temperature [N, classes], computed in torch, of uint8 pixels
    [N, R, R, 3]: preprocessing, classes' order and softmax are compared with what was trained, not with another file
    that may share the fault.
    """
    scores, logits = TFLite(path).answers(pixels)
    if reference.shape != logits.shape:
        return f"the file tells {logits.shape[1]} classes apart, the checkpoint {reference.shape[1]}"
    found = sqnr_db(reference, logits)
    if found >= FAITHFUL_DB:
        return softmax(scores, logits)
    why = explain(reference, path, pixels, classes) or "no known break explains it: are these the checkpoint's weights?"
    return f"the .tflite does not compute what the checkpoint computes (SQNR {found:.1f} dB): {why}"


def explain(reference: Floats, path: str | Path, pixels: Pixels, classes: Sequence[str] = ()) -> str | None:
    """Which break makes this file's logits differ from the reference logits [N, classes]; for float and int8 files."""
    reference, pixels = reference[:FEW], pixels[:FEW]
    logits = TFLite(path).logits(pixels)
    broken = sqnr_db(reference, logits)

    def heals(healed: Floats) -> bool:
        return sqnr_db(reference, healed) > max(broken, 0.0) + HEALED_DB

    order = _order(reference, logits)
    if order is not None and heals(logits[:, order]):
        return f"its classes stand in another order than the checkpoint's: {_exchanges(order, classes)}"
    power = float(np.square(logits, dtype=np.float64).sum())
    factor = float((reference.astype(np.float64) * logits).sum()) / power if power else 0.0
    if factor > 0 and heals(logits * np.float32(factor)):
        return (
            f"its logits are {1 / factor:.2f} times the checkpoint's: wrong softmax temperature, or wrong scale of the "
            "classifier"
        )
    if heals(TFLite(path).logits(np.ascontiguousarray(pixels[..., ::-1]))):
        return "it expects red and blue exchanged (BGR), the checkpoint RGB"
    for words, normalization in _NORMALIZATIONS.items():
        if heals(TFLite(path, normalization=normalization).logits(pixels)):
            return f"it expects pixels from {words}, the checkpoint (raw - {PIXEL_MEAN:g}) / {PIXEL_STD:g}"
    return None


def labels(answers: Labels, truth: Labels, classes: Sequence[str]) -> str | None:
    """Labels in another order than the model's classes: answers that are wrong, yet always in the same way.

    A photograph counts as consistent when it is answered as most *others* of its class are, so that a class with one
    photograph says nothing.
    """
    table = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(table, (truth, answers), 1)
    consistent = right = both = 0
    for label, row in enumerate(table):
        for answer in np.flatnonzero(row):
            others = row.copy()
            others[answer] -= 1
            usual = others.sum() > 0 and others[answer] == others.max() > 0
            consistent += int(usual) * int(row[answer])
            right += int(answer == label) * int(row[answer])
            both += int(usual and answer == label) * int(row[answer])
    n = len(truth)
    low, _ = paired_interval(both, consistent - both, right - both, n - consistent - right + both)
    if n < LEAST_JUDGED or low <= 0 or consistent - right < EXCHANGED * n or consistent < USUAL * n:
        return None
    usual_answer = {label: int(row.argmax()) for label, row in enumerate(table) if row.sum() > 1}
    moved = [f"{classes[a]} is answered as {classes[b]}" for a, b in usual_answer.items() if a != b]
    return (
        f"the labels look shuffled: {', '.join(moved[:3])}{' ...' if len(moved) > 3 else ''}; {consistent / n:.0%} of "
        f"the answers are right after a fixed exchange of the names, {right / n:.0%} as they stand"
    )


def names(embedded: Sequence[str], classes: Sequence[str], where: str) -> str | None:
    """Labels beside or inside a model that are not the checkpoint's classes in their order."""
    if tuple(embedded) == tuple(classes):
        return None
    if sorted(embedded) != sorted(classes):
        return f"{where} names {len(embedded)} classes that are not the checkpoint's {len(classes)}"
    order = [list(classes).index(name) for name in embedded]
    return f"{where} has the labels in another order than the checkpoint: {_exchanges(order, classes)}"


def _look(pixels: Pixels) -> tuple[Any, float]:
    """Mean of each channel [3], and the standard deviation of all values."""
    return pixels.mean((0, 1, 2), dtype=np.float64), float(pixels.std(dtype=np.float64))


def _order(reference: Floats, logits: Floats) -> list[int] | None:
    """For each class of the reference, the column that comes nearest to its; None unless each is taken once."""
    a, b = reference.astype(np.float64), logits.astype(np.float64)
    distance = np.square(a).sum(0)[:, None] - 2 * a.T @ b + np.square(b).sum(0)[None]
    order = [int(column) for column in distance.argmin(1)]
    is_other = order != list(range(len(order)))
    return order if is_other and sorted(order) == list(range(len(order))) else None


def _exchanges(order: Sequence[int], classes: Sequence[str]) -> str:
    """`daisy is answered as rose, ...` of an order in which class i gets the name of class order[i]; three at most."""
    named = list(classes) or [f"class {i}" for i in range(len(order))]
    moved = [f"{named[i]} is answered as {named[there]}" for i, there in enumerate(order) if i != there]
    return ", ".join(moved[:3]) + (f" and {len(moved) - 3} more" if len(moved) > 3 else "")
