"""A class that int8 loses under a good mean is refused by name, and healthy models are let through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from support.models import drawn_pixels

from edgefit_converters.judge import groups, guard
from edgefit_converters.judge.holdout import Holdout
from edgefit_converters.judge.parity import compare_answers
from edgefit_converters.recipe import Floors
from edgefit_converters.tflite.flatfile import FlatModel, write
from edgefit_converters.tflite.inspect import read_model
from edgefit_toolkit.intervals import binomial_tail
from edgefit_toolkit.pipeline.report_rows import ladder_doc

NAMES = [f"plant{i}" for i in range(40)]
Answers = groups.Answers


def answers(logits: np.ndarray) -> Answers:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float32), np.asarray(logits, np.float32)


def pair(seed: int, *, each: int = 10, noise: float = 0.15) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits of float and of a healthy int8 model, some of them near ties, and the labels."""
    chance = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(NAMES)), each)
    logits = chance.normal(0, 1, (len(labels), len(NAMES)))
    logits[np.arange(len(labels)), labels] += chance.gamma(6, 1.2, len(labels))
    return logits, logits + chance.normal(0, noise, logits.shape), labels


def refused(float_logits: np.ndarray, int8_logits: np.ndarray, labels: np.ndarray | None = None) -> tuple[str, ...]:
    floors = Floors()
    found = groups.groups(answers(float_logits), answers(int8_logits), NAMES, 1 - floors.top1, labels=labels)
    return groups.shortfalls(found, floors.false_alarms)


def test_one_lost_class_is_named_though_the_means_pass() -> None:
    logits, int8, labels = pair(1)
    int8[:, 7] = int8[:, 7].clip(None, 1.8)  # as when its row was calibrated on too little
    parity = compare_answers(answers(logits), answers(int8))
    assert guard.shortfalls(parity, Floors()) == ()
    found = refused(logits, int8, labels)
    assert found[0].startswith("class plant7: ")
    assert "photographs of it get another first answer" in found[0]
    assert not [line for line in found if "class plant7:" not in line]


def test_a_class_that_takes_others_photographs_is_named() -> None:
    logits, int8, _ = pair(2, each=40)
    ranked = np.argsort(logits, 1)
    int8[ranked[:, -2] == 3, 3] += 4.0
    found = refused(logits, int8)
    assert found[0].startswith("class plant3: ")
    assert "photographs of others are taken for it" in found[0]


def test_a_rare_class_and_a_kind_of_photograph_are_seen() -> None:
    logits, int8, labels = pair(3)
    kept = (labels != 5) | (np.cumsum(labels == 5) <= 4)
    logits, int8, labels = logits[kept], int8[kept], labels[kept]
    int8[labels == 5, 5] = -5.0
    assert [line for line in refused(logits, int8) if line.startswith("class plant5: ")]
    logits, int8, labels = pair(4)
    pixels = np.full((len(logits), 4, 4, 3), 120, np.uint8)
    dark = np.arange(len(logits)) % 5 == 0
    pixels[dark] = 10
    int8[dark] += np.random.default_rng(0).normal(0, 2.0, (int(dark.sum()), len(NAMES)))
    kinds = groups.kinds_of(pixels, [300] * len(logits))
    assert list(kinds) == ["the darkest photographs", "the brightest photographs"] or list(kinds) == []
    kinds = {"the darkest photographs": dark}
    found = groups.groups(answers(logits), answers(int8), NAMES, 0.05, kinds=kinds)
    assert groups.shortfalls(found, 0.05)[0].startswith("the darkest photographs: ")


def test_healthy_models_are_seldom_refused() -> None:
    """100 models with 400 to 2,000 photographs, as noisy as the floor of SQNR lets through, near ties included."""
    alarms = sum(
        bool(refused(*pair(100 + seed, each=(10, 20, 50)[seed % 3], noise=(0.1, 0.3, 0.5)[seed % 3])))
        for seed in range(100)
    )
    assert alarms <= 5


def test_equal_models_and_no_photographs_pass() -> None:
    logits, _, labels = pair(5)
    assert refused(logits, logits, labels) == ()
    assert refused(logits[:0], logits[:0], labels[:0]) == ()
    assert groups.groups(answers(logits), answers(logits), (), 0.05) == []


