"""A seeded, stratified split: every class in every part, the same photographs each time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

VAL_SHARE = 0.15
TEST_SHARE = 0.15


def needed(val_share: float, test_share: float) -> int:
    """The fewest photographs a class can be split from: one for each part that is asked for."""
    return 1 + (val_share > 0) + (test_share > 0)


def split_class(
    items: Sequence[T],
    class_name: str,
    seed: int,
    val_share: float = VAL_SHARE,
    test_share: float = TEST_SHARE,
) -> tuple[list[T], list[T], list[T]]:
    """One class as (train, val, test), each in the order of `items`; a share of 0 gives an empty part.

    Depends on the seed, the class name and the number of items alone, so another class coming or going moves nothing.
    Raises ValueError when there are fewer than `needed` items.
    """
    count = len(items)
    if count < needed(val_share, test_share):
        raise ValueError(f"{count} items cannot be split")
    n_val = max(1, round(count * val_share)) if val_share > 0 else 0
    n_test = max(1, round(count * test_share)) if test_share > 0 else 0
    key = int.from_bytes(hashlib.sha256(class_name.encode()).digest()[:8], "big")
    order = [int(i) for i in np.random.default_rng([seed, key]).permutation(count)]
    test = sorted(order[:n_test])
    val = sorted(order[n_test : n_test + n_val])
    train = sorted(order[n_test + n_val :])
    return [items[i] for i in train], [items[i] for i in val], [items[i] for i in test]


def split_classes(
    by_class: Mapping[str, Sequence[T]],
    seed: int,
    val_share: float = VAL_SHARE,
    test_share: float = TEST_SHARE,
) -> tuple[dict[str, list[T]], dict[str, list[T]], dict[str, list[T]]]:
    """Every class of `by_class` split by `split_class`: (train, val, test), each class name -> items."""
    train: dict[str, list[T]] = {}
    val: dict[str, list[T]] = {}
    test: dict[str, list[T]] = {}
    for name, items in by_class.items():
        train[name], val[name], test[name] = split_class(items, name, seed, val_share, test_share)
    return train, val, test
