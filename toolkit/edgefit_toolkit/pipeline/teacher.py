"""Whom --teacher names: a finished run, a checkpoint, or a released network, whose classifier is fitted first."""

from __future__ import annotations

from pathlib import Path

import torch

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.files import sha256_of
from edgefit_toolkit.network.checkpoints import load_checkpoint
from edgefit_toolkit.network.families import released_names
from edgefit_toolkit.network.scaling import released, with_classes
from edgefit_toolkit.network.weights import load_network
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.pipeline.subject import CHECKPOINT
from edgefit_toolkit.progress import Ui
from edgefit_toolkit.training.fine_tune import fine_tune
from edgefit_toolkit.training.settings import STAGES, TrainSettings
from edgefit_toolkit.training.teacher import Teacher

HINT = "name a finished run's directory, a checkpoint (.safetensors) or released weights such as lite2"


def identity_of(what: str) -> str:
    """What decides a teacher's answers beside the data set: its file's SHA-256, or the name of a released one.

    Raises InputError where it is none of these.
    """
    path = Path(what).expanduser()
    if path.is_dir() or path.suffix == ".safetensors":
        file = path / CHECKPOINT if path.is_dir() else path
        if not file.is_file():
            raise InputError(f"{what} is no teacher: there is no {file}", HINT)
        return sha256_of(file)
    if what.lower() not in released_names():
        raise InputError(f"{what!r} is no teacher; released are {', '.join(released_names())}", HINT)
    return what.lower()


def open_teacher(what: str, dataset: Dataset, settings: FitSettings, ui: Ui) -> Teacher:
    """Raises InputError for one that does not know the data set's classes, or is none; DownloadError, DataError."""
    path = Path(what).expanduser()
    if path.is_dir() or path.suffix == ".safetensors":
        network, meta = load_checkpoint(path / CHECKPOINT if path.is_dir() else path)
        if meta.classes != dataset.classes:
            raise InputError(
                f"the teacher {what} tells other classes apart: {_some(meta.classes)}; the data set has "
                f"{_some(dataset.classes)}",
                "train it on the same classes",
            )
        if not meta.training.get("settings", {}).get("balance"):
            return Teacher(network)
        counts = torch.tensor(dataset.counts(dataset.train)).clamp(min=1)
        return Teacher(network, (counts / counts.sum()).log())
    variant = with_classes(released(what.lower()), len(dataset.classes))
    network, provenance = load_network(
        variant, allow_download=not settings.offline, on_progress=ui.progress, seed=settings.seed
    )
    if provenance.how != "released":
        raise InputError(f"the weights of {what} are not on this machine: {provenance.note}", "name another teacher")
    ui.note(f"teacher: {provenance.note}; its classifier is fitted to the training pictures")
    probe = TrainSettings(seed=settings.seed, epochs=0, views=1, unfreeze_from=STAGES, factorize=False)
    return Teacher(fine_tune(network, dataset, probe, ui.progress).network)


def _some(classes: tuple[str, ...]) -> str:
    return f"{len(classes)} ({', '.join(classes[:3])}{', ...' if len(classes) > 3 else ''})"
