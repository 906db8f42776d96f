"""The weights of an int8 file that another quantizer wrote: are they those that were rounded for it, on their grid?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefit_converters.int8.quantize import BIAS_LIMIT, Scales
from edgefit_converters.tflite.flatfile import FlatModel

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
    found = {layer: int(wrong.sum()) for _, _, layer, _, wrong in _compare(source, int8, scales)}
    return {layer: wrong for layer, wrong in found.items() if wrong}


def put_on_grid(source: FlatModel, int8: FlatModel, scales: Scales) -> int:
    """Writes the channels that `off_grid` counts as they were rounded; how many they are.

    A quantizer takes a channel's largest weight for 127. Rounding may have taken that weight down a step, and training
    further: the quantizer then finds a narrower grid, on which no weight is where it was put.
    """
    count = 0
    for operator, origin, layer, axis, wrong in _compare(source, int8, scales):
        if not wrong.any():
            continue
        weight, bias = operator.inputs[1], operator.inputs[2]
        record, bias_record = int8.graph.tensors[weight].quantization, int8.graph.tensors[bias].quantization
        input_scale = int8.graph.tensors[operator.inputs[0]].quantization.scale[0]
        stored, biases = np.moveaxis(int8.constant(weight).copy(), axis, 0), int8.constant(bias).copy()
        exact = np.moveaxis(source.constant(origin.inputs[1]), axis, 0)
        real, given = np.array(record.scale, np.float32), scales[layer]
        for channel in np.flatnonzero(wrong):
            stored[channel] = np.rint(exact[channel] / given[channel])
            real[channel] = given[channel]
            biases[channel] = np.rint(source.constant(origin.inputs[2])[channel] / (input_scale * given[channel]))
        int8.set_constant(weight, np.moveaxis(stored, 0, axis))
        int8.set_constant(bias, biases)
        record.scale, bias_record.scale = real.tolist(), (real * np.float32(input_scale)).tolist()
        count += int(wrong.sum())
    return count


def _compare(
    source: FlatModel, int8: FlatModel, scales: Scales
) -> Iterator[tuple[Any, Any, str, int, npt.NDArray[np.bool_]]]:
    """(int8 operator, float operator, layer, channel axis, channels off the grid) of every layer in scales."""
    origins = {source.name(operator.inputs[1]): operator for operator, _ in source.weighted()}
    for operator, kind in int8.weighted():
        name = int8.name(operator.inputs[1])
        layer = name.removesuffix("/weight")
        if layer not in scales:
            continue
        scale, axis, origin = scales[layer], 3 if kind == "DEPTHWISE_CONV_2D" else 0, origins[name]
        weight = np.moveaxis(source.constant(origin.inputs[1]), axis, 0).reshape(len(scale), -1)
        stored = np.moveaxis(int8.constant(operator.inputs[1]), axis, 0).reshape(weight.shape)
        real_scale = np.asarray(int8.graph.tensors[operator.inputs[1]].quantization.scale, np.float64)
        near = np.abs(real_scale / scale - 1) <= TOLERANCE
        same = (stored == np.rint(weight / scale[:, None])).all(1) & near
        input_scale = int8.graph.tensors[operator.inputs[0]].quantization.scale[0]
        overflows = np.abs(source.constant(origin.inputs[2])) >= 0.99 * input_scale * scale * BIAS_LIMIT
        excused = overflows | (scale < LEAST_SCALE) | (len(real_scale) == 1 < len(scale))
        again = (np.abs(stored * real_scale[:, None] - weight) <= (0.5 + TOLERANCE) * real_scale[:, None]).all(1)
        yield operator, origin, layer, axis, ~same & ~(excused & again)
