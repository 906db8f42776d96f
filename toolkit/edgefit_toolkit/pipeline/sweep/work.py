"""One piece of a sweep's work: some stages of one run, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.errors import EdgefitError
from edgefit_toolkit.pipeline.fit import run_stages
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.pipeline.stages import data
from edgefit_toolkit.progress import Ui

Load = Callable[[FitSettings, Ui, int], Dataset]


@dataclass(frozen=True)
class Work:
    """The stages of one run up to number `last`."""

    name: str  # for people
    settings: FitSettings
    run_dir: str
    command: str
    last: int
    donor: str | None = None


@dataclass(frozen=True)
class Failure:
    """Why there is no result, in the words of the error."""

    message: str
    hint: str
    exit_code: int

    @classmethod
    def of(cls, error: EdgefitError) -> Failure:
        """What the command line would say of it."""
        return cls(error.message, error.hint, error.exit_code)


def do(work: Work, ui: Ui, load: Load = data.load) -> Failure | None:
    """Does it; what edgefit refuses on purpose is a result, a fault of its own is raised."""
    donor = None if work.donor is None else Path(work.donor)
    try:
        run_stages(
            work.settings, Path(work.run_dir), ui, command=work.command, last=work.last, donor=donor, load=load
        )  # fmt: skip
    except EdgefitError as error:
        return Failure.of(error)
    return None


def read_once() -> Load:
    """Stage 2 for many runs of the same pictures: they are found, checked and split once a seed."""
    known: dict[tuple[str | None, int], Dataset] = {}

    def load(settings: FitSettings, ui: Ui, last: int) -> Dataset:
        place = settings.data, settings.seed
        if place not in known:
            known[place] = data.load(settings, ui, last)
        return known[place]

    return load


class Nested:
    """The Ui of a run inside a sweep: its stages are notes there."""

    def __init__(self, ui: Ui) -> None:
        self.ui = ui

    def stage(self, number: int, total: int, title: str, *, resumed: bool = False) -> None:
        """What takes long is worth a line; what was done before is not."""
        if not resumed:
            self.ui.note(title)

    def progress(self, label: str, done: int, total: int, detail: str = "") -> None:
        """Passed on."""
        self.ui.progress(label, done, total, detail)

    def note(self, text: str) -> None:
        """It stands in the run's own report."""

    def warn(self, text: str) -> None:
        """Passed on."""
        self.ui.warn(text)
