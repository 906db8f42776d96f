"""Stage 2: the pictures. Read anew by every run, which is how one notices that they have changed."""

from __future__ import annotations

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.data.sources import load_dataset
from edgefit_toolkit.data.taxonomy import Taxonomy
from edgefit_toolkit.data.taxonomy_table import find_taxonomy
from edgefit_toolkit.errors import InputError
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


def taxonomy(settings: FitSettings, dataset: Dataset, ui: Ui) -> Taxonomy | None:
    """The tree over the data set's classes, where there is a table of one.

    Raises DataError for a table that is none or does not fit, InputError for a precision that is no share.
    """
    if not 0 < settings.precision <= 1:
        raise InputError(f"a precision of {settings.precision:g} is no share", "valid: above 0, at most 1, such as .95")
    found = find_taxonomy(settings.taxonomy, settings.data, dataset.classes)
    if found is not None:
        counted = [f"{span.stop - span.start} {rank}" for rank, span in zip(found.ranks, found.spans, strict=True)]
        ui.note(f"taxonomy, names of each rank: {', '.join(counted)}")
    return found
