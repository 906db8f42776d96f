"""Below its floors an int8 model is not handed over, and neither is a float one that is not its checkpoint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from edgefit_converters.judge import faults
from edgefit_converters.judge.accuracy import LEAST_JUDGED, UNKNOWN, Accuracy, Labels, chance
from edgefit_converters.recipe import Floors
from edgefit_toolkit.errors import GuardFailed
from edgefit_toolkit.interpreter import Floats, Pixels
from edgefit_toolkit.intervals import wilson
from edgefit_toolkit.records import Parity

VALIDATED_LOSS = 0.05  # what the checkpoint may lose, significantly, of the accuracy that training recorded


def shortfalls(parity: Parity, floors: Floors, accuracy: Accuracy | None = None) -> tuple[str, ...]:
    """What is below its floor, with figures; empty when the model passes.

    One differing photograph is always allowed: on fewer than 20 it alone would be more than a floor of .95 leaves.
    Accuracy is judged where labels are known.
    """
    found = []
    different = _too_many(parity.top1, floors.top1, parity.n)
    if different:
        found.append(
            f"{different} of {parity.n} photographs get another first answer "
            f"(agreement {parity.top1:.3f}, floor {floors.top1:.3f})"
        )
    outside = _too_many(parity.top5, floors.top5, parity.n)
    if outside and not 0 < parity.classes < floors.top5_classes:
        found.append(
            f"float's first answer is not among the first five on {outside} of {parity.n} photographs "
            f"(top-5 agreement {parity.top5:.3f}, floor {floors.top5:.3f})"
        )
    if not parity.sqnr_db >= floors.sqnr_db:  # also when it is not a number
        found.append(f"SQNR of the logits is {parity.sqnr_db:.1f} dB (floor {floors.sqnr_db:.1f} dB)")
    if accuracy is not None:
        low, high = accuracy.difference_interval
        if high < 0 and accuracy.difference < -floors.accuracy_loss:
            found.append(
                f"it answers {accuracy.int8_top1:.3f} of {accuracy.n} labelled photographs right, float "
                f"{accuracy.float_top1:.3f}: {-100 * accuracy.difference:.1f} points less (95% interval "
                f"{-100 * high:.1f} to {-100 * low:.1f}, allowed {100 * floors.accuracy_loss:.1f})"
            )
    return tuple(found)


def check_float(
    reference: Floats,
    path: str | Path,
    pixels: Pixels,
    labels: Labels,
    classes: Sequence[str],
    *,
    validated_top1: float | None = None,
) -> None:
    """Whether a converted float .tflite is its checkpoint, and the checkpoint still what was validated.

    `reference` is the checkpoint's logits / temperature [N, classes] in torch, of validation photographs uint8
    [N, R, R, 3] with their labels [N] (-1: unknown); `validated_top1` the share that training recorded for them. int8
    is compared with this float file later: a fault that both share would not be seen there. Raises GuardFailed that
    names the break.
    """
    found = faults.conversion(reference, path, pixels, classes)
    if found is not None:
        hint = "nothing was handed over; try another --converter, and please report it with this message"
        raise GuardFailed(f"the float model is broken: {found}", hint)
    found = _labels_fault(reference, labels, classes, validated_top1)
    if found is not None:
        hint = "nothing was handed over; check that each photograph lies in its class' folder, or train anew"
        raise GuardFailed(f"the float model is broken: {found}", hint)


def check_calibration(calibration_pixels: Pixels, holdout_pixels: Pixels) -> None:
    """Raises GuardFailed when calibration has seen something else than photographs like the held-out ones."""
    found = faults.calibration(calibration_pixels, holdout_pixels)
    if found is not None:
        raise GuardFailed(
            f"int8 would be calibrated on the wrong thing: {found}",
            "nothing was handed over; hand over raw bytes 0..255 of photographs of the kind that the app will see",
        )


def _labels_fault(
    reference: Floats, labels: Labels, classes: Sequence[str], validated_top1: float | None
) -> str | None:
    known = labels != UNKNOWN
    answers, truth = reference[known].argmax(1), labels[known]
    if not len(truth):
        return None
    found = faults.labels(answers, truth, classes)
    if found is not None:
        return found
    right, n = int((answers == truth).sum()), len(truth)
    low, high = wilson(right, n)
    if validated_top1 is not None and high < validated_top1 and right / n < validated_top1 - VALIDATED_LOSS:
        return (
            f"it answers {right / n:.3f} of the {n} validation photographs right, and training recorded "
            f"{validated_top1:.3f}: its preprocessing, its labels or its weights are not the ones that were validated"
        )
    guessed = chance(answers, truth, len(classes))
    if n >= LEAST_JUDGED and low <= guessed:
        return (
            f"it answers {right / n:.3f} of {n} validation photographs right, no better than guessing ({guessed:.3f}): "
            "the photographs' labels are shuffled, or nothing was learned"
        )
    return None


def _too_many(share: float, floor: float, n: int) -> int:
    """How many photographs miss the share's mark; 0 when no more do than the floor (and one photograph) allows."""
    missed = round((1 - share) * n)
    return missed if missed > max(1, math.floor((1 - floor) * n + 1e-9)) else 0
