"""How items are shared among train, val and test, whatever they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefit_toolkit.data import splits


@given(
    counts=st.dictionaries(st.text("abcxyz", min_size=1, max_size=4), st.integers(3, 200), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
)
def test_split_is_disjoint_complete_stratified_and_repeatable(counts: dict[str, int], seed: int) -> None:
    for name, count in counts.items():
        train, val, test = (part.tolist() for part in splits.split_rows(np.arange(count), name, seed))
        assert [train, val, test] == [part.tolist() for part in splits.split_rows(np.arange(count), name, seed)]
        assert sorted(train + val + test) == list(range(count))
        assert all(part == sorted(part) for part in (train, val, test))
        assert min(len(train), len(val), len(test)) >= 1
        assert len(train) >= len(val)
        assert abs(len(val) - 0.15 * count) <= 1
        assert abs(len(test) - 0.15 * count) <= 1


def test_a_split_stays_what_it_is() -> None:
    """Of an earlier release: another one would make a run's test pictures training pictures of the next."""
    parts = splits.split_rows(np.array([4, 9, 9, 2, 7, 1, 1, 1, 30, 31, 32, 33]), "ivy", 3)
    assert [part.tolist() for part in parts] == [[0, 3, 4, 5, 6, 7, 9, 10], [1, 2], [8, 11]]


def test_too_few_items_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="2 items"):
        splits.split_rows(np.arange(2), "ivy", 0)


@given(counts=st.lists(st.integers(1, 300), min_size=1, max_size=8), most=st.integers(1, 400), seed=st.integers(0, 99))
def test_a_sample_keeps_every_class_and_its_share(counts: list[int], most: int, seed: int) -> None:
    items = {str(label): list(range(count)) for label, count in enumerate(counts)}
    kept, left_out = splits.sample(items, most, seed)
    assert (kept, left_out) == splits.sample(items, most, seed)
    assert sum(map(len, kept.values())) + left_out == sum(counts)
    assert sum(map(len, kept.values())) <= max(most, len(counts)) + len(counts)
    for name, chosen in kept.items():
        assert chosen == sorted(set(chosen))
        assert set(chosen) <= set(items[name])
        assert len(chosen) >= min(len(items[name]), max(1, int(len(items[name]) * most / sum(counts))))


def test_a_large_set_gives_val_and_test_no_more_than_they_need() -> None:
    assert splits.share_of(0.15, 400) == 0.15
    assert splits.share_of(0.15, splits.MOST_JUDGED * 10) * splits.MOST_JUDGED * 10 == splits.MOST_JUDGED
