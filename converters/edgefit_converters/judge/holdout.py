"""One int8 candidate judged by held-out photographs: the same for every step of the ladder and every route."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgefit_converters.judge import faults, groups
from edgefit_converters.judge.accuracy import UNKNOWN, Accuracy, Labels, compare_accuracy
from edgefit_converters.judge.guard import shortfalls
from edgefit_converters.judge.parity import compare_answers
from edgefit_converters.recipe import Floors
from edgefit_toolkit.interpreter import Pixels, TFLite
from edgefit_toolkit.records import Parity, TFLiteModel


@dataclass(frozen=True)
class JudgedStep:
    """One candidate: what it is worth, what it cost, and what it is worth more than the one before."""

    name: str
    why: str
    parity: Parity
    seconds: float  # wall time of this step alone, quantizing and comparing included
    size_bytes: int
    shortfalls: tuple[str, ...]  # what is below its floor; empty: it passes
    accuracy: Accuracy | None = None  # on the photographs whose labels may be looked at; None: there are none
    gain_db: float | None = None  # SQNR over the step before; None: it is the first
    gain_top1: float | None = None  # agreement over the step before
    groups: tuple[groups.Group, ...] = ()  # classes and kinds of photographs, each judged alone

    @property
    def sentence(self) -> str:
        """`bias correction: agreement 0.992 (+0.009), SQNR 29.1 dB (+7.1), ..., 10 s, 13.2 MB: passes`."""
        p = self.parity
        parts = [
            f"agreement {p.top1:.3f}{_signed(self.gain_top1, '.3f')}",
            f"SQNR {p.sqnr_db:.1f} dB{_signed(self.gain_db, '.1f')}",
        ]
        if self.accuracy is not None:
            low, high = self.accuracy.difference_interval
            parts.append(
                f"top-1 {self.accuracy.int8_top1:.3f} (float {self.accuracy.float_top1:.3f}, "
                f"difference {100 * low:+.1f} to {100 * high:+.1f} points)"
            )
        parts += [f"{self.seconds:.0f} s", f"{self.size_bytes / 1e6:.1f} MB"]
        return f"{self.name}: {', '.join(parts)}: {'; '.join(self.shortfalls) or 'passes'}"


class Holdout:
    """Held-out photographs with the float model's answers to them.

    `pixels` uint8 [N, R, R, 3]; `labels` [N] with -1 where a label is not known or must not be looked at (test
    photographs: agreement needs no label, and a decision that looks at theirs would spoil them). None: no labels.
    `classes` are their names (none: no class is judged alone), `sides_px` [N] the shorter sides of their files.
    """

    def __init__(
        self, float_path: str | Path, pixels: Pixels, labels: Labels | None = None,
        *, classes: Sequence[str] = (), sides_px: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        self.pixels = pixels
        self.labels = np.full(len(pixels), UNKNOWN) if labels is None else labels
        if len(self.labels) != len(pixels):
            raise ValueError(f"{len(self.labels)} labels for {len(pixels)} photographs")
        self.classes, self.kinds = tuple(classes), groups.kinds_of(pixels, sides_px)
        self.scores, self.logits = TFLite(float_path).answers(pixels)

    def judge(
        self, name: str, why: str, model: TFLiteModel, floors: Floors, seconds: float, before: JudgedStep | None = None
    ) -> JudgedStep:
        """The model against the float answers; `seconds` is what making it took, `before` the step before it."""
        started = time.monotonic()
        scores, logits = TFLite(model.path).answers(self.pixels)
        parity = compare_answers((self.scores, self.logits), (scores, logits))
        accuracy = compare_accuracy(self.scores, scores, self.labels)
        fault = faults.softmax(scores, logits)
        judged = groups.groups(
            (self.scores, self.logits), (scores, logits), self.classes, 1 - floors.top1,
            labels=self.labels, kinds=self.kinds,
        )  # fmt: skip
        found = (
            *shortfalls(parity, floors, accuracy),
            *((fault,) if fault else ()),
            *groups.shortfalls(judged, floors.false_alarms),
        )
        return JudgedStep(
            name, why, parity, seconds + time.monotonic() - started, model.size_bytes, found, accuracy,
            None if before is None else parity.sqnr_db - before.parity.sqnr_db,
            None if before is None else parity.top1 - before.parity.top1,
            tuple(judged),
        )  # fmt: skip


def table(steps: Sequence[JudgedStep]) -> str:
    """The steps as a Markdown table."""
    lines = [
        "| step | top-1 agreement | top-5 | SQNR | gained | int8 right - float right, 95% interval | seconds | size |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for s in steps:
        p = s.parity
        gained = "" if s.gain_db is None else f"{s.gain_db:+.1f} dB, {s.gain_top1:+.3f}"
        difference = ""
        if s.accuracy is not None:
            low, high = s.accuracy.difference_interval
            difference = f"{100 * s.accuracy.difference:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"
        lines.append(
            f"| {s.name} | {p.top1:.3f} | {p.top5:.3f} | {p.sqnr_db:.1f} dB | {gained} | {difference} "
            f"| {s.seconds:.0f} | {s.size_bytes / 1e6:.1f} MB |"
        )
    return "\n".join(lines)


def _signed(gain: float | None, digits: str) -> str:
    return "" if gain is None or not math.isfinite(gain) else f" ({gain:+{digits}})"
