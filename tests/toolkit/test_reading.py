"""Pictures read ahead by threads and by processes: the same ones, and what happens to the processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from support.one_thread import one_thread  # noqa: F401  (a fixture)
from support.training_parts import drawn_dataset, fresh_network

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.data.decoding import Pixels
from edgefit_toolkit.errors import DataError, TrainingError
from edgefit_toolkit.records import Preprocessing
from edgefit_toolkit.training.compute import Compute, choose_compute
from edgefit_toolkit.training.fine_tune import fine_tune
from edgefit_toolkit.training.inputs.reading import AHEAD, Reading
from edgefit_toolkit.training.inputs.views import CROP, Crops, Views, in_order
from edgefit_toolkit.training.settings import TrainSettings

SMALL = Preprocessing(resolution_px=32)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """36 training pictures. Do not change the files."""
    return drawn_dataset(tmp_path_factory.mktemp("drawn"))


@pytest.fixture
def views(drawn: Dataset, tmp_path: Path) -> Iterator[Views]:
    made = Views(drawn.train, SMALL, 5, folder=tmp_path, processes=2)
    yield made
    made.close()


def worker_ids() -> list[int]:
    """Processes of this one that read pictures."""
    return [
        child.pid
        for child in psutil.Process().children()
        if "edgefit_toolkit.training.inputs.reading" in child.cmdline()
    ]


def made(views: Views, number: int, size: int) -> Pixels:
    return np.concatenate(list(views.batches(range(len(views)), number, size)))


def test_processes_make_the_pictures_that_threads_make(drawn: Dataset, views: Views) -> None:
    by_threads = Views(drawn.train, SMALL, 5)
    for number, size in ((CROP, 7), (0, 36), (3, 1)):
        assert (made(views, number, size) == made(by_threads, number, size)).all()
    assert len(worker_ids()) == 2
    views.close()
    assert worker_ids() == []


def test_a_training_is_the_same_by_processes(drawn: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TrainSettings(epochs=1, views=1, unfreeze_from=0, batch=16)
    found = []
    for processes in (0, 2):
        monkeypatch.setattr(Compute, "reading_processes", processes)
        found.append(fine_tune(fresh_network(), drawn, settings).network.state_dict())
    assert all((found[0][name] == found[1][name]).all() for name in found[0])
    assert worker_ids() == []


def test_no_batch_is_touched_while_it_is_used() -> None:
    reading = Reading(lambda picture, view: np.full((8, 8, 3), 10 * picture + view, np.uint8), 8)
    parts = [[(picture, at) for picture in range(3)] for at in range(3 * AHEAD)]
    kept = list(reading.batches(parts))
    assert [batch[:, 0, 0, 0].tolist() for batch in kept] == [[at, 10 + at, 20 + at] for at in range(3 * AHEAD)]
    assert list(reading.batches([])) == []


def test_what_is_left_in_the_middle_can_be_begun_again(views: Views) -> None:
    whole = made(views, 1, 4)
    broken_off = views.batches(range(len(views)), 1, 4)
    next(broken_off)
    broken_off.close()  # type: ignore[attr-defined]
    assert (made(views, 1, 4) == whole).all()


def test_a_fault_of_a_process_is_the_caller_s(tmp_path: Path) -> None:
    drawn = drawn_dataset(tmp_path)
    Path(drawn.train[5].place).unlink()
    reading = Crops(drawn.train, SMALL).reading(2)
    with pytest.raises(DataError, match="cannot be read any more: there is no such file"):
        list(reading.batches(in_order(range(12), 4)))
    assert len(list(reading.batches(in_order(range(4), 4)))) == 1  # and it goes on
    reading.close()


class Elsewhere:
    """Can be pickled, and cannot be made again in another process."""

    def __call__(self, picture: int, view: int) -> Pixels:
        return np.zeros((8, 8, 3), np.uint8)

    def __reduce__(self) -> tuple[object, ...]:
        return getattr, ("a text", "no such thing")


def test_what_cannot_be_sent_is_said() -> None:
    reading = Reading(Elsewhere(), 8, processes=1)
    with pytest.raises(AttributeError, match="no such thing"):
        list(reading.batches([[(0, 0)]]))
    reading.close()


def test_a_killed_process_is_one_clear_message(drawn: Dataset) -> None:
    reading = Crops(drawn.train, SMALL).reading(1)
    batches = reading.batches(in_order(range(36), 4))
    next(batches)
    os.kill(worker_ids()[0], signal.SIGKILL)
    with pytest.raises(TrainingError, match="a process that reads pictures was killed"):
        list(batches)
    with pytest.raises(TrainingError):
        list(reading.batches(in_order(range(36), 4)))
    reading.close()


def test_the_processes_end_with_whoever_began_them(drawn: Dataset) -> None:
    folder = Path(drawn.train[0].place).parent
    program = f"""
import sys, time
from edgefit_toolkit.data.readers.folder import file_picture
from edgefit_toolkit.records import Preprocessing
from edgefit_toolkit.training.inputs.views import Crops, in_order
from pathlib import Path
photos = [file_picture(file) for file in sorted(Path({str(folder)!r}).iterdir())]
reading = Crops(photos, Preprocessing(resolution_px=32)).reading(2)
list(reading.batches(in_order(range(4), 2)))
print("read", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"read\n"
        children = psutil.Process(running.pid).children()
        assert len(children) == 2
        running.kill()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []


def test_a_cpu_is_read_for_by_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert choose_compute("cpu").reading_processes == 0
    gpu = Compute("cuda", "a GPU", bf16_forward=True, bf16_training=True)
    assert gpu.reading_processes == 15
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert gpu.reading_processes == 3
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert gpu.reading_processes == 0
