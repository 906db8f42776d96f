"""Whom --teacher names: a finished run, a checkpoint, or a released network, whose classifier is fitted first; or the
largest released network that the machine can afford, which each run chooses once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.files import sha256_of
from edgefit_toolkit.network import catalogue
from edgefit_toolkit.network.checkpoints import load_checkpoint
from edgefit_toolkit.network.families import released_names
from edgefit_toolkit.network.scaling import released, with_classes
from edgefit_toolkit.network.weights import load_network
from edgefit_toolkit.pipeline.run_directory.key import Key
from edgefit_toolkit.pipeline.run_directory.place import AUTO_TEACHER
from edgefit_toolkit.pipeline.run_directory.run import Run
from edgefit_toolkit.pipeline.run_directory.source_digest import sources_of
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.pipeline.subject import CHECKPOINT
from edgefit_toolkit.progress import Progress, Ui
from edgefit_toolkit.training.affordable import FITTED_VIEWS, Candidate, TrainingWork, candidates
from edgefit_toolkit.training.fine_tune import fine_tune
from edgefit_toolkit.training.settings import STAGES, TrainSettings
from edgefit_toolkit.training.teacher import Teacher

HINT = "name a finished run's directory, a checkpoint (.safetensors), released weights such as lite2, or auto"


@dataclass(frozen=True)
class Choice:
    """A teacher, as `open_teacher` takes it; none where `what` is empty."""

    what: str = ""
    identity: str = ""
    why: str = ""  # in words, for the report


def choice_of(run: Run, settings: FitSettings, work: TrainingWork, depends_on: Mapping[str, Any], ui: Ui) -> Choice:
    """The teacher of a training. Of `auto` what the run chose before for what that `depends_on` counts, whatever else
    could be had by now. Raises InputError where one that is named is none, DownloadError for a broken installation.
    """
    named = settings.teacher
    if named is None:
        return Choice()
    if named != AUTO_TEACHER:
        return Choice(named, identity_of(named), f"{named}, as asked for")
    key = Key({"work": asdict(work), "sources": sources_of(__name__), **depends_on})
    record = f"teacher of {work.variant.label}"  # a network that is stepped down to has its own
    found = run.done(record, key, Choice)
    if found is None:
        memory_bytes = psutil.virtual_memory().total
        if work.device == "cuda":
            memory_bytes = torch.cuda.get_device_properties(0).total_memory
        found = largest_affordable(work, memory_bytes, allow_download=not settings.offline, on_progress=ui.progress)
        run.finish(record, key, found, [], 0.0)
    return found


def largest_affordable(
    work: TrainingWork, memory_bytes: int, *, allow_download: bool, on_progress: Progress | None = None
) -> Choice:
    """The largest released network that a machine with so much memory can afford as a teacher and whose weights can
    be had; none where there is none, which is no fault: a network that needs no teacher, or one of a grid, goes on.

    Raises DownloadError for a broken installation.
    """
    found = candidates(work)
    if not found:
        none_larger = f"no released network is larger than {work.variant.label}"
        return Choice(why=f"none: {none_larger if work.settings.epochs else 'nothing is fine-tuned'}")
    afforded = [one for one in reversed(found) if not one.too_much(memory_bytes)]
    files = [catalogue.catalogue()[str(one.variant.released)] for one in afforded]
    number, path, error = catalogue.first_at_hand(files, None, on_progress, allow_download=allow_download)
    reason = catalogue.OFFLINE if error is None else error.message

    def refused(one: Candidate) -> str:
        missing = f"is larger, but its weights could not be had ({reason})"
        return f"{_name(one)} {one.too_much(memory_bytes) or missing}"

    if path is None:
        return Choice(why=f"none: {refused(found[0])}")
    chosen = afforded[number]
    larger = found[found.index(chosen) + 1 :]
    next_one = refused(larger[0]) if larger else "none is larger"
    name = str(chosen.variant.released)
    why = (
        f"{_name(chosen)}, the largest that this machine can afford: it costs {chosen.times:.1f} times as much as "
        f"the training itself; {next_one}"
    )
    return Choice(name, name, why)


def identity_of(what: str) -> str:
    """What decides a teacher's answers beside the data set: its file's SHA-256, or the name of a released one.

    Raises InputError where it is none of these.
    """
    file = _file(what)
    if file is None:
        return what.lower()
    if not file.is_file():
        raise InputError(f"{what} is no teacher: there is no {file}", HINT)
    return sha256_of(file)


def open_teacher(what: str, dataset: Dataset, settings: FitSettings, ui: Ui, state_dir: Path | None = None) -> Teacher:
    """What fitting a classifier was killed in goes on from `state_dir`.

    Raises InputError for one that does not know the data set's classes, or is none; DownloadError, DataError.
    """
    file = _file(what)
    if file is not None:
        network, meta = load_checkpoint(file)
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
    probe = TrainSettings(seed=settings.seed, epochs=0, views=FITTED_VIEWS, unfreeze_from=STAGES, factorize=False)
    return Teacher(fine_tune(network, dataset, probe, ui.progress, state_dir=state_dir).network)


def _file(what: str) -> Path | None:
    """The checkpoint that is named, there or not; None for a released network, whatever folder is called like it."""
    if what.lower() in released_names():
        return None
    path = Path(what).expanduser()
    if path.is_dir() or path.suffix == ".safetensors":
        return path / CHECKPOINT if path.is_dir() else path
    raise InputError(f"{what!r} is no teacher; released are {', '.join(released_names())}", HINT)


def _name(candidate: Candidate) -> str:
    return candidate.variant.label.split()[0]


def _some(classes: tuple[str, ...]) -> str:
    return f"{len(classes)} ({', '.join(classes[:3])}{', ...' if len(classes) > 3 else ''})"
