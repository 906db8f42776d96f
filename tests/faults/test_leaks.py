"""Copies among the photographs: none stands on both sides of a split that is made here."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.pictures import picture

from edgefit_toolkit.data import splits
from edgefit_toolkit.data.checks import near_copies
from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.data.demo import drawn_set
from edgefit_toolkit.data.sources import load_dataset
from edgefit_toolkit.errors import DataError


def originals(dataset: Dataset, part: str) -> set[str]:
    """The numbers that the file names of a split begin with: copies carry their original's."""
    return {f"{photo.label}-{photo.name.split('-')[0]}" for photo in dataset.split(part)}


def assert_no_leak(dataset: Dataset) -> None:
    train, val, test = (originals(dataset, part) for part in ("train", "val", "test"))
    assert not train & test
    assert not train & val
    assert not val & test
    assert not any(note.startswith("leak") for note in dataset.notes)


def copied(file: Path, how: str) -> None:
    """A copy beside the file, as people and programs make them."""
    beside = file.with_name(f"{file.stem}-copy{file.suffix}")
    if how == "byte":
        beside.write_bytes(file.read_bytes() + b"\n")
        return
    with Image.open(file) as image:
        if how == "half":
            image = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
        image.convert("RGB").save(beside.with_suffix({"png": ".png", "webp": ".webp"}.get(how, ".jpg")), quality=60)


@pytest.mark.fault("copies in every class, one byte longer, saved again, smaller")
@pytest.mark.parametrize("how", ["byte", "again", "half", "png", "webp"])
@pytest.mark.parametrize("layout", ["", "train"])
def test_copies_stay_together(how: str, layout: str, tmp_path: Path) -> None:
    for k, label in enumerate(("ivy", "moss")):
        for i in range(12):
            copied(picture(tmp_path / layout / label / f"{i:03d}.jpg", 50 * k + i, size=(200, 160)), how)
    dataset = load_dataset(str(tmp_path), seed=0)
    assert_no_leak(dataset)
    assert len(dataset.train) + len(dataset.val) + len(dataset.test) == 48
    assert (
        "48 pictures are 24 different ones, but for compression, size or format: each group of near copies stays in one"
        " split"
    ) in dataset.notes


@pytest.mark.fault("exact copies below train/")
def test_exact_copies_below_train(tmp_path: Path) -> None:
    for k, label in enumerate(("ivy", "moss")):
        for i in range(8):
            file = picture(tmp_path / "train" / label / f"{i:03d}.jpg", 50 * k + i)
            shutil.copy(file, file.with_name(f"{i:03d}-copy.jpg"))
    dataset = load_dataset(str(tmp_path), seed=0)
    assert_no_leak(dataset)
    assert len(dataset.skipped) == 16
    assert all("an exact copy of" in skipped.reason for skipped in dataset.skipped)


@pytest.mark.fault("copies on both sides of a split that the folder brings")
def test_leaks_of_given_splits_are_said(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        for k, label in enumerate(("ivy", "moss")):
            for i in range(4):
                picture(tmp_path / part / label / f"{i:03d}.jpg", 50 * k + i + 1000 * len(part), size=(200, 160))
    for i in range(3):
        file = tmp_path / "train" / "ivy" / f"{i:03d}.jpg"
        (tmp_path / "test" / "ivy" / f"again{i}.jpg").write_bytes(file.read_bytes() + b"\n")
    notes = [note for note in load_dataset(str(tmp_path), seed=0).notes if note.startswith("leak")]
    assert len(notes) == 1
    assert "3 of the test pictures are in train too, but for compression, size or format" in notes[0]
    assert "test/ivy/again0.jpg" in notes[0]


@pytest.mark.fault("a class of copies of two pictures")
def test_a_class_of_copies_is_refused(tmp_path: Path) -> None:
    for i in range(8):
        picture(tmp_path / "moss" / f"{i}.jpg", i)
    for i in range(2):
        for k in range(5):
            file = picture(tmp_path / "ivy" / f"{i}{k}.jpg", 100 + i)
            file.write_bytes(file.read_bytes() + bytes([k]))
    with pytest.raises(DataError, match=r"ivy has 2 \(10 with near copies\)"):
        load_dataset(str(tmp_path), seed=0)


@pytest.mark.fault("different pictures that look alike")
def test_different_pictures_are_no_copies(flowers_dir: Path, tmp_path: Path) -> None:
    assert not [
        note for note in load_dataset(str(flowers_dir), seed=0).notes if "near copies" in note or "leak" in note
    ]
    drawn = drawn_set.load(seed=0, cache_dir=tmp_path, per_kind=4)
    assert not [note for note in drawn.notes if "near copies" in note or "leak" in note]


@given(
    sizes=st.lists(st.integers(1, 9), min_size=3, max_size=40),
    seed=st.integers(0, 1000),
)
@pytest.mark.fault("copies in groups of any size")
def test_groups_are_never_parted(sizes: list[int], seed: int) -> None:
    groups = [group for group, size in enumerate(sizes) for _ in range(size)]
    random = np.random.default_rng(seed)
    random.shuffle(groups)
    parts = [part.tolist() for part in splits.split_rows(np.array(groups), "ivy", seed)]
    assert sorted(index for part in parts for index in part) == list(range(len(groups)))
    assert all(parts)
    found = [{groups[index] for index in part} for part in parts]
    assert not found[0] & found[1]
    assert not found[0] & found[2]
    assert not found[1] & found[2]


@given(st.integers(0, 10_000), st.integers(2, 60))
@pytest.mark.fault("copies in groups of any size")
def test_groups_are_what_comparing_all_with_all_finds(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    base = random.integers(0, 256, (max(n // 3, 1), 72))
    values = [
        (base[random.integers(len(base))] + random.integers(-4, 5, 72)).clip(0, 255).astype(np.uint8) for _ in range(n)
    ]
    expected = list(range(n))
    for a in range(n):
        for b in range(a + 1, n):
            if np.abs(values[a].astype(int) - values[b]).mean() <= near_copies.MOST_DIFFERENCE:
                low, high = sorted((expected[a], expected[b]))
                expected = [low if group == high else group for group in expected]
    assert near_copies.groups_of(np.stack(values)).tolist() == expected
