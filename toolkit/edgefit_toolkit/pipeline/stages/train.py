"""Stage 3: ImageNet weights, linear probe, fine-tuning, temperature."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.network.checkpoints import CheckpointMeta, save_checkpoint, sidecar_of
from edgefit_toolkit.network.weights import Provenance
from edgefit_toolkit.pipeline.company import Order
from edgefit_toolkit.pipeline.stages.stage import Stage
from edgefit_toolkit.pipeline.teacher import Choice, choice_of, open_teacher
from edgefit_toolkit.records import Epoch, as_json
from edgefit_toolkit.training.affordable import TrainingWork
from edgefit_toolkit.training.balance import asks_for_balance
from edgefit_toolkit.training.compute import Compute, choose_compute
from edgefit_toolkit.training.fine_tune import fine_tune
from edgefit_toolkit.training.initial import initial_network
from edgefit_toolkit.training.settings import TrainSettings
from edgefit_toolkit.training.world import ALONE, World


@dataclass(frozen=True)
class Training:
    """How fine-tuning went (report.schema.TrainingDoc)."""

    trace: tuple[Epoch, ...]
    best_epoch: int
    val_top1: float
    seconds: float
    settings: TrainSettings
    device: str  # what it was trained on
    temperature: float  # divides the logits
    processes: int = 1
    speed: str = ""  # of the last epoch, in words
    balance: str = ""  # why each class counts alike, or why not; empty where their sizes do not ask for it
    classifier: str = ""  # whether it is factorized and why; empty where it does not outweigh the rest of the network
    teacher: str = ""  # whom it learnt from beside the labels, and why; empty where nobody was asked for


@dataclass(frozen=True)
class Trained:
    """The checkpoint's story; the files are the checkpoint, labels.txt and preprocessing.json."""

    provenance: Provenance
    training: Training
    warnings: tuple[str, ...]


