"""The largest released network that a machine can afford as a teacher: the rule, what is said, what a run keeps."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.one_thread import one_thread  # noqa: F401  (a fixture)
from support.training_parts import drawn_dataset, variant

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.host import environment
from edgefit_toolkit.network import catalogue, scaling
from edgefit_toolkit.pipeline.run_directory.run import open_run
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.pipeline.stages.job import Job
from edgefit_toolkit.pipeline.stages.train import Train
from edgefit_toolkit.pipeline.teacher import Choice, largest_affordable
from edgefit_toolkit.progress import Silent
from edgefit_toolkit.training.affordable import TIMES, Candidate, TrainingWork, candidates
from edgefit_toolkit.training.settings import TrainSettings

GB = 10**9
CHOICES = FitSettings(30.0, "pixel7", teacher="auto", epochs=1, offline=True)


def work(phi: float, pictures: int, family: str = "lite", device: str = "cpu") -> TrainingWork:
    own = scaling.variant_from_phi(phi, family, 10)
    return TrainingWork(own, TrainSettings.default_for(own, pictures, device), pictures, device)  # type: ignore[arg-type]


works = st.builds(
    work, st.floats(-8, 5), st.integers(2, 500_000), st.sampled_from(["lite", "b"]), st.sampled_from(["cpu", "cuda"])
)


def afforded(some: TrainingWork, memory_bytes: int) -> list[Candidate]:
    return [one for one in candidates(some) if not one.too_much(memory_bytes)]


@given(works, st.integers(0, 100 * GB), st.integers(0, 100 * GB))
def test_a_teacher_is_larger_and_more_memory_never_gets_a_smaller_one(some: TrainingWork, one: int, two: int) -> None:
    found = candidates(some)
    assert all(other.variant.madds > some.variant.madds for other in found)
    assert all(other.variant.family == some.variant.family for other in found)
    costs = [(other.variant.madds, other.times) for other in found]
    assert costs == sorted(costs)
    less, more = afforded(some, min(one, two)), afforded(some, max(one, two))
    assert all(other in more for other in less)
    assert all(other.most >= TIMES for other in found)
    assert all(other.times <= other.most for other in more)


@given(st.floats(-8, 3), st.integers(2, 500_000), st.integers(1, 50), st.integers(0, 50))
def test_more_training_never_gets_a_smaller_one(phi: float, pictures: int, epochs: int, more: int) -> None:
    """Of cached views the teacher answers each once, however often they are trained on."""
    some = work(phi, pictures)
    shorter, longer = (
        dataclasses.replace(some, settings=dataclasses.replace(some.settings, epochs=number))
        for number in (epochs, epochs + more)
    )
    assert len(afforded(longer, 100 * GB)) >= len(afforded(shorter, 100 * GB))


@pytest.mark.parametrize("phi", [-8, -4, 0])
def test_a_small_job_affords_every_lite(phi: float) -> None:
    assert [other.variant.released for other in afforded(work(phi, 280), 16 * GB)][-1] == "lite4"


def test_a_large_one_does_not() -> None:
    cpu, gpu = afforded(work(0, 25_000), 16 * GB), afforded(work(0, 25_000, device="cuda"), 16 * GB)
    assert [other.variant.released for other in cpu] == ["lite1", "lite2", "lite3"]
    assert [other.variant.released for other in gpu] == ["lite1", "lite2", "lite3", "lite4"]


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(catalogue, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def put_lite3(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that passes for Lite3's weights as long as nobody reads it."""
    cache.mkdir()
    known = catalogue.catalogue()
    (cache / known["lite3"].file).write_bytes(b"lite3")
    lite3 = dataclasses.replace(known["lite3"], sha256=hashlib.sha256(b"lite3").hexdigest())
    monkeypatch.setattr(catalogue, "catalogue", lambda: known | {"lite3": lite3})


def test_the_next_larger_one_and_why_not(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its weights, by its work, by its memory."""
    found = largest_affordable(work(0, 280), 16 * GB, allow_download=False)
    assert (found.what, found.identity) == ("lite2", "lite2")
    assert found.why == (
        "Lite2, the largest that this machine can afford: it costs 0.8 times as much as the training itself; "
        f"Lite3 is larger, but its weights could not be had ({catalogue.OFFLINE})"
    )
    put_lite3(empty_cache, monkeypatch)
    found = largest_affordable(work(0, 25_000), 16 * GB, allow_download=False)
    assert found.what == "lite3"
    assert "Lite4 would cost 5.2 times as much as the training itself, and 3.0 is the most" in found.why
    found = largest_affordable(work(0, 280), GB * 11 // 50, allow_download=False)
    assert found.what == "lite1"
    assert "Lite2 would take 0.1 GB of memory, more than 50% of the 0.2 GB that there are" in found.why


@pytest.mark.parametrize(
    ("some", "memory_bytes", "why"),
    [
        (work(3.9, 280), 16 * GB, "none: no released network is larger than lite phi=3.900"),
        (work(0, 280), GB // 100, "none: Lite1 would take 0.1 GB of memory"),
        (work(-4, 280, "b"), 16 * GB, "none: B0 is larger, but its weights could not be had (not on this machine"),
        (dataclasses.replace(work(0, 9), settings=TrainSettings(epochs=0)), 16 * GB, "none: nothing is fine-tuned"),
    ],
)
def test_where_there_is_none_the_reason_is_said(
    some: TrainingWork, memory_bytes: int, why: str, empty_cache: Path
) -> None:
    found = largest_affordable(some, memory_bytes, allow_download=False)
    assert (found.what, found.identity) == ("", "")
    assert found.why.startswith(why)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return drawn_dataset(tmp_path_factory.mktemp("drawn"), train=2, val=2, test=1)


def chosen(run_dir: Path, dataset: Dataset, choices: FitSettings = CHOICES) -> Choice:
    with open_run(run_dir, settings={}, environment=environment()) as run:
        return Train(Job(choices, run, Silent(), variant(), dataset)).teacher


def test_a_run_keeps_its_choice(
    empty_cache: Path, drawn: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = chosen(tmp_path / "run", drawn)
    assert first.what == "lite2"
    put_lite3(empty_cache, monkeypatch)
    assert chosen(tmp_path / "run", drawn) == first
    assert chosen(tmp_path / "another", drawn).what == "lite3"
    longer = dataclasses.replace(CHOICES, epochs=2)
    assert chosen(tmp_path / "run", drawn, longer).what == "lite3"  # another training chooses anew


def test_the_training_says_who_taught_it(
    empty_cache: Path, drawn: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=GB // 5))
    with open_run(tmp_path / "run", settings={}, environment=environment()) as run:
        found = Train(Job(CHOICES, run, Silent(), variant(), drawn)).run().training
    assert found.settings.teacher == "lite0"
    assert found.teacher.startswith("Lite0, the largest that this machine can afford")
    assert "Lite1 would take 0.1 GB of memory, more than 50% of the 0.2 GB that there are" in found.teacher
    assert [line.phase for line in found.trace] == ["probe", "finetune"]
    named = dataclasses.replace(CHOICES, teacher="Lite0")
    with open_run(tmp_path / "run", settings={}, environment=environment()) as run:
        again = Train(Job(named, run, Silent(), variant(), drawn))
        assert run.done("train", again.key, again.result) is not None  # who is named by hand is the same teacher
