"""Models that were broken on purpose are caught, and the message says how they are broken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import broken_models
from support.models import SMALL_CLASSES, drawn_pixels

from edgefit_converters.int8 import quantize
from edgefit_converters.judge import faults, guard
from edgefit_converters.judge.accuracy import Accuracy, chance, compare_accuracy
from edgefit_converters.judge.holdout import Holdout
from edgefit_converters.ladder.climb import climb
from edgefit_converters.ladder.material import Evidence
from edgefit_converters.ladder.steps import STEPS
from edgefit_converters.recipe import Floors, Recipe
from edgefit_converters.tflite import inspect
from edgefit_toolkit.data.answers.power import softmax
from edgefit_toolkit.errors import ConversionError, GuardFailed
from edgefit_toolkit.interpreter import TFLite
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.records import Parity
from edgefit_toolkit.training.evaluation import logits

PIXELS, LABELS = drawn_pixels(80, seed=5)
CLASSES = ("brick", "grass", "sky", "sand")
LOW = Floors(top1=0.5, sqnr_db=6.0)


@pytest.fixture(scope="module")
def reference(small_network: EfficientNet) -> np.ndarray:
    return logits(small_network, PIXELS)


def refused(reference: np.ndarray, path: Path, labels: np.ndarray = LABELS, top1: float | None = None) -> str:
    with pytest.raises(GuardFailed) as failed:
        guard.check_float(reference, path, PIXELS, labels, CLASSES, validated_top1=top1)
    assert failed.value.exit_code == 1
    return failed.value.message


# the float file against the checkpoint


def test_a_healthy_model_passes(reference: np.ndarray, small_float_tflite: Path, small_int8_tflite: Path) -> None:
    top1 = float((reference.argmax(1) == LABELS).mean())
    guard.check_float(reference, small_float_tflite, PIXELS, LABELS, CLASSES, validated_top1=top1)
    model = inspect.read_model(small_int8_tflite).as_model("int8")
    step = Holdout(small_float_tflite, PIXELS, LABELS).judge("plain", "", model, LOW, 0.0)
    assert step.shortfalls == ()
    assert step.accuracy is not None
    assert step.accuracy.float_right == int((reference.argmax(1) == LABELS).sum())


@pytest.mark.parametrize(
    ("factor", "shift", "words"),
    [
        (255 / 128, -127 / 128, "from 0 to 1"),
        (1 / 128, -127 / 128, "from 0 to 255"),
        (1 / 128, 0.0, "from -127 to 128"),
    ],
)
def test_another_normalization_is_named(
    reference: np.ndarray, small_float_tflite: Path, tmp_path: Path, factor: float, shift: float, words: str
) -> None:
    path = broken_models.with_normalization(small_float_tflite, tmp_path / "door.tflite", factor, shift)
    assert words in refused(reference, path)


def test_exchanged_colours_are_named(reference: np.ndarray, small_float_tflite: Path, tmp_path: Path) -> None:
    assert "BGR" in refused(reference, broken_models.of_bgr(small_float_tflite, tmp_path / "bgr.tflite"))


def test_classes_in_another_order_are_named(reference: np.ndarray, small_float_tflite: Path, tmp_path: Path) -> None:
    message = refused(reference, broken_models.shuffled_rows(small_float_tflite, tmp_path / "shuffled.tflite"))
    assert "another order" in message
    answered = CLASSES[broken_models.ORDER.index(0)]
    assert f"brick is answered as {answered}" in message


def test_a_wrong_temperature_is_named(reference: np.ndarray, small_float_tflite: Path, tmp_path: Path) -> None:
    path = broken_models.colder(small_float_tflite, tmp_path / "cold.tflite", 2.0)
    assert "2.00 times the checkpoint's: wrong softmax temperature" in refused(reference, path)


def test_a_softmax_that_is_none_of_its_logits_is_named(
    reference: np.ndarray, small_float_tflite: Path, tmp_path: Path
) -> None:
    path = broken_models.with_softmax(small_float_tflite, tmp_path / "sharp.tflite", 3.0)
    assert "not the softmax" in refused(reference, path)


def test_other_weights_are_not_explained_away(small_network: EfficientNet, small_float_tflite: Path) -> None:
    other = logits(EfficientNet.from_variant(small_network.variant).eval(), PIXELS)
    assert "no known break explains it" in refused(other, small_float_tflite)


# labels


def test_shuffled_labels_are_named(reference: np.ndarray, small_float_tflite: Path) -> None:
    message = refused(reference, small_float_tflite, np.array(broken_models.ORDER)[LABELS])
    assert "labels look shuffled" in message
    assert "is answered as" in message


def test_labels_at_random_are_no_better_than_guessing(reference: np.ndarray, small_float_tflite: Path) -> None:
    at_random = np.random.default_rng(3).permutation(LABELS)
    assert "no better than guessing" in refused(reference, small_float_tflite, at_random)


def test_an_accuracy_that_was_not_validated_is_caught(reference: np.ndarray, small_float_tflite: Path) -> None:
    assert "training recorded 0.990" in refused(reference, small_float_tflite, top1=0.99)


def test_few_or_no_labels_prove_nothing(reference: np.ndarray, small_float_tflite: Path) -> None:
    few = np.full(len(LABELS), -1)
    guard.check_float(reference, small_float_tflite, PIXELS, few, CLASSES)
    few[:5] = (LABELS[:5] + 1) % SMALL_CLASSES
    guard.check_float(reference, small_float_tflite, PIXELS, few, CLASSES)


def test_names_in_another_order_are_told_apart_from_other_names() -> None:
    assert faults.names(CLASSES, CLASSES, "labels.txt") is None
    assert "brick is answered as grass" in str(faults.names(("grass", "brick", "sky", "sand"), CLASSES, "labels.txt"))
    assert "not the checkpoint's 4" in str(faults.names(("grass", "brick", "sky"), CLASSES, "labels.txt"))


@given(order=st.permutations(range(6)), seed=st.integers(0, 50))
def test_an_exchange_of_labels_is_found_whenever_there_is_one(order: list[int], seed: int) -> None:
    chance_ = np.random.default_rng(seed)
    truth = np.arange(120) % 6
    answers = np.where(chance_.random(120) < 0.9, truth, chance_.integers(0, 6, 120))
    moved = sum(i != there for i, there in enumerate(order))
    found = faults.labels(np.array(order)[answers], truth, list("abcdef"))
    assert (found is not None) == (moved > 1)


@given(truth=st.lists(st.integers(0, 4), min_size=1, max_size=40), seed=st.integers(0, 999))
def test_random_answers_are_no_exchange(truth: list[int], seed: int) -> None:
    answers = np.random.default_rng(seed).integers(0, 400, len(truth))  # among many classes none is usual
    assert faults.labels(answers, np.array(truth), [str(i) for i in range(400)]) is None


def test_so_few_agree_by_chance() -> None:
    answers, truth = np.array([8, 6, 2, 6, 2]), np.array([0, 0, 1, 0, 1])
    assert faults.labels(answers, truth, list("abcdefghi")) is None
    assert faults.labels(np.tile(answers, 4), np.tile(truth, 4), list("abcdefghi")) is not None


# int8


@pytest.mark.parametrize("layer", ["blocks.4.depthwise", "blocks.3.project", "classifier", "stem"])
def test_a_layer_with_a_wrong_scale_is_named(
    small_float_tflite: Path, small_int8_tflite: Path, tmp_path: Path, layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quantizer with a bug, and the ladder that is fed by it."""
    honest = quantize.quantize_with

    def buggy(float_path: Path, ranges: object, out: Path, *rest: object) -> object:
        honest(float_path, ranges, out, *rest)  # type: ignore[arg-type]
        broken_models.with_scale_doubled(out, layer, out)
        return inspect.read_model(out).as_model("buggy")

    monkeypatch.setattr(quantize, "quantize_with", buggy)
    with pytest.raises(GuardFailed, match=rf"{layer} .*its scale") as failed:
        climb(
            Evidence(small_float_tflite, drawn_pixels(32, seed=1)[0], PIXELS, LABELS), tmp_path / "model.tflite",
            Recipe(floors=Floors(top1=0.5, sqnr_db=9.0), first="min-max PTQ"), steps=STEPS[:1],
        )  # fmt: skip
    assert [step.name for step in failed.value.steps] == ["min-max PTQ"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p: np.zeros_like(p), "all black"),
        (lambda p: (p / 255).round().astype(np.uint8), "scaled to 0..1"),
        (lambda p: (p // 16 + 100).astype(np.uint8), "one grey"),
    ],
)
def test_useless_calibration_is_named(small_float_tflite: Path, tmp_path: Path, spoil: object, words: str) -> None:
    spoiled = spoil(drawn_pixels(32, seed=1)[0])  # type: ignore[operator]
    with pytest.raises(GuardFailed, match=words):
        climb(Evidence(small_float_tflite, spoiled, PIXELS), tmp_path / "model.tflite", Recipe(floors=LOW))
    assert not list(tmp_path.iterdir())