def test_kinds_are_fifths_that_differ() -> None:
    pixels = np.arange(10, dtype=np.uint8).repeat(12).reshape(10, 2, 2, 3)
    found = groups.kinds_of(pixels, [100, 900, *[500] * 8])
    assert found["the darkest photographs"].nonzero()[0].tolist() == [0, 1]
    assert found["the brightest photographs"].nonzero()[0].tolist() == [8, 9]
    assert "the smallest pictures" not in found  # a fifth of them does not differ from the rest
    found = groups.kinds_of(pixels, list(range(100, 110)))
    assert found["the smallest pictures"].nonzero()[0].tolist() == [0, 1]
    assert found["the largest pictures"].nonzero()[0].tolist() == [8, 9]


def test_a_file_with_one_damaged_row_is_refused_by_the_class_name(
    small_float_tflite: Path, small_int8_tflite: Path, tmp_path: Path
) -> None:
    pixels, labels = drawn_pixels(120, seed=3)
    names, low = ("brick", "grass", "sky", "sand"), Floors(top1=0.75, top5=0.5, sqnr_db=-20.0, accuracy_loss=0.9)
    holdout = Holdout(small_float_tflite, pixels, labels, classes=names)
    healthy = holdout.judge("plain", "", read_model(small_int8_tflite).as_model("int8"), low, 0.0)
    assert healthy.shortfalls == ()
    assert len(healthy.groups) == 3 * len(names) + 2
    flat = FlatModel.read(small_int8_tflite)
    dense = next(op for op, kind in flat.weighted() if kind == "FULLY_CONNECTED")
    weight = flat.constant(dense.inputs[1]).copy()
    lost = int(np.bincount(holdout.scores.argmax(1)).argmax())
    weight[lost] = -weight[lost]
    flat.set_constant(dense.inputs[1], weight)
    write(tmp_path / "damaged.tflite", flat.to_bytes())
    step = holdout.judge("plain", "", read_model(tmp_path / "damaged.tflite").as_model("int8"), low, 0.0)
    assert [line for line in step.shortfalls if line.startswith(f"class {names[lost]}: ")]
    (doc,) = ladder_doc([step])
    assert doc["groups"] == len(step.groups)
    assert doc["most_changed"][0]["words"].startswith(f"class {names[lost]}: ")


@given(st.integers(1, 60), st.floats(0.001, 0.5), st.integers(0, 60))
def test_the_tail_is_the_binomials_and_bounds_unequal_chances(n: int, chance: float, least: int) -> None:
    found = binomial_tail(least, n, chance)
    if least < n * chance + 1:
        assert found == 1
    else:
        assert found == pytest.approx(stats.binom.sf(least - 1, n, chance), rel=1e-8, abs=1e-300)
        assert groups.tail(np.full(n, chance), least) == pytest.approx(found, rel=1e-6, abs=1e-12)
        spread = np.where(np.arange(n) < n // 2, 0.5 * chance, chance)
        spread += chance - spread.mean()  # unequal, the same mean
        assert groups.tail(spread, least) <= found * (1 + 1e-9) + 1e-12


def test_holm_stops_at_the_first_that_is_not_significant() -> None:
    def group(words: str, n: int, changed: int, chance: float) -> groups.Group:
        chances = np.full(n, chance)
        return groups.Group(words, n, changed, n * chance, groups.tail(chances, changed), chance**n)

    made = [group(f"g{i}", 100, changed, 0.05) for i, changed in enumerate((40, 14, 12, 5))]
    found = groups.lost(made, 0.05)
    assert [one.words for one, _ in found] == ["g0", "g1", "g2"]
    assert [round(adjusted / one.p) for one, adjusted in found] == [4, 3, 2]
    assert groups.lost([*made, *[group("tiny", 1, 1, 0.05)] * 50], 0.05) == found  # too small to cost anything
    many = [group(f"m{i}", 9, 9, 0.01) for i in range(9)]
    assert groups.shortfalls(many, 0.05)[-1] == "and 4 more groups"
