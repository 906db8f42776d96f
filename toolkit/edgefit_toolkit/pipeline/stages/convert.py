"""Stage 4: the float .tflite, which must compute what the checkpoint computes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgefit_converters.judge import faults, guard
from edgefit_converters.routes import open_route
from edgefit_converters.routes.deploy import deploy
from edgefit_converters.routes.route import Route
from edgefit_converters.tflite.metadata import embed, read_labels
from edgefit_toolkit.data.answers.power import best_power
from edgefit_toolkit.errors import GuardFailed
from edgefit_toolkit.pipeline.stages.job import Job
from edgefit_toolkit.pipeline.stages.stage import Stage
from edgefit_toolkit.records import PIXEL_MEAN, PIXEL_STD, TFLiteModel
from edgefit_toolkit.training.evaluation import logits


@dataclass(frozen=True)
class Converted:
    """What reading the float file back showed."""

    model: TFLiteModel
    power: int = 1  # of the files' outputs: probabilities are what they give, to this power


class Convert(Stage[Converted]):
    """Leaves model_float.tflite."""

    number, name, result = 4, "convert", Converted
    title = "convert to a float .tflite: the form that phones run, checked against torch"

    def depends_on(self) -> dict[str, Any]:
        """The route, and whether answers are more than the likeliest class."""
        finer = {"outputs": "for sums and floors"} if self.finer else {}
        return {"settings": {"converter": self.job.settings.converter} | finer}

    @property
    def finer(self) -> bool:
        """Whether small probabilities count, summed up a tree, or how sure a sure answer is, above a floor."""
        return self.job.taxonomy is not None or self.job.dataset.other >= 0

    def work(self) -> tuple[Converted, list[Path]]:
        """Raises ConversionError, SideEnvironmentError, and GuardFailed for a file that computes something else."""
        job = self.job
        route = route_of(job)
        if self.finer:
            job.power = best_power(logits(job.network, job.judged_val[0], temperature=job.meta.temperature))
        if job.power > 1:
            job.ui.note(
                "the files give square roots of probabilities, brought to a sum of 1: 256 steps then tell more apart"
            )
        made = route.export_float(deploy(job.network, job.temperature), job.float_tflite)
        model = embed(job.float_tflite, job.dataset.classes, name=job.variant.label).as_model(made.recipe)
        check_float(job)
        job.ui.note(file_line(model))
        return Converted(replace(model, path=job.float_tflite.name), job.power), [job.float_tflite]


def route_of(job: Job) -> Route:
    """The settings' converter, with a word about what it makes first."""
    route = open_route(job.settings.converter, job.ui.progress, offline=job.settings.offline)
    if route.to_make():
        job.ui.note(route.to_make())
    return route


def check_float(job: Job) -> None:
    """The converted float .tflite against the checkpoint in torch, on validation pictures with their labels.

    Raises GuardFailed that names the break; the file is removed then.
    """
    meta, path = job.meta, job.float_tflite
    try:
        if (meta.preprocessing.mean, meta.preprocessing.std) != (PIXEL_MEAN, PIXEL_STD):
            raise GuardFailed(
                f"the checkpoint was trained on (raw - {meta.preprocessing.mean:g}) / {meta.preprocessing.std:g}, the "
                f".tflite takes (raw - {PIXEL_MEAN:g}) / {PIXEL_STD:g}: wrong preprocessing",
                "train it again: edgefit fit, with another --out",
            )
        check_names(job, path)
        pixels, truth = job.judged_val
        reference = logits(job.network, pixels, temperature=job.temperature)
        guard.check_float(reference, path, pixels, truth, meta.classes, validated_top1=meta.val_top1)
    except GuardFailed:
        path.unlink(missing_ok=True)
        raise


def check_names(job: Job, path: Path) -> None:
    """The labels inside a .tflite, in labels.txt and of the data set against the checkpoint's classes, in order."""
    beside = job.labels_file.read_text(encoding="utf-8").splitlines()
    for found, where in (
        (read_labels(path), path.name),
        (beside, job.labels_file.name),
        (job.dataset.classes, "the data set"),
    ):
        fault = faults.names(found, job.meta.classes, where)
        if fault is not None:
            raise GuardFailed(f"labels are shuffled: {fault}", "nothing was handed over; start the run again")


def file_line(model: TFLiteModel) -> str:
    """Size, partitions and operators, for the screen."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in model.ops.items())
    return f"{Path(model.path).name}: {model.size_bytes / 1e6:.1f} MB, {model.partitions} XNNPACK partition(s); {kinds}"
