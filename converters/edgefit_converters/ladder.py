"""Climbs from plain int8 to int8 that keeps the float model's answers, and stops at the first rung that does."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgefit_converters.int8 import equalization, layers, lockstep, qat, rounding
from edgefit_converters.int8.lockstep import Mended
from edgefit_converters.int8.ranges import Range, choose_ranges, observe
from edgefit_converters.judge import faults, guard
from edgefit_converters.judge.accuracy import Accuracy, Labels
from edgefit_converters.judge.holdout import Holdout, Step, table
from edgefit_converters.recipe import RangeMethod, Recipe, Rung, WeightMethod
from edgefit_converters.routes.deploy import Deployed
from edgefit_converters.routes.routes import Draft, LiteRT, Route
from edgefit_converters.tflite import torchgraph
from edgefit_toolkit.errors import ConversionError, GuardFailed
from edgefit_toolkit.interpreter import Pixels
from edgefit_toolkit.progress import Progress
from edgefit_toolkit.records import Parity, TFLiteModel

FEW = 4  # photographs that name the layer which loses the answer


@dataclass(frozen=True)
class LadderResult:
    """What is handed over, and how it came about."""

    steps: tuple[Step, ...]
    model: TFLiteModel
    parity: Parity
    chosen: str  # the name of the step whose model it is
    accuracy: Accuracy | None = None  # of that step
    left_out: tuple[str, ...] = ()  # rungs that the route does not climb, each with its reason


def climb(
    float_path: str | Path,
    calibration_pixels: Pixels,
    holdout_pixels: Pixels,
    out_path: str | Path,
    recipe: Recipe | None = None,
    on_event: Callable[[Step], None] | None = None,
    *,
    labels: Labels | None = None,
    route: Route | None = None,
    network: Deployed | None = None,
    more_pixels: Callable[[], Pixels] | None = None,
    on_progress: Progress | None = None,
) -> LadderResult:
    """Quantizes a float .tflite by the recipe's ladder, rung after rung, until a model passes the recipe's floors.

    Agreement and SQNR are measured on `holdout_pixels`, which must not be among `calibration_pixels` (both uint8
    [N, R, R, 3]); accuracy on those of them that have a label in `labels` [N] (-1: none). Of the rungs climbed, the
    passing one with the best SQNR is handed over (a dearer rung is not always better). `on_event` hears of each step.
    Raises GuardFailed with the table, and with what kind of break it looks like, when none passes or calibration is
    useless; then `out_path` does not exist.

    `route` makes the int8 files (LiteRT when None); float_path must be of its making, and onnx-tf needs the `network`
    that it was made from. Rungs that the route declines are left out. `more_pixels` gives further pictures, none of
    them held out, to train the last rung on; it is asked only when that rung is reached, and `on_progress` hears how it
    goes.
    """
    recipe, out_path, route = recipe or Recipe(), Path(out_path), route or LiteRT()
    out_path.unlink(missing_ok=True)
    out_path.parent.mkdir(parents=True, exist_ok=True)
    guard.check_calibration(calibration_pixels, holdout_pixels)
    started = time.monotonic()
    holdout = Holdout(float_path, holdout_pixels, labels)
    steps: list[Step] = []
    models: list[TFLiteModel] = []
    with tempfile.TemporaryDirectory(dir=out_path.parent, prefix=".ladder-") as folder:
        works = _Workshop(Path(float_path), Path(folder), calibration_pixels, route, network)
        works.more_pixels, works.on_progress = more_pixels, on_progress
        for number, rung in enumerate(recipe.ladder):
            if route.declines(rung):
                continue
            candidate = Path(folder) / f"{number}.tflite"
            model = works.make(rung, candidate, recipe)
            seconds, before = time.monotonic() - started, steps[-1] if steps else None
            step = holdout.judge(rung.name, rung.why, model, recipe.floors, seconds, before)
            started = time.monotonic()
            steps.append(step)
            models.append(model)
            if on_event is not None:
                on_event(step)
            if number >= recipe.first and best_passing(steps) is not None:
                break
        if not steps:
            raise ConversionError(f"--converter {route.name} climbs no rung of this ladder", "use --converter litert")
        best = best_passing(steps)
        if best is None:
            raise _none_passes(steps, models, Path(float_path), holdout)
        model = models[steps.index(best)]
        os.replace(model.path, out_path)
    left_out = tuple(f"{rung.name}: {route.declines(rung)}" for rung in recipe.ladder if route.declines(rung))
    model = replace(model, path=str(out_path))
    return LadderResult(tuple(steps), model, best.parity, best.name, best.accuracy, left_out)


def best_passing(steps: Sequence[Step]) -> Step | None:
    """The step whose model is handed over: of those that pass the best in SQNR, the earlier of two equal ones."""
    passing = [step for step in steps if not step.shortfalls]
    return max(passing, key=lambda step: step.parity.sqnr_db, default=None)


class _Base:
    """A float .tflite with what the rungs on it share: activations are observed once, layers mended once per method."""

    def __init__(self, path: Path, pixels: Pixels) -> None:
        self.path, self.pixels = path, pixels
        self._observed = observe(path, pixels)
        self._ranges: dict[RangeMethod, dict[str, Range]] = {}
        self._mended: dict[WeightMethod, Mended] = {}

    def ranges(self, method: RangeMethod) -> dict[str, Range]:
        if method not in self._ranges:
            self._ranges[method] = choose_ranges(self._observed, method)
        return self._ranges[method]

    def mended(
        self,
        method: WeightMethod,
        more_pixels: Callable[[], Pixels] | None = None,
        on_progress: Progress | None = None,
    ) -> Mended:
        """Always under min-max ranges: what clipping cuts off a few photographs is no shift of the mean, and biases
        that follow it cost more (Lite0: 18.1 dB instead of 22.1) than narrower ranges gain."""
        if method not in self._mended:
            graph, limits = torchgraph.read_graph(self.path), self.ranges("minmax")
            if method == "trained":
                shown, held_back = qat.hold_back(self.pixels)
                start = lockstep.walk(graph, shown, limits, rounding.learned)
                if more_pixels is not None:
                    shown = np.concatenate((shown, more_pixels()))
                self._mended[method] = qat.train(graph, start, limits, shown, held_back, on_progress=on_progress)
            else:
                how = rounding.learned if method == "learned" else lockstep.nearest
                self._mended[method] = lockstep.walk(graph, self.pixels, limits, how)
        return self._mended[method]


class _Workshop:
    """Makes the rungs' files in a folder."""

    more_pixels: Callable[[], Pixels] | None = None
    on_progress: Progress | None = None

    def __init__(self, float_path: Path, folder: Path, pixels: Pixels, route: Route, network: Deployed | None) -> None:
        self.folder, self.pixels, self.route, self.network = folder, pixels, route, network
        self._plain = _Base(float_path, pixels)
        self._equalized: _Base | None = None

    def make(self, rung: Rung, path: Path, recipe: Recipe) -> TFLiteModel:
        """The rung's int8 file."""
        base = self._equalized_base() if rung.equalized else self._plain
        source, scales = base.path, None
        if rung.weights != "nearest":
            mended = base.mended(rung.weights, self.more_pixels, self.on_progress)
            source, scales = self.folder / "mended.tflite", mended.scales
            torchgraph.write_layers(base.path, mended.layers, source)
        draft = Draft(source, self.pixels, base.ranges(rung.ranges), scales, self.network)
        model = self.route.quantize(draft, path, recipe)
        return replace(
            model, recipe=f"int8 W8A8 per-channel, {rung.name}, {recipe.io_dtype} doors, by {self.route.name}"
        )

    def _equalized_base(self) -> _Base:
        if self._equalized is None:
            graph = equalization.equalize(torchgraph.read_graph(self._plain.path), self.pixels)
            path = self.folder / "equalized.tflite"
            torchgraph.write_layers(self._plain.path, graph.layers, path)
            self._equalized = _Base(path, self.pixels)
        return self._equalized


def _none_passes(steps: list[Step], models: list[TFLiteModel], float_path: Path, holdout: Holdout) -> GuardFailed:
    best = max(range(len(steps)), key=lambda i: steps[i].parity.sqnr_db)
    step, path = steps[best], models[best].path
    looks_like = faults.explain(holdout.logits, path, holdout.pixels)
    looks_like = looks_like or layers.blame(layers.compare_layers(float_path, path, holdout.pixels[:FEW]))
    return GuardFailed(
        f"int8 does not keep the float model's answers at any step of the ladder; best is {step.name}: "
        f"{'; '.join(step.shortfalls)}. It looks like this: {looks_like}\n{table(steps)}",
        "nothing was handed over; calibrate on more photographs of the kind that the app will see, or train longer",
        steps,
    )
