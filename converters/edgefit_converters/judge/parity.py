"""How well a .tflite repeats the float model's answers on the same photographs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from edgefit_toolkit.errors import InputError
from edgefit_toolkit.interpreter import Floats, Pixels, TFLite
from edgefit_toolkit.records import Parity

TOP = 5


def compare(float_path: str | Path, int8_path: str | Path, pixels: Pixels) -> Parity:
    """Runs both files over uint8 pictures [N, R, R, 3], each by its own input type.

    top1: share with the same first answer, read from the scores that the app gets; top5: share where the float
    model's first answer is among the five largest logits of the other; sqnr_db: of the logits. This is agreement,
    not accuracy: no labels are involved. Raises InputError when there are no pictures.
    """
    return compare_answers(TFLite(float_path).answers(pixels), TFLite(int8_path).answers(pixels))


def compare_answers(reference: tuple[Floats, Floats], other: tuple[Floats, Floats]) -> Parity:
    """The same from (scores, logits) of both models, each [N, classes]."""
    (ref_scores, ref_logits), (scores, logits) = reference, other
    if len(ref_logits) == 0:
        raise InputError("there are no photographs to compare the models on", "the test split must not be empty")
    if ref_logits.shape != logits.shape:
        raise InputError(f"the models differ in shape: {ref_logits.shape} and {logits.shape} answers")
    first = ref_scores.argmax(1)
    same = scores.argmax(1) == first
    best = np.argsort(-logits, axis=1, kind="stable")[:, :TOP]
    return Parity(
        top1=float(same.mean()),
        top5=float((best == first[:, None]).any(1).mean()),
        sqnr_db=sqnr_db(ref_logits, logits),
        n=len(same),
        per_image=tuple(bool(s) for s in same),
        classes=logits.shape[1],
    )


def sqnr_db(reference: Floats, other: Floats) -> float:
    """Signal to quantization noise: 10 log10(sum reference^2 / sum (reference - other)^2); inf when equal."""
    signal = float(np.square(reference, dtype=np.float64).sum())
    noise = float(np.square(np.subtract(reference, other, dtype=np.float64)).sum())
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf
