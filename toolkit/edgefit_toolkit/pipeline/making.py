"""Stages 3 to 7 for one network: from ImageNet weights to a measured int8 model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edgefit_toolkit.files import key_of
from edgefit_toolkit.pipeline import measuring, stages
from edgefit_toolkit.pipeline.job import Job
from edgefit_toolkit.pipeline.prove import Bench


@dataclass(frozen=True)
class Made:
    """What stages 3 to 7 recorded."""

    trained: dict[str, Any]
    floated: dict[str, Any]
    quantized: dict[str, Any]
    evaluated: dict[str, Any]
    measured: dict[str, Any]


def keys_of(job: Job, bench: Bench | None) -> dict[str, str]:
    """What each of the stages 3 to 7 depends on: its own settings and the stages before it."""
    settings, environment_ = job.settings, job.run.manifest["environment"]
    keys = {
        "train": key_of(
            variant=asdict(job.variant), data=job.dataset.sha256, seed=settings.seed, epochs=settings.epochs,
            offline=settings.offline, versions=environment_["versions"],
        )
    }  # fmt: skip
    route = {} if settings.converter == "litert" else {"converter": settings.converter}  # older runs have no such field
    keys["convert"] = key_of(after=keys["train"], stage="convert", **route)
    keys["quantize"] = key_of(
        after=keys["convert"], stage="quantize", calibration_n=settings.calibration_n, io_dtype=settings.io_dtype
    )
    keys["evaluate"] = key_of(after=keys["quantize"], stage="evaluate")
    where = bench.target.facts().label if bench else ""
    keys["measure"] = key_of(
        after=keys["evaluate"], stage="measure", threads=settings.threads, host=environment_["cpu"], target=where
    )
    return keys


def make(job: Job, bench: Bench | None, keys: dict[str, str]) -> Made | None:
    """Stages 3 to 7 for one network; None when the run ends before the last of them."""
    # 3. train
    key = keys["train"]
    trained = job.stage(3, f"fine-tune {job.variant.label}", "train", key, lambda: stages.train(job, key))
    if job.total_stages == 3:
        return None

    # 4. convert
    floated = job.stage(
        4, "convert to a float .tflite", "convert", keys["convert"], lambda: stages.convert(job, trained)
    )

    # 5. quantize
    quantized = job.stage(
        5, "quantize to int8 and guard it", "quantize", keys["quantize"], lambda: stages.quantize(job, trained)
    )
    if job.total_stages == 5:
        return None

    # 6. evaluate
    evaluated = job.stage(
        6, "evaluate on test pictures", "evaluate", keys["evaluate"], lambda: stages.evaluate(job, trained)
    )

    # 7. measure
    measured = job.stage(7, "measure latency", "measure", keys["measure"], lambda: measuring.measure(job, bench))
    return Made(trained, floated, quantized, evaluated, measured)
