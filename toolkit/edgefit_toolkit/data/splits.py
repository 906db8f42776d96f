"""A seeded, stratified split: every class in every part, the same photographs each time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

VAL_SHARE = 0.15
TEST_SHARE = 0.15
MOST_JUDGED = 10_000  # pictures of val and of test: the 95% interval of any share is then at most a point either way


def share_of(share: float, total: int) -> float:
    """The share of `total` pictures to set aside: less where fewer say as much."""
    return min(share, MOST_JUDGED / max(total, 1))


def sample(by_class: Mapping[str, Sequence[T]], most: int, seed: int) -> tuple[dict[str, list[T]], int]:
    """About `most` items, the same share of every class and at least one, in their order; how many are left out.

    All of them where there are no more than `most`.
    """
    total = sum(map(len, by_class.values()))
    if total <= most:
        return {name: list(items) for name, items in by_class.items()}, 0
    kept: dict[str, list[T]] = {}
    for name, items in by_class.items():
        count = max(1, len(items) * most // total)
        chosen = _random_of(name, seed).permutation(len(items))[:count]
        kept[name] = [items[i] for i in sorted(chosen)]
    return kept, total - sum(map(len, kept.values()))


def needed(val_share: float, test_share: float) -> int:
    """The fewest photographs a class can be split from: one for each part that is asked for."""
    return 1 + (val_share > 0) + (test_share > 0)


def sampled_rows(labels: Sequence[int], most: int, seed: int) -> list[int]:
    """As `sample`, of the rows that these labels stand in; in their order."""
    rows: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        rows.setdefault(str(label), []).append(row)
    return sorted(row for chosen in sample(rows, most, seed)[0].values() for row in chosen)


def split_rows(
    groups: NDArray[np.integer[Any]],
    class_name: str,
    seed: int,
    val_share: float = VAL_SHARE,
    test_share: float = TEST_SHARE,
) -> tuple[NDArray[np.int64], ...]:
    """One class as the rows of (train, val, test), each in order; a share of 0 gives an empty part.

    `groups` [N]: rows of one number stay together. Depends on the seed, the class name, the number of rows and their
    groups alone, so another class coming or going moves nothing. Raises ValueError when there are fewer groups than
    `needed`.
    """
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    unit = np.argsort(np.argsort(first))[group]  # groups, numbered as they come
    sizes = np.bincount(unit)
    if len(sizes) < needed(val_share, test_share):
        raise ValueError(f"{len(sizes)} items cannot be split")
    n_val = max(1, round(len(groups) * val_share)) if val_share > 0 else 0
    n_test = max(1, round(len(groups) * test_share)) if test_share > 0 else 0
    part = np.zeros(len(sizes), np.int8)
    left = _random_of(class_name, seed).permutation(len(sizes))
    for number, wanted, leave in ((2, n_test, 1 + (n_val > 0)), (1, n_val, 1)):
        taken = _take(sizes[left], wanted, leave)
        part[left[taken]] = number
        left = np.delete(left, taken)
    return tuple(np.flatnonzero(part[unit] == number) for number in range(3))


def _random_of(class_name: str, seed: int) -> np.random.Generator:
    """Its own numbers for every class: another one coming or going moves nothing."""
    key = int.from_bytes(hashlib.sha256(class_name.encode()).digest()[:8], "big")
    return np.random.default_rng([seed, key])


def _take(sizes: NDArray[np.int64], wanted: int, leave: int) -> list[int]:
    """Which units of these sizes are taken: in their order, as long as they fit into `wanted` items and `leave` of
    them stay; the smallest where none fits."""
    taken: list[int] = []
    free, may_go = wanted, len(sizes) - leave
    for index, size in enumerate(sizes.tolist()):
        if not free or len(taken) == may_go:
            break
        if size <= free:
            taken.append(index)
            free -= size
    return taken if taken or not wanted else [int(np.argmin(sizes))]
