"""What was found of every picture is kept: the next start decodes what is new or changed, and nothing else."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tracemalloc
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from support.pictures import picture

from edgefit_toolkit.data import decoding
from edgefit_toolkit.data.checks import catalogue, check, near_copies
from edgefit_toolkit.data.checks.catalogue import Catalogue, Finding, catalogue_file
from edgefit_toolkit.data.dataset import Dataset, Stamp
from edgefit_toolkit.data.sources import load_dataset

FINDING = Finding(bytes(range(32)), bytes(range(72)))


@pytest.fixture(autouse=True)
def of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "CATALOGUED", 1)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the pictures that were decoded."""
    names: list[str] = []
    real = decoding.check

    def noted(candidate):
        names.append(candidate.name)
        return real(candidate)

    monkeypatch.setattr(decoding, "check", noted)
    return names


@pytest.fixture
def plants(tmp_path: Path) -> Path:
    folder = tmp_path / "plants"
    for k, label in enumerate(("ivy", "moss")):
        for i in range(6):
            picture(folder / label / f"{label}{i}.jpg", 100 * k + i)
    (folder / "ivy" / "text.jpg").write_text("no photograph")
    return folder


def load(folder: Path) -> Dataset:
    return load_dataset(str(folder), seed=0, cache_dir=folder.parent / "cache")


def file_of(folder: Path) -> Path:
    return catalogue_file(folder.parent / "cache", str(folder))


def test_a_second_start_decodes_nothing_and_finds_the_same(plants: Path, decoded: list[str]) -> None:
    first = load(plants)
    assert len(decoded) == 13
    decoded.clear()
    again = load(plants)
    assert decoded == []
    assert again == first
    assert again.sha256 == load_dataset(str(plants), seed=0, cache_dir=plants.parent / "elsewhere").sha256
    assert [(skipped.name, skipped.reason) for skipped in again.skipped] == [("text.jpg", "a text file, not an image")]


def test_new_and_changed_pictures_are_decoded(plants: Path, decoded: list[str]) -> None:
    before = load(plants).sha256
    decoded.clear()
    picture(plants / "ivy" / "new.jpg", 7)
    picture(plants / "ivy" / "text.jpg", 8)  # what was wrong with it is right now
    picture(plants / "moss" / "moss3.jpg", 9)
    os.utime(plants / "moss" / "moss4.jpg", ns=(1, 1))  # the same bytes: only looked at again
    after = load(plants)
    assert sorted(decoded) == ["moss3.jpg", "moss4.jpg", "new.jpg", "text.jpg"]
    assert after.skipped == ()
    assert after.sha256 != before


def test_what_may_pass_is_not_kept(plants: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_: object, **__: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(decoding.Image, "open", out_of_memory)
        with pytest.raises(Exception, match="no usable photograph"):
            load(plants)
    decoded.clear()
    assert len(load(plants).skipped) == 1
    assert len(decoded) == 13


@pytest.mark.parametrize("damage", ["text", "cut", "overwritten"])
def test_a_damaged_catalogue_is_named_set_aside_and_rebuilt(plants: Path, decoded: list[str], damage: str) -> None:
    first = load(plants)
    file = file_of(plants)
    whole = file.read_bytes()
    broken = {
        "text": b"this is no catalogue\n" * 9,
        "cut": whole[: len(whole) // 2],
        "overwritten": whole[:2000] + bytes(3000) + whole[5000:],
    }[damage]
    file.write_bytes(broken)
    decoded.clear()
    again = load(plants)
    assert len(decoded) == 13
    assert again.sha256 == first.sha256
    said = [note for note in again.notes if "catalogue" in note]
    assert len(said) == 1
    assert "set aside" in said[0]
    assert str(file) in said[0]
    assert file.with_suffix(".damaged").read_bytes() == broken
    decoded.clear()
    assert load(plants) == first  # nothing is said any more, nothing decoded
    assert decoded == []


def test_where_none_can_be_kept_pictures_are_checked_without(plants: Path, decoded: list[str]) -> None:
    (plants.parent / "cache").write_text("a file where the folder should be")
    for _ in range(2):
        decoded.clear()
        assert any("no catalogue can be kept" in note for note in load(plants).notes)
        assert len(decoded) == 13


def test_another_pillow_judges_anew(plants: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    load(plants)
    decoded.clear()
    monkeypatch.setattr(catalogue.PIL, "__version__", "0.0")
    load(plants)
    assert len(decoded) == 13


def test_a_row_takes_less_than_300_bytes(tmp_path: Path) -> None:
    book = Catalogue(tmp_path / "book.sqlite")
    for at in range(0, 20_000, 1000):
        book.store([(Stamp(f"/a/long/folder/{'x' * 150}/{i}.jpg", 123_456, 10**18 + i), FINDING)
                    for i in range(at, at + 1000)])  # fmt: skip
    book.close()
    assert (tmp_path / "book.sqlite").stat().st_size < 300 * 20_000


WRITER = """
import sys
import tracemalloc
from pathlib import Path
from edgefit_toolkit.data.checks.catalogue import Catalogue, Finding
from edgefit_toolkit.data.dataset import Stamp
book = Catalogue(Path(sys.argv[1]))
for i in range(150):
    stamps = [Stamp(f"{sys.argv[2]}-{i}-{k}", k, i) for k in range(20)]
    book.store([(stamp, Finding(bytes(range(32)), bytes(72))) for stamp in stamps])
    assert all(book.look_up(stamps)), i
assert not book.notes, book.notes
"""


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    file = tmp_path / "book.sqlite"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(file), name]) for name in ("one", "two")]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM pictures").fetchone() == (6000,)


def test_small_sets_leave_no_catalogue(plants: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "CATALOGUED", 100)
    load(plants)
    assert not file_of(plants).exists()


def test_a_start_holds_under_300_bytes_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its most: between two sizes of a folder, with what is done for so many pictures at once made small."""
    monkeypatch.setattr(check, "_AT_ONCE", 64)
    monkeypatch.setattr(near_copies, "_LOOKED_UP", 64)
    monkeypatch.setattr(near_copies, "_COMPARED", 64)
    random = np.random.default_rng(0)
    peaks = []
    for count in (200, 200, 1000):  # the first for what is made once and for all
        folder = tmp_path / f"plants {len(peaks)}"
        for number in range(count):
            file = folder / ("ivy", "moss")[number % 2] / f"{number:036d}.ppm"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"P6 16 16 255 " + random.bytes(768))
        load(folder)
        tracemalloc.start()
        try:
            found = load(folder)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert len(found.train) > count / 2
    assert (peaks[2] - peaks[1]) / 800 < 300
