"""When a stage runs again, and what it says then: real trainings of a tiny job in one run directory."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.training_parts import drawn_dataset, variant

import edgefit_benchmarks
import edgefit_converters
import edgefit_toolkit
from edgefit_toolkit.files import sha256_of
from edgefit_toolkit.host import environment
from edgefit_toolkit.pipeline.run_directory.run import Run, open_run
from edgefit_toolkit.pipeline.run_directory.source_digest import Tree
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.pipeline.stages import stage
from edgefit_toolkit.pipeline.stages.job import Job
from edgefit_toolkit.pipeline.stages.train import Train, Trained
from edgefit_toolkit.progress import Silent
from edgefit_toolkit.training import settings

Again = Callable[[], tuple[Trained, list[str]]]


class Told(Silent):
    """A Ui that keeps what was resumed and noted."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.worked: set[str] = set()

    def progress(self, label: str, done: int, total: int, detail: str = "") -> None:
        self.worked.add(label)

    def stage(self, number: int, total: int, title: str, *, resumed: bool = False) -> None:
        self.lines.append("done before" if resumed else title)

    def note(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def again(tmp_path: Path) -> Iterator[Again]:
    """Trains, or finds what was trained; the result and what was said."""
    dataset = drawn_dataset(tmp_path, train=4, val=4, test=4)
    choices = FitSettings(30.0, "pixel7", epochs=0, offline=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more only wait for each other in so small a job

    def go() -> tuple[Trained, list[str]]:
        told = Told()
        with open_run(tmp_path / "run", settings={}, environment=environment()) as run:
            return Train(Job(choices, run, told, variant(), dataset)).run(), told.lines

    yield go
    torch.set_num_threads(threads)


def reasons(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("train again")]


def test_an_unchanged_repetition_reuses_what_was_trained(again: Again, tmp_path: Path) -> None:
    first, lines = again()
    assert lines[0].startswith("fine-tune")
    assert not reasons(lines)
    checkpoint = sha256_of(tmp_path / "run" / "checkpoint.safetensors")
    second, lines = again()
    assert lines == ["done before"]
    assert second == first
    assert sha256_of(tmp_path / "run" / "checkpoint.safetensors") == checkpoint


def test_another_learning_rate_trains_again_and_says_so(again: Again, monkeypatch: pytest.MonkeyPatch) -> None:
    again()
    usual = settings.TrainSettings.default_for

    def hotter(*args: object) -> settings.TrainSettings:
        return replace(usual(*args), lr=2e-4)

    monkeypatch.setattr(settings.TrainSettings, "default_for", hotter)
    trained, lines = again()
    assert reasons(lines) == ["train again: settings.lr 0.0001 -> 0.0002"]
    assert trained.training.settings.lr == 2e-4
    assert again()[1] == ["done before"]


def test_a_changed_line_of_the_augmentation_trains_again_and_says_so(
    again: Again, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again()
    packages = (edgefit_toolkit, edgefit_converters, edgefit_benchmarks)
    folders = {p.__name__: Path(shutil.copytree(p.__path__[0], tmp_path / p.__name__)) for p in packages}
    source = folders["edgefit_toolkit"] / "data" / "augmentation.py"
    monkeypatch.setattr(stage, "sources_of", Tree(folders).sources_of)
    assert again()[1] == ["done before"]  # the same sources, somewhere else
    source.write_text(source.read_text() + "\nBRIGHTNESS = 2.0\n")
    monkeypatch.setattr(stage, "sources_of", Tree(folders).sources_of)
    assert reasons(again()[1]) == ["train again: toolkit/data/augmentation.py changed"]


def test_what_merely_shows_a_run_is_no_reason() -> None:
    found = stage.sources_of(Train.__module__)
    assert not [name for name in found if name.startswith(("toolkit/cli", "toolkit/report", "toolkit/serve", "bench"))]


def test_a_death_before_the_manifest_has_the_training_trains_no_epoch_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = drawn_dataset(tmp_path, train=4, val=4, test=4)
    choices = FitSettings(30.0, "pixel7", epochs=1, offline=True)

    def train(out: Path) -> Told:
        told = Told()
        with open_run(out, settings={}, environment=environment()) as run:
            Train(Job(choices, run, told, variant(), dataset)).run()
        return told

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        undisturbed, out = tmp_path / "undisturbed", tmp_path / "run"
        assert "fine-tuning epoch 1 of 1" in train(undisturbed).worked
        with monkeypatch.context() as patch:
            patch.setattr(Run, "finish", dies)
            with pytest.raises(KeyboardInterrupt):
                train(out)
        (state,) = (out / "training-state").iterdir()
        shutil.copytree(state, tmp_path / "left")
        (state.parent / "given up").mkdir()
        told = train(out)
        assert "resumed after epoch 1" in told.lines
        assert not {"features", "linear probe", "fine-tuning epoch 1 of 1"} & told.worked
        assert (out / "checkpoint.safetensors").read_bytes() == (undisturbed / "checkpoint.safetensors").read_bytes()
        assert not state.parent.exists()
        shutil.copytree(tmp_path / "left", state)  # as after a death between the manifest's entry and its removal
        others = state.with_name("of another training that was killed")
        others.mkdir()
        assert train(out).lines == ["done before"]
        assert list(others.parent.iterdir()) == [others]
    finally:
        torch.set_num_threads(threads)
