"""A folder of photographs, offered class by class.

DIR/<class>/*                      split by seed
DIR/{train,val,test}/<class>/*     the split that the folder says; a missing val or test is taken from train
DIR/<group>/<class>/*              classes in groups, as deep as one likes: a taxonomy
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from edgefit_toolkit.data.answers import places, taxonomy_table
from edgefit_toolkit.data.assembly import assemble
from edgefit_toolkit.data.dataset import NOT_SEEN, SPLIT_WORDS, About, Candidate, Credit, Dataset, Seen, Stamp
from edgefit_toolkit.data.readers.attribution import Attributions
from edgefit_toolkit.data.texts import Texts
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.progress import Progress, plain

LAYOUT_HINT = "expected DIR/<class>/<photographs> or DIR/{train,val,test}/<class>/<photographs>"
_IGNORED = {"thumbs.db", "desktop.ini", "__macosx"}  # with everything that starts with a dot


@dataclass(frozen=True)
class Folder(Sequence[Candidate]):
    """Picture files of one folder, each made a candidate when it is asked for: of millions only the names are held."""

    path: str
    names: Texts
    credit_of: Callable[[str], Credit | None]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: Any) -> Any:
        names = self.names[index]
        return self._picture(names) if isinstance(names, str) else [self._picture(name) for name in names]

    def __iter__(self) -> Iterator[Candidate]:
        return map(self._picture, self.names)

    def _picture(self, name: str) -> Candidate:
        return file_candidate(os.path.join(self.path, name), name, self.credit_of(name))


ClassFiles = dict[str, tuple[Path, Texts]]  # class -> its folder and the names of its files


@dataclass(frozen=True, slots=True)
class PictureFile:
    """The opener of a picture that has a file of its own."""

    path: str

    def __call__(self) -> BinaryIO:
        """Its bytes. Raises OSError."""
        if not stat.S_ISREG(os.stat(self.path).st_mode):  # opening a pipe waits for whoever writes into it
            raise OSError(errno.EINVAL, "not a regular file")
        return open(self.path, "rb")

    def stamp(self) -> Stamp:
        """Its size and time. Raises OSError."""
        found = os.stat(self.path)
        return Stamp(os.path.abspath(self.path), found.st_size, found.st_mtime_ns)


def load_folder(
    folder: Path,
    *,
    seed: int,
    about: About | None = None,
    cache_dir: Path | None = None,
    on_progress: Progress | None = None,
) -> Dataset:
    """Reads, checks and splits the photographs of `folder`; `about` says more of them than its name does.

    Raises DataError when the folder, its classes or their numbers cannot make a classifier.
    """
    found, beside = _find(folder)
    tables = Attributions()
    offered = {
        part: {label: Folder(str(path), names, tables.beside(path)) for label, (path, names) in classes.items()}
        for part, classes in found.items()
    }
    about = about or About(where=plain(str(folder)), name=plain(folder.resolve().name))
    about = replace(about, notes=(*about.notes, *beside, *tables.notes))
    return assemble(offered, about, seed=seed, cache_dir=cache_dir, on_progress=on_progress)


def file_picture(path: Path, credit: Credit | None = None) -> Candidate:
    """A picture that lies in a file of its own."""
    return file_candidate(str(path), path.name, credit)


def file_candidate(path: str, name: str, credit: Credit | None, seen: Seen = NOT_SEEN) -> Candidate:
    """The same, by its path and its own name."""
    return Candidate(name=plain(name), place=plain(path), opener=PictureFile(path), credit=credit, seen=seen)


def _find(folder: Path) -> tuple[dict[str, ClassFiles], list[str]]:
    """Part ("all" or train, val, test) -> class -> files, and notes on what lies beside them."""
    files, folders = _listing(folder)
    files = [file for file in files if file not in (taxonomy_table.FILE, places.FILE)]
    by_part: dict[str, Path] = {}
    for sub in folders:
        part = SPLIT_WORDS.get(sub.name.casefold())
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


def _listing(folder: Path) -> tuple[list[str], list[Path]]:
    """The names of a folder's files, and its folders, by name, without hidden ones."""
    try:
        files: list[str] = []
        folders: list[str] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.name.casefold() not in _IGNORED:
                    (folders if _is_dir(entry) else files).append(entry.name)
        return sorted(files), [folder / name for name in sorted(folders)]
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


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def _class_files(class_folders: Sequence[Path]) -> ClassFiles:
    """Class -> files. A folder that holds folders alone is a group of classes, not one; groups may lie in groups."""
    found: ClassFiles = {}
    places: dict[str, Path] = {}
    for folder in class_folders:
        files, folders = _listing(folder)
        if not files and not folders:
            raise DataError(f"class folder {folder} holds nothing", f"add photographs or remove it; {LAYOUT_HINT}")
        inside = {folder.name: (folder, Texts(files))} if files else _class_files(folders)
        for name in inside:
            if name in found:
                raise DataError(
                    f"class {name!r} lies in {places[name]} and in {folder}",
                    "a class has one folder; rename one of them",
                )
            places[name] = folder
        found |= inside
    return dict(sorted(found.items()))


def groups_of(folder: Path) -> dict[str, tuple[str, ...]]:
    """Class -> the groups that its folder lies in, the nearest first; of a folder that `load_folder` reads."""
    subs = _listing(folder)[1]
    parts = {SPLIT_WORDS.get(sub.name.casefold()): sub for sub in subs}
    found: dict[str, tuple[str, ...]] = {}

    def walk(sub: Path, above: tuple[str, ...]) -> None:
        files, folders = _listing(sub)
        if files:
            found[sub.name] = above
        for deeper in folders if not files else ():
            walk(deeper, (sub.name, *above))

    for sub in _listing(parts["train"])[1] if "train" in parts else subs:
        walk(sub, ())
    return found
