"""A .tflite with the operators and shapes of any Lite variant and random weights, in well under a second.

For timing only: calibration probes and instruction counts need the graph, not the answers, and a real conversion takes
half a minute. Kernels take the same time whatever the weights are. Operator for operator it is what `litert.py` and
`quantize.py` write (uint8 at both ends, int8 inside, softmax in the graph), which a test holds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from ai_edge_litert import schema_py_generated as fb
from ai_edge_litert.tools import flatbuffer_utils

from edgefit_toolkit.errors import ConversionError
from edgefit_toolkit.network.families import family_named
from edgefit_toolkit.network.graph import Operator, operators
from edgefit_toolkit.records import Variant

Dtype = Literal["int8", "float32"]
ACTIVATION_SCALE = 6 / 255  # of a ReLU6 output


def write_skeleton(variant: Variant, path: Path, dtype: Dtype = "int8", seed: int = 0) -> Path:
    """Write the variant's graph with random weights; returns `path`. Raises ConversionError for a B variant."""
    if not family_named(variant.family).skeleton:
        raise ConversionError("skeletons exist for the Lite family", "probe with a Lite variant of the same size")
    return write_graph(operators(variant), path, dtype, seed)


def write_graph(
    graph: tuple[Operator, ...], path: Path, dtype: Dtype = "int8", seed: int = 0, *, uint8_io: bool = True
) -> Path:
    """Write a chain of operators (`add` sums with the last tensor of that shape before it) as one .tflite.

    Without `uint8_io` an int8 graph takes and gives int8, so that a single operator can be looked at alone.
    """
    builder = _Builder(dtype, np.random.default_rng(seed))
    first = entry = builder.activation(graph[0].in_shape)
    if dtype == "int8" and uint8_io:
        entry = builder.quantize(builder.activation(graph[0].in_shape, fb.TensorType.UINT8), first)
    at, before = first, []
    for operator in graph:
        before.append((operator.in_shape, at))
        at = builder.append(operator, at, before)
    if graph[-1].kind == "fc":
        at = builder.softmax(at, graph[-1].out_shape[-1])
    if dtype == "int8" and uint8_io:
        last = builder.graph.tensors[at]
        out = builder.tensor(last.shape, fb.TensorType.UINT8, scale=1 / 256, zero=0)
        builder.quantize(at, out)
        at = out
    builder.write(entry, at, path)
    return path


