"""Models broken on purpose, each in one way, from the healthy small network of models.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgefit_converters.tflite import flatfile
from edgefit_converters.tflite.flatfile import Array, FlatModel

ORDER = [2, 0, 3, 1]  # of the classifier's rows: class i gets the row of class ORDER[i]


def shuffled_rows(path: Path, out: Path) -> Path:
    """A float file whose classifier has its rows in another order."""
    return _with_constants(path, out, "classifier", lambda weight, bias: (weight[ORDER], bias[ORDER]))


def colder(path: Path, out: Path, factor: float) -> Path:
    """A float file with logits a factor larger."""
    return _with_constants(path, out, "classifier", lambda weight, bias: (weight * factor, bias * factor))


def of_bgr(path: Path, out: Path) -> Path:
    """A float file whose network takes blue first."""
    return _with_constants(path, out, "stem", lambda weight, bias: (weight[..., ::-1], bias))


def with_normalization(path: Path, out: Path, factor: float, shift: float) -> Path:
    """A float file that takes its pixels times a factor plus a shift instead of as they come."""
    flat = FlatModel.read(path)
    image = flat.graph.inputs[0]
    scaled, shifted = (flat.add_tensor(image, name=name) for name in (b"scaled", b"shifted"))
    for operator in flat.graph.operators:
        operator.inputs = [shifted if tensor == image else tensor for tensor in operator.inputs]
    new = []
    for kind, source, value, target in (("MUL", image, factor, scaled), ("ADD", scaled, shift, shifted)):
        operator = flatfile.schema.OperatorT()
        operator.opcodeIndex = flat.operator_code(kind)
        operator.inputs = [source, flat.add_constant(image, np.full(1, value, np.float32))]
        operator.outputs = [target]
        options = f"{kind.title()}Options"
        operator.builtinOptionsType = getattr(flatfile.schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(flatfile.schema, f"{options}T")()
        new.append(operator)
    flat.graph.operators[:0] = new
    flatfile.write(out, flat.to_bytes())
    return out


def with_scale_doubled(int8_path: Path, layer: str, path: Path) -> Path:
    """One layer's weight scales doubled, as a bug in a quantizer would."""
    flat = FlatModel.read(int8_path)
    names = {flat.name(op.inputs[1]): op for op, _ in flat.weighted()}
    record = flat.graph.tensors[names[f"{layer}/weight"].inputs[1]].quantization
    record.scale = [2 * scale for scale in record.scale]
    flatfile.write(path, flat.to_bytes())
    return path


def with_softmax(path: Path, out: Path, beta: float) -> Path:
    """The last softmax sharpened by beta."""
    flat = FlatModel.read(path)
    softmax = next(op for op in flat.graph.operators if flat.kind(op) == "SOFTMAX")
    softmax.builtinOptions.beta = beta
    flatfile.write(out, flat.to_bytes())
    return out


def with_input_of_zero_point(path: Path, out: Path, zero_point: int) -> Path:
    """An input that takes a raw byte for another value than it is."""
    flat = FlatModel.read(path)
    flat.graph.tensors[flat.graph.inputs[0]].quantization.zeroPoint = [zero_point]
    flatfile.write(out, flat.to_bytes())
    return out


def _with_constants(path: Path, out: Path, layer: str, change: Callable[[Array, Array], tuple[Array, Array]]) -> Path:
    flat = FlatModel.read(path)
    operator = next(op for op, _ in flat.weighted() if flat.name(op.inputs[1]) == f"{layer}/weight")
    slots = operator.inputs[1:3]
    for tensor, value in zip(slots, change(*(flat.constant(tensor) for tensor in slots)), strict=True):
        flat.set_constant(tensor, np.ascontiguousarray(value, np.float32))
    flatfile.write(out, flat.to_bytes())
    return out
