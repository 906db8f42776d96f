"""Stage 2: the pictures. Read anew by every run, which is how one notices that they have changed."""

from __future__ import annotations

from pathlib import Path

from edgefit_toolkit.data.answers.places import Places, find_places
from edgefit_toolkit.data.answers.taxonomy import Taxonomy
from edgefit_toolkit.data.answers.taxonomy_table import find_taxonomy, of_groups
from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.data.others import with_others
from edgefit_toolkit.data.readers.folder import groups_of
from edgefit_toolkit.data.sources import load_dataset, user_cache
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.progress import Ui


def load(settings: FitSettings, ui: Ui, last: int) -> Dataset:
    """The data set, with every skipped file named. Raises DataError and DownloadError."""
    ui.stage(2, last, "data: find, check and split the pictures")
    dataset = load_dataset(settings.data, seed=settings.seed, on_progress=ui.progress)
    if settings.other is not None:
        folder = Path(settings.other).expanduser()
        dataset = with_others(dataset, folder, seed=settings.seed, cache_dir=user_cache(), on_progress=ui.progress)
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
    found = find_taxonomy(settings.taxonomy, settings.data, _known(dataset))
    folder = Path(settings.data).expanduser() if settings.data is not None else None
    if found is None and folder is not None and folder.is_dir():
        found = of_groups(groups_of(folder), _known(dataset), str(folder))
    if found is not None:
        counted = [f"{span.stop - span.start} {rank}" for rank, span in zip(found.ranks, found.spans, strict=True)]
        ui.note(f"taxonomy, names of each rank: {', '.join(counted)}")
        if dataset.other >= 0:
            found = found.with_class(dataset.classes[dataset.other])
    return found


def places(settings: FitSettings, dataset: Dataset, ui: Ui) -> Places | None:
    """Where and when the classes occur, where there is a table of it. Raises DataError as `find_places` does."""
    found = find_places(settings.places, settings.data, _known(dataset))
    if found is not None:
        named = len({label for label, _, _ in found.rows})
        ui.note(f"places: {named} of {len(_known(dataset))} classes in {len(found.regions)} regions")
    return found


def _known(dataset: Dataset) -> tuple[str, ...]:
    """The classes without that of other things, which stands last."""
    return dataset.classes[: dataset.other] if dataset.other >= 0 else dataset.classes
