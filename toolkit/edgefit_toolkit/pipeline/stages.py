"""The stages themselves: each takes the job, does its work, and returns a JSON-able value with the files it made."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.data.pixels import labels as labels_of
from edgefit_toolkit.data.sources import load_dataset
from edgefit_toolkit.devices import load_profile
from edgefit_toolkit.files import key_of, write_atomic
from edgefit_toolkit.network.scaling import with_classes
from edgefit_toolkit.picker.bracket import ROUNDS, Bracket, apply
from edgefit_toolkit.picker.plan import Measured, Plan, plan_json
from edgefit_toolkit.pipeline.job import Job
from edgefit_toolkit.pipeline.prove import Bench, find_bench, host_threads, prove
from edgefit_toolkit.pipeline.run import Run
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.progress import Ui
from edgefit_toolkit.records import Latency, TFLiteModel, Variant, as_json
from edgefit_toolkit.report import derive

if TYPE_CHECKING:
    from edgefit_converters.routes.route import Route

Made = tuple[dict[str, Any], list[Path]]


def tell_plan(plan: Plan, ui: Ui) -> None:
    """The pick, its interval and basis, and what does not fit any more."""
    latency = plan.pick.latency
    at = latency.at(plan.budget.percentile)
    ui.note(
        f"{plan.pick.variant.label}: {at:.1f} ms {latency.origin} "
        f"({80 if latency.origin == 'predicted' else 95}% interval {latency.low:.1f} to {latency.high:.1f})"
    )
    ui.note(f"basis: {latency.basis}")
    if plan.next is not None:
        ui.note(f"{plan.next.variant.label} does not fit: {plan.next.latency.at(plan.budget.percentile):.1f} ms")
    for note in plan.notes:
        ui.note(note)


def prove_plan(plan: Plan, settings: FitSettings, run: Run, ui: Ui) -> tuple[Plan, Bench | None]:
    """The plan measured on the device, when it is there; a proof once made is kept in the run."""
    if not settings.measure:
        return plan, None
    bench = find_bench(load_profile(settings.device), settings.where, threads=settings.threads, ui=ui)
    if bench is None:
        return plan, None
    facts = bench.target.facts()
    key = key_of(plan=plan_json(plan), rounds=ROUNDS, target=facts.label, threads=bench.threads, cpus=bench.cpus)
    before = run.done("proof", key)
    if before is not None:
        proven, _ = _restored(plan, before)
        tell_plan(proven, ui)
        return proven, bench
    ui.note(f"measuring untrained networks on {facts.label}, {bench.threads} threads")
    started = time.monotonic()
    proven, found = prove(plan, bench, ui)
    tell_plan(proven, ui)
    order = [c.variant for c in plan.frontier]
    value = {
        "measured": [{"network": order.index(m.variant)} | as_json(asdict(m)) for m in found.measured],
        "pick": found.measured.index(found.pick),
        "next": found.measured.index(found.next) if found.next else None,
        "closed": found.closed,
        "notes": list(found.notes),
    }
    run.finish("proof", key, value, [], time.monotonic() - started)
    return proven, bench


def _restored(plan: Plan, before: dict[str, Any]) -> tuple[Plan, Bracket]:
    """The proven plan from what an earlier process recorded."""
    measured = tuple(
        Measured(
            plan.frontier[row["network"]].variant,
            Latency(**row["latency"]),
            tuple(Latency(**run) for run in row["runs"]),
        )
        for row in before["measured"]
    )
    pick, after = measured[before["pick"]], before["next"]
    found = Bracket(
        pick, None if after is None else measured[after], measured, before["closed"], tuple(before["notes"])
    )
    return apply(plan, found), found


def load_data(settings: FitSettings, ui: Ui) -> Dataset:
    """The pictures, with every skipped file named."""
    dataset = load_dataset(settings.data, seed=settings.seed, on_progress=ui.progress)
    ui.note(dataset.summary)
    for skipped in dataset.skipped[:10]:
        ui.warn(f"skipped {skipped.place}: {skipped.reason}")
    if len(dataset.skipped) > 10:
        ui.warn(f"and {len(dataset.skipped) - 10} more; the report lists them all")
    for note in dataset.notes:
        ui.note(note)
    return dataset


def with_classes_of(plan: Plan, dataset: Dataset) -> Variant:
    """The picked variant with a classifier for this data set."""
    return with_classes(plan.pick.variant, len(dataset.classes))


def train(job: Job, key: str) -> Made:
    """ImageNet weights, probe, fine-tuning; leaves the checkpoint, labels.txt and preprocessing.json."""
    from edgefit_toolkit.network.checkpoints import CheckpointMeta, save_checkpoint, sidecar_of
    from edgefit_toolkit.training.compute import choose_compute
    from edgefit_toolkit.training.fine_tune import fine_tune
    from edgefit_toolkit.training.initial import initial_network
    from edgefit_toolkit.training.settings import TrainSettings

    settings, compute = job.settings, choose_compute()
    network, provenance = initial_network(
        job.variant, job.dataset, settings.seed, allow_download=not settings.offline,
        on_progress=job.ui.progress, device=compute.device,
    )  # fmt: skip
    job.ui.note(provenance.note)
    chosen = TrainSettings.default_for(job.variant, len(job.dataset.train), compute.device, settings.seed)
    if settings.epochs is not None:
        chosen = replace(chosen, epochs=settings.epochs)
    result = fine_tune(
        network, job.dataset, chosen, job.ui.progress,
        state_dir=job.run.path / "training-state" / key[:16], compute=compute,
    )  # fmt: skip
    for line in result.trace:
        what = "linear probe" if line.phase == "probe" else f"epoch {line.epoch}"
        job.ui.note(
            f"{what}: loss {line.train_loss:.3f}, val loss {line.val_loss:.3f}, val top-1 {line.val_top1:.3f}, "
            f"{line.images_per_s:.0f} images/s"
        )
    for note in result.notes:
        job.ui.note(note)
    training = {
        "trace": as_json(result.trace),
        "best_epoch": result.best_epoch,
        "val_top1": result.val_top1,
        "seconds": round(result.seconds, 1),
        "settings": asdict(chosen),
        "device": compute.name,
        "temperature": result.temperature,
    }
    meta = CheckpointMeta(
        variant=job.variant, preprocessing=result.preprocessing, classes=job.dataset.classes,
        temperature=result.temperature, val_top1=result.val_top1, provenance=asdict(provenance),
        training={k: v for k, v in training.items() if k != "trace"},
        versions=job.run.manifest["environment"]["versions"],
    )  # fmt: skip
    save_checkpoint(job.checkpoint, result.network, meta)
    names, door = job.run.path / "labels.txt", job.run.path / "preprocessing.json"
    write_atomic(names, "".join(f"{name}\n" for name in job.dataset.classes))
    write_atomic(door, json.dumps(asdict(result.preprocessing), indent=2) + "\n")
    value = {"provenance": asdict(provenance), "training": training, "warnings": _training_warnings(job)}
    return value, [job.checkpoint, sidecar_of(job.checkpoint), names, door]


def _training_warnings(job: Job) -> list[str]:
    smallest = min(job.dataset.counts(job.dataset.test))
    if smallest >= 20:
        return []
    return [f"a class has only {smallest} test pictures: accuracy is known roughly (see its interval)"]


def convert(job: Job, trained: dict[str, Any]) -> Made:
    """The float .tflite, which must compute what the checkpoint computes."""
    from edgefit_converters.routes.deploy import deploy
    from edgefit_converters.tflite.metadata import embed
    from edgefit_toolkit.pipeline import guarding

    network = deploy(job.network, trained["training"]["temperature"])
    model = _route(job).export_float(network, job.float_tflite)
    model = embed(job.float_tflite, job.dataset.classes, name=job.variant.label).as_model(model.recipe)
    guarding.check_float(job, job.float_tflite)
    job.ui.note(_file_line(model))
    return {"model": _model_doc(model)}, [job.float_tflite]


def _route(job: Job) -> Route:
    """The settings' converter, with a word about what it makes first."""
    from edgefit_converters.routes import open_route

    route = open_route(job.settings.converter, job.ui.progress, offline=job.settings.offline)
    if route.to_make():
        job.ui.note(route.to_make())
    return route


