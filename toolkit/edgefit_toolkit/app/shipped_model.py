"""What an app must know about a model, and the model with that inside it (by the converters' metadata)."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated
from ai_edge_litert.tools import flatbuffer_utils

from edgefit_converters.tflite.metadata import embed
from edgefit_toolkit.errors import InputError

schema: Any = schema_py_generated


@dataclass(frozen=True)
class Ends:
    """The model's input and output: real = (stored - zero_point) * scale."""

    resolution_px: int
    classes: int
    input_dtype: str
    input_scale: float
    input_zero_point: int
    output_dtype: str
    output_scale: float
    output_zero_point: int


def read_ends(content: bytes) -> Ends:
    """What the app must know about the model. Raises InputError unless it takes and gives uint8, batch 1, RGB."""
    graph = flatbuffer_utils.read_model_from_bytearray(content).subgraphs[0]
    tensor_in, tensor_out = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    shape_in, shape_out = [int(n) for n in tensor_in.shape], [int(n) for n in tensor_out.shape]
    uint8 = schema.TensorType.UINT8
    int8 = schema.TensorType.INT8
    if int8 in (tensor_in.type, tensor_out.type):
        raise InputError(
            "the run was made with --io int8; an app hands in raw bytes, and the web app's runtime and MediaPipe take "
            "uint8 or float models only",
            "make the int8 model again with the other door (training is reused): the run's command with --io uint8",
        )
    fits = len(shape_in) == 4 and shape_in[0] == 1 and shape_in[1] == shape_in[2] and shape_in[3] == 3
    if tensor_in.type != uint8 or tensor_out.type != uint8 or not fits or len(shape_out) != 2:
        raise InputError(
            f"the model's input is {shape_in} and its output {shape_out}; an app needs uint8 [1, R, R, 3] to uint8 "
            "[1, classes]",
            "make the run again: edgefit fit",
        )
    q_in, q_out = tensor_in.quantization, tensor_out.quantization
    lowest, highest = ((byte - int(q_out.zeroPoint[0])) * float(q_out.scale[0]) for byte in (0, 255))
    if abs(lowest) > 0.01 or abs(highest - 1) > 0.01:
        raise InputError(
            f"the model's outputs run from {lowest:.3g} to {highest:.3g}; probabilities are needed, so that "
            "an app can say how sure it is",
            "make the run again: edgefit fit puts the softmax into the model",
        )
    return Ends(
        shape_in[1], shape_out[1],
        "uint8", float(q_in.scale[0]), int(q_in.zeroPoint[0]),
        "uint8", float(q_out.scale[0]), int(q_out.zeroPoint[0]),
    )  # fmt: skip


def with_metadata(content: bytes, *, name: str, description: str, license: str, labels: list[str]) -> bytes:
    """The model with its metadata and label file; the same arguments give the same bytes."""
    read_ends(content)
    with tempfile.TemporaryDirectory(prefix="edgefit-bundle-") as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(content)
        embed(path, labels, name=name, description=description, license_text=license)
        return path.read_bytes()
