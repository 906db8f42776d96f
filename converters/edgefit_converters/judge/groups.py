"""Whether int8 loses one class, or one kind of photograph, under a good mean. Pure.

Each group of photographs is one test of a count: how many of them get another answer than float's. A healthy int8 model
changes an answer where float's first two classes lie as near as its noise reaches (the noise is the median over all
photographs, which one damaged class does not move), and elsewhere as rarely as the floor of the mean allows. Groups too
small to be refused whatever happened are not counted among the tests (Tarone 1990); the others are corrected by Holm's
method (1979).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from edgefit_converters.judge.accuracy import UNKNOWN, Labels
from edgefit_toolkit.interpreter import Floats, Pixels
from edgefit_toolkit.intervals import binomial_tail

Bools = npt.NDArray[np.bool_]
Answers = tuple[Floats, Floats]  # scores and logits, each [N, classes]

EXTREME = 0.2  # the darkest, brightest, smallest, largest fifth
MOST_EXACT = 300  # photographs; beyond, the square of their number takes long
MOST_SAID = 5  # groups that a refusal names
MAD = 1.4826  # standard deviations in a median absolute deviation of normal noise


@dataclass(frozen=True)
class Group:
    """Photographs that are judged together, and what int8 did to their answers."""

    words: str  # "class rose: 4 of its 15 photographs get another first answer"
    n: int
    changed: int
    healthy: float  # how many a healthy model changes, on the mean
    p: float  # the probability that a healthy model changes so many, at most
    least_p: float  # the same if all had changed


def groups(
    float_answers: Answers, int8_answers: Answers, names: Sequence[str], allowed: float,
    *, labels: Labels | None = None, kinds: Mapping[str, Bools] | None = None,
) -> list[Group]:  # fmt: skip
    """Three for each class and one for each of `kinds` (words -> which photographs [N]).

    Of a class: what float answers so and int8 otherwise; what float answers otherwise and int8 so; what float answers
    rightly and int8 wrongly, where `labels` [N] are known. `allowed` is the share of answers that may change anyhow.
    """
    (scores, logits), first, other = float_answers, float_answers[0].argmax(1), int8_answers[0].argmax(1)
    noise = _noise(logits, int8_answers[1], first)
    changed, chance = first != other, np.maximum(_reach(logits, first, _runner_up(logits, first), noise), allowed)
    truth = np.full(len(scores), UNKNOWN) if labels is None else labels
    found = []

    def judge(who: str, what: str, members: Bools, event: Bools, chances: npt.NDArray[np.float64]) -> None:
        n, k = int(members.sum()), int((event & members).sum())
        if n:
            of = chances[members]
            words = f"{who}: {k} of {n} {what}"
            found.append(Group(words, n, k, float(of.sum()), tail(of, k), float(np.exp(np.log(of).sum()))))

    for label, name in enumerate(names):
        who, its = f"class {name}", first == label
        judge(who, "photographs of it get another first answer", its, changed, chance)
        right = its & (truth == label)
        judge(who, "photographs of it that float answers rightly become wrong", right, changed, chance)
        becomes = (other == label) & changed
        near = _reach(logits, first, np.full(len(first), label), noise) if becomes.sum() > 1 else np.zeros(len(first))
        near = np.maximum(near, allowed / max(1, len(names) - 1))
        judge(who, "photographs of others are taken for it", ~its, becomes, near)
    for kind, members in (kinds or {}).items():
        judge(kind, "get another first answer", members, changed, chance)
    return found


def tail(chances: npt.NDArray[np.float64], least: int) -> float:
    """The probability that at least `least` of events with these chances come true; 1 up to the mean.

    Of more than MOST_EXACT it is the binomial's with their mean, which is no smaller (Hoeffding 1956).
    """
    if least <= chances.sum():
        return 1.0
    if len(chances) > MOST_EXACT:
        return binomial_tail(least, len(chances), float(chances.mean()))
    exact = np.ones(1)
    for chance in chances:
        exact = np.convolve(exact, (1 - chance, chance))
    return min(1.0, float(exact[least:].sum()))


def lost(judged: Sequence[Group], false_alarms: float) -> list[tuple[Group, float]]:
    """The groups that a healthy model would not lose, worst first, each with its p after correction for all tests.

    A healthy model has one such group in at most `false_alarms` of all runs.
    """
    tests = sorted(_testable(judged, false_alarms), key=lambda group: group.p)
    found, worst = [], 0.0
    for done, group in enumerate(tests):
        worst = max(worst, min(1.0, group.p * (len(tests) - done)))
        if worst > false_alarms:
            break
        found.append((group, worst))
    return found


def shortfalls(judged: Sequence[Group], false_alarms: float) -> tuple[str, ...]:
    """What `lost` finds, in sentences that name the class or the kind of photograph."""
    found = lost(judged, false_alarms)
    said = [
        f"{group.words}, {group.healthy:.1f} would be healthy (p {_p(p)} after all tests)"
        for group, p in found[:MOST_SAID]
    ]
    return (*said, *([f"and {len(found) - MOST_SAID} more groups"] if len(found) > MOST_SAID else []))


def kinds_of(pixels: Pixels, sides_px: Sequence[int] | None = None) -> dict[str, Bools]:
    """The darkest and brightest fifth of pixels uint8 [N, R, R, 3]; the fifths with the shortest and longest `sides_px`
    of their files, where these differ."""
    light = [float(picture.mean(dtype=np.float64)) for picture in pixels]
    found = dict(_fifths(light, "the darkest photographs", "the brightest photographs"))
    if sides_px is not None:
        found |= dict(_fifths(sides_px, "the smallest pictures", "the largest pictures"))
    return found


def _fifths(values: Sequence[float], low: str, high: str) -> Iterator[tuple[str, Bools]]:
    of = np.asarray(values, np.float64)
    if len(of):
        below, above = np.quantile(of, (EXTREME, 1 - EXTREME))
        if below < above:
            yield low, of <= below
            yield high, of >= above


def _testable(judged: Sequence[Group], alpha: float) -> list[Group]:
    """Groups that could be refused at all when no more than these are tested."""
    least = np.array([group.least_p for group in judged])
    few = next((k for k in range(1, len(judged) + 1) if (least <= alpha / k).sum() <= k), 0)
    return [group for group, p in zip(judged, least, strict=True) if few and p <= alpha / few]


def _runner_up(logits: Floats, first: Labels) -> Labels:
    rest = logits.copy()
    rest[np.arange(len(rest)), first] = -np.inf
    return np.asarray(rest.argmax(1), np.int64)


def _gap(logits: Floats, first: Labels, other: Labels) -> npt.NDArray[np.float64]:
    rows = np.arange(len(logits))
    return logits[rows, first].astype(np.float64) - logits[rows, other]


def _noise(float_logits: Floats, int8_logits: Floats, first: Labels) -> float:
    """Standard deviation of what int8 does to the gap between float's first two classes."""
    other = _runner_up(float_logits, first)
    moved = _gap(int8_logits, first, other) - _gap(float_logits, first, other)
    return MAD * float(np.median(np.abs(moved))) if len(moved) else 0.0


def _reach(logits: Floats, first: Labels, other: Labels, noise: float) -> npt.NDArray[np.float64]:
    """The chance [N] that this noise lifts a class above float's first one."""
    gaps = _gap(logits, first, other) / max(noise, 1e-12)
    return np.asarray(torch.special.ndtr(torch.from_numpy(-gaps)).numpy(), np.float64)


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"