def quantize(job: Job, trained: dict[str, Any]) -> Made:
    """The int8 .tflite by the ladder, guarded on validation and test pictures; nothing is left behind when it fails.

    Test labels are not looked at: see guarding.py.
    """
    from edgefit_converters.int8 import representative
    from edgefit_converters.ladder.climb import climb
    from edgefit_converters.ladder.material import Evidence
    from edgefit_converters.recipe import Recipe
    from edgefit_converters.routes.deploy import deploy
    from edgefit_converters.tflite.metadata import embed
    from edgefit_toolkit.pipeline import guarding

    recipe = Recipe(calibration_photos=job.settings.calibration_n, io_dtype=job.settings.io_dtype)
    chosen = representative.choose(job.dataset.train, recipe.calibration_photos, job.settings.seed)
    pixels = job.pixels(chosen.photos, "reading calibration pictures")
    others = [photo for index, photo in enumerate(job.dataset.train) if index not in set(chosen.indices)]
    others = others[:: max(1, len(others) // recipe.training_photos)]  # for the ladder's last step, if it is reached
    held_out, labels = guarding.held_out(job)
    route = _route(job)
    evidence = Evidence(
        job.float_tflite, pixels, held_out, labels,
        network=deploy(job.network, trained["training"]["temperature"]),
        more_pixels=(lambda: job.pixels(tuple(others), "reading training pictures")) if others else None,
        on_progress=job.ui.progress,
    )  # fmt: skip
    result = climb(evidence, job.int8_tflite, recipe, route=route, on_step=lambda step: job.ui.note(step.sentence))
    for line in (*result.left_out, *result.model.notes):
        job.ui.note(line)
    model = embed(job.int8_tflite, job.dataset.classes, name=job.variant.label).as_model(
        result.model.recipe, result.model.notes
    )
    guarding.check_names(job, job.int8_tflite)
    job.ui.note(_file_line(model))
    value = {
        "model": _model_doc(model),
        "quantization": {
            "recipe": result.chosen,
            "converter": {
                "name": route.name,
                "stack": route.stack,
                "versions": route.versions(),
                "left_out": list(result.left_out),
            },
            "calibration": chosen.as_record() | {"source": "training split"},
            "ladder": guarding.ladder_doc(result.steps),
            "guard": asdict(recipe.floors),
        },
    }
    return value, [job.int8_tflite]


def evaluate(job: Job, trained: dict[str, Any]) -> Made:
    """Probabilities of the test pictures through all three networks, kept in answers.npz."""
    from edgefit_converters.judge.parity import compare
    from edgefit_toolkit.interpreter import TFLite
    from edgefit_toolkit.training.evaluation import predict

    pixels, truth = job.test_pixels, labels_of(job.dataset.test)
    threads = job.settings.threads or host_threads()
    answers: dict[str, NDArray[np.float32]] = {
        "float_torch": predict(job.network, pixels, temperature=trained["training"]["temperature"])
    }
    for name, path in (("float_tflite", job.float_tflite), ("int8_tflite", job.int8_tflite)):
        answers[name] = TFLite(path, threads=threads).predict(pixels)
    file = job.run.path / "answers.npz"
    save_arrays(file, answers | {"truth": truth})
    for name, probabilities in answers.items():
        job.ui.note(f"{name.replace('_', ' ')}: top-1 {(probabilities.argmax(1) == truth).mean():.3f} on {len(truth)}")
    parity = compare(job.float_tflite, job.int8_tflite, pixels)
    job.ui.note(f"int8 agrees with float on {parity.top1:.3f}, SQNR {parity.sqnr_db:.1f} dB")
    agreement = {"top1": parity.top1, "top5": parity.top5, "sqnr_db": parity.sqnr_db, "n": parity.n}
    val = TFLite(job.int8_tflite, threads=threads).predict(job.val_pixels)
    right = val.argmax(1) == labels_of(job.dataset.val)
    threshold = derive.not_sure_below(val.max(1).tolist(), right.tolist())
    job.ui.note(f"an app should say 'not sure' below a confidence of {threshold:.2f} (chosen on validation pictures)")
    return {"agreement": agreement, "threshold": threshold}, [file]


def write(job: Job, doc: dict[str, Any]) -> None:
    """report.json, report.md and report.html."""
    from edgefit_toolkit.report import write_report

    write_report(doc, job.run.path)


def save_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """An .npz, whole or not at all."""
    import io

    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    write_atomic(path, stream.getvalue())


def _model_doc(model: TFLiteModel) -> dict[str, Any]:
    doc: dict[str, Any] = as_json(model)
    return doc | {"path": Path(model.path).name}


def _file_line(model: TFLiteModel) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in model.ops.items())
    return f"{Path(model.path).name}: {model.size_bytes / 1e6:.1f} MB, {model.partitions} XNNPACK partition(s); {kinds}"
