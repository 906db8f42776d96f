"""ImageNet weights for any variant: the released ones, or grown from the nearest released network, or cut from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from edgefit_toolkit.errors import DownloadError
from edgefit_toolkit.files import sha256_of
from edgefit_toolkit.network import catalogue, scaling
from edgefit_toolkit.network.blocks import blocks, fits_into, shape_of
from edgefit_toolkit.network.catalogue import OFFLINE, WeightFile
from edgefit_toolkit.network.efficientnet import EfficientNet, reset_classifier
from edgefit_toolkit.network.families import family_named
from edgefit_toolkit.network.grow import resize
from edgefit_toolkit.network.shrink import shrink
from edgefit_toolkit.progress import Progress, ignore_progress
from edgefit_toolkit.records import Variant

IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Provenance:
    """Where a network's weights come from."""

    parent: str  # the released variant: "lite2"
    how: Literal["released", "grown", "cut"]
    source: str  # package and version, or URL
    sha256: str  # of the file that was read, whole
    license: str
    note: str  # one sentence for the report


def load_network(
    variant: Variant,
    *,
    allow_download: bool = True,
    cache_dir: Path | None = None,
    on_progress: Progress | None = None,
    seed: int = 0,
    pictures: Callable[[], Tensor] | None = None,
    device: str = "cpu",
    entries: Mapping[str, WeightFile] | None = None,
) -> tuple[EfficientNet, Provenance]:
    """The variant's network with ImageNet weights, in eval mode, and where they come from.

    The parent is the first of `parents_of` whose weights are at hand: in an installed package, in the cache, or (with
    `allow_download`) on the network. Where a nearer one could not be had, the note says so. From a smaller parent the
    variant is grown; from a larger one it is cut and, with `pictures`, fitted to the parent's answers on them
    (`shrink.shrink`, on `device`). `pictures` returns float [N, 3, R, R] in (pixels - 127) / 128 and is called only
    where the variant is cut. For other than 1000 classes the classifier is new, the same for the same seed. Raises
    DownloadError when no parent's weights can be had.
    """
    parent, path, entry, missed = _find_parent(
        variant, parents_of(variant, fitted=pictures is not None), allow_download, cache_dir, on_progress,
        catalogue.catalogue() if entries is None else entries,
    )  # fmt: skip
    network = _read_parent(parent, path, entry)
    how = _how(parent, variant)
    target = scaling.with_classes(variant, IMAGENET_CLASSES)
    fitted_to = 0
    if how == "released" and parent.resolution_px == variant.resolution_px:
        network.variant = target
    elif pictures is not None and how == "cut" and fits_into(variant, parent):
        given = pictures()
        fitted_to = len(given)
        network = shrink(network, target, given, seed, on_progress or ignore_progress, device)
    else:
        network = resize(network, target, seed)
    note = _note(how, parent, target, entry, fitted_to)
    if variant.classes != IMAGENET_CLASSES:
        reset_classifier(network, variant.classes, seed)
        note += f"; a new classifier for {variant.classes} classes"
    if missed:
        note += f"; {missed}"
    return network.eval(), Provenance(
        parent=entry.variant,
        how=how,
        source=entry.source,
        sha256=sha256_of(path),
        license=entry.license,
        note=note,
    )


def parents_of(variant: Variant, *, fitted: bool = False) -> list[Variant]:
    """The released networks that the variant can be made from, the best first.

    Those that fit into it, the largest first, since growing keeps their function; else the smallest one of its family,
    to be cut. Where a cut network will be `fitted`, those that it fits into count, too, and the one with the most
    similar number of weights is the best (benchmarks/results/growing_and_cutting.md).
    """
    own = [scaling.released(name) for name in family_named(variant.family).released]
    own.sort(key=lambda released: released.params, reverse=True)
    smaller = [released for released in own if fits_into(released, variant)]
    if not fitted:
        return smaller or own[-1:]
    weights = scaling.with_classes(variant, IMAGENET_CLASSES).params
    usable = [released for released in own if released in smaller or fits_into(variant, released)]
    return sorted(usable, key=lambda released: abs(math.log(released.params / weights))) or own[-1:]


def _find_parent(
    variant: Variant,
    parents: list[Variant],
    allow_download: bool,
    cache_dir: Path | None,
    on_progress: Progress | None,
    entries: Mapping[str, WeightFile],
) -> tuple[Variant, Path, WeightFile, str]:
    """The nearest parent with weights, its file, and what to say of a nearer one that could not be had."""
    files = [entries[str(parent.released)] for parent in parents]
    number, path, error = catalogue.first_at_hand(files, cache_dir, on_progress, allow_download=allow_download)
    if path is not None:
        reason = OFFLINE if error is None else error.message
        nearer = f"{parents[0].label.split()[0]} would be nearer, but its weights could not be had ({reason})"
        return parents[number], path, files[number], nearer if number else ""
    if error is not None:
        raise error
    folder = cache_dir or catalogue.cache_folder()
    raise DownloadError(
        f"ImageNet weights for {variant.label} are {OFFLINE}",
        f"run once with downloads allowed, or fetch {files[0].url} elsewhere and put it at {folder / files[0].file}",
    )


def _read_parent(parent: Variant, path: Path, entry: WeightFile) -> EfficientNet:
    tensors = catalogue.read_weights(path, parent, entry.keys)
    with torch.random.fork_rng(devices=[]):  # the random weights are all replaced: leave the caller's seed alone
        network = EfficientNet.from_variant(parent)
    try:
        network.load_state_dict(network.state_dict() | tensors)
    except RuntimeError as error:
        raise DownloadError(
            f"{path.name} does not hold {parent.label}: {str(error).splitlines()[-1].strip()}",
            "this is a fault of edgefit's weights.toml: please report it",
        ) from error
    return network


def _how(parent: Variant, variant: Variant) -> Literal["released", "grown", "cut"]:
    if shape_of(parent) == shape_of(variant):
        return "released"
    return "grown" if fits_into(parent, variant) else "cut"


def _note(how: str, parent: Variant, variant: Variant, entry: WeightFile, fitted_to: int) -> str:
    name, old_px, new_px = parent.label.split()[0], parent.resolution_px, variant.resolution_px
    if how == "released":
        moved = "" if old_px == new_px else f", here at {new_px} px instead of {old_px}"
        return f"{name}'s published ImageNet weights (top-1 {entry.top1_percent}% at {entry.trained_px} px){moved}"
    sizes = f"{_blocks(parent)} -> {_blocks(variant)} blocks, {parent.params:,} -> {variant.params:,} weights"
    if how == "grown":
        return f"grown from {name} without changing its function at {old_px} px: {sizes}"
    if fitted_to:
        return f"cut from {name} and fitted to its answers on {fitted_to} pictures: {sizes}"
    return f"cut from {name}, which changes its function: {sizes}"


def _blocks(variant: Variant) -> int:
    return len(blocks(variant.family, variant.width, variant.depth))
