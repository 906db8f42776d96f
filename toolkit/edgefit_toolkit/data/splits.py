"""A seeded, stratified split: every class in every part, the same photographs each time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

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


def split_class(
    items: Sequence[T],
    class_name: str,
    seed: int,
    val_share: float = VAL_SHARE,
    test_share: float = TEST_SHARE,
    groups: Sequence[int] | None = None,
) -> tuple[list[T], list[T], list[T]]:
    """One class as (train, val, test), each in the order of `items`; a share of 0 gives an empty part.

    Items of one number in `groups` stay together. Depends on the seed, the class name, the number of items and their
    groups alone, so another class coming or going moves nothing. Raises ValueError when there are fewer items that
    may be parted than `needed`.
    """
    count = len(items)
    together: dict[int, list[int]] = {}
    for index in range(count):
        together.setdefault(index if groups is None else groups[index], []).append(index)
    if len(together) < needed(val_share, test_share):
        raise ValueError(f"{len(together)} items cannot be split")
    n_val = max(1, round(count * val_share)) if val_share > 0 else 0
    n_test = max(1, round(count * test_share)) if test_share > 0 else 0
    units = list(together.values())
    left = [units[i] for i in _random_of(class_name, seed).permutation(len(units))]
    test = _take(left, n_test, leave=1 + (n_val > 0))
    val = _take(left, n_val, leave=1)
    train = sorted(index for unit in left for index in unit)
    return [items[i] for i in train], [items[i] for i in val], [items[i] for i in test]


def _random_of(class_name: str, seed: int) -> np.random.Generator:
    """Its own numbers for every class: another one coming or going moves nothing."""
    key = int.from_bytes(hashlib.sha256(class_name.encode()).digest()[:8], "big")
    return np.random.default_rng([seed, key])


def _take(units: list[list[int]], wanted: int, leave: int) -> list[int]:
    """Takes units off the list, in order, as long as they fit into `wanted` items and `leave` of them stay; the
    smallest where none fits."""
    taken: list[list[int]] = []
    stay: list[list[int]] = []
    free, may_go = wanted, len(units) - leave
    for unit in units:
        if free >= len(unit) and len(taken) < may_go:
            taken.append(unit)
            free -= len(unit)
        else:
            stay.append(unit)
    units[:] = stay
    if wanted and not taken:
        smallest = min(units, key=len)
        units.remove(smallest)
        taken.append(smallest)
    return sorted(index for unit in taken for index in unit)


def split_classes(
    by_class: Mapping[str, Sequence[T]],
    seed: int,
    val_share: float = VAL_SHARE,
    test_share: float = TEST_SHARE,
    group_of: Callable[[T], int] | None = None,
) -> tuple[dict[str, list[T]], dict[str, list[T]], dict[str, list[T]]]:
    """Every class of `by_class` split by `split_class`: (train, val, test), each class name -> items."""
    train: dict[str, list[T]] = {}
    val: dict[str, list[T]] = {}
    test: dict[str, list[T]] = {}
    for name, items in by_class.items():
        groups = None if group_of is None else [group_of(item) for item in items]
        train[name], val[name], test[name] = split_class(items, name, seed, val_share, test_share, groups)
    return train, val, test
