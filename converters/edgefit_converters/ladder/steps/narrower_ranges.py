"""Plain rounding with ranges that clip.

Cheaper than bias correction, but behind it, which is climbed anyway: Lite gains little here. What swish lets through
has no upper end, and a few large values take most of the range.
"""

from __future__ import annotations

from edgefit_converters.ladder.material import Material
from edgefit_converters.routes.route import Draft

name = "narrower ranges"
why = "rare large activations are clipped for finer steps everywhere else"
own_ranges = True


def draft(material: Material) -> Draft:
    """See Step."""
    return material.draft(material.plain, material.plain.least_squares)
