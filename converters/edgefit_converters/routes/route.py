"""What a converter route is: a way from the network to .tflite files. ROUTES lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgefit_converters.int8.quantize import Scales
from edgefit_converters.int8.ranges import Range
from edgefit_converters.recipe import Recipe
from edgefit_converters.routes.deploy import Deployed
from edgefit_toolkit.interpreter import Pixels
from edgefit_toolkit.records import TFLiteModel


@dataclass(frozen=True)
class Draft:
    """A step's network before it becomes int8: what the ladder hands to a route."""

    float_path: Path  # float .tflite of the same route, with the step's constants in it
    pixels: Pixels  # uint8 [N, R, R, 3] to calibrate on
    ranges: Mapping[str, Range]  # of every activation, chosen by the step
    scales: Scales | None  # the grid that weights have been rounded to; None: they have not
    network: Deployed | None = None  # for routes that start from it; its constants give way to those of float_path


class Route(Protocol):
    """One way to convert. Opened with (on_progress, offline=...); every route's files have layer names on their tensors
    and the same types and scales at their ends."""

    @property
    def name(self) -> str:
        """As in `--converter`."""

    @property
    def stack(self) -> str:
        """What a network passes through, for the report: `torch -> litert-torch -> ...`."""

    def versions(self) -> dict[str, str]:
        """Of the packages that convert."""

    def check(self) -> None:
        """Whether it can convert here, before anything is trained. Raises ConversionError, SideEnvironmentError."""

    def to_make(self) -> str:
        """What the next conversion has to make first, and what that takes; empty when nothing is missing."""

    def declines(self, own_ranges: bool) -> str:
        """Why the route cannot take a step, which may choose activation ranges of its own; empty when it can."""

    def export_float(self, network: Deployed, path: str | Path) -> TFLiteModel:
        """The network as a float .tflite with softmax at its end. Raises ConversionError, SideEnvironmentError."""

    def quantize(self, draft: Draft, path: str | Path, recipe: Recipe) -> TFLiteModel:
        """The draft as int8, read back and checked. Raises ConversionError, SideEnvironmentError."""
