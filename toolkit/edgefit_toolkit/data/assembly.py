"""Pictures that a source offers become a data set: checked one by one, counted, split. Broken ones are left out."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from edgefit_toolkit.data import class_names, decoding, leaks, near_copies, splits
from edgefit_toolkit.data.dataset import SPLITS, Candidate, Dataset, Kind, Photo, Skipped
from edgefit_toolkit.data.near_copies import Look
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.progress import Progress

Offered = Mapping[str, Sequence[Candidate]]  # class -> its pictures
Classes = dict[str, list[Photo]]


def assemble(
    offered: Mapping[str, Offered],
    *,
    where: str,
    name: str,
    seed: int,
    kind: Kind = "photographs",
    license: str = "",
    credits: str = "",
    notes: Sequence[str] = (),
    on_progress: Progress | None = None,
) -> Dataset:
    """Checks and splits what a source offers: part -> class -> pictures.

    The parts are "all", which is split here by `seed`, or "train" with "val" and "test" as far as the source has them.
    `where` is what messages call the source. Raises DataError when the classes or their numbers cannot make a
    classifier.
    """
    said = list(notes)
    for part_classes in offered.values():
        fault = class_names.fault_among(list(part_classes))
        if fault is not None:
            raise DataError(f"{where}: {fault}", f"rename it: {class_names.RULE}")
    usable, looks, skipped = check(offered, on_progress)
    if not {"train", "val", "test"} <= set(usable):  # what is split here must hold each picture once
        source = "all" if "all" in usable else "train"
        usable[source], repeated = _without_repeats(usable[source])
        skipped += repeated
    groups = _groups(usable, looks)
    parts = _into_parts(where, usable, groups, len(skipped), seed, said)
    said += leaks.sentences(parts, groups)
    classes = tuple(parts["train"])
    digest = hashlib.sha256()
    photos: dict[str, tuple[Photo, ...]] = {}
    for part in SPLITS:
        photos[part] = tuple(photo for class_name in classes for photo in parts[part][class_name])
        for photo in photos[part]:
            line = f"{part}/{classes[photo.label]}/{photo.name} {photo.sha256}\n"
            digest.update(line.encode())
    if len(photos["test"]) < 50:
        said.append(
            f"only {len(photos['test'])} test pictures: one of them is "
            f"{100 / len(photos['test']):.1f} points of accuracy"
        )
    return Dataset(
        name=name,
        kind=kind,
        classes=classes,
        train=photos["train"],
        val=photos["val"],
        test=photos["test"],
        skipped=tuple(sorted(skipped, key=lambda s: s.place)),
        notes=tuple(said),
        license=license,
        credits=credits,
        sha256=digest.hexdigest(),
    )


def check(
    offered: Mapping[str, Offered], on_progress: Progress | None
) -> tuple[dict[str, Classes], dict[str, Look], list[Skipped]]:
    """Decodes every picture to its end, in threads: the usable ones by part and class, what each looks like by its
    hash, and the others. Labels count the classes of each part in their order."""
    flat = [
        (part, class_name, label, picture)
        for part, classes in offered.items()
        for label, (class_name, pictures) in enumerate(classes.items())
        for picture in pictures
    ]
    usable: dict[str, Classes] = {part: {name: [] for name in classes} for part, classes in offered.items()}
    looks: dict[str, Look] = {}
    skipped: list[Skipped] = []
    workers = min(32, (os.cpu_count() or 1) + 2)
    with decoding.quiet_pillow(), ThreadPoolExecutor(workers) as pool:
        results = pool.map(lambda entry: _judge(entry[3], entry[2]), flat)
        for done, ((part, class_name, _, _), result) in enumerate(zip(flat, results, strict=True), start=1):
            if isinstance(result, Skipped):
                skipped.append(result)
            else:
                photo, looks[photo.sha256] = result
                usable[part][class_name].append(photo)
            if on_progress is not None:
                on_progress("checking photographs", done, len(flat))
    return usable, looks, skipped


def _judge(picture: Candidate, label: int) -> tuple[Photo, Look] | Skipped:
    digest = hashlib.sha256()
    try:
        with picture.open() as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        small = decoding.check(picture)
    except OSError as error:
        return Skipped(picture.name, picture.place, f"cannot be read: {error.strerror}")
    except decoding.BrokenPicture as broken:
        return Skipped(picture.name, picture.place, str(broken))
    photo = Photo(
        name=picture.name,
        place=picture.place,
        opener=picture.opener,
        credit=picture.credit,
        label=label,
        sha256=digest.hexdigest(),
    )
    return photo, near_copies.look_of(small)


def _groups(usable: Mapping[str, Classes], looks: Mapping[str, Look]) -> dict[str, int]:
    """Hash -> the number of its group of near copies."""
    hashes = list(dict.fromkeys(p.sha256 for classes in usable.values() for photos in classes.values() for p in photos))
    return dict(zip(hashes, near_copies.groups_of([looks[sha256] for sha256 in hashes]), strict=True))


def _into_parts(
    where: str, usable: dict[str, Classes], groups: Mapping[str, int], n_skipped: int, seed: int, notes: list[str]
) -> dict[str, Classes]:
    """Train, val and test, each with every class; near copies of one class together where they are split here."""
    source = usable.get("all") or usable["train"]
    if len(source) < 2:
        raise DataError(
            f"{where} has the single class {next(iter(source))!r}; a classifier needs two or more",
            "add a folder for each thing it must be told from",
        )
    for part, classes in usable.items():
        _same_classes(where, source, part, classes)
        for label, photos in classes.items():
            if not photos:
                named = label if part == "all" else f"{part}/{label}"
                raise DataError(
                    f"class {named!r} in {where} has no usable photograph ({n_skipped} files were skipped)",
                    "add photographs to it or remove the folder",
                )
    val_share = 0.0 if "val" in usable else splits.VAL_SHARE
    test_share = 0.0 if "test" in usable else splits.TEST_SHARE
    least = splits.needed(val_share, test_share)
    different = {label: len({groups[photo.sha256] for photo in photos}) for label, photos in source.items()}
    small = [label for label, count in different.items() if count < least]
    if small:
        named = ", ".join(
            f"{label} has {different[label]}"
            + (f" ({len(source[label])} with near copies)" if len(source[label]) > different[label] else "")
            for label in small
        )
        raise DataError(
            f"every class needs at least {least} usable photographs to be split: {named}",
            "add photographs to these classes or remove them; 30 and more of each give useful figures",
        )
    train, val, test = splits.split_classes(source, seed, val_share, test_share, lambda photo: groups[photo.sha256])
    if least > 1:
        notes += leaks.kept_together(source, groups)
    if "all" not in usable:
        for part, share in (("val", val_share), ("test", test_share)):
            if share:
                notes.append(f"there is no {part} split: {share:.0%} of train was set aside for it")
    return {"train": train, "val": usable.get("val", val), "test": usable.get("test", test)}


def _same_classes(where: str, source: Classes, part: str, classes: Classes) -> None:
    unknown, missing = sorted(set(classes) - set(source)), sorted(set(source) - set(classes))
    if unknown or missing:
        said = [f"{part} lacks {', '.join(missing)}"] if missing else []
        said += [f"{part} has {', '.join(unknown)}, which train lacks"] if unknown else []
        raise DataError(
            f"the splits of {where} differ in their classes: {'; '.join(said)}",
            "name the class folders alike in every split",
        )


def _without_repeats(classes: Classes) -> tuple[Classes, list[Skipped]]:
    """Each photograph once, so that the split made here cannot leak; none that two classes claim."""
    owners: dict[str, list[tuple[str, Photo]]] = defaultdict(list)
    for class_name, photos in classes.items():
        for photo in photos:
            owners[photo.sha256].append((class_name, photo))
    reasons: dict[int, str] = {}
    for copies in owners.values():
        claims = sorted({class_name for class_name, _ in copies})
        if len(claims) > 1:
            reasons |= {id(p): f"the same picture is in the classes {' and '.join(claims)}" for _, p in copies}
        else:
            reasons |= {id(p): f"an exact copy of {copies[0][1].name}" for _, p in copies[1:]}
    skipped = [
        Skipped(photo.name, photo.place, reasons[id(photo)])
        for photos in classes.values()
        for photo in photos
        if id(photo) in reasons
    ]
    return {name: [p for p in photos if id(p) not in reasons] for name, photos in classes.items()}, skipped
