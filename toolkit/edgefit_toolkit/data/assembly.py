"""Pictures that a source offers become a data set: checked one by one, counted, split. Broken ones are left out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgefit_toolkit.data import class_names, splits
from edgefit_toolkit.data.checks import copies, leaks, sentences
from edgefit_toolkit.data.checks.check import Classes, Offered, check
from edgefit_toolkit.data.dataset import SPLITS, About, Dataset, Photos, joined
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.progress import Progress


def assemble(
    offered: Mapping[str, Offered],
    about: About,
    *,
    seed: int,
    cache_dir: Path | None = None,
    on_progress: Progress | None = None,
) -> Dataset:
    """Checks and splits what a source offers: part -> class -> pictures.

    The parts are "all", which is split here by `seed`, or "train" with "val" and "test" as far as the source has them.
    Raises DataError when the classes or their numbers cannot make a classifier.
    """
    where, said = about.where, list(about.notes)
    for part_classes in offered.values():
        fault = class_names.fault_among(list(part_classes))
        if fault is not None:
            raise DataError(f"{where}: {fault}", f"rename it: {class_names.RULE}")
    labels = {name: label for label, name in enumerate(offered.get("all") or offered["train"])}
    found = check(offered, where, labels, cache_dir, on_progress)
    usable, skipped = found.usable, found.skipped
    said += found.notes
    if not {"train", "val", "test"} <= set(usable):  # what is split here must hold each picture once
        source = "all" if "all" in usable else "train"
        usable[source], repeated = copies.once(usable[source])
        skipped += repeated
    copies.group([photos for classes in usable.values() for photos in classes.values()], found.looks)
    del found  # the looks themselves are of no more use
    parts = _into_parts(where, usable, len(skipped), seed, said)
    said += leaks.sentences(parts)
    classes = tuple(parts["train"])
    digest = hashlib.sha256()
    photos: dict[str, Photos] = {}
    for part in SPLITS:
        photos[part] = joined(list(parts.pop(part).values()))
        for photo in photos[part]:
            line = f"{part}/{classes[photo.label]}/{photo.name} {photo.sha256}\n"
            digest.update(line.encode())
    if len(photos["test"]) < 50:
        said.append(
            f"only {len(photos['test'])} test pictures: one of them is "
            f"{100 / len(photos['test']):.1f} points of accuracy"
        )
    return Dataset(
        name=about.name,
        kind=about.kind,
        classes=classes,
        train=photos["train"],
        val=photos["val"],
        test=photos["test"],
        skipped=tuple(sorted(skipped, key=lambda s: s.place)),
        notes=tuple(said),
        license=about.license,
        credits=about.credits,
        sha256=digest.hexdigest(),
    )


def _into_parts(
    where: str, usable: dict[str, Classes], n_skipped: int, seed: int, notes: list[str]
) -> dict[str, Classes]:
    """Train, val and test; near copies of one class together where they are split here.

    A class with too few pictures for a split is in train alone.
    """
    source = usable.get("all") or usable["train"]
    if len(source) < 2:
        raise DataError(
            f"{where} has the single class {next(iter(source))!r}; a classifier needs two or more",
            "add a folder for each thing it must be told from",
        )
    for label, photos in source.items():
        if not photos:
            raise DataError(
                f"class {label!r} in {where} has no usable photograph ({n_skipped} files were skipped)",
                "add photographs to it or remove the folder",
            )
    given = {part: _given(where, source, part, usable[part]) for part in ("val", "test") if part in usable}
    total = sum(map(len, source.values()))
    val_share = 0.0 if "val" in usable else splits.share_of(splits.VAL_SHARE, total)
    test_share = 0.0 if "test" in usable else splits.share_of(splits.TEST_SHARE, total)
    least = splits.needed(val_share, test_share)
    different = {label: len(np.unique(photos.held["group"])) for label, photos in source.items()}
    small = {label for label, count in different.items() if count < least}
    if len(source) - len(small) < 2:
        named = ", ".join(
            f"{label} has {different[label]}"
            + (f" ({len(source[label])} with near copies)" if len(source[label]) > different[label] else "")
            for label in source
            if label in small
        )
        raise DataError(
            f"two classes and more need at least {least} usable photographs to be split: {named}",
            "add photographs to these classes or remove them; 30 and more of each give useful figures",
        )
    parts: dict[str, Classes] = {"train": dict(source), "val": {}, "test": {}}
    for label, photos in source.items():
        if label not in small:
            rows = splits.split_rows(photos.held["group"], label, seed, val_share, test_share)
            for part, chosen in zip(SPLITS, rows, strict=True):
                parts[part][label] = photos[chosen]
    if least > 1:
        notes += leaks.kept_together(source)
    for part, share in (("val", val_share), ("test", test_share)):
        if part in given:
            places = {label: range(len(photos)) for label, photos in given[part].items()}
            kept, left_out = splits.sample(places, splits.MOST_JUDGED, seed)
            parts[part] = {label: given[part][label][rows] for label, rows in kept.items()}
            notes += sentences.sampled(part, parts[part], left_out)
        else:
            notes += sentences.set_aside(part, share, whole="all" in usable)
    notes += sentences.not_tested(source, parts["test"], least)
    return {part: {label: classes.get(label, source[label][:0]) for label in source} for part, classes in parts.items()}


def _given(where: str, source: Classes, part: str, classes: Classes) -> Classes:
    """A split that the source brings: at least two of the classes that are trained on, and no other."""
    unknown = sorted(set(classes) - set(source))
    missing = sorted(name for name in source if not classes.get(name))
    if unknown or len(source) - len(missing) < 2:
        said = [f"{part} lacks {', '.join(missing)}"] if missing else []
        said += [f"{part} has {', '.join(unknown)}, which train lacks"] if unknown else []
        raise DataError(
            f"the splits of {where} differ in their classes: {'; '.join(said)}",
            "name the class folders alike in every split",
        )
    return {name: photos for name, photos in classes.items() if photos}
