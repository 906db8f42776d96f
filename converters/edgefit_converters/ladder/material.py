"""What a ladder is climbed with: what the caller hands over, and what the steps make of it once and share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from edgefit_converters.int8 import equalization
from edgefit_converters.int8.lockstep import Corrected
from edgefit_converters.int8.ranges import Observed, Range, choose_ranges, least_squares, means, min_max, observe
from edgefit_converters.judge.accuracy import Labels
from edgefit_converters.routes.deploy import Deployed
from edgefit_converters.routes.route import Draft
from edgefit_converters.tflite import torchgraph
from edgefit_converters.tflite.torchgraph import Graph
from edgefit_toolkit.interpreter import Floats, Pixels
from edgefit_toolkit.progress import Progress

T = TypeVar("T")


@dataclass(frozen=True)
class Evidence:
    """A float model and the photographs that int8 is made from and judged by."""

    float_path: Path  # float .tflite, made by the route that is climbed with
    calibration: Pixels  # uint8 [N, R, R, 3]
    holdout: Pixels  # uint8 [M, R, R, 3]: agreement and SQNR are measured on these; none may be among `calibration`
    labels: Labels | None = None  # [M], of the held-out ones; -1 where a label is unknown or must not be looked at
    network: Deployed | None = None  # what float_path was made from: the onnx-tf route starts there
    more_pixels: Callable[[], Pixels] | None = None  # further ones, none held out; asked only by a step that trains
    on_progress: Progress | None = None  # hears of a step that trains
    classes: Sequence[str] = ()  # their names: each class is then judged alone, too
    sides_px: Sequence[int] | None = None  # [M], the shorter sides of the held-out photographs' files


class FloatModel:
    """A float .tflite with what the steps on it share, each made when it is first asked for."""

    def __init__(self, path: Path, pixels: Pixels) -> None:
        self.path, self.pixels = path, pixels
        self._made: dict[Callable[[FloatModel], Any], Any] = {}

    @cached_property
    def graph(self) -> Graph:
        """Its operators and constants in torch."""
        return torchgraph.read_graph(self.path)

    @cached_property
    def min_max(self) -> dict[str, Range]:
        """Ranges as wide as what was seen. Layers are corrected under these whatever ranges the file gets: what
        clipping cuts off a few photographs is no shift of the mean (benchmarks/results/int8_choices.md)."""
        return choose_ranges(self._observed, min_max)

    @cached_property
    def least_squares(self) -> dict[str, Range]:
        """Ranges with the smallest mean squared error."""
        return choose_ranges(self._observed, least_squares)

    @cached_property
    def means(self) -> dict[str, Floats]:
        """Of each activation's channels on each photograph [N, C]."""
        return means(self._observed)

    @cached_property
    def _observed(self) -> dict[str, Observed]:
        return observe(self.path, self.pixels)

    def once(self, make: Callable[[FloatModel], T]) -> T:
        """make(self), made at the first asking and kept for the other steps that share it."""
        if make not in self._made:
            self._made[make] = make(self)
        made: T = self._made[make]
        return made


class Material:
    """What the steps make their drafts from, with a folder for their files."""

    def __init__(self, evidence: Evidence, folder: Path) -> None:
        self.evidence, self.folder = evidence, folder
        self.plain = FloatModel(evidence.float_path, evidence.calibration)

    @cached_property
    def equalized(self) -> FloatModel:
        """The same function, its residual streams scaled channel by channel."""
        graph, path = equalization.equalize(self.plain.graph, self.plain.pixels), self.folder / "equalized.tflite"
        torchgraph.write_layers(self.plain.path, graph.layers, path)
        return FloatModel(path, self.plain.pixels)

    def draft(
        self, model: FloatModel, ranges: Mapping[str, Range] | None = None, corrected: Corrected | None = None
    ) -> Draft:
        """The model with these ranges (min-max when None) and corrected constants (its own when None)."""
        source, scales = model.path, None
        if corrected is not None:
            source, scales = self.folder / "corrected.tflite", corrected.scales
            torchgraph.write_layers(model.path, corrected.layers, source)
        return Draft(source, model.pixels, ranges or model.min_max, scales, self.evidence.network)
