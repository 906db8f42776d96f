"""Plain post-training quantization."""

from __future__ import annotations

from edgefit_converters.ladder.material import Material
from edgefit_converters.routes.route import Draft

name = "min-max PTQ"
why = "the plain recipe: every range as wide as what was seen"
own_ranges = False


def draft(material: Material) -> Draft:
    """See Step."""
    return material.draft(material.plain)