def test_calibration_with_exchanged_colours_is_named() -> None:
    warm = np.clip(PIXELS.astype(int) + np.array([60, 0, -60]), 0, 255).astype(
        np.uint8
    )  # as photographs of flowers are
    assert faults.calibration(warm[:40], warm[40:]) is None
    assert "BGR" in str(faults.calibration(warm[:40, ..., ::-1], warm[40:]))


def test_wrong_scores_of_int8_fail_it_though_its_logits_are_right(
    small_float_tflite: Path, small_int8_tflite: Path, tmp_path: Path
) -> None:
    path = broken_models.with_softmax(small_int8_tflite, tmp_path / "sharp.tflite", 3.0)
    model = inspect.read_model(path).as_model("int8")
    step = Holdout(small_float_tflite, PIXELS).judge("plain", "", model, LOW, 0.0)
    assert len(step.shortfalls) == 1
    assert "not the softmax" in step.shortfalls[0]
    assert step.accuracy is None


def test_kinds_of_wrong_softmax_are_told_apart(reference: np.ndarray) -> None:
    right = softmax(reference)
    assert faults.softmax(right, reference) is None
    assert "without a softmax" in str(faults.softmax(reference, reference))
    assert "applied twice" in str(faults.softmax(softmax(right), reference))
    assert "add up to 0.50" in str(faults.softmax(right / 2, reference))


