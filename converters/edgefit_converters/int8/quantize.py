"""Float .tflite -> static int8 .tflite: weights per output channel, activations per tensor, raw bytes at the input.

The quantizer is Google's ai-edge-quantizer; what is ours is the ranges it is handed (its own calibration keeps a moving
average, which costs half of the top-1 agreement), the weights' scales, uint8 at both ends and the check of the file.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefit_converters.int8.ranges import LEVELS, Range, choose_ranges, min_max, observe, scale_of
from edgefit_converters.judge import faults
from edgefit_converters.recipe import Recipe
from edgefit_converters.tflite import flatfile, inspect
from edgefit_converters.tflite.flatfile import FlatModel, schema
from edgefit_toolkit.errors import ConversionError
from edgefit_toolkit.interpreter import Pixels, silent_stderr
from edgefit_toolkit.interrupts import native
from edgefit_toolkit.records import TFLiteModel

WEIGHT_LEVELS = 127  # symmetric: -127 .. 127
# XNNPACK's QS8 ADD takes an input scale of at least 2^-10 of the output's (its TFLite delegate leaves others out);
# twice that, so that float32 rounding cannot fall below it
LEAST_ADDEND = 2.0**-9
BIAS_LIMIT = 2**30  # of an int32 bias, with room for the sum that it joins

# XNNPACK takes neither a uint8 <-> int8 QUANTIZE nor an int8 SOFTMAX; at the two ends they cost microseconds
OUTSIDE = ("QUANTIZE", "SOFTMAX")

Statistics = dict[str, npt.NDArray[np.float32]]  # "min" and "max" of a tensor: what the quantizer calls a QSV
Scales = Mapping[str, npt.NDArray[np.float32]]  # layer name -> scale of each output channel


def quantize_int8(
    float_path: str | Path, calibration_pixels: Pixels, out_path: str | Path, recipe: Recipe | None = None
) -> TFLiteModel:
    """Quantizes a float .tflite of litert.export_float with uint8 calibration pictures [N, R, R, 3].

    The same inputs give the same bytes. Raises ConversionError when the quantizer fails or the file is not full
    integer in one XNNPACK partition with the ordered types at its ends.
    """
    recipe = recipe or Recipe()
    if len(calibration_pixels) == 0:
        raise ConversionError("there are no calibration photographs: ranges cannot be measured")
    ranges = choose_ranges(observe(float_path, calibration_pixels), min_max)
    return quantize_with(float_path, ranges, out_path, recipe)


def quantize_with(
    float_path: str | Path,
    ranges: Mapping[str, Range],
    out_path: str | Path,
    recipe: Recipe,
    weight_scales: Scales | None = None,
) -> TFLiteModel:
    """The same with given activation ranges, and given weight scales for the layers that have been rounded before."""
    content = Path(float_path).read_bytes()
    ranges = _addends_in_reach(FlatModel(content), ranges)
    statistics = {name: _limits(np.array([low]), np.array([high])) for name, (low, high) in ranges.items()}
    statistics |= _weight_statistics(FlatModel(content), ranges, weight_scales or {})
    flat = FlatModel(_quantize(content, statistics))
    if recipe.io_dtype == "uint8":
        _take_uint8(flat)
    flat.rename_ends("image", "scores")
    out_path = Path(out_path)
    part = out_path.with_name(f".{out_path.name}.unchecked")
    flatfile.write(part, flat.to_bytes())
    try:
        check(part, recipe)
        os.replace(part, out_path)
    finally:
        part.unlink(missing_ok=True)
    return inspect.read_model(out_path).as_model(recipe=recipe.name)


def check(path: str | Path, recipe: Recipe) -> None:
    """Reads an int8 file back. Raises ConversionError with everything that is not as ordered."""
    facts = inspect.read_model(path)
    found = []
    if not facts.full_integer:
        found.append(f"computes in float: {', '.join(facts.float_islands[:3]) or 'every operator'}")
    left = [kind for kind in inspect.FORBIDDEN if facts.ops.get(kind)]
    if left:
        found.append(f"has {', '.join(left)} operators")
    outside = ", ".join(sorted(set(facts.fallback) - set(OUTSIDE))) or "nothing"
    if facts.partitions != 1 or outside != "nothing":
        found.append(f"runs in {facts.partitions} XNNPACK partitions, with {outside} outside")
    found += faults.io_quantization(facts, recipe.io_dtype)
    if facts.inputs[0].shape[0] != 1:
        found.append(f"has a batch of {facts.inputs[0].shape[0]}")
    if found:
        raise ConversionError(f"the int8 file {'; it '.join(found)}", "this is a fault of edgefit: please report it")


def scale_floor(bias: npt.NDArray[np.float32], input_scale: float) -> npt.NDArray[np.float32]:
    """The smallest weight scale [channels] with which the bias still fits its int32.

    A channel whose weights are all but zero (batch norms learn such) would otherwise overflow: its bias is stored in
    units of input scale * weight scale.
    """
    return (np.abs(bias) / (input_scale * BIAS_LIMIT)).astype(np.float32)


def _limits(low: npt.NDArray[Any], high: npt.NDArray[Any]) -> Statistics:
    return {"min": low.astype(np.float32), "max": high.astype(np.float32)}


def _addends_in_reach(flat: FlatModel, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Ranges in which no addend is too small for XNNPACK beside its sum.

    A block that was grown and hardly trained adds (all but) nothing, at a scale that XNNPACK refuses.
    """
    widened = dict(ranges)
    for operator in flat.graph.operators:
        if flat.kind(operator) != "ADD":
            continue
        least = scale_of(widened[flat.name(operator.outputs[0])]) * LEAST_ADDEND * LEVELS
        for tensor in operator.inputs:
            name = flat.name(tensor)
            low, high = min(widened[name][0], 0.0), max(widened[name][1], 0.0)
            if high - low < least:
                widened[name] = (-least / 2, least / 2)
    return widened


