"""A real .tflite made in milliseconds, straight from LiteRT's schema: for tests of what carries and times models.

uint8 [1, R, R, 3] -> QUANTIZE -> CONV_2D 3x3, ReLU -> MEAN -> FULLY_CONNECTED -> QUANTIZE -> uint8 [1, classes].
Two seeds give two models of the same size with different weights.
"""

from __future__ import annotations

from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

CHANNELS = 16


def tiny_tflite(path: Path, *, seed: int = 0, resolution_px: int = 32, classes: int = 5) -> Path:
    """Write the model and return its path."""
    rng = np.random.default_rng(seed)
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.description = 3, f"tiny {seed:08d}"
    model.buffers, graph.tensors, graph.operators, model.operatorCodes = [schema.BufferT()], [], [], []

    def tensor(name: str, shape: list[int], kind: int, scale: float, zero: int, data: np.ndarray | None = None) -> int:
        t = schema.TensorT()
        t.name, t.shape, t.type, t.buffer = name, shape, kind, 0
        t.quantization = schema.QuantizationParametersT()
        t.quantization.scale, t.quantization.zeroPoint = [scale], [zero]
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            t.buffer = len(model.buffers)
            model.buffers.append(buffer)
        graph.tensors.append(t)
        return len(graph.tensors) - 1

    def op(code: int, version: int, inputs: list[int], output: int, options: object = None, kind: int = 0) -> None:
        entry = schema.OperatorCodeT()
        entry.builtinCode = entry.deprecatedBuiltinCode = code
        entry.version = version
        o = schema.OperatorT()
        o.opcodeIndex, o.inputs, o.outputs = len(model.operatorCodes), inputs, [output]
        o.builtinOptions, o.builtinOptionsType = options, kind
        model.operatorCodes.append(entry)
        graph.operators.append(o)

    int8, uint8, int32 = schema.TensorType.INT8, schema.TensorType.UINT8, schema.TensorType.INT32
    half = resolution_px // 2

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(-127, 128, size=shape, dtype=np.int8)

    image = tensor("image", [1, resolution_px, resolution_px, 3], uint8, 1 / 128, 127)
    x = tensor("x", [1, resolution_px, resolution_px, 3], int8, 1 / 128, -1)
    w = tensor("w", [CHANNELS, 3, 3, 3], int8, 0.01, 0, weights(CHANNELS, 3, 3, 3))
    b = tensor("b", [CHANNELS], int32, 0.01 / 128, 0, np.zeros(CHANNELS, np.int32))
    y = tensor("y", [1, half, half, CHANNELS], int8, 0.05, -128)
    axes = tensor("axes", [2], int32, 0.0, 0, np.array([1, 2], np.int32))
    graph.tensors[axes].quantization = None
    pooled = tensor("pooled", [1, CHANNELS], int8, 0.05, -128)
    fw = tensor("fw", [classes, CHANNELS], int8, 0.01, 0, weights(classes, CHANNELS))
    fb = tensor("fb", [classes], int32, 0.05 * 0.01, 0, np.zeros(classes, np.int32))
    z = tensor("z", [1, classes], int8, 0.1, 0)
    scores = tensor("scores", [1, classes], uint8, 0.1, 128)

    conv, mean, dense = schema.Conv2DOptionsT(), schema.ReducerOptionsT(), schema.FullyConnectedOptionsT()
    conv.padding, conv.strideH, conv.strideW = schema.Padding.SAME, 2, 2
    conv.dilationHFactor = conv.dilationWFactor = 1
    conv.fusedActivationFunction = schema.ActivationFunctionType.RELU
    mean.keepDims = False
    builtin, kinds = schema.BuiltinOperator, schema.BuiltinOptions
    op(builtin.QUANTIZE, 1, [image], x, schema.QuantizeOptionsT(), kinds.QuantizeOptions)
    op(builtin.CONV_2D, 3, [x, w, b], y, conv, kinds.Conv2DOptions)
    op(builtin.MEAN, 2, [y, axes], pooled, mean, kinds.ReducerOptions)
    op(builtin.FULLY_CONNECTED, 4, [pooled, fw, fb], z, dense, kinds.FullyConnectedOptions)
    op(builtin.QUANTIZE, 1, [z], scores, schema.QuantizeOptionsT(), kinds.QuantizeOptions)

    graph.inputs, graph.outputs, graph.name = [image], [scores], "main"
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path
