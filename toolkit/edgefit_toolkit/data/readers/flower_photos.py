"""`--data flowers`: TensorFlow's flower_photos, 3,670 photographs of five flowers, fetched once.

The photographs are CC BY 2.0 by the photographers named in the archive's LICENSE.txt; edgefit ships none of them.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath

from edgefit_toolkit.data.dataset import About, Dataset
from edgefit_toolkit.data.readers.folder import load_folder
from edgefit_toolkit.downloads import Pinned, fetch
from edgefit_toolkit.errors import DataError, DownloadError
from edgefit_toolkit.progress import Progress, plain

# Address, size and hash: tensorflow/datasets, tensorflow_datasets/datasets/tf_flowers/checksums.tsv at commit
# e9e3273204a9a472f94fa0cc43ac04c78571ebee. The first address is the same bucket over https.
URL = "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz"
MIRRORS = ("http://download.tensorflow.org/example_images/flower_photos.tgz",)
SIZE_BYTES = 228_813_984
SHA256 = "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c"
LICENSE = "CC BY 2.0"
CREDITS = "The TensorFlow Team, Flowers (2019); photographers and addresses in the archive's LICENSE.txt"


def load(*, seed: int, cache_dir: Path, on_progress: Progress | None = None) -> Dataset:
    """The five flowers, split by `seed`; from the cache when they are there.

    Raises DownloadError when they cannot be fetched.
    """
    folder = fetch_flowers(cache_dir, on_progress)
    about = About(where=plain(str(folder)), name="flowers", license=LICENSE, credits=CREDITS)
    return load_folder(folder, seed=seed, about=about, cache_dir=cache_dir, on_progress=on_progress)


def fetch_flowers(cache_dir: Path, on_progress: Progress | None = None) -> Path:
    """The folder flower_photos/<class>/*.jpg in the cache, fetched and unpacked where it is not there yet."""
    folder = cache_dir / "data" / f"flower_photos-{SHA256[:12]}"
    if folder.is_dir():
        return folder
    archive = fetch(
        Pinned(URL, SHA256, SIZE_BYTES, MIRRORS),
        cache_dir / "downloads" / "flower_photos.tgz",
        on_progress=on_progress,
        label="fetching flower_photos",
        by_hand=f"fetch {URL} on another machine, unpack it and pass its folder: --data ./flower_photos",
    )
    unpack(archive, folder, on_progress)
    archive.unlink()  # its photographs are beside it now
    return folder


def unpack(archive: Path, folder: Path, on_progress: Progress | None = None) -> None:
    """Unpacks the one folder inside a .tgz as `folder`, whole or not at all.

    Plain files and folders only, each inside the archive's own folder: links, devices, absolute names and `..` are
    refused. (Python's own extraction filter would do, but 3.11.0 to 3.11.3 do not have it.) Raises DataError for such
    an archive and DownloadError when it cannot be read or written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder.parent) as temporary:
            with tarfile.open(archive) as tar:
                members = tar.getmembers()
                for done, member in enumerate(members, start=1):
                    _extract(tar, member, Path(temporary), archive)
                    if on_progress is not None:
                        on_progress("unpacking", done, len(members))
            inside = sorted(Path(temporary).iterdir())
            if len(inside) != 1 or not inside[0].is_dir():
                raise DataError(
                    f"{archive.name} should hold one folder and holds {[p.name for p in inside]}",
                    "pass the folder of photographs itself to --data",
                )
            _move(inside[0], folder)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DownloadError(
            f"cannot unpack {archive.name} to {folder}: {error}",
            f"free some disk space or choose another cache directory; if {archive} is damaged, delete it",
        ) from error


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, to: Path, archive: Path) -> None:
    name = PurePosixPath(member.name)
    unsafe = name.is_absolute() or ".." in name.parts or "\\" in member.name or ":" in member.name
    if unsafe or not (member.isfile() or member.isdir()):
        raise DataError(
            f"{archive.name} is not safe to unpack: {member.name!r} is no plain file inside it",
            f"delete {archive}; it is not the archive that it should be",
        )
    target = to.joinpath(*name.parts)
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    assert source is not None  # it is a file
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file)


def _move(unpacked: Path, folder: Path) -> None:
    try:
        os.replace(unpacked, folder)
    except OSError:
        if not folder.is_dir():
            raise
        shutil.rmtree(unpacked)  # another run was faster and its folder is the same
