"""Climbs from plain int8 to int8 that keeps the float model's answers, and stops at the first step that does."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgefit_converters.judge import faults, guard, layer_parity
from edgefit_converters.judge.accuracy import Accuracy
from edgefit_converters.judge.holdout import Holdout, JudgedStep, table
from edgefit_converters.ladder import steps as product
from edgefit_converters.ladder.material import Evidence, Material
from edgefit_converters.ladder.steps import Step
from edgefit_converters.recipe import Recipe
from edgefit_converters.routes.litert import LiteRT
from edgefit_converters.routes.route import Route
from edgefit_toolkit.errors import ConversionError, GuardFailed
from edgefit_toolkit.records import Parity, TFLiteModel

FEW = 4  # photographs that name the layer which loses the answer


@dataclass(frozen=True)
class LadderResult:
    """What is handed over, and how it came about."""

    steps: tuple[JudgedStep, ...]
    model: TFLiteModel
    parity: Parity
    chosen: str  # the name of the step whose model it is
    accuracy: Accuracy | None = None  # of that step
    left_out: tuple[str, ...] = ()  # steps that the route does not take, each with its reason


def climb(
    evidence: Evidence,
    out_path: str | Path,
    recipe: Recipe | None = None,
    *,
    route: Route | None = None,
    steps: Sequence[Step] | None = None,
    on_step: Callable[[JudgedStep], None] | None = None,
) -> LadderResult:
    """Quantizes a float .tflite step after step, until a model passes the recipe's floors.

    Of the steps climbed, the passing one with the best SQNR is handed over (a dearer step is not always better).
    `route` makes the int8 files (LiteRT when None); those of the `steps` (all of STEPS when None) that it declines are
    left out. `on_step` hears of each step. Raises GuardFailed with the table, and with what kind of break it looks
    like, when none passes or calibration is useless; then `out_path` does not exist. ValueError when the recipe's
    first step is none of `steps`.
    """
    recipe, out_path, route = recipe or Recipe(), Path(out_path), route or LiteRT()
    steps = product.STEPS if steps is None else steps
    names = [step.name for step in steps]
    if recipe.first not in names:
        raise ValueError(f"no step {recipe.first}; there are {', '.join(names)}")
    at_least = names.index(recipe.first)
    out_path.unlink(missing_ok=True)
    out_path.parent.mkdir(parents=True, exist_ok=True)
    guard.check_calibration(evidence.calibration, evidence.holdout)
    started = time.monotonic()
    holdout = Holdout(
        evidence.float_path, evidence.holdout, evidence.labels, classes=evidence.classes, sides_px=evidence.sides_px
    )
    judged: list[JudgedStep] = []
    models: list[TFLiteModel] = []
    declined = {step.name: route.declines(step.own_ranges) for step in steps}
    with _scratch(out_path) as folder:
        material = Material(evidence, folder)
        for number, step in enumerate(steps):
            if declined[step.name]:
                continue
            model = route.quantize(step.draft(material), folder / f"{number}.tflite", recipe)
            seconds, before = time.monotonic() - started, judged[-1] if judged else None
            judged.append(holdout.judge(step.name, step.why, model, recipe.floors, seconds, before))
            started = time.monotonic()
            models.append(model)
            if on_step is not None:
                on_step(judged[-1])
            if number >= at_least and best_passing(judged) is not None:
                break
        if not judged:
            raise ConversionError(f"--converter {route.name} climbs no step of this ladder", "use --converter litert")
        best = best_passing(judged)
        if best is None:
            raise _none_passes(judged, models, evidence.float_path, holdout)
        model = models[judged.index(best)]
        os.replace(model.path, out_path)
    made = f"int8 W8A8 per-channel, {best.name}, {recipe.io_dtype} doors, by {route.name}"
    left_out = tuple(f"{name}: {reason}" for name, reason in declined.items() if reason)
    model = replace(model, path=str(out_path), recipe=made)
    return LadderResult(tuple(judged), model, best.parity, best.name, best.accuracy, left_out)


def best_passing(steps: Sequence[JudgedStep]) -> JudgedStep | None:
    """The step whose model is handed over: of those that pass the best in SQNR, the earlier of two equal ones."""
    passing = [step for step in steps if not step.shortfalls]
    return max(passing, key=lambda step: step.parity.sqnr_db, default=None)


@contextlib.contextmanager
def _scratch(out_path: Path) -> Iterator[Path]:
    """A folder for the steps' files beside the model that is made. What a killed climb to the same model left goes
    first; that of a climb which goes on is locked, and stays."""
    prefix = f".ladder-{out_path.name}-"
    for left in out_path.parent.glob(f"{glob.escape(prefix)}*"):
        with contextlib.suppress(OSError), (left / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=out_path.parent, prefix=prefix) as folder, open(f"{folder}/lock", "w") as own:
        fcntl.flock(own, fcntl.LOCK_EX)
        yield Path(folder)


def _none_passes(steps: list[JudgedStep], models: list[TFLiteModel], float_path: Path, holdout: Holdout) -> GuardFailed:
    best = max(range(len(steps)), key=lambda i: steps[i].parity.sqnr_db)
    step, path = steps[best], models[best].path
    looks_like = faults.explain(holdout.logits, path, holdout.pixels)
    looks_like = looks_like or layer_parity.blame(layer_parity.compare_layers(float_path, path, holdout.pixels[:FEW]))
    return GuardFailed(
        f"int8 does not keep the float model's answers at any step of the ladder; best is {step.name}: "
        f"{'; '.join(step.shortfalls)}. It looks like this: {looks_like}\n{table(steps)}",
        "nothing was handed over; calibrate on more photographs of the kind that the app will see, or train longer",
        steps,
    )
