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
from edgefit_converters.judge import faults, guard, parity
from edgefit_converters.judge.accuracy import UNKNOWN, Accuracy
from edgefit_converters.recipe import Floors
from edgefit_toolkit.errors import GuardFailed, InputError
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


@given(n=st.integers(20, 2000), floor=st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_a_floor_allows_its_share_of_photographs_and_no_more(n: int, floor: float) -> None:
    allowed = max(1, math.floor(n * (1 - floor) + 1e-9))
    floors = Floors(top1=floor, top5=floor)
    assert guard.shortfalls(found(allowed, n), floors) == ()
    (said,) = guard.shortfalls(found(allowed + 1, n), floors)
    assert said.startswith(f"{allowed + 1} of {n} photographs get another first answer (agreement ")
    outside = dataclasses.replace(found(0, n), top5=1 - (allowed + 1) / n)
    (said,) = guard.shortfalls(outside, floors)
    assert f"on {allowed + 1} of {n} photographs (top-5" in said


def test_top5_of_few_classes_is_not_judged() -> None:
    outside = dataclasses.replace(found(0, 100), top5=0.5)
    counts = {
        classes: len(guard.shortfalls(dataclasses.replace(outside, classes=classes), Floors()))
        for classes in (0, 1, 9, 10, 11)
    }
    assert counts == {0: 1, 1: 0, 9: 0, 10: 1, 11: 1}  # 0: not said


def test_sqnr_at_its_floor_passes() -> None:
    assert guard.shortfalls(found(0, 100, 15.0), Floors(sqnr_db=15.0)) == ()
    assert len(guard.shortfalls(found(0, 100, 14.99), Floors(sqnr_db=15.0))) == 1


def answers(lost: int, won: int, n: int = 1000) -> Accuracy:
    return Accuracy(n=n, float_right=n - 100, int8_right=n - 100 - lost + won, lost=lost, won=won)


def test_a_loss_of_accuracy_counts_when_it_is_too_large_and_no_chance() -> None:
    def judged(accuracy: Accuracy, allowed: float) -> tuple[str, ...]:
        return guard.shortfalls(found(0, 100), Floors(accuracy_loss=allowed), accuracy)

    assert judged(answers(50, 0), 0.02)
    assert judged(answers(50, 0), 0.05) == ()  # at what is allowed
    assert judged(answers(50, 0), 0.0499)
    assert judged(answers(0, 50), 0.02) == ()  # better
    assert judged(answers(400, 0), 0.3)[0].endswith(", allowed 30.0)")
    assert judged(answers(3, 0, 120), 0.02) == ()  # 2.5 points less, but that may be chance
    (said,) = judged(answers(60, 10), 0.02)
    low, high = answers(60, 10).difference_interval
    assert said == (
        "it answers 0.850 of 1000 labelled photographs right, float 0.900: 5.0 points less "
        f"(95% interval {-100 * high:.1f} to {-100 * low:.1f}, allowed 2.0)"
    )


def logits(right: int, n: int, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """(reference logits, labels): `right` of n answers are right, spread over the classes; the rest one class on."""
    labels = np.arange(n) % classes
    named = np.where(
        np.arange(n) % 20 < 20 * right / n, labels, (labels + 1 + np.arange(n) // 20 % (classes - 1)) % classes
    )
    return np.eye(classes, dtype=np.float32)[named], labels


@pytest.fixture
def faultless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that computes what its checkpoint computes, and labels in no wrong order."""
    monkeypatch.setattr(faults, "conversion", lambda *_: None)
    monkeypatch.setattr(faults, "labels", lambda *_: None)


def check(reference: np.ndarray, labels: np.ndarray, validated: float | None = None) -> None:
    guard.check_float(reference, "f.tflite", np.zeros((0, 2, 2, 3), np.uint8), labels, "abcd", validated_top1=validated)


@pytest.mark.usefixtures("faultless")
def test_a_checkpoint_must_answer_as_well_as_when_it_was_validated() -> None:
    reference, labels = logits(400, 500)
    right = float((reference.argmax(1) == labels).mean())
    assert right == 0.8
    for recorded in (None, 0.5, 0.8, 0.83, 0.849):
        check(reference, labels, recorded)
    with pytest.raises(GuardFailed, match=r"answers 0.800 of the 500 validation .* training recorded 0.860"):
        check(reference, labels, 0.86)
    few, few_labels = logits(16, 20)
    check(few, few_labels, 0.86)  # of 20, that may be chance
    many, many_labels = logits(16_000, 20_000)
    check(many, many_labels, 0.849)  # no chance, but small
    with pytest.raises(GuardFailed, match="validated"):
        check(many, many_labels, 0.851)


@pytest.mark.usefixtures("faultless")
def test_guessing_is_told_from_twenty_photographs_on() -> None:
    for n in (1, 19):
        check(*logits(0, n))
    for n in (20, 100):
        with pytest.raises(GuardFailed, match=rf"answers 0.000 of {n} .* no better than guessing \(0.\d+\)"):
            check(*logits(0, n))
    check(*logits(95, 100))


@pytest.mark.usefixtures("faultless")
def test_unknown_labels_are_not_judged() -> None:
    reference, labels = logits(0, 100)
    check(reference, np.full(100, UNKNOWN), 0.99)
    good, good_labels = logits(100, 100)
    mixed = np.concatenate([good_labels, np.full(100, UNKNOWN)])
    check(np.concatenate([good, reference]), mixed, 1.0)
    assert labels.min() >= 0


def test_what_faults_finds_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, labels = logits(100, 100)
    pixels = np.zeros((1, 2, 2, 3), np.uint8)
    monkeypatch.setattr(faults, "conversion", lambda *_: "upside down")
    with pytest.raises(GuardFailed, match="float model is broken: upside down") as caught:
        check(reference, labels)
    assert "--converter" in caught.value.hint
    monkeypatch.setattr(faults, "conversion", lambda *_: None)
    monkeypatch.setattr(faults, "labels", lambda *_: "a and b are exchanged")
    with pytest.raises(GuardFailed, match="a and b are exchanged") as caught:
        check(reference, labels)
    assert "class' folder" in caught.value.hint
    monkeypatch.setattr(faults, "calibration", lambda *_: None)
    guard.check_calibration(pixels, pixels)
    monkeypatch.setattr(faults, "calibration", lambda *_: "noise")
    with pytest.raises(GuardFailed, match="calibrated on the wrong thing: noise"):
        guard.check_calibration(pixels, pixels)
