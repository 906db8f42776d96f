"""Weights to the nearest, and biases that make up for the shift of the mean."""

from __future__ import annotations

from edgefit_converters.int8 import lockstep
from edgefit_converters.int8.lockstep import Corrected
from edgefit_converters.ladder.material import FloatModel, Material
from edgefit_converters.routes.route import Draft

name = "bias correction"
why = "each layer's mean output is the float model's again"
own_ranges = False


def draft(material: Material) -> Draft:
    """See Step."""
    return material.draft(material.plain, corrected=_corrected(material.plain))


def _corrected(model: FloatModel) -> Corrected:
    return lockstep.walk(model.graph, model.pixels, model.min_max, lockstep.nearest)
