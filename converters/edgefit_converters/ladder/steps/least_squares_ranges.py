"""Learned rounding with ranges that clip."""

from __future__ import annotations

from edgefit_converters.ladder.material import Material
from edgefit_converters.ladder.steps.learned_rounding import learned
from edgefit_converters.routes.route import Draft

name = "least-squares ranges"
why = "learned rounding and narrower ranges together"
own_ranges = True


def draft(material: Material) -> Draft:
    """See Step."""
    model = material.equalized
    return material.draft(model, model.least_squares, model.once(learned))
