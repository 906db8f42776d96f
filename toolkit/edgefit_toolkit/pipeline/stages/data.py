"""Stage 2: the pictures. Read anew by every run, which is how one notices that they have changed."""

from __future__ import annotations

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.data.sources import load_dataset
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.progress import Ui


def load(settings: FitSettings, ui: Ui, last: int) -> Dataset:
    """The data set, with every skipped file named. Raises DataError and DownloadError."""
    ui.stage(2, last, "data: find, check and split the pictures")
    dataset = load_dataset(settings.data, seed=settings.seed, on_progress=ui.progress)
    ui.note(dataset.summary)
    for skipped in dataset.skipped[:10]:
        ui.warn(f"skipped {skipped.place}: {skipped.reason}")
    if len(dataset.skipped) > 10:
        ui.warn(f"and {len(dataset.skipped) - 10} more; the report lists them all")
    for note in dataset.notes:
        ui.note(note)
    return dataset
