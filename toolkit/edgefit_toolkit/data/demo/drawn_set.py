"""The embedded demo set: ten plants drawn by our own code, so that edgefit runs with no photographs and no network.

Drawn once into the cache and reused as long as every file is whole.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgefit_toolkit.data.dataset import About, Dataset
from edgefit_toolkit.data.demo import album
from edgefit_toolkit.data.demo.scene import KINDS
from edgefit_toolkit.data.readers.folder import load_folder
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.files import sha256_of, write_atomic
from edgefit_toolkit.host import python_module
from edgefit_toolkit.progress import Progress, plain

PER_KIND = 40
NAME = "demo plants (drawn)"
NOTE = (
    "these pictures are drawn by edgefit's own code: they show that every step works, and their accuracy says nothing "
    "about real photographs"
)
_SCHEMA = "edgefit.demo/1"
_FEW = 8  # up to so many are drawn without starting processes

Picture = tuple[str, int]  # kind, number


def load(*, seed: int, cache_dir: Path, per_kind: int = PER_KIND, on_progress: Progress | None = None) -> Dataset:
    """The drawn plants, split by `seed`; the pictures themselves are always the same ones.

    Raises DataError when they cannot be written to the cache.
    """
    folder = ensure(cache_dir, per_kind=per_kind, on_progress=on_progress)
    about = About(
        where=plain(str(folder)),
        name=NAME,
        kind="drawn",
        license="Apache-2.0",
        credits="drawn by edgefit",
        notes=(NOTE,),
    )
    return load_folder(folder, seed=seed, about=about, cache_dir=cache_dir, on_progress=on_progress)


def ensure(cache_dir: Path, *, per_kind: int = PER_KIND, on_progress: Progress | None = None) -> Path:
    """The folder of `per_kind` pictures of each kind; draws what is missing or damaged, which may be nothing."""
    folder = cache_dir / "demo" / f"plants-{album.version()}-{per_kind}"
    wanted = [(kind, index) for kind in KINDS for index in range(per_kind)]
    hashes = _read_index(folder)
    missing = [picture for picture in wanted if not _whole(folder, picture, hashes)]
    if not missing:
        return folder
    lock = threading.Lock()
    done = len(wanted) - len(missing)

    def drawn(_: str) -> None:
        nonlocal done
        with lock:
            done += 1
            if on_progress is not None:
                on_progress("drawing demo plants", done, len(wanted))

    try:
        folder.mkdir(parents=True, exist_ok=True)
        _draw(folder, missing, drawn)
        names = [album.relative_path(*picture) for picture in wanted]
        _write_index(folder, {name: sha256_of(folder / name) for name in names})
    except OSError as error:
        raise _not_drawn(folder, str(error.strerror or error)) from error
    return folder


def _whole(folder: Path, picture: Picture, hashes: dict[str, str]) -> bool:
    name = album.relative_path(*picture)
    try:
        return name in hashes and sha256_of(folder / name) == hashes[name]
    except OSError:
        return False


def _index(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _read_index(folder: Path) -> dict[str, str]:
    try:
        index = json.loads(_index(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(index, dict) or index.get("schema") != _SCHEMA or not isinstance(index.get("sha256"), dict):
        return {}
    return {str(name): str(sha256) for name, sha256 in index["sha256"].items()}


def _write_index(folder: Path, hashes: dict[str, str]) -> None:
    """Last of all: an index stands for pictures that are all there."""
    index = {"schema": _SCHEMA, "drawn_by": "edgefit", "sha256": hashes}
    write_atomic(_index(folder), json.dumps(index, indent=1, sort_keys=True) + "\n")


def _draw(folder: Path, pictures: Sequence[Picture], drawn: Callable[[str], None]) -> None:
    workers = min(8, os.cpu_count() or 1)
    if len(pictures) <= _FEW or workers == 1:
        for kind, index in pictures:
            drawn(album.write_photo(folder, kind, index))
        return
    with ThreadPoolExecutor(workers) as pool:
        for result in [pool.submit(_draw_apart, folder, pictures[k::workers], drawn) for k in range(workers)]:
            result.result()


def _draw_apart(folder: Path, pictures: Sequence[Picture], drawn: Callable[[str], None]) -> None:
    """One process for a share of the pictures: a plain command, since fork after torch's threads may hang and
    multiprocessing's spawn runs the caller's script again."""
    command = [*python_module("edgefit_toolkit.data.demo"), str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            process.stdin.write("".join(f"{kind} {index}\n" for kind, index in pictures))
            process.stdin.close()
            for line in process.stdout:
                drawn(line.strip())
            complaint = process.stderr.read().strip()
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise _not_drawn(folder, complaint.splitlines()[-1] if complaint else f"exit {process.returncode}")


def _not_drawn(folder: Path, why: str) -> DataError:
    return DataError(
        f"the demo plants cannot be drawn into {folder}: {why}",
        "free some disk space or make the cache writable (XDG_CACHE_HOME chooses another place), or pass --data DIR",
    )
