"""Photographs of other things (`--other DIR`): one more class that is never named, so that they are turned away."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgefit_toolkit.data import splits
from edgefit_toolkit.data.checks import copies
from edgefit_toolkit.data.checks.check import check
from edgefit_toolkit.data.dataset import SPLITS, Dataset, joined
from edgefit_toolkit.data.readers.folder import file_picture
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.progress import Progress, plain

OTHER = "none of these"
LEAST = 20  # photographs; with fewer neither training nor the test says anything


def with_others(
    dataset: Dataset,
    folder: Path,
    *,
    seed: int,
    cache_dir: Path | None = None,
    on_progress: Progress | None = None,
) -> Dataset:
    """The data set with the photographs below `folder` as its last class, OTHER, split as a class is.

    Copies of each other or of the data set's own pictures are left out; of more photographs than the data set has,
    as many are drawn by `seed`. Raises DataError where there are too few, or the data set has a class of that name.
    """
    if OTHER in dataset.classes:
        raise DataError(f"{dataset.name} has a class {OTHER!r} already", "leave out --other, or rename the class")
    if not folder.is_dir():
        raise DataError(f"there is no folder {plain(str(folder))}", "name one of any other photographs")
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    offered = {"all": {OTHER: [file_picture(file) for file in files]}}
    found = check(offered, str(folder), {OTHER: len(dataset.classes)}, cache_dir, on_progress)
    usable = found.usable["all"][OTHER]
    rows = {photo.sha256: row for row, photo in enumerate(usable)}
    for split in SPLITS:
        for photo in dataset.split(split):
            rows.pop(photo.sha256, None)
    fresh = usable[list(rows.values())]
    most = sum(len(dataset.split(split)) for split in SPLITS)
    if len(fresh) > most:
        drawn = np.random.default_rng(seed).choice(len(fresh), most, replace=False)
        fresh = fresh[np.sort(drawn)]
    if len(fresh) < LEAST:
        raise DataError(
            f"{plain(str(folder))} holds {len(fresh)} usable photographs that are not the data set's own",
            f"{LEAST} are the fewest, a few hundred of all sorts are useful",
        )
    copies.group([fresh], found.looks)
    val_share, test_share = (splits.share_of(share, most) for share in (splits.VAL_SHARE, splits.TEST_SHARE))
    parts = splits.split_rows(fresh.held["group"], OTHER, seed, val_share, test_share)
    label = len(dataset.classes)
    digest, more = hashlib.sha256(dataset.sha256.encode()), {}
    for split, chosen in zip(SPLITS, parts, strict=True):
        more[split] = joined([dataset.split(split), fresh[chosen]])
        for photo in fresh[chosen]:
            digest.update(f"{split}/{OTHER}/{photo.name} {photo.sha256}\n".encode())
    note = f"{len(fresh)} photographs of other things are the class {OTHER!r}, which is turned away and never named"
    return replace(
        dataset, classes=(*dataset.classes, OTHER), train=more["train"], val=more["val"], test=more["test"],
        skipped=(*dataset.skipped, *found.skipped), notes=(*dataset.notes, *found.notes, note),
        sha256=digest.hexdigest(), other=label,
    )  # fmt: skip