class Train(Stage[Trained]):
    """Leaves the checkpoint, labels.txt and preprocessing.json."""

    number, name, result = 3, "train", Trained

    @property
    def title(self) -> str:
        """Which network."""
        return f"fine-tune {self.job.variant.label}: from ImageNet weights to your classes"

    @cached_property
    def compute(self) -> Compute:
        """The processor that trains."""
        return choose_compute()

    @property
    def world(self) -> World:
        """The processes that train."""
        return self.job.world or ALONE

    @cached_property
    def settings(self) -> TrainSettings:
        """By the size of the job, but for what the user chose."""
        return replace(self._without_teacher, teacher=self.teacher.identity)

    @cached_property
    def teacher(self) -> Choice:
        """Whose answers are learnt beside the labels."""
        job, settings = self.job, self._without_teacher
        work = TrainingWork(job.variant, settings, len(job.dataset.train), self.compute.device)
        depends_on = {"data": job.dataset.sha256, "offline": job.settings.offline}
        return choice_of(job.run, job.settings, work, depends_on, job.ui)

    @cached_property
    def _without_teacher(self) -> TrainSettings:
        job = self.job
        chosen = TrainSettings.default_for(job.variant, len(job.dataset.train), self.compute.device, job.settings.seed)
        asked = {"auto": asks_for_balance(self.counts), "on": True, "off": False}
        chosen = replace(chosen, balance=asked[job.settings.balance], compiled=job.settings.compile)
        return chosen if job.settings.epochs is None else replace(chosen, epochs=job.settings.epochs)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Training pictures of each class."""
        return self.job.dataset.counts(self.job.dataset.train)

    @property
    def balance(self) -> str:
        """Whether each class counts alike and why, for the report; empty where the classes are of about one size."""
        spread = f"the largest class has {max(self.counts):,} training pictures, the smallest {min(self.counts):,}"
        if self.settings.balance:
            why = "as asked for" if self.job.settings.balance == "on" else "--balance off changes it"
            return f"{spread}: each class counts alike, by logit adjustment ({why})"
        if asks_for_balance(self.counts):
            return f"{spread}: classes count by their pictures, as asked for"
        return ""

    def depends_on(self) -> dict[str, Any]:
        """The versions stand here for all later stages, too."""
        number_formats = asdict(self.compute)
        del number_formats["name"]  # another processor of the same kind repeats the training
        return {
            "settings": asdict(self.settings) | {"offline": self.job.settings.offline},
            "variant": asdict(self.job.variant),
            "data": self.job.dataset.sha256,
            "compute": number_formats | {"processes": self.world.size},
            "versions": self.job.run.manifest["environment"]["versions"],
        }

    @property
    def state_dir(self) -> Path:
        """What a training that is not finished goes on from."""
        return (self.job.run.path / "training-state").absolute() / self.key.hash[:16]

    def tidy(self, *, resumed: bool) -> None:
        """The state of this training; of a new one those of others, too, which were given up for it."""
        shutil.rmtree(self.state_dir if resumed else self.state_dir.parent, ignore_errors=True)
        with contextlib.suppress(OSError):  # others lie there
            self.state_dir.parent.rmdir()

    def work(self) -> tuple[Trained, list[Path]]:
        """Raises DownloadError, DataError, OutputError."""
        job, ui, state_dir = self.job, self.job.ui, self.state_dir
        network, provenance = initial_network(
            job.variant, job.dataset, job.settings.seed, allow_download=not job.settings.offline,
            on_progress=ui.progress, device=self.compute.device,
        )  # fmt: skip
        ui.note(provenance.note)
        if self.balance:
            ui.note(self.balance)
        if self.teacher.why:
            ui.note(f"teacher: {self.teacher.why}")
        what = self.teacher.what
        teacher = open_teacher(what, job.dataset, job.settings, ui, state_dir / "teacher") if what else None
        taught = (None, None) if teacher is None else (teacher.network.variant, teacher.log_shares)
        self.world.by_first(lambda: Order(job.variant, job.dataset, self.settings, state_dir, *taught))
        with self.world.training():
            found = fine_tune(
                network, job.dataset, self.settings, ui.progress,
                state_dir=state_dir, compute=self.compute, world=self.world,
                teacher=teacher,
            )  # fmt: skip
        for line in found.trace:
            what = "linear probe" if line.phase == "probe" else f"epoch {line.epoch}"
            mean = "" if line.val_recall is None else f", val mean over classes {line.val_recall:.3f}"
            ui.note(
                f"{what}: loss {line.train_loss:.3f}, val loss {line.val_loss:.3f}, val top-1 {line.val_top1:.3f}"
                f"{mean}, {self._speed(line)}"
            )
        for note in found.notes:
            ui.note(note)
        training = Training(
            found.trace, found.best_epoch, found.val_top1, round(found.seconds, 1), self.settings, self.compute.name,
            found.temperature, self.world.size, self._speed(found.trace[-1]), self.balance,
            found.classifier, self.teacher.why,
        )  # fmt: skip
        meta = CheckpointMeta(
            variant=found.network.variant, preprocessing=found.preprocessing, classes=job.dataset.classes,
            temperature=found.temperature, val_top1=found.val_top1, provenance=asdict(provenance),
            training={name: value for name, value in as_json(training).items() if name != "trace"},
            versions=job.run.manifest["environment"]["versions"],
        )  # fmt: skip
        save_checkpoint(job.checkpoint, found.network, meta)
        write_atomic(job.labels_file, "".join(f"{name}\n" for name in job.dataset.classes))
        write_atomic(job.preprocessing_file, json.dumps(asdict(found.preprocessing), indent=2) + "\n")
        files = [job.checkpoint, sidecar_of(job.checkpoint), job.labels_file, job.preprocessing_file]
        return Trained(provenance, training, self.warnings()), files

    def _speed(self, line: Epoch) -> str:
        """In all and of each process, and how much of the time pictures were waited for."""
        each = f" in {self.world.size} processes, {line.images_per_s / self.world.size:.0f} each"
        waited = f", {line.waiting_share:.0%} of the time waiting for pictures"
        said = f"{line.images_per_s:.0f} images/s" + (each if self.world.size > 1 else "")
        return said + (waited if line.phase != "probe" else "")

    def warnings(self) -> tuple[str, ...]:
        """What one should know before trusting the accuracy."""
        smallest = min(count for count in self.job.dataset.counts(self.job.dataset.test) if count)
        if smallest >= 20:  # those that have none at all are named as not tested
            return ()
        return (f"a class has only {smallest} test pictures: accuracy is known roughly (see its interval)",)