def test_an_input_that_misreads_raw_bytes_is_named(small_int8_tflite: Path, tmp_path: Path) -> None:
    path = broken_models.with_input_of_zero_point(small_int8_tflite, tmp_path / "door.tflite", 0)
    with pytest.raises(ConversionError, match=r"image is \('uint8', 0.0078125, 0\)"):
        quantize.check(path, Recipe())


def test_int8_of_another_class_order_is_explained(small_float_tflite: Path, tmp_path: Path) -> None:
    broken_models.shuffled_rows(small_float_tflite, tmp_path / "shuffled.tflite")
    quantize.quantize_int8(tmp_path / "shuffled.tflite", drawn_pixels(32, seed=1)[0], tmp_path / "int8.tflite")
    said = faults.explain(TFLite(small_float_tflite).logits(PIXELS), tmp_path / "int8.tflite", PIXELS, CLASSES)
    assert "another order" in str(said)


# floors


def accuracy(lost: int, won: int, n: int = 200, right: int = 180) -> Accuracy:
    return Accuracy(n=n, float_right=right, int8_right=right - lost + won, lost=lost, won=won)


def parity(**changes: float) -> Parity:
    return replace(Parity(top1=1.0, top5=1.0, sqnr_db=30.0, n=200, classes=100), **changes)  # type: ignore[arg-type]


def test_accuracy_is_judged_by_size_and_significance() -> None:
    assert guard.shortfalls(parity(), Floors(), accuracy(0, 0)) == ()
    assert guard.shortfalls(parity(), Floors(), accuracy(3, 0)) == ()  # 1.5 points
    assert guard.shortfalls(parity(), Floors(), accuracy(30, 24)) == ()  # 3 points, and as likely none
    (said,) = guard.shortfalls(parity(), Floors(), accuracy(12, 0))
    assert "0.840 of 200" in said
    assert "float 0.900" in said
    assert "6.0 points less (95% interval" in said


def test_top5_is_judged_where_it_says_something() -> None:
    (said,) = guard.shortfalls(parity(top5=0.95), Floors())
    assert "10 of 200" in said
    assert guard.shortfalls(parity(top5=0.95, classes=5), Floors()) == ()
    assert guard.shortfalls(parity(top5=0.995), Floors()) == ()  # one photograph


def test_a_step_says_its_gain_and_its_cost(small_float_tflite: Path, tmp_path: Path) -> None:
    result = climb(
        Evidence(small_float_tflite, drawn_pixels(32, seed=1)[0], PIXELS, LABELS), tmp_path / "model.tflite",
        Recipe(floors=replace(LOW, accuracy_loss=1.0)),
    )  # fmt: skip
    first, second = result.steps
    assert first.gain_db is None
    assert second.gain_db == pytest.approx(second.parity.sqnr_db - first.parity.sqnr_db)
    assert f"SQNR {second.parity.sqnr_db:.1f} dB ({second.gain_db:+.1f})" in second.sentence
    assert second.sentence.endswith("MB: passes")
    assert "difference" in second.sentence
    assert result.accuracy in (first.accuracy, second.accuracy)


@given(answers=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(-1, 3)), min_size=1, max_size=60))
def test_counts_are_those_of_the_labelled(answers: list[tuple[int, int, int]]) -> None:
    table = np.array(answers)
    scores = [np.eye(4, dtype=np.float32)[table[:, column]] for column in (0, 1)]
    found = compare_accuracy(scores[0], scores[1], table[:, 2])
    known = [row for row in answers if row[2] >= 0]
    if not known:
        assert found is None
        return
    assert found is not None
    assert found.n == len(known)
    assert found.float_right == sum(a == t for a, _, t in known)
    assert found.int8_right == sum(b == t for _, b, t in known)
    assert found.int8_right - found.float_right == found.won - found.lost
    low, high = found.difference_interval
    assert low <= found.difference <= high


def test_guessing_is_what_shuffled_answers_get() -> None:
    rng = np.random.default_rng(0)
    truth, answers = rng.choice(3, 2000, p=[0.7, 0.2, 0.1]), rng.choice(3, 2000, p=[0.9, 0.1, 0.0])
    shuffled = np.mean([(rng.permutation(answers) == truth).mean() for _ in range(200)])
    assert chance(answers, truth, 3) == pytest.approx(shuffled, abs=0.005)
