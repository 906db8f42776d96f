"""Image folders: found, checked, split; and every way in which they can be wrong."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.pictures import picture

from edgefit_toolkit.data import splits
from edgefit_toolkit.data.dataset import Photos, joined, labels
from edgefit_toolkit.data.decoding import decode
from edgefit_toolkit.data.pixels import load_pixels, open_photo
from edgefit_toolkit.data.readers.folder import file_picture
from edgefit_toolkit.data.sources import load_dataset
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.records import Preprocessing

MakeFolder = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """make_folder(ivy=10, moss=12) or make_folder(**{"train/ivy": 10, ...})."""

    def make(**counts: int) -> Path:
        folder = tmp_path / "plants"
        for k, (label, count) in enumerate(counts.items()):
            for i in range(count):
                picture(folder / label / f"{i:03d}.jpg", 1000 * k + i)
        return folder

    return make


def load(folder: Path, seed: int = 0):
    return load_dataset(str(folder), seed=seed)


def test_class_folders_are_split_with_every_class_in_every_part(make_folder: MakeFolder) -> None:
    dataset = load(make_folder(moss=20, ivy=40))
    assert dataset.classes == ("ivy", "moss")
    assert dataset.kind == "photographs"
    assert dataset.counts(dataset.train) == (28, 14)
    assert dataset.counts(dataset.val) == (6, 3)
    assert dataset.counts(dataset.test) == (6, 3)
    paths = [photo.place for photo in (*dataset.train, *dataset.val, *dataset.test)]
    assert len(set(paths)) == len(paths) == 60
    assert all(dataset.classes[p.label] == Path(p.place).parent.name for p in dataset.train)


def test_same_seed_same_split_other_seed_another(make_folder: MakeFolder) -> None:
    folder = make_folder(ivy=30, moss=30)
    first, again, other = load(folder, 1), load(folder, 1), load(folder, 2)
    assert first == again
    assert first.sha256 == again.sha256
    assert {p.place for p in first.test} != {p.place for p in other.test}
    assert first.sha256 != other.sha256


def test_fingerprint_follows_the_bytes_and_not_the_place(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = make_folder(ivy=5, moss=5)
    before = load(folder).sha256
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    assert load(moved).sha256 == before
    picture(moved / "ivy" / "000.jpg", 77)
    assert load(moved).sha256 != before


def test_rare_classes_are_trained_on_and_named_as_not_tested(make_folder: MakeFolder) -> None:
    dataset = load(make_folder(fern=2, ivy=20, moss=20, rue=1))
    assert dataset.classes == ("fern", "ivy", "moss", "rue")
    assert dataset.counts(dataset.train) == (2, 14, 14, 1)
    assert dataset.counts(dataset.val) == dataset.counts(dataset.test) == (0, 3, 3, 0)
    assert (
        "2 of 4 classes are trained on and not tested, for want of 3 different pictures: fern (2), rue (1)"
        in dataset.notes
    )


def test_a_given_split_may_lack_classes(make_folder: MakeFolder) -> None:
    counts = {"train/a": 9, "train/b": 9, "train/c": 9, "val/b": 3, "val/c": 3, "test/a": 3, "test/c": 3}
    dataset = load(make_folder(**counts))
    assert dataset.counts(dataset.val) == (0, 3, 3)
    assert dataset.counts(dataset.test) == (3, 0, 3)
    assert {dataset.classes[p.label] for p in dataset.val} == {Path(p.place).parent.name for p in dataset.val}
    assert "1 of 3 classes are trained on and not tested: b (9)" in dataset.notes


def test_of_large_given_splits_a_sample_is_looked_at(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "MOST_JUDGED", 6)
    parts = (("train", 5), ("val", 6), ("test", 12))
    dataset = load(make_folder(**{f"{part}/{name}": count for part, count in parts for name in ("a", "b")}))
    assert dataset.counts(dataset.test) == dataset.counts(dataset.val) == (3, 3)
    assert len(dataset.train) == 10
    assert any(note.startswith("test: 6 of its 24 pictures are looked at") for note in dataset.notes)


def test_of_a_large_set_less_is_set_aside(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "MOST_JUDGED", 4)
    dataset = load(make_folder(a=20, b=20))
    assert [len(dataset.train), len(dataset.val), len(dataset.test)] == [32, 4, 4]
    assert sum("10.0% of the pictures are set aside for" in note for note in dataset.notes) == 2


@pytest.mark.parametrize("val_name", ["val", "valid", "Validation"])
def test_split_folders_are_kept(make_folder: MakeFolder, val_name: str) -> None:
    counts = {f"{part}/{label}": n for part, n in (("train", 6), (val_name, 2), ("test", 3)) for label in "ab"}
    dataset = load(make_folder(**counts))
    assert [len(dataset.train), len(dataset.val), len(dataset.test)] == [12, 4, 6]
    assert {Path(p.place).parts[-3] for p in dataset.val} == {val_name}


def test_missing_val_is_taken_from_train(make_folder: MakeFolder) -> None:
    dataset = load(make_folder(**{"train/a": 20, "train/b": 20, "test/a": 5, "test/b": 5}))
    assert [len(dataset.train), len(dataset.val), len(dataset.test)] == [34, 6, 10]
    assert {Path(p.place).parts[-3] for p in dataset.val} == {"train"}
    assert not {p.place for p in dataset.val} & {p.place for p in dataset.train}
    assert any("no val split: 15% of train" in note for note in dataset.notes)


def test_hidden_files_are_ignored_and_loose_ones_noted(make_folder: MakeFolder) -> None:
    folder = make_folder(ivy=5, moss=5)
    for name in (".DS_Store", "ivy/.DS_Store", "ivy/Thumbs.db", "ivy/._000.jpg", "moss/desktop.ini"):
        (folder / name).write_bytes(b"\0\1\2")
    (folder / ".thumbnails").mkdir()
    (folder / "LICENSE.txt").write_text("free")
    dataset = load(folder)
    assert dataset.skipped == ()
    assert dataset.classes == ("ivy", "moss")
    assert "1 files beside the class folders were not used" in dataset.notes


def test_broken_files_are_named_and_skipped(make_folder: MakeFolder) -> None:
    folder = make_folder(ivy=8, moss=8)
    ivy = folder / "ivy"
    whole = (ivy / "000.jpg").read_bytes()
    (ivy / "truncated.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    (ivy / "half.png").write_bytes(picture(ivy / "whole.png", 5).read_bytes()[:400])
    (ivy / "text.jpg").write_text("this is no photograph\n" * 20)
    (ivy / "empty.jpg").write_bytes(b"")
    (ivy / "noise.jpg").write_bytes(bytes(range(256)) * 8)
    (ivy / "notes.txt").write_text("watered on Monday")
    (ivy / "phone.heic").write_bytes(b"\0\0\0\x24ftypheic" + bytes(600))
    (ivy / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    picture(ivy / "tiny.png", 6, size=(9, 200))
    dataset = load(folder)
    reasons = {skipped.name: skipped.reason for skipped in dataset.skipped}
    assert set(reasons) == {
        "truncated.jpg", "half.png", "text.jpg", "empty.jpg", "noise.jpg", "notes.txt", "phone.heic",
        "gone.jpg", "tiny.png",
    }  # fmt: skip
    assert "truncated" in reasons["truncated.jpg"]
    assert reasons["half.png"].startswith("damaged")
    assert reasons["text.jpg"] == reasons["notes.txt"] == "a text file, not an image"
    assert reasons["empty.jpg"] == "an empty file"
    assert reasons["noise.jpg"] == "not an image, or damaged from its first bytes on"
    assert "HEIC" in reasons["phone.heic"]
    assert reasons["gone.jpg"].startswith("cannot be read")
    assert reasons["tiny.png"] == "only 9 x 200 pixels"
    assert "9 files skipped" in dataset.summary
    assert len(dataset.train) + len(dataset.val) + len(dataset.test) == 17
    load_pixels(dataset.train, Preprocessing(32))  # what is left can be read


def test_a_gigantic_picture_is_skipped_before_it_is_decoded(make_folder: MakeFolder) -> None:
    folder = make_folder(ivy=5, moss=5)
    header = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (folder / "ivy" / "bomb.png").write_bytes(png + struct.pack(">I", 100) + b"IDAT" + bytes(104))
    assert [s.reason for s in load(folder).skipped] == ["too many pixels (more than 178 million)"]


def test_every_cut_of_a_jpeg_is_skipped(make_folder: MakeFolder) -> None:
    folder = make_folder(ivy=5, moss=5)
    whole = picture(folder / "whole.jpg", 1, size=(200, 200)).read_bytes()
    (folder / "whole.jpg").unlink()
    cuts = range(2, len(whole) - 2, len(whole) // 12)
    for cut in cuts:
        (folder / "ivy" / f"cut{cut:05d}.jpg").write_bytes(whole[:cut])
    assert len(load(folder).skipped) == len(cuts)


def test_copies_are_used_once_so_that_no_split_leaks(make_folder: MakeFolder) -> None:
    folder = make_folder(ivy=8, moss=8)
    shutil.copy(folder / "ivy" / "000.jpg", folder / "ivy" / "z.jpg")
    shutil.copy(folder / "ivy" / "001.jpg", folder / "moss" / "wrong.jpg")
    dataset = load(folder)
    reasons = {f"{Path(s.place).parent.name}/{s.name}": s.reason for s in dataset.skipped}
    assert reasons == {
        "ivy/z.jpg": "an exact copy of 000.jpg",
        "ivy/001.jpg": "the same picture is in the classes ivy and moss",
        "moss/wrong.jpg": "the same picture is in the classes ivy and moss",
    }
    assert not any("leak" in note for note in dataset.notes)


def test_copies_across_given_splits_are_said(make_folder: MakeFolder) -> None:
    folder = make_folder(**{f"{part}/{label}": 5 for part in ("train", "val", "test") for label in ("ivy", "moss")})
    shutil.copy(folder / "train" / "ivy" / "002.jpg", folder / "test" / "ivy" / "again.jpg")
    notes = [note for note in load(folder).notes if note.startswith("leak")]
    assert len(notes) == 1
    assert "1 of the test pictures are in train too" in notes[0]
    assert str(Path("test/ivy/again.jpg")) in notes[0]


def test_few_test_pictures_are_said(make_folder: MakeFolder) -> None:
    assert "only 2 test pictures: one of them is 50.0 points of accuracy" in load(make_folder(a=5, b=5)).notes


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"ivy": 9}, "the single class 'ivy'"),
        ({"ivy": 9, "moss": 2}, "at least 3 usable photographs to be split: moss has 2"),
        ({"train/a": 5, "train/b": 5, "val/a": 2, "val/c": 2}, "val lacks b; val has c, which train lacks"),
        ({"train/a": 5, "train/b": 5, "test/a": 2}, "test lacks b"),
        ({"test/a": 5, "test/b": 5}, "no train folder"),
        ({"val/a": 2, "valid/a": 2, "train/a": 5}, "two val folders"),
        ({"train/a": 5, "train/b": 1}, "at least 3"),
        ({"train/a": 5, "train/b": 1, "val/a": 1, "val/b": 1}, "at least 2"),
    ],
)
def test_folders_that_make_no_classifier(make_folder: MakeFolder, counts: dict[str, int], message: str) -> None:
    with pytest.raises(DataError) as refused:
        load(make_folder(**counts))
    assert message in refused.value.message
    assert refused.value.hint


def test_missing_empty_and_shapeless_folders(make_folder: MakeFolder, tmp_path: Path) -> None:
    empty, loose, file = tmp_path / "empty", tmp_path / "loose", tmp_path / "file.jpg"
    empty.mkdir()
    picture(loose / "a.jpg", 1)
    picture(file, 2)
    no_class = tmp_path / "no_class"
    picture(no_class / "train" / "a.jpg", 3)
    for folder, message in (
        (tmp_path / "nothing", "there is no folder"),
        (empty, "holds nothing"),
        (loose, "1 files and no class folders"),
        (file, "is a file, not a folder"),
        (no_class, "no class folders"),
    ):
        with pytest.raises(DataError, match=message) as refused:
            load(folder)
        assert refused.value.hint


def test_empty_class_and_class_of_broken_files_refuse(make_folder: MakeFolder) -> None:
    folder = make_folder(ivy=5, moss=5)
    (folder / "fern").mkdir()
    with pytest.raises(DataError, match="fern holds nothing"):
        load(folder)
    (folder / "fern" / "deeper").mkdir()
    with pytest.raises(DataError, match=r"fern.deeper holds nothing"):
        load(folder)
    (folder / "fern" / "a.jpg").write_text("no photograph")
    with pytest.raises(DataError, match=r"'fern' .* no usable photograph \(1 files were skipped"):
        load(folder)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read every folder, so a test run by root steps down for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="permissions are a matter of POSIX")
@pytest.mark.parametrize("closed", [".", "plants", "plants/ivy"])
def test_unreadable_folders(make_folder: MakeFolder, tmp_path: Path, closed: str) -> None:
    # pytest's own folders are closed to others
    with tempfile.TemporaryDirectory() as open_to_all:
        root = Path(open_to_all)
        root.chmod(0o755)
        folder = shutil.copytree(make_folder(ivy=5, moss=5), root / "plants")
        (root / closed).chmod(0)
        try:
            with as_nobody(), pytest.raises(DataError, match="cannot read the folder") as refused:
                load(folder)
            assert "Permission denied" in refused.value.message
        finally:
            (root / closed).chmod(0o755)


def test_unreadable_photograph_is_skipped(make_folder: MakeFolder) -> None:
    with tempfile.TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o755)
        folder = shutil.copytree(make_folder(ivy=5, moss=5), Path(open_to_all) / "plants")
        (folder / "ivy" / "000.jpg").chmod(0)
        with as_nobody():
            dataset = load(folder)
        assert [s.reason for s in dataset.skipped] == ["cannot be read: Permission denied"]


def test_a_photograph_that_vanished_after_the_check(make_folder: MakeFolder) -> None:
    dataset = load(make_folder(ivy=5, moss=5))
    Path(dataset.train[1].place).unlink()
    with pytest.raises(DataError, match="cannot be read any more"):
        load_pixels(dataset.train, Preprocessing(32))
    with pytest.raises(DataError, match="cannot be read any more"):
        open_photo(dataset.train[1])


def test_pixels_keep_the_order_for_any_number_of_workers(make_folder: MakeFolder) -> None:
    dataset = load(make_folder(ivy=12, moss=12))
    seen: list[tuple[int, int]] = []
    one = load_pixels(dataset.train, Preprocessing(32), workers=1)
    many = load_pixels(dataset.train, Preprocessing(32), workers=7, on_progress=lambda _, d, n: seen.append((d, n)))
    np.testing.assert_array_equal(one, many)
    assert seen == [(i, len(dataset.train)) for i in range(1, len(dataset.train) + 1)]
    assert one.shape == (16, 32, 32, 3)
    assert one.dtype == np.uint8
    assert load_pixels([], Preprocessing(32)).shape == (0, 32, 32, 3)


@pytest.mark.parametrize(
    ("least_px", "size"), [(None, (800, 600)), (600, (800, 600)), (300, (400, 300)), (70, (100, 75))]
)
def test_a_jpeg_is_decoded_as_small_as_is_asked(tmp_path: Path, least_px: int | None, size: tuple[int, int]) -> None:
    photo = file_picture(picture(tmp_path / "large.jpg", 1, (800, 600)))
    small = decode(photo, least_px)
    assert small.size == size
    whole = decode(photo).resize(size, Image.Resampling.BOX)
    assert np.abs(np.asarray(small, int) - np.asarray(whole, int)).mean() < 2


def test_labels(make_folder: MakeFolder) -> None:
    dataset = load(make_folder(ivy=5, moss=5))
    assert labels(dataset.train).dtype == np.int64
    assert labels(dataset.train).tolist() == [0, 0, 0, 1, 1, 1]


def test_checking_reports_its_progress(make_folder: MakeFolder) -> None:
    seen: list[tuple[str, int, int]] = []
    load_dataset(str(make_folder(a=5, b=5)), seed=0, on_progress=lambda *event: seen.append(event))
    assert seen == [("checking photographs", i, 10) for i in range(1, 11)]


def test_real_photographs(flowers_dir: Path) -> None:
    dataset = load(flowers_dir)
    assert dataset.classes == ("daisy", "dandelion", "rose", "sunflower", "tulip")
    assert [len(dataset.train), len(dataset.val), len(dataset.test)] == [250, 75, 75]
    assert dataset.skipped == ()
    assert not any("leak" in note for note in dataset.notes)


def test_photographs_are_made_when_they_are_asked_for(flowers_dir: Path) -> None:
    dataset = load_dataset(str(flowers_dir), seed=0)
    photos = dataset.train
    assert isinstance(photos, Photos)
    assert [photo.name for photo in photos[3:9:2]] == [photos[index].name for index in (3, 5, 7)]
    assert photos[-1] == list(photos)[-1]
    assert photos[np.array([7, 3])][1] == photos[3]
    assert labels(photos[5:]).tolist() == [photo.label for photo in photos][5:]
    both = joined([dataset.val, list(photos[:4]), photos])  # parts of one source, and pictures of any other
    assert list(both) == [*dataset.val, *photos[:4], *photos]
    with pytest.raises(IndexError):
        photos[len(photos)]
    for photo in photos[:5]:
        with photo.open() as stream:
            assert hashlib.sha256(stream.read()).hexdigest() == photo.sha256
