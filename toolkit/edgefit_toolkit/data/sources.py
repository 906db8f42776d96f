"""Where pictures come from: each kind of place that `--data` can name is one entry of SOURCES."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import platformdirs

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.data.readers.folder import load_folder
from edgefit_toolkit.progress import Progress

DEMO = "demo"
FLOWERS = "flowers"
SHARDS = "wds:"
HUGGING_FACE = "hf:"


class Load(Protocol):
    """Reads, checks and splits the pictures that `data` names. Raises DataError or DownloadError."""

    def __call__(self, data: str, *, seed: int, cache_dir: Path, on_progress: Progress | None) -> Dataset: ...


@dataclass(frozen=True)
class Source:
    """One kind of place. A source finds pictures; `assembly.assemble` makes a data set of them."""

    means: Callable[[str], bool]  # whether a --data argument means this one
    load: Load


def load_dataset(
    data: str | None,
    *,
    seed: int,
    cache_dir: Path | None = None,
    on_progress: Progress | None = None,
) -> Dataset:
    """The pictures that --data names (None: the demo set), checked and split, from the first source that it means.

    `cache_dir` defaults to the user's cache. Raises DataError, or DownloadError for what is fetched.
    """
    wanted = DEMO if data is None else data
    cache = cache_dir if cache_dir is not None else user_cache()
    source = next(source for source in SOURCES.values() if source.means(wanted))
    return source.load(wanted, seed=seed, cache_dir=cache, on_progress=on_progress)


def user_cache() -> Path:
    """Where what was fetched, drawn or found of pictures is kept."""
    return platformdirs.user_cache_path("edgefit")


def _demo(data: str, *, seed: int, cache_dir: Path, on_progress: Progress | None) -> Dataset:
    from edgefit_toolkit.data.demo import drawn_set

    return drawn_set.load(seed=seed, cache_dir=cache_dir, on_progress=on_progress)


def _flowers(data: str, *, seed: int, cache_dir: Path, on_progress: Progress | None) -> Dataset:
    from edgefit_toolkit.data.readers import flower_photos

    return flower_photos.load(seed=seed, cache_dir=cache_dir, on_progress=on_progress)


def _shards(data: str, *, seed: int, cache_dir: Path, on_progress: Progress | None) -> Dataset:
    from edgefit_toolkit.data.readers import shards

    named = data.removeprefix(SHARDS)
    return shards.load_shards(named, seed=seed, cache_dir=cache_dir, on_progress=on_progress)


def _hugging_face(data: str, *, seed: int, cache_dir: Path, on_progress: Progress | None) -> Dataset:
    from edgefit_toolkit.data.readers import hugging_face

    named = data.removeprefix(HUGGING_FACE)
    return hugging_face.load_hugging_face(named, seed=seed, cache_dir=cache_dir, on_progress=on_progress)


def _manifest(data: str, *, seed: int, cache_dir: Path, on_progress: Progress | None) -> Dataset:
    from edgefit_toolkit.data.readers import manifest

    return manifest.load_manifest(Path(data).expanduser(), seed=seed, cache_dir=cache_dir, on_progress=on_progress)


def _coco(data: str, *, seed: int, cache_dir: Path, on_progress: Progress | None) -> Dataset:
    from edgefit_toolkit.data.readers import coco

    return coco.load_coco(Path(data).expanduser(), seed=seed, cache_dir=cache_dir, on_progress=on_progress)


def _is_file(data: str, *suffixes: str) -> bool:
    path = Path(data).expanduser()
    return path.suffix.casefold() in suffixes and not path.is_dir()


def _folder(data: str, *, seed: int, cache_dir: Path, on_progress: Progress | None) -> Dataset:
    return load_folder(Path(data).expanduser(), seed=seed, cache_dir=cache_dir, on_progress=on_progress)


SOURCES = {
    DEMO: Source(DEMO.__eq__, _demo),  # plants drawn by our own code
    FLOWERS: Source(FLOWERS.__eq__, _flowers),  # TensorFlow's flower_photos, fetched once
    "shards": Source(lambda data: data.startswith(SHARDS), _shards),  # tar files by WebDataset's conventions
    "hugging face": Source(lambda data: data.startswith(HUGGING_FACE), _hugging_face),  # of the hub, or a copy
    "manifest": Source(lambda data: _is_file(data, ".csv", ".parquet"), _manifest),  # path,label[,split]
    "coco": Source(lambda data: _is_file(data, ".json"), _coco),
    "folder": Source(lambda data: True, _folder),  # the last: whatever is nothing else
}
