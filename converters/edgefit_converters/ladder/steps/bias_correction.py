"""Weights to the nearest, and biases that make up for the shift of the mean."""

from __future__ import annotations

from edgefit_converters.int8 import lockstep
from edgefit_converters.ladder.material import Material
from edgefit_converters.routes.route import Draft

name = "bias correction"
why = "each layer's mean output is the float model's again"
own_ranges = False


def draft(material: Material) -> Draft:
    """See Step."""
    model = material.plain
    corrected = lockstep.walk(model.graph, model.pixels, model.means, model.min_max)
    return material.draft(model, corrected=corrected)
