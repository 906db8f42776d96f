"""TFLite metadata: labels and normalization inside the .tflite, so that MediaPipe Tasks can use the file alone.

A flatbuffer of the schema "M001" (mediapipe/tasks/metadata/metadata_schema.fbs, 1.5.0) in a buffer named
TFLITE_METADATA, and the label file in a zip archive behind the model. No library of ours carries that schema, and the
part needed is small: the field numbers below are the schema's.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers

from edgefit_converters.tflite import flatfile, inspect
from edgefit_converters.tflite.flatfile import FlatModel, schema
from edgefit_toolkit.data import class_names
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.records import PIXEL_MEAN, PIXEL_STD

BUFFER_NAME = b"TFLITE_METADATA"
FILE_IDENTIFIER = b"M001"
PARSER_VERSION = "1.0.0"  # the oldest that knows every field used here
LABEL_FILE = "labels.txt"
_TENSOR_AXIS_LABELS, _RGB, _FEATURE, _IMAGE, _NORMALIZATION = 2, 1, 1, 2, 1  # enums and unions of the schema
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the oldest that a zip can hold: bytes must not depend on the day


def embed(
    path: str | Path, labels: Sequence[str], *, name: str = "", description: str = "", license_text: str = ""
) -> inspect.ModelFacts:
    """Puts labels and normalization into a .tflite classifier, in place; its answers stay the same.

    The same model and labels give the same bytes; embedding again replaces what was there. Raises InputError when
    there are not as many labels as classes, or a label has a line break, is empty or is there twice.
    """
    path = Path(path)
    facts = inspect.read_model(path)
    classes = facts.outputs[0].shape[-1]
    if len(labels) != classes:
        raise InputError(f"{len(labels)} labels for a model of {classes} classes")
    fault = class_names.fault_among(labels)
    if fault is not None:
        raise InputError(f"labels must be different, not empty, and one line each: {fault}", class_names.RULE)
    flat = FlatModel.read(path)
    entry = next((e for e in flat.model.metadata or [] if e.name == BUFFER_NAME), None)
    if entry is None:
        entry = schema.MetadataT(name=BUFFER_NAME, buffer=len(flat.model.buffers))
        flat.model.buffers.append(schema.BufferT())
        flat.model.metadata = [*(flat.model.metadata or []), entry]
    flat.model.buffers[entry.buffer].data = _metadata(facts, name, description, license_text)
    flatfile.write(path, flat.to_bytes() + _zip({LABEL_FILE: "\n".join(labels) + "\n"}))
    return inspect.read_model(path)


def read_labels(path: str | Path) -> tuple[str, ...]:
    """The embedded labels, in the order of the scores. Raises InputError when there are none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(archive.read(LABEL_FILE).decode().splitlines())
    except (zipfile.BadZipFile, KeyError) as error:
        raise InputError(f"{path} carries no labels", "take the labels.txt beside it") from error


def _zip(files: dict[str, str]) -> bytes:
    """Stored, not deflated: MediaPipe maps the file and reads it where it lies."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), text)
    return content.getvalue()


def _metadata(facts: inspect.ModelFacts, name: str, description: str, license_text: str) -> bytes:
    b = flatbuffers.Builder(1024)
    size_px = facts.inputs[0].shape[1]
    size = _table(b, [("u32", size_px), ("u32", size_px)])
    image = _table(b, [("u8", _RGB), ("ref", size)])
    content = _table(b, [("u8", _IMAGE), ("ref", image)])
    normal = _table(b, [("ref", _floats(b, PIXEL_MEAN)), ("ref", _floats(b, PIXEL_STD))])
    unit = _table(b, [("u8", _NORMALIZATION), ("ref", normal)])
    top, bottom = (255 - PIXEL_MEAN) / PIXEL_STD, -PIXEL_MEAN / PIXEL_STD
    start = _tensor(
        b,
        "image",
        f"RGB photograph, {size_px} x {size_px} pixels",
        content,
        [("ref", _vector(b, [unit])), ("ref", _stats(b, top, bottom))],
    )
    labels = _table(
        b,
        [
            ("ref", b.CreateString(LABEL_FILE)),
            ("ref", b.CreateString("one class per line, in the order of the scores")),
            ("u8", _TENSOR_AXIS_LABELS),
        ],
    )
    feature = _table(b, [("u8", _FEATURE), ("ref", _table(b, []))])
    end = _tensor(
        b,
        "scores",
        "probability of each class",
        feature,
        [("none", 0), ("ref", _stats(b, 1.0, 0.0)), ("ref", _vector(b, [labels]))],
    )
    graph = _table(b, [("none", 0), ("none", 0), ("ref", _vector(b, [start])), ("ref", _vector(b, [end]))])
    texts = [("ref", b.CreateString(text)) if text else ("none", 0) for text in (name, description)]
    license_ref = ("ref", b.CreateString(license_text)) if license_text else ("none", 0)
    author, version = b.CreateString("edgefit"), b.CreateString(PARSER_VERSION)
    graphs = _vector(b, [graph])
    fields = [*texts, ("none", 0), ("ref", graphs), ("ref", author), license_ref, ("none", 0), ("ref", version)]
    b.Finish(_table(b, fields), file_identifier=FILE_IDENTIFIER)
    return bytes(b.Output())


def _tensor(b: Any, name: str, description: str, content: int, more: list[tuple[str, Any]]) -> int:
    """A TensorMetadata: name, description, (dimension names), content, process units, stats, associated files."""
    texts = [("ref", b.CreateString(name)), ("ref", b.CreateString(description))]
    return _table(b, [*texts, ("none", 0), ("ref", content), *more])


def _stats(b: Any, largest: float, smallest: float) -> int:
    return _table(b, [("ref", _floats(b, largest)), ("ref", _floats(b, smallest))])


def _table(b: Any, fields: list[tuple[str, Any]]) -> int:
    """A table of (type, value) in the order of the schema; "none" leaves a field out."""
    b.StartObject(len(fields))
    for slot, (kind, value) in enumerate(fields):
        if kind == "ref":
            b.PrependUOffsetTRelativeSlot(slot, value, 0)
        elif kind == "u8":
            b.PrependUint8Slot(slot, value, 0)
        elif kind == "u32":
            b.PrependUint32Slot(slot, value, 0)
    return int(b.EndObject())


def _vector(b: Any, items: list[int]) -> int:
    b.StartVector(4, len(items), 4)
    for item in reversed(items):
        b.PrependUOffsetTRelative(item)
    return int(b.EndVector())


def _floats(b: Any, value: float) -> int:
    b.StartVector(4, 1, 4)
    b.PrependFloat32(value)
    return int(b.EndVector())
