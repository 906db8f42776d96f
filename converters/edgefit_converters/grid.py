"""Are the weights of an int8 file those that were rounded for it before it was made?"""

from __future__ import annotations

import numpy as np

from .flatfile import FlatModel
from .quantize import BIAS_LIMIT, Scales

TOLERANCE = 1e-4  # of a scale: float32 arithmetic in another order
# TensorFlow's converter gives no range narrower than 1e-6 (its smallest scale in every file of 2.15); batch norms do
# learn channels below that, which add nothing
LEAST_SCALE = 5e-7 / 127


def off_grid(source: FlatModel, int8: FlatModel, scales: Scales) -> dict[str, int]:
    """Layer -> output channels whose stored weights are not the source's, rounded to `scales`; only layers with some.

    source: the float file with weights that lie on their grid; both files carry layer names. Of some channels it is
    asked only that their weights were rounded to the nearest once more: those of a layer with one scale for all
    (TensorFlow's dense layers), those whose bias overflows its int32 at the given scale, and those below LEAST_SCALE.
    """
    wanted = {source.name(operator.inputs[1]): operator for operator, _ in source.weighted()}
    found = {}
    for operator, kind in int8.weighted():
        name = int8.name(operator.inputs[1])
        layer = name.removesuffix("/weight")
        if layer not in scales:
            continue
        scale, axis = scales[layer], 3 if kind == "DEPTHWISE_CONV_2D" else 0
        weight = np.moveaxis(source.constant(wanted[name].inputs[1]), axis, 0).reshape(len(scale), -1)
        stored = np.moveaxis(int8.constant(operator.inputs[1]), axis, 0).reshape(weight.shape)
        real_scale = np.asarray(int8.graph.tensors[operator.inputs[1]].quantization.scale, np.float64)
        near = np.abs(real_scale / scale - 1) <= TOLERANCE
        same = (stored == np.rint(weight / scale[:, None])).all(1) & near
        input_scale = int8.graph.tensors[operator.inputs[0]].quantization.scale[0]
        overflows = np.abs(source.constant(wanted[name].inputs[2])) >= 0.99 * input_scale * scale * BIAS_LIMIT
        excused = overflows | (scale < LEAST_SCALE) | (len(real_scale) == 1 < len(scale))
        again = (np.abs(stored * real_scale[:, None] - weight) <= (0.5 + TOLERANCE) * real_scale[:, None]).all(1)
        wrong = int((~same & ~(excused & again)).sum())
        if wrong:
            found[layer] = wrong
    return found