def _weight_statistics(flat: FlatModel, ranges: Mapping[str, Range], given: Scales) -> dict[str, Statistics]:
    statistics = {}
    for operator, kind in flat.weighted():
        source, weight, bias = operator.inputs[:3]
        values = flat.constant(weight)
        axis = values.ndim - 1 if kind == "DEPTHWISE_CONV_2D" else 0
        others = tuple(i for i in range(values.ndim) if i != axis)
        layer = flat.name(weight).removesuffix("/weight")
        scale = given.get(layer, np.abs(values).max(axis=others) / WEIGHT_LEVELS)
        scale = np.maximum(scale, scale_floor(flat.constant(bias), scale_of(ranges[flat.name(source)])))
        limit = np.expand_dims(scale * WEIGHT_LEVELS, others)
        statistics[flat.name(weight)] = _limits(-limit, limit)
    return statistics


def _quantize(content: bytes, statistics: dict[str, Statistics]) -> bytes:
    tqdm_bar = io.StringIO()  # the quantizer draws one whatever it is told
    with silent_stderr(), contextlib.redirect_stderr(tqdm_bar), warnings.catch_warnings(), native():
        warnings.simplefilter("ignore")  # of the imports
        from ai_edge_quantizer import quantizer, recipe

        warnings.simplefilter("error", RuntimeWarning)  # numpy's overflows: they would end as wrong weights
        try:
            run = quantizer.Quantizer(content, recipe.static_wi8_ai8())
            done = run.quantize(statistics, enable_progress_bar=False, enable_progress_report=False)
        except (ValueError, RuntimeError, KeyError, RuntimeWarning) as error:
            raise ConversionError(
                f"the quantizer failed: {error}", "run `edgefit doctor` to check the installed versions"
            ) from error
    return bytes(done.quantized_model)


def _take_uint8(flat: FlatModel) -> None:
    """uint8 at both ends by a QUANTIZE operator each: LiteRT.js and MediaPipe take no int8, and apps have bytes."""
    start, end = flat.graph.inputs[0], flat.graph.outputs[0]
    image, scores = _as_uint8(flat, start), _as_uint8(flat, end)
    flat.graph.tensors[start].name, flat.graph.tensors[end].name = b"image/int8", b"scores/int8"
    flat.graph.operators.insert(0, _requantize(flat, image, start))
    flat.graph.operators.append(_requantize(flat, end, scores))
    flat.graph.inputs, flat.graph.outputs = [image], [scores]


def _as_uint8(flat: FlatModel, tensor: int) -> int:
    old = flat.graph.tensors[tensor].quantization
    shifted = schema.QuantizationParametersT()
    shifted.scale, shifted.zeroPoint = list(old.scale), [int(old.zeroPoint[0]) + 128]
    return flat.add_tensor(tensor, type=schema.TensorType.UINT8, quantization=shifted, buffer=0)


def _requantize(flat: FlatModel, source: int, target: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex = flat.operator_code("QUANTIZE")
    operator.inputs, operator.outputs = [source], [target]
    operator.builtinOptionsType = schema.BuiltinOptions.QuantizeOptions
    operator.builtinOptions = schema.QuantizeOptionsT()
    return operator
