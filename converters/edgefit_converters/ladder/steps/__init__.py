"""The steps of the ladder, each dearer than the one before: one module a step, and one entry in STEPS."""

from __future__ import annotations

from typing import Protocol

from edgefit_converters.ladder.material import Material
from edgefit_converters.ladder.steps import (
    bias_correction,
    learned_rounding,
    least_squares_ranges,
    min_max,
    narrower_ranges,
    quantization_aware_training,
)
from edgefit_converters.routes.route import Draft


class Step(Protocol):
    """One way to make int8. A module can be one, and those here are."""

    name: str  # as in tables, reports and recipe strings
    why: str
    own_ranges: bool  # chooses ranges of its own for the activations; a route that measures them itself leaves it out

    def draft(self, material: Material) -> Draft:
        """The network that a route makes int8."""


STEPS: tuple[Step, ...] = (
    min_max,
    bias_correction,
    narrower_ranges,
    learned_rounding,
    least_squares_ranges,
    quantization_aware_training,
)
