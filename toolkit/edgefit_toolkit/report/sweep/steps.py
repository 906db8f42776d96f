"""What the next larger budget buys: better, worse, or nothing that these pictures can show. Pure.

Both networks of a step answered the same test pictures, so the difference of their top-1 is judged in pairs
(intervals.paired_interval). Several seeds repeat the training, they add no pictures: their counts are averaged, and n
stays that of one test split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from edgefit_toolkit.intervals import paired_interval
from edgefit_toolkit.report import words
from edgefit_toolkit.report.schema.sweep import Shown, SweepCellDoc, SweepStepDoc

Right = Sequence[bool]  # of each test picture, in the order of the split


def finished(cells: Sequence[SweepCellDoc], device: str) -> dict[float, list[SweepCellDoc]]:
    """The cells of a device that have a model, by budget, the smallest first."""
    found: dict[float, list[SweepCellDoc]] = {}
    for cell in sorted(cells, key=lambda cell: (cell["budget_ms"], cell["seed"])):
        if cell["device"] == device and cell["top1"] is not None:
            found.setdefault(cell["budget_ms"], []).append(cell)
    return found


def steps(cells: Sequence[SweepCellDoc], right: Mapping[str, Right], device: str, noun: str) -> list[SweepStepDoc]:
    """From each budget of a device to the next one with a model. `right`: a cell's `run` -> which pictures int8 got.

    `noun` is what the pictures are called, such as "photograph". Seeds that one of the two budgets lacks are left out.
    """
    found = []
    for smaller, larger in pairwise(finished(cells, device).values()):
        before = {cell["seed"]: cell for cell in smaller}
        pairs = [(before[cell["seed"]], cell) for cell in larger if cell["seed"] in before]
        if pairs:
            found.append(_step(pairs, right, noun))
    return found


def _step(pairs: list[tuple[SweepCellDoc, SweepCellDoc]], right: Mapping[str, Right], noun: str) -> SweepStepDoc:
    counts = Counter[tuple[bool, bool]]()
    for smaller, larger in pairs:
        counts.update(zip(right[larger["run"]], right[smaller["run"]], strict=True))
    both, won, lost, neither = (
        counts[answers] / len(pairs) for answers in ((True, True), (True, False), (False, True), (False, False))
    )
    n = both + won + lost + neither
    low, high = paired_interval(both, won, lost, neither)
    difference = (won - lost) / n if n else 0.0
    kind: Shown = "better" if low > 0 else "worse" if high < 0 else "not shown"
    if all(smaller["network"] == larger["network"] for smaller, larger in pairs):
        kind = "same network"
    smaller, larger = pairs[0]
    return {
        "device": larger["device"], "from_ms": smaller["budget_ms"], "to_ms": larger["budget_ms"], "kind": kind,
        "difference": difference, "low": low, "high": high, "n": round(n),
        "words": _words(kind, difference, low, high, words.plural(round(n), noun)),
    }  # fmt: skip


def _words(kind: Shown, difference: float, low: float, high: float, pictures: str) -> str:
    within = f"95% interval {words.points(low).removesuffix(' points')} to {words.points(high)}"
    if kind == "same network":
        return "the same network"
    if kind == "not shown":
        return f"a difference that these {pictures} cannot show ({within})"
    return f"{kind} by {words.points(abs(difference)).lstrip('+')} ({within})"


def sentence(cells: Sequence[SweepCellDoc], found: Sequence[SweepStepDoc], device: str, title: str) -> str:
    """`On Google Pixel 4, 8 ms buys 93.5% top-1; 16 ms 94.0%, a difference that these 75 pictures cannot show.`"""
    after = {step["to_ms"]: step["words"] for step in found if step["device"] == device}
    rows = finished(cells, device)
    tried = {cell["budget_ms"] for cell in cells if cell["device"] == device and cell["status"] != "waiting"}
    said: list[str] = []
    for budget_ms in sorted(tried):
        buys = f"{budget_ms:g} ms" if said else f"{budget_ms:g} ms buys"
        if budget_ms not in rows:
            said.append(f"{buys} nothing")
            continue
        top1 = sum(cell["top1"] or 0.0 for cell in rows[budget_ms]) / len(rows[budget_ms])
        bought = f"{buys} {words.percent(top1)}" + ("" if any("top-1" in part for part in said) else " top-1")
        said.append(f"{bought}, {after[budget_ms]}" if budget_ms in after else bought)
    where = title[:1].lower() + title[1:] if title.startswith("This ") else title
    return f"On {where}, {'; '.join(said)}." if said else ""
