"""Stage 5: the int8 .tflite, each step of the ladder guarded against the float model's answers.

Who may see which label: int8's *agreement* with float is judged on validation and test photographs together, for it
needs no label. *Accuracy* is judged on validation photographs only: a decision that looks at test labels, even to
refuse a model, would make test accuracy a figure that was selected for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefit_converters import recipe
from edgefit_converters.int8 import representative
from edgefit_converters.judge.accuracy import UNKNOWN
from edgefit_converters.ladder.climb import climb
from edgefit_converters.ladder.material import Evidence
from edgefit_converters.routes.deploy import deploy
from edgefit_converters.tflite.metadata import embed
from edgefit_toolkit.data.pixels import side_px
from edgefit_toolkit.interpreter import Pixels
from edgefit_toolkit.pipeline.report_rows import ladder_doc
from edgefit_toolkit.pipeline.stages.convert import check_names, file_line, route_of
from edgefit_toolkit.pipeline.stages.job import Job
from edgefit_toolkit.pipeline.stages.stage import Stage
from edgefit_toolkit.records import TFLiteModel, as_json
from edgefit_toolkit.report.schema.quantization import ConverterDoc, LadderStep


@dataclass(frozen=True)
class Quantized:
    """What reading the int8 file back showed, and how it was reached."""

    model: TFLiteModel
    step: str  # of the ladder, the one that was kept
    converter: ConverterDoc
    calibration: dict[str, Any]  # every photograph of the representative data set (as_record)
    ladder: list[LadderStep]
    floors: recipe.Floors


class Quantize(Stage[Quantized]):
    """Leaves model_int8.tflite, or nothing where no step of the ladder passes."""

    number, name, result = 5, "quantize", Quantized
    title = "quantize to int8, a quarter of the size, and guard it: it must keep the float model's answers"

    @property
    def recipe(self) -> recipe.Recipe:
        """The usual one, but for what the user chose."""
        settings = self.job.settings
        return recipe.Recipe(calibration_photos=settings.calibration_n, io_dtype=settings.io_dtype)

    def depends_on(self) -> dict[str, Any]:
        """The recipe whole."""
        return {"settings": as_json(self.recipe)}

    def work(self) -> tuple[Quantized, list[Path]]:
        """Raises GuardFailed, ConversionError, SideEnvironmentError. Test labels are not looked at."""
        job, how = self.job, self.recipe
        chosen = representative.choose(job.dataset.train, how.calibration_photos, job.settings.seed)
        pixels = job.pixels(chosen.photos, "reading calibration pictures")
        left = np.delete(np.arange(len(job.dataset.train)), chosen.indices)
        left = left[:: max(1, len(left) // how.training_photos)]  # for the ladder's last step, if it is reached
        others = [job.dataset.train[index] for index in left.tolist()]
        pictures, labels = held_out(job)
        route = route_of(job)
        evidence = Evidence(
            job.float_tflite, pixels, pictures, labels,
            network=deploy(job.network, job.temperature),
            more_pixels=(lambda: job.pixels(others, "reading training pictures")) if others else None,
            on_progress=job.ui.progress,
            classes=job.dataset.classes,
            sides_px=[side_px(photo) for photo in (*job.dataset.val, *job.dataset.test)],
        )  # fmt: skip
        found = climb(evidence, job.int8_tflite, how, route=route, on_step=lambda step: job.ui.note(step.sentence))
        for line in (*found.left_out, *found.model.notes):
            job.ui.note(line)
        model = embed(job.int8_tflite, job.dataset.classes, name=job.variant.label).as_model(
            found.model.recipe, found.model.notes
        )
        check_names(job, job.int8_tflite)
        job.ui.note(file_line(model))
        converter: ConverterDoc = {
            "name": route.name,
            "stack": route.stack,
            "versions": route.versions(),
            "left_out": list(found.left_out),
        }
        calibrated = chosen.as_record() | {"source": "training split"}
        model = replace(model, path=job.int8_tflite.name)
        return (
            Quantized(model, found.chosen, converter, calibrated, ladder_doc(found.steps), how.floors),
            [job.int8_tflite],
        )


def held_out(job: Job) -> tuple[Pixels, NDArray[np.int64]]:
    """Validation and test pictures uint8 [N, R, R, 3] that judge, and their labels [N]: -1 for every test picture."""
    (val, truth), (test, _) = job.judged_val, job.judged_test
    pixels = np.concatenate((val, test))
    labels = np.full(len(pixels), UNKNOWN)
    labels[: len(val)] = truth
    return pixels, labels
