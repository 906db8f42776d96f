"""Our own sources that a module runs, found by following its imports as text: nothing is imported, torch least of all.

Followed are imports anywhere in a module, those inside functions too, but not those for type checkers alone; and the
modules and files that its text names in quotes: a worker that is started as a program, a table beside the module.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import cache
from importlib import util
from pathlib import Path

PACKAGES = ("edgefit_toolkit", "edgefit_converters", "edgefit_benchmarks")

_TYPES_ONLY = re.compile(r"^if TYPE_CHECKING:\n(?:[ \t]+.*\n|\n)+", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*(?:from (edgefit_[\w.]+) import (\([^)]*\)|.+)|import (edgefit_[\w.]+))", re.MULTILINE)
_COMMENT = re.compile(r"#.*")
_NAMED_FILE = re.compile(r"""["']([\w/-]+\.(?:py|toml|txt|c))["']""")
_NAMED_MODULE = re.compile(r"""["'](edgefit_\w+\.[\w.]+)["']""")


class Tree:
    """The modules and other files of our packages below the given folders, which hold one package each."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self.modules: dict[str, Path] = {}
        self.shown: dict[Path, str] = {}  # as in the repository, less the package: converters/int8/quantize.py
        self._known: dict[Path, tuple[str, list[Path]]] = {}
        for package, folder in folders.items():
            for file in folder.rglob("*.*"):
                inner = file.relative_to(folder)
                self.shown[file] = f"{package.removeprefix('edgefit_')}/{inner.as_posix()}"
                if file.suffix == ".py":
                    names = inner.parts[:-1] if inner.stem == "__init__" else (*inner.parts[:-1], inner.stem)
                    self.modules[".".join((package, *names))] = file

    def sources_of(self, module: str) -> dict[str, str]:
        """Name of the file -> the first 16 hex digits of its SHA-256, for all that `module` runs, itself included."""
        waiting, found = [self.modules[module]], dict[str, str]()
        while waiting:
            file = waiting.pop()
            if self.shown[file] not in found:
                found[self.shown[file]], after = self._read(file)
                waiting += after
        return dict(sorted(found.items()))

    def imports(self, text: str) -> Iterator[Path]:
        """The modules of our own that a module's text imports or names in quotes."""
        text = _TYPES_ONLY.sub("", text)
        wanted: list[tuple[str, ...]] = [(name,) for name in _NAMED_MODULE.findall(text)]
        for package, names, module in _IMPORT.findall(text):
            inner = [name.split()[0] for name in _COMMENT.sub("", names).strip("() \n").split(",") if name.strip()]
            wanted += [(f"{package}.{name}", package) for name in inner] or [(module,)]
        for names in wanted:  # what is imported from a package is a module of it, or a name that it holds
            yield from [self.modules[name] for name in names if name in self.modules][:1]

    def _read(self, file: Path) -> tuple[str, list[Path]]:
        """A file's digest, and the files that it runs in turn."""
        if file not in self._known:
            text, after = file.read_text(encoding="utf-8"), list[Path]()
            if file.suffix == ".py":
                named = set(_NAMED_FILE.findall(text))
                after += self.imports(text)
                after += [f for f in self.shown if f.name in named and file.parent in f.parents[:2]]
            self._known[file] = hashlib.sha256(text.encode()).hexdigest()[:16], after
        return self._known[file]


@cache
def sources_of(module: str) -> dict[str, str]:
    """What `module` runs of the installed packages, `toolkit/data/augmentation.py` -> digest, read once a process."""
    return _installed().sources_of(module)


@cache
def _installed() -> Tree:
    folders = {}
    for name in PACKAGES:
        spec = util.find_spec(name)  # of a package at the top: finding it imports nothing
        assert spec is not None
        assert spec.submodule_search_locations
        folders[name] = Path(spec.submodule_search_locations[0])
    return Tree(folders)
