"""A folder of photographs: found, checked one by one, split. Broken files are named and left out.

DIR/<class>/*                      split here, by seed
DIR/{train,val,test}/<class>/*     the split that the folder says; a missing val or test is taken from train
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from edgefit_toolkit.data import splits
from edgefit_toolkit.data.dataset import SPLITS, Dataset, Kind, Photo, Skipped, StageProgress
from edgefit_toolkit.data.preprocessing import BROKEN_IMAGE, FORMATS, quiet_pillow, upright_rgb
from edgefit_toolkit.errors import DataError

LAYOUT_HINT = "expected DIR/<class>/<photographs> or DIR/{train,val,test}/<class>/<photographs>"
MIN_SIDE_PX = 16  # below this there is no plant to see
_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_IGNORED = {"thumbs.db", "desktop.ini", "__macosx"}  # with everything that starts with a dot

ClassFiles = dict[str, list[Path]]


@dataclass(frozen=True)
class _Checked:
    path: Path
    sha256: str
    fault: str | None


def load_folder(
    folder: Path,
    *,
    seed: int,
    name: str | None = None,
    kind: Kind = "photographs",
    license: str = "",
    credits: str = "",
    first_notes: Sequence[str] = (),
    on_progress: StageProgress | None = None,
) -> Dataset:
    """Reads, checks and splits the photographs of `folder`.

    Raises DataError when the folder, its classes or their numbers cannot make a classifier.
    """
    found, beside = _find(folder)
    notes = [*first_notes, *beside]
    files = [path for classes in found.values() for paths in classes.values() for path in paths]
    checked = {c.path: c for c in check_files(files, on_progress)}
    skipped = [Skipped(c.path, c.fault) for c in checked.values() if c.fault is not None]
    usable: dict[str, ClassFiles] = {
        part: {label: [p for p in paths if checked[p].fault is None] for label, paths in classes.items()}
        for part, classes in found.items()
    }
    if "all" in usable:
        usable["all"], repeated = _without_repeats(usable["all"], checked)
        skipped += repeated
    parts = _into_parts(folder, usable, len(skipped), seed, notes)
    notes += _leaks(folder, parts, checked)
    classes = tuple(parts["train"])
    digest = hashlib.sha256()
    photos: dict[str, tuple[Photo, ...]] = {}
    for part in SPLITS:
        photos[part] = tuple(Photo(path, label) for label, name_ in enumerate(classes) for path in parts[part][name_])
        for photo in photos[part]:
            line = f"{part}/{classes[photo.label]}/{photo.path.name} {checked[photo.path].sha256}\n"
            digest.update(line.encode(errors="surrogateescape"))
    if len(photos["test"]) < 50:
        notes.append(
            f"only {len(photos['test'])} test pictures: one of them is "
            f"{100 / len(photos['test']):.1f} points of accuracy"
        )
    return Dataset(
        name=name or folder.resolve().name,
        kind=kind,
        classes=classes,
        train=photos["train"],
        val=photos["val"],
        test=photos["test"],
        skipped=tuple(sorted(skipped, key=lambda s: str(s.path))),
        notes=tuple(notes),
        license=license,
        credits=credits,
        sha256=digest.hexdigest(),
    )


def _find(folder: Path) -> tuple[dict[str, ClassFiles], list[str]]:
    """Part ("all" or train, val, test) -> class -> files, and notes on what lies beside them."""
    files, folders = _listing(folder)
    by_part: dict[str, Path] = {}
    for sub in folders:
        part = _SPLIT_NAMES.get(sub.name.casefold())
        if part in by_part:
            raise DataError(f"{folder} has two {part} folders: {by_part[part].name} and {sub.name}", "keep one of them")
        if part is not None:
            by_part[part] = sub
    if not by_part:
        if not folders:
            what = f"{len(files)} files and no class folders" if files else "nothing"
            raise DataError(f"{folder} holds {what}", LAYOUT_HINT)
        notes = [f"{len(files)} files beside the class folders were not used"] if files else []
        return {"all": _class_files(folders)}, notes
    if "train" not in by_part:
        raise DataError(f"{folder} has {', '.join(p.name for p in by_part.values())} but no train folder", LAYOUT_HINT)
    notes = [f"folder {sub.name} is no split and was not used" for sub in folders if sub not in by_part.values()]
    found: dict[str, ClassFiles] = {}
    for part, sub in by_part.items():
        loose, class_folders = _listing(sub)
        if not class_folders:
            raise DataError(f"{sub} holds {len(loose)} files and no class folders", LAYOUT_HINT)
        found[part] = _class_files(class_folders)
    return found, notes


def _listing(folder: Path) -> tuple[list[Path], list[Path]]:
    """Files and folders of a folder by name, without hidden ones."""
    try:
        entries = sorted(folder.iterdir(), key=lambda p: p.name)
        shown = [p for p in entries if not p.name.startswith(".") and p.name.casefold() not in _IGNORED]
        return [p for p in shown if not p.is_dir()], [p for p in shown if p.is_dir()]
    except FileNotFoundError as error:
        raise DataError(
            f"there is no folder {folder}",
            "give --data a folder of photographs, 'flowers' (fetched once) or 'demo' (drawn here)",
        ) from error
    except NotADirectoryError as error:
        raise DataError(f"{folder} is a file, not a folder of photographs", LAYOUT_HINT) from error
    except OSError as error:
        raise DataError(
            f"cannot read the folder {folder}: {error.strerror}", "check that you may read and enter it"
        ) from error


def _class_files(class_folders: Sequence[Path]) -> ClassFiles:
    found: ClassFiles = {}
    for folder in class_folders:
        files, folders = _listing(folder)
        if not files:
            inside = f"only folders ({folders[0].name}, ...)" if folders else "nothing"
            raise DataError(f"class folder {folder} holds {inside}", f"add photographs or remove it; {LAYOUT_HINT}")
        found[folder.name] = files
    return found


def _into_parts(
    folder: Path, usable: dict[str, ClassFiles], n_skipped: int, seed: int, notes: list[str]
) -> dict[str, ClassFiles]:
    """Train, val and test, each with every class."""
    source = usable.get("all") or usable["train"]
    if len(source) < 2:
        raise DataError(
            f"{folder} has the single class {next(iter(source))!r}; a classifier needs two or more",
            "add a folder for each thing it must be told from",
        )
    for part, classes in usable.items():
        _same_classes(folder, source, part, classes)
        for label, paths in classes.items():
            if not paths:
                where = label if part == "all" else f"{part}/{label}"
                raise DataError(
                    f"class {where!r} in {folder} has no usable photograph ({n_skipped} files were skipped)",
                    "add photographs to it or remove the folder",
                )
    val_share = 0.0 if "val" in usable else splits.VAL_SHARE
    test_share = 0.0 if "test" in usable else splits.TEST_SHARE
    least = splits.needed(val_share, test_share)
    small = {label: len(paths) for label, paths in source.items() if len(paths) < least}
    if small:
        named = ", ".join(f"{label} has {count}" for label, count in small.items())
        raise DataError(
            f"every class needs at least {least} usable photographs to be split: {named}",
            "add photographs to these classes or remove them; 30 and more of each give useful figures",
        )
    train, val, test = splits.split_classes(source, seed, val_share, test_share)
    if "all" not in usable:
        for part, share in (("val", val_share), ("test", test_share)):
            if share:
                notes.append(f"the folder has no {part} split: {share:.0%} of train was set aside for it")
    return {"train": train, "val": usable.get("val", val), "test": usable.get("test", test)}


def _same_classes(folder: Path, source: ClassFiles, part: str, classes: ClassFiles) -> None:
    unknown, missing = sorted(set(classes) - set(source)), sorted(set(source) - set(classes))
    if unknown or missing:
        said = [f"{part} lacks {', '.join(missing)}"] if missing else []
        said += [f"{part} has {', '.join(unknown)}, which train lacks"] if unknown else []
        raise DataError(
            f"the splits of {folder} differ in their classes: {'; '.join(said)}",
            "name the class folders alike in every split",
        )


def _without_repeats(classes: ClassFiles, checked: dict[Path, _Checked]) -> tuple[ClassFiles, list[Skipped]]:
    """Each photograph once, so that the split made here cannot leak; none that two classes claim."""
    owners: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    for label, paths in classes.items():
        for path in paths:
            owners[checked[path].sha256].append((label, path))
    skipped: list[Skipped] = []
    for copies in owners.values():
        labels = sorted({label for label, _ in copies})
        if len(labels) > 1:
            reason = f"the same picture is in the classes {' and '.join(labels)}"
            skipped += [Skipped(path, reason) for _, path in copies]
        else:
            skipped += [Skipped(path, f"an exact copy of {copies[0][1].name}") for _, path in copies[1:]]
    out = {s.path for s in skipped}
    return {label: [p for p in paths if p not in out] for label, paths in classes.items()}, skipped


def _leaks(folder: Path, parts: dict[str, ClassFiles], checked: dict[Path, _Checked]) -> list[str]:
    """A sentence for each pair of splits that share photographs."""
    seen: dict[str, dict[str, Path]] = {
        part: {checked[p].sha256: p for paths in classes.values() for p in paths} for part, classes in parts.items()
    }
    notes = []
    for first, second in (("train", "test"), ("val", "test"), ("train", "val")):
        shared = sorted(str(seen[second][h].relative_to(folder)) for h in seen[first].keys() & seen[second].keys())
        if shared:
            more = f" and {len(shared) - 3} more" if len(shared) > 3 else ""
            notes.append(
                f"leak: {len(shared)} of the {second} pictures are in {first} too, byte for byte "
                f"({', '.join(shared[:3])}{more}); accuracy on {second} reads too high"
            )
    return notes


def check_files(files: Sequence[Path], on_progress: StageProgress | None = None) -> list[_Checked]:
    """Decodes every file to its end, in threads: its sha256, and what is wrong with it if anything."""
    workers = min(32, (os.cpu_count() or 1) + 2)
    checked = []
    with quiet_pillow(), ThreadPoolExecutor(workers) as pool:
        for done, result in enumerate(pool.map(_check_file, files), start=1):
            checked.append(result)
            if on_progress is not None:
                on_progress("checking photographs", done, len(files))
    return checked


def _check_file(path: Path) -> _Checked:
    try:
        with path.open("rb") as file:
            head = file.read(512)
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return _Checked(path, "", f"cannot be read: {error.strerror}")
    try:
        with Image.open(path, formats=FORMATS) as image:
            if min(image.size) < MIN_SIDE_PX:
                return _Checked(path, sha256, f"only {image.width} x {image.height} pixels")
            # A JPEG at an eighth of its size is still read to its last byte, several times faster.
            image.draft("RGB", (image.width // 8, image.height // 8))
            image.load()
            upright_rgb(image)
    except Image.DecompressionBombError:
        return _Checked(path, sha256, "too many pixels (more than 178 million)")
    except BROKEN_IMAGE as error:
        return _Checked(path, sha256, _fault(head, error))
    return _Checked(path, sha256, None)


def _fault(head: bytes, error: Exception) -> str:
    """What is wrong in the words of someone who has the file before them."""
    if not head:
        return "an empty file"
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"):
        return "a HEIC photograph: convert it to JPEG"
    if isinstance(error, UnidentifiedImageError):
        text = head.isascii() and b"\0" not in head
        return "a text file, not an image" if text else "not an image, or damaged from its first bytes on"
    return f"damaged: {error}"
