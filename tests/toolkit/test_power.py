"""Outputs of 256 steps and the probabilities that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefit_toolkit.data.answers.power import best_power, lost, to_power


def rounded(logits: np.ndarray, power: int) -> np.ndarray:
    """What an int8 file gives for these logits."""
    raised = np.exp(logits / power - (logits / power).max(1, keepdims=True))
    return np.rint(256 * raised / raised.sum(1, keepdims=True)).clip(0, 255) / 256


@given(st.lists(st.integers(0, 255), min_size=2, max_size=40).filter(any))
def test_squares_keep_the_order_and_add_up_to_one(steps: list[int]) -> None:
    outputs = np.array([steps], np.float32) / 256
    found = to_power(outputs, 2)[0]
    assert found.sum() == pytest.approx(1)
    ranked = np.array(steps)
    assert all((found[a] > found[b]) == (ranked[a] > ranked[b]) for a in range(len(steps)) for b in range(len(steps)))
    assert to_power(outputs, 1)[0].tolist() == (ranked / 256).tolist()


def test_nothing_known_is_nothing_said() -> None:
    assert to_power(np.zeros((2, 3)), 2).tolist() == [[0, 0, 0]] * 2


def test_sure_answers_stay_apart() -> None:
    logits = np.array([[7.0, 0, 0], [8.0, 0, 0], [9.0, 0, 0]])
    one, two = (to_power(rounded(logits, power), power)[:, 0] for power in (1, 2))
    assert one.tolist() == [255 / 256] * 3
    assert len(set(two.tolist())) == 3
    true = 1 / (1 + 2 * np.exp(-logits[:, 0]))
    assert two == pytest.approx(true, abs=3e-4)


def test_the_better_power_is_the_one_that_loses_less() -> None:
    chance = np.random.default_rng(0)
    sure, flat = chance.normal(0, 6, (200, 10)), chance.normal(0, 0.5, (200, 2000))
    assert lost(sure, 2) < lost(sure, 1) / 20
    assert best_power(sure) == 2
    assert best_power(flat) == min((1, 2), key=lambda power: lost(flat, power))
    assert lost(sure, 2) == pytest.approx(divergence(sure, 2), rel=1e-6)


def divergence(logits: np.ndarray, power: int) -> float:
    """Of what comes back from what went in, written out."""
    found = 0.0
    for row in logits:
        p = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        back = np.maximum(to_power(rounded(row[None], power), power)[0], (1 / 512) ** power)
        back = back / back.sum()
        found += float(sum(a * np.log(a / b) for a, b in zip(p, back, strict=True)))
    return found / len(logits)
