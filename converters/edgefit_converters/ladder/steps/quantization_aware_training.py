"""Training on the grids of the file to be, from learned rounding on."""

from __future__ import annotations

import numpy as np

from edgefit_converters.int8 import lockstep, qat
from edgefit_converters.int8.adaptive_rounding import adaptive
from edgefit_converters.int8.lockstep import Corrected
from edgefit_converters.ladder.material import Material
from edgefit_converters.routes.route import Draft

name = "quantization-aware training"
why = "the int8 network is taught the float network's logits"
own_ranges = False


def draft(material: Material) -> Draft:
    """See Step."""
    return material.draft(material.equalized, corrected=_trained(material))


def _trained(material: Material) -> Corrected:
    model, evidence = material.equalized, material.evidence
    kept, back = qat.hold_back(len(model.pixels))
    shown, means = model.pixels[kept], {name: own[kept] for name, own in model.means.items()}
    start = lockstep.walk(model.graph, shown, means, model.min_max, adaptive)
    if evidence.more_pixels is not None:
        shown = np.concatenate((shown, evidence.more_pixels()))
    return qat.train(model.graph, start, model.min_max, shown, model.pixels[back], on_progress=evidence.on_progress)
