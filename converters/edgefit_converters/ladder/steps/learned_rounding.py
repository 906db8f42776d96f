"""Weights rounded up or down as keeps each layer's output, on equalized residual streams."""

from __future__ import annotations

from edgefit_converters.int8 import lockstep
from edgefit_converters.int8.adaptive_rounding import adaptive
from edgefit_converters.int8.lockstep import Corrected
from edgefit_converters.ladder.material import FloatModel, Material
from edgefit_converters.routes.route import Draft

name = "learned rounding"
why = "residual streams are equalized, and each weight goes up or down as keeps the layer's output"
own_ranges = False


def draft(material: Material) -> Draft:
    """See Step."""
    return material.draft(material.equalized, corrected=material.equalized.once(learned))


def learned(model: FloatModel) -> Corrected:
    """The model's constants after learned rounding."""
    return lockstep.walk(model.graph, model.pixels, model.means, model.min_max, adaptive)
