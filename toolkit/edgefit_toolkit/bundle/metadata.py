"""TFLite metadata: what MediaPipe Tasks and Android Studio read from the model file itself.

The layout is metadata_schema.fbs of tensorflow/tflite-support (file identifier M001), written with the flatbuffers
builder, since no metadata writer installs beside this project's stack. The labels file is a zip archive appended to the
model, as that format asks. Weights, operators and answers stay as they are.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import Any

import flatbuffers  # type: ignore[import-untyped]
from ai_edge_litert import schema_py_generated
from ai_edge_litert.tools import flatbuffer_utils

from edgefit_toolkit.errors import InputError

schema: Any = schema_py_generated

METADATA_NAME = b"TFLITE_METADATA"
MIN_RUNTIME_NAME = b"min_runtime_version"
LABELS_FILE = "labels.txt"
MIN_PARSER_VERSION = "1.3.0"
TENSOR_AXIS_LABELS = 2  # AssociatedFileType
IMAGE_PROPERTIES, FEATURE_PROPERTIES = 2, 1  # ContentProperties
NORMALIZATION_OPTIONS = 1  # ProcessUnitOptions
RGB = 1


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
    ends = read_ends(content)
    model = flatbuffer_utils.read_model_from_bytearray(content)
    kept = [entry for entry in model.metadata or [] if entry.name not in (METADATA_NAME, MIN_RUNTIME_NAME)]
    buffer = schema.BufferT()
    buffer.data = list(_metadata(ends, name, description, license))
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = METADATA_NAME, len(model.buffers) - 1
    model.metadata = [*kept, entry]
    raw = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    return raw + _zip(raw, {LABELS_FILE: "".join(f"{label}\n" for label in labels).encode()})


def _zip(model: bytes, files: dict[str, bytes]) -> bytes:
    """The archive's bytes, its offsets counted from the model's first byte (so that the whole file opens as a zip)."""
    stream = io.BytesIO()
    stream.write(model)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, data)
    return stream.getvalue()[len(model) :]


def _metadata(ends: Ends, name: str, description: str, license: str) -> bytes:
    """The ModelMetadata flatbuffer. Children are built before their parents; field numbers are those of the .fbs."""
    b = _Builder()
    side = ends.resolution_px
    size = b.table({0: ("Uint32", side), 1: ("Uint32", side)})
    image = b.table({0: ("Int8", RGB), 1: size})
    normalization = b.table({0: b.floats([127.0]), 1: b.floats([128.0])})  # mean, std: for runtimes that want floats
    tensor_in = b.table(
        {
            0: b.string("image"),
            1: b.string("Upright RGB picture, raw bytes, square centre crop."),
            3: b.table({0: ("Uint8", IMAGE_PROPERTIES), 1: image}),
            4: b.vector([b.table({0: ("Uint8", NORMALIZATION_OPTIONS), 1: normalization})]),
            5: b.table({0: b.floats([255.0]), 1: b.floats([0.0])}),  # max, min of a raw value
        }
    )
    labels = b.table(
        {
            0: b.string(LABELS_FILE),
            1: b.string("One class a line, in the order of the scores."),
            2: ("Int8", TENSOR_AXIS_LABELS),
        }
    )
    tensor_out = b.table(
        {
            0: b.string("probability"),
            1: b.string("One calibrated probability a class, as uint8."),
            3: b.table({0: ("Uint8", FEATURE_PROPERTIES), 1: b.table({})}),
            5: b.table({0: b.floats([255.0]), 1: b.floats([0.0])}),
            6: b.vector([labels]),
        }
    )
    subgraph = b.table({2: b.vector([tensor_in]), 3: b.vector([tensor_out])})
    root = b.table(
        {
            0: b.string(name),
            1: b.string(description),
            2: b.string("1"),  # of this model, as its author counts
            3: b.vector([subgraph]),
            4: b.string("edgefit"),
            5: b.string(license),
            7: b.string(MIN_PARSER_VERSION),
        }
    )
    return b.finish(root)


class _Builder:
    """flatbuffers.Builder with tables given as {field number: offset, or (scalar kind, value)}."""

    def __init__(self) -> None:
        self._b: Any = flatbuffers.Builder(1024)

    def table(self, fields: dict[int, int | tuple[str, int]]) -> int:
        self._b.StartObject(max(fields, default=-1) + 1)
        for slot, value in fields.items():
            if isinstance(value, tuple):
                getattr(self._b, f"Prepend{value[0]}Slot")(slot, value[1], 0)
            else:
                self._b.PrependUOffsetTRelativeSlot(slot, value, 0)
        return int(self._b.EndObject())

    def string(self, text: str) -> int:
        return int(self._b.CreateString(text))

    def vector(self, offsets: list[int]) -> int:
        self._b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._b.PrependUOffsetTRelative(offset)
        return int(self._b.EndVector())

    def floats(self, values: list[float]) -> int:
        self._b.StartVector(4, len(values), 4)
        for value in reversed(values):
            self._b.PrependFloat32(value)
        return int(self._b.EndVector())

    def finish(self, root: int) -> bytes:
        self._b.Finish(root, file_identifier=b"M001")
        return bytes(self._b.Output())
