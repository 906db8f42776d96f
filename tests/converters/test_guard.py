"""Agreement, SQNR, the floors, and the choice of calibration photographs."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pictures import file_photo

from edgefit_converters.int8 import representative
from edgefit_converters.judge import guard, parity
from edgefit_converters.recipe import Floors
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.records import Parity


@dataclasses.dataclass(frozen=True)
class Photo:
    path: Path
    label: int


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Photo]:
    """60 files: 40 of class 0, 15 of class 1, 5 of class 2."""
    folder = tmp_path_factory.mktemp("photos")
    found = []
    for index in range(60):
        path = folder / f"{index}.jpg"
        path.write_bytes(bytes([index]))
        found.append(file_photo(path, 0 if index < 40 else 1 if index < 55 else 2))
    return found


@given(n=st.integers(1, 80), seed=st.integers(0, 1000))
def test_choice_is_balanced_repeatable_and_without_repeats(photos: list[Photo], n: int, seed: int) -> None:
    chosen = representative.choose(photos, n, seed)
    assert chosen == representative.choose(photos, n, seed)
    assert len(set(chosen.indices)) == len(chosen.photos) == min(n, 60)
    counts = Counter(photo.label for photo in chosen.photos)
    sizes = {0: 40, 1: 15, 2: 5}
    most = max(counts.values())
    assert all(counts[label] >= min(most - 1, size) for label, size in sizes.items())


def test_choice_depends_on_the_seed_and_is_recorded(photos: list[Photo]) -> None:
    first, second = (representative.choose(photos, 10, seed) for seed in (1, 2))
    assert first.indices != second.indices
    record = first.as_record()
    assert [p["index"] for p in record["photos"]] == list(first.indices)
    assert all(len(p["sha256"]) == 64 for p in record["photos"])


@pytest.mark.parametrize("n", [0, -3])
def test_no_photographs_to_choose_is_refused(photos: list[Photo], n: int) -> None:
    with pytest.raises(InputError, match="at least 1"):
        representative.choose(photos, n, 0)
    with pytest.raises(InputError, match="no photographs"):
        representative.choose([], 5, 0)


@given(db=st.floats(-20, 80), seed=st.integers(0, 99))
def test_sqnr_is_the_ratio_of_powers(db: float, seed: int) -> None:
    chance = np.random.default_rng(seed)
    signal, noise = chance.normal(size=(2, 50, 10)).astype(np.float32)
    noise *= np.sqrt(np.square(signal).sum() / np.square(noise).sum()) * 10 ** (-db / 20)
    assert parity.sqnr_db(signal, signal + noise) == pytest.approx(db, abs=0.5)


def test_equal_models_agree_wholly() -> None:
    logits = np.random.default_rng(0).normal(size=(7, 12)).astype(np.float32)
    found = parity.compare_answers((logits, logits), (logits, logits))
    assert (found.top1, found.top5, found.sqnr_db, found.n) == (1.0, 1.0, math.inf, 7)


def test_agreement_counts_photographs() -> None:
    logits = np.eye(10, dtype=np.float32)
    other = np.roll(logits, 1, axis=1)
    other[:4] = logits[:4]
    found = parity.compare_answers((logits, logits), (other, other))
    assert found.top1 == pytest.approx(0.4)
    assert found.per_image == (True,) * 4 + (False,) * 6


def test_nothing_to_compare_is_refused() -> None:
    none = np.empty((0, 5), np.float32)
    with pytest.raises(InputError, match="no photographs"):
        parity.compare_answers((none, none), (none, none))


def found(different: int, n: int, sqnr_db: float = 30.0) -> Parity:
    return Parity(top1=1 - different / n, top5=1.0, sqnr_db=sqnr_db, n=n)


def test_guard_names_what_is_below_its_floor() -> None:
    assert guard.shortfalls(found(5, 100), Floors(top1=0.95)) == ()
    (agreement,) = guard.shortfalls(found(6, 100), Floors(top1=0.95))
    assert "6 of 100 photographs" in agreement
    assert "floor 0.950" in agreement
    (sqnr,) = guard.shortfalls(found(0, 100, 9.0), Floors())
    assert "9.0 dB (floor 15.0 dB)" in sqnr
    assert len(guard.shortfalls(found(0, 100, math.nan), Floors())) == 1
    assert len(guard.shortfalls(found(6, 100, 9.0), Floors())) == 2


@given(n=st.integers(1, 19))
def test_one_photograph_alone_never_fails_a_model(n: int) -> None:
    assert guard.shortfalls(found(1, n), Floors()) == ()
    assert n == 1 or len(guard.shortfalls(found(2, n), Floors())) == 1
