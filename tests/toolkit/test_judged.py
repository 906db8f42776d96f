"""How many pictures the guard looks at: all of a small split, a sample of every class of a large one."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from support.training_parts import variant

from edgefit_toolkit.data.dataset import Dataset, Photo
from edgefit_toolkit.host import environment
from edgefit_toolkit.pipeline.run_directory.run import open_run
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.pipeline.stages import job as jobs
from edgefit_toolkit.pipeline.stages.job import Job
from edgefit_toolkit.pipeline.stages.quantize import held_out
from edgefit_toolkit.progress import Silent

COUNTS = (30, 6, 1)


class Noting(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    photos = tuple(
        Photo(name=f"{label}-{i}", place="", opener=BytesIO, label=label, sha256="")
        for label, count in enumerate(COUNTS)
        for i in range(count)
    )
    dataset = Dataset("drawn", "drawn", ("a", "b", "c"), photos, photos, photos)
    with open_run(tmp_path / "run", settings={}, environment=environment()) as run:
        found = Job(FitSettings(30.0, "pixel7"), run, Noting(), variant(), dataset)
        rows = np.arange(37, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
        found.__dict__ |= {"val_pixels": rows, "test_pixels": rows + 100}
        yield found


def test_a_small_split_is_judged_whole(job: Job) -> None:
    pixels, labels = job.judged_val
    assert pixels is job.val_pixels
    assert np.bincount(labels).tolist() == list(COUNTS)
    assert job.ui.notes == []


def test_of_a_large_split_a_sample_of_every_class_is_judged(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_GUARDED", 12)
    pixels, labels = job.judged_val
    assert np.bincount(labels).tolist() == [9, 1, 1]
    rows = pixels[:, 0, 0, 0]
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert [0 if row < 30 else 1 if row < 36 else 2 for row in rows] == labels.tolist()
    assert job.ui.notes == ["the guard looks at 11 of 37 val pictures, a sample of every class"]
    both, unknown = held_out(job)
    assert len(both) == 22
    assert unknown[11:].tolist() == [-1] * 11
    assert (both[11:] >= 100).all()
