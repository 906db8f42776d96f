"""Reading and rewriting .tflite files as trees of tensors and operators."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated
from ai_edge_litert.tools import flatbuffer_utils

from edgefit_toolkit.files import write_atomic

schema: Any = schema_py_generated
_OPERATORS = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
_TYPES = {v: k.lower() for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")  # inputs: activation, weight, bias

Array = npt.NDArray[Any]


class FlatModel:
    """One parsed .tflite. Attributes: `model` (the schema's ModelT), `graph` (its first subgraph)."""

    def __init__(self, content: bytes) -> None:
        self.model = flatbuffer_utils.read_model_from_bytearray(content)
        for buffer in self.model.buffers:
            if isinstance(buffer.data, (bytes, bytearray)):  # packed byte by byte, arrays at once
                buffer.data = np.frombuffer(buffer.data, np.uint8)
        self.graph = self.model.subgraphs[0]

    @classmethod
    def read(cls, path: str | Path) -> FlatModel:
        """The file at `path`."""
        return cls(Path(path).read_bytes())

    def to_bytes(self) -> bytes:
        """The model as a file's content; the same model gives the same bytes. Replaced constants are left out."""
        used = {t.buffer for graph in self.model.subgraphs for t in graph.tensors}
        used |= {entry.buffer for entry in self.model.metadata or []}
        for index, buffer in enumerate(self.model.buffers):
            if index not in used:
                buffer.data = None
        return bytes(flatbuffer_utils.convert_object_to_bytearray(self.model))

    def kind(self, operator: Any) -> str:
        """`CONV_2D`, `ADD`, ...; a custom operator by its own name."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        builtin = _OPERATORS[flatbuffer_utils.get_builtin_code_from_operator_code(code)]
        return str(code.customCode.decode(errors="replace")) if builtin == "CUSTOM" and code.customCode else builtin

    def name(self, tensor: int) -> str:
        """A tensor's name."""
        raw = self.graph.tensors[tensor].name or b""
        return str(raw.decode(errors="replace") if isinstance(raw, bytes) else raw)

    def dtype(self, tensor: int) -> str:
        """A tensor's type: `float32`, `int8`, ..."""
        return str(_TYPES[self.graph.tensors[tensor].type])

    def is_constant(self, tensor: int) -> bool:
        """Whether the tensor's content is in the file."""
        return bool(self.model.buffers[self.graph.tensors[tensor].buffer].data is not None)

    def weighted(self) -> Iterator[tuple[Any, str]]:
        """Operators with weights, in order, each with its kind."""
        for operator in self.graph.operators:
            kind = self.kind(operator)
            if kind in WEIGHTED:
                yield operator, kind

    def constant(self, tensor: int) -> Array:
        """A constant tensor's content."""
        record = self.graph.tensors[tensor]
        data = np.asarray(self.model.buffers[record.buffer].data, np.uint8)
        content: Array = data.view(self.dtype(tensor)).reshape(tuple(record.shape))
        return content

    def set_constant(self, tensor: int, value: Array) -> None:
        """Gives a constant new content, in a buffer of its own."""
        record = self.graph.tensors[tensor]
        if tuple(record.shape) != value.shape:
            raise ValueError(f"{self.name(tensor)} has shape {tuple(record.shape)}, not {value.shape}")
        raw = np.ascontiguousarray(value, self.dtype(tensor)).tobytes()
        self.model.buffers.append(schema.BufferT(data=np.frombuffer(raw, np.uint8)))
        record.buffer = len(self.model.buffers) - 1

    def add_tensor(self, like: int, **changes: Any) -> int:
        """A copy of a tensor's record with some fields changed; returns its index."""
        old, new = self.graph.tensors[like], schema.TensorT()
        vars(new).update(vars(old) | changes)
        self.graph.tensors.append(new)
        return len(self.graph.tensors) - 1

    def add_constant(self, like: int, value: Array) -> int:
        """A constant of the type of another tensor; returns its index."""
        tensor = self.add_tensor(like, shape=list(value.shape), shapeSignature=None, quantization=None)
        self.set_constant(tensor, value)
        return tensor

    def operator_code(self, kind: str) -> int:
        """The index of an operator's code in this model, added where it is missing."""
        builtin = getattr(schema.BuiltinOperator, kind)
        for index, code in enumerate(self.model.operatorCodes):
            if flatbuffer_utils.get_builtin_code_from_operator_code(code) == builtin:
                return index
        code = schema.OperatorCodeT(builtinCode=builtin, deprecatedBuiltinCode=builtin, version=1)
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def rename_ends(self, image: str, scores: str) -> None:
        """Names the one input and the one output, in the graph and in its signature."""
        start, end = self.graph.inputs[0], self.graph.outputs[0]
        self.graph.tensors[start].name, self.graph.tensors[end].name = image.encode(), scores.encode()
        for signature in self.model.signatureDefs or []:
            for names, name, tensor in ((signature.inputs, image, start), (signature.outputs, scores, end)):
                names[0].name, names[0].tensorIndex = name.encode(), tensor


def write(path: str | Path, content: bytes) -> None:
    """Writes a file whole or not at all: to a temporary name beside it, then renamed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)