class _Builder:
    """Tensors, buffers and operators of one subgraph."""

    def __init__(self, dtype: Dtype, random: np.random.Generator) -> None:
        self.int8, self.random = dtype == "int8", random
        self.type = fb.TensorType.INT8 if self.int8 else fb.TensorType.FLOAT32
        self.model, self.graph = fb.ModelT(), fb.SubGraphT()
        self.model.version, self.model.subgraphs = 3, [self.graph]
        self.model.operatorCodes, self.model.buffers = [], [fb.BufferT()]
        self.graph.tensors, self.graph.operators, self.graph.name = [], [], b"main"

    def tensor(
        self,
        shape: Any,
        kind: int,
        data: bytes = b"",
        scale: float | list[float] | None = None,
        zero: int = 0,
        axis: int = 0,
    ) -> int:
        tensor = fb.TensorT()
        tensor.shape, tensor.type, tensor.buffer = [int(size) for size in shape], kind, 0
        tensor.name = f"t{len(self.graph.tensors)}".encode()
        if data:
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(fb.BufferT(data=np.frombuffer(data, np.uint8)))
        if scale is not None:
            scales = scale if isinstance(scale, list) else [scale]
            zeros = [zero] * len(scales)
            tensor.quantization = fb.QuantizationParametersT(scale=scales, zeroPoint=zeros, quantizedDimension=axis)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def activation(self, shape: tuple[int, int, int], kind: int | None = None) -> int:
        if not self.int8:
            return self.tensor((1, *shape), fb.TensorType.FLOAT32)
        if kind is not None:  # uint8: the same values, 128 higher
            return self.tensor((1, *shape), kind, scale=ACTIVATION_SCALE, zero=0)
        return self.tensor((1, *shape), self.type, scale=ACTIVATION_SCALE, zero=-128)

    def weights(self, shape: tuple[int, ...], channels: int, axis: int) -> tuple[int, int]:
        """(weight tensor, bias tensor), per-channel scales along `axis`."""
        if not self.int8:
            values = self.random.normal(0, 0.05, shape).astype(np.float32)
            bias = np.zeros(channels, np.float32)
            return (
                self.tensor(shape, fb.TensorType.FLOAT32, values.tobytes()),
                self.tensor((channels,), fb.TensorType.FLOAT32, bias.tobytes()),
            )
        values8 = self.random.integers(-127, 128, shape, dtype=np.int8)
        scales = [0.002] * channels
        weight = self.tensor(shape, fb.TensorType.INT8, values8.tobytes(), scales, 0, axis)
        zeros = np.zeros(channels, np.int32).tobytes()
        bias_scales = [0.002 * ACTIVATION_SCALE] * channels
        return weight, self.tensor((channels,), fb.TensorType.INT32, zeros, bias_scales)

    def append(self, operator: Operator, at: int, before: list[tuple[tuple[int, int, int], int]]) -> int:
        """Append one operator reading tensor `at`; returns the tensor it writes."""
        cin, cout, k = operator.in_shape[2], operator.out_shape[2], operator.kernel
        relu6 = not operator.name.endswith("project")
        fused = fb.ActivationFunctionType.RELU6 if relu6 else fb.ActivationFunctionType.NONE
        options: Any
        if operator.kind in ("conv", "pointwise"):
            weight, bias = self.weights((cout, k, k, cin), cout, 0)
            options = fb.Conv2DOptionsT()
            code, kind = fb.BuiltinOperator.CONV_2D, fb.BuiltinOptions.Conv2DOptions
            inputs, out = [at, weight, bias], self.activation(operator.out_shape)
        elif operator.kind == "depthwise":
            weight, bias = self.weights((1, k, k, cout), cout, 3)
            options = fb.DepthwiseConv2DOptionsT(depthMultiplier=1)
            code, kind = fb.BuiltinOperator.DEPTHWISE_CONV_2D, fb.BuiltinOptions.DepthwiseConv2DOptions
            inputs, out = [at, weight, bias], self.activation(operator.out_shape)
        elif operator.kind == "add":
            options, fused = fb.AddOptionsT(), fb.ActivationFunctionType.NONE
            code, kind = fb.BuiltinOperator.ADD, fb.BuiltinOptions.AddOptions
            other = next((tensor for shape, tensor in reversed(before[:-1]) if shape == operator.out_shape), at)
            inputs, out = [at, other], self.activation(operator.out_shape)
        elif operator.kind == "pool":
            options = fb.ReducerOptionsT(keepDims=False)
            code, kind = fb.BuiltinOperator.MEAN, fb.BuiltinOptions.ReducerOptions
            axes = self.tensor((2,), fb.TensorType.INT32, np.array([1, 2], np.int32).tobytes())
            zero = -128 if self.int8 else 0
            inputs = [at, axes]
            out = self.tensor((1, cout), self.type, scale=ACTIVATION_SCALE if self.int8 else None, zero=zero)
        elif operator.kind == "fc":
            weight, bias = self.weights((cout, cin), cout, 0)
            options, fused = fb.FullyConnectedOptionsT(), fb.ActivationFunctionType.NONE
            code, kind = fb.BuiltinOperator.FULLY_CONNECTED, fb.BuiltinOptions.FullyConnectedOptions
            inputs = [at, weight, bias]
            out = self.tensor((1, cout), self.type, scale=0.1 if self.int8 else None)
        else:
            raise ConversionError(f"a skeleton has no operator {operator.kind!r}")
        if operator.kind in ("conv", "pointwise", "depthwise"):
            options.padding, options.strideH, options.strideW = fb.Padding.SAME, operator.stride, operator.stride
        if hasattr(options, "fusedActivationFunction"):
            options.fusedActivationFunction = fused
        return self.write_operator(code, kind, options, inputs, out)

    def softmax(self, at: int, classes: int) -> int:
        options = fb.SoftmaxOptionsT(beta=1.0)
        out = self.tensor((1, classes), self.type, scale=1 / 256 if self.int8 else None, zero=-128 if self.int8 else 0)
        return self.write_operator(fb.BuiltinOperator.SOFTMAX, fb.BuiltinOptions.SoftmaxOptions, options, [at], out)

    def quantize(self, source: int, target: int) -> int:
        options, code = fb.QuantizeOptionsT(), fb.BuiltinOperator.QUANTIZE
        self.write_operator(code, fb.BuiltinOptions.QuantizeOptions, options, [source], target)
        return source

    def write_operator(self, code: int, kind: int, options: Any, inputs: list[int], out: int) -> int:
        codes = self.model.operatorCodes
        index = next((i for i, known in enumerate(codes) if known.builtinCode == code), len(codes))
        if index == len(codes):
            version = {fb.BuiltinOperator.FULLY_CONNECTED: 4, fb.BuiltinOperator.CONV_2D: 3}.get(code, 2)
            codes.append(fb.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=min(code, 127), version=version))
        self.graph.operators.append(
            fb.OperatorT(
                opcodeIndex=index, inputs=inputs, outputs=[out], builtinOptionsType=kind, builtinOptions=options
            )
        )
        return out

    def write(self, entry: int, out: int, path: Path) -> None:
        self.graph.inputs, self.graph.outputs = [entry], [out]
        ends = [[fb.TensorMapT(name=b"image", tensorIndex=entry)], [fb.TensorMapT(name=b"scores", tensorIndex=out)]]
        self.model.signatureDefs = [fb.SignatureDefT(*ends, signatureKey=b"serving_default", subgraphIndex=0)]
        flatbuffer_utils.write_model(self.model, str(path))
