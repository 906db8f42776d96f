"""Are the weights of an int8 file those that were rounded for it before it was made?"""

from __future__ import annotations

import numpy as np

from .flatfile import FlatModel
from .quantize import BIAS_LIMIT, Scales

TOLERANCE = 1e-4  # of a scale: float32 arithmetic in another order


def off_grid(source: FlatModel, int8: FlatModel, scales: Scales) -> dict[str, int]:
    """Layer -> output channels whose stored weights are not the source's, rounded to `scales`; only layers with some.

    source: the float file with weights that lie on their grid; both files carry layer names. Left out are channels
    whose bias overflows its int32 at the given scale: every quantizer widens those. Of a layer that has one scale for
    all channels (TensorFlow's dense layers) it is asked only that its weights were rounded to the nearest again.
    """
    wanted = {source.name(operator.inputs[1]): operator for operator, _ in source.weighted()}
    found = {}
    for operator, kind in int8.weighted():
        name = int8.name(operator.inputs[1])
        layer = name.removesuffix("/weight")
        if layer not in scales:
            continue
        axis = 3 if kind == "DEPTHWISE_CONV_2D" else 0
        weight = np.moveaxis(source.constant(wanted[name].inputs[1]), axis, 0).reshape(len(scales[layer]), -1)
        stored = np.moveaxis(int8.constant(operator.inputs[1]), axis, 0).reshape(weight.shape)
        real_scale = np.asarray(int8.graph.tensors[operator.inputs[1]].quantization.scale, np.float64)
        if len(real_scale) == 1 < len(weight):
            near = np.abs(stored * real_scale - weight) <= (0.5 + TOLERANCE) * real_scale
            if not near.all():
                found[layer] = int((~near.all(1)).sum())
            continue
        grid = np.rint(weight / scales[layer][:, None])
        near = np.abs(real_scale / scales[layer] - 1) <= TOLERANCE
        same = (stored == grid).all(1) & (near | (stored == 0).all(1))
        input_scale = int8.graph.tensors[operator.inputs[0]].quantization.scale[0]
        overflows = np.abs(source.constant(wanted[name].inputs[2])) > input_scale * scales[layer] * BIAS_LIMIT
        wrong = int((~same & ~overflows).sum())
        if wrong:
            found[layer] = wrong
    return found
