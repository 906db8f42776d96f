"""What `edgefit compare` compares routes on: one checkpoint, and photographs to calibrate on and to judge by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgefit_toolkit.data.dataset import labels as labels_of
from edgefit_toolkit.data.decoding import Pixels
from edgefit_toolkit.data.pixels import load_pixels, usable_pixels
from edgefit_toolkit.data.preprocessing import preprocessing_for
from edgefit_toolkit.data.readers.folder import file_picture
from edgefit_toolkit.data.sources import load_dataset
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.network.families import released_names
from edgefit_toolkit.network.scaling import released
from edgefit_toolkit.pipeline.settings import saved_settings
from edgefit_toolkit.progress import Ui
from edgefit_toolkit.records import Preprocessing

if TYPE_CHECKING:
    from edgefit_toolkit.network.checkpoints import CheckpointMeta
    from edgefit_toolkit.network.efficientnet import EfficientNet

CHECKPOINT = "checkpoint.safetensors"  # what a run directory calls it
HINT = "name a run directory, a checkpoint (.safetensors) or released weights such as lite0"


@dataclass(frozen=True)
class Subject:
    """One checkpoint with its photographs, uint8 [N, R, R, 3]; calibration and held-out ones share none."""

    name: str  # for tables: `Lite0 224px, ImageNet weights`
    network: EfficientNet
    temperature: float
    classes: tuple[str, ...]  # empty where they are not named
    calibration: Pixels
    holdout: Pixels
    labels: NDArray[np.int64]  # of the held-out ones; -1: none, or not to be looked at
    photographs: str  # which they are, for the report


def open_subject(
    what: str, data: str | None, ui: Ui, *, seed: int = 0, count: int = 96, offline: bool = False
) -> Subject:
    """The checkpoint that `what` names: a run directory, a .safetensors file, or released weights (`lite0`).

    `data` is a data set as of --data; a run has its own. For released weights it is any folder of photographs: up to
    `count` of every second one calibrate, the others judge. Raises InputError and its kinds.
    """
    path = Path(what).expanduser()
    if path.is_dir():
        if not (path / CHECKPOINT).is_file():
            raise InputError(f"{what} holds no {CHECKPOINT}", HINT)
        settings = saved_settings(path)[0]
        return _trained(path / CHECKPOINT, data or settings.data, settings.seed, settings.calibration_n, ui)
    if path.suffix == ".safetensors":
        if data is None:
            raise InputError(f"{what} comes without photographs", "name its data set with --data")
        return _trained(path, data, seed, count, ui)
    if what.lower() in released_names():
        if data is None:
            raise InputError(f"{what}'s ImageNet weights come without photographs", "name a folder of some with --data")
        return _released(what.lower(), Path(data).expanduser(), count, ui, offline)
    raise InputError(f"{what!r} is nothing to compare routes on; released are {', '.join(released_names())}", HINT)


def _trained(checkpoint: Path, data: str | None, seed: int, count: int, ui: Ui) -> Subject:
    from edgefit_converters.int8 import representative
    from edgefit_toolkit.network.checkpoints import load_checkpoint

    network, meta = load_checkpoint(checkpoint)
    dataset = load_dataset(data, seed=seed, on_progress=ui.progress)
    if dataset.classes != meta.classes:
        raise InputError(
            f"the data set has the classes {_few(dataset.classes)}, the checkpoint {_few(meta.classes)}",
            "name the data set that it was trained on with --data",
        )
    chosen = representative.choose(dataset.train, count, seed)
    held_out = (*dataset.val, *dataset.test)
    labels = np.concatenate((labels_of(dataset.val), np.full(len(dataset.test), -1)))
    how = meta.preprocessing
    return Subject(
        name=_name(meta),
        network=network,
        temperature=meta.temperature,
        classes=meta.classes,
        calibration=load_pixels(chosen.photos, how),
        holdout=load_pixels(held_out, how),
        labels=labels,
        photographs=f"{dataset.name}: {len(chosen.photos)} of train calibrate, {len(held_out)} of val and test judge",
    )


def _released(name: str, folder: Path, count: int, ui: Ui, offline: bool) -> Subject:
    from edgefit_toolkit.network.weights import load_network

    variant = released(name)
    pixels, skipped = _read_all(folder, preprocessing_for(variant), ui)
    if len(pixels) < 4:
        raise InputError(f"{folder} holds {len(pixels)} photographs", "20 and more calibrate and judge a network")
    if skipped:
        ui.note(f"{skipped} files of {folder.name} are no photographs and were left out")
    network, provenance = load_network(variant, allow_download=not offline)
    ui.note(provenance.note)
    calibration, holdout = pixels[0::2][:count], pixels[1::2]
    return Subject(
        name=f"{variant.label}, ImageNet weights",
        network=network,
        temperature=1.0,
        classes=(),
        calibration=calibration,
        holdout=holdout,
        labels=np.full(len(holdout), -1),
        photographs=f"{folder.name}, in the order of their names: {len(calibration)} of every second one calibrate, "
        f"the {len(holdout)} others judge",
    )


def _read_all(folder: Path, how: Preprocessing, ui: Ui) -> tuple[Pixels, int]:
    """Every photograph below a folder, in the order of their paths, and how many files were none."""
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}", "name a folder of photographs with --data")
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    found = list(usable_pixels([file_picture(file) for file in files], how, ui.progress))
    size_px = how.resolution_px
    pixels = np.stack(found) if found else np.empty((0, size_px, size_px, 3), np.uint8)
    return pixels, len(files) - len(found)


def _name(meta: CheckpointMeta) -> str:
    return f"{meta.variant.label}, {len(meta.classes)} classes"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
