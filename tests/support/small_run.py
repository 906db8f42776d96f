"""A finished run directory with a real, tiny int8 model: for what reads runs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ai_edge_litert.tools import flatbuffer_utils
from support import report_fixture
from support.tiny_model import tiny_tflite

from edgefit_toolkit.report.documents import write_report

RESOLUTION_PX = 48


def probability_model(path: Path, weight_scale: float = 0.01, classes: int = 5) -> Path:
    """The tiny model with an output that runs from 0 to 1; with a small scale of its last weights it is seldom at its
    ends."""
    tiny_tflite(path, resolution_px=RESOLUTION_PX, classes=classes)
    model = flatbuffer_utils.read_model(str(path))
    graph = model.subgraphs[0]
    for index, zero in ((graph.outputs[0], 0), (graph.operators[-1].inputs[0], -128)):
        graph.tensors[index].quantization.scale = [1 / 256]
        graph.tensors[index].quantization.zeroPoint = [zero]
    for tensor, scale in zip(graph.operators[3].inputs[1:], (weight_scale, 0.05 * weight_scale), strict=True):
        graph.tensors[tensor].quantization.scale = [scale]
    path.write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
    return path


def make_run(folder: Path, *, weight_scale: float = 0.01, **changes: Any) -> Path:
    """A finished run directory with a real, tiny model."""
    folder.mkdir(exist_ok=True)
    document = report_fixture.document()
    model = probability_model(folder / "model_int8.tflite", weight_scale).read_bytes()
    document["models"]["int8"] |= {"sha256": hashlib.sha256(model).hexdigest(), "size_bytes": len(model)}
    document |= changes
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in report_fixture.CLASSES))
    door = {
        "resolution_px": RESOLUTION_PX,
        "crop_padding_px": 32,
        "interpolation": "bicubic",
        "mean": 127.0,
        "std": 128.0,
    }
    (folder / "preprocessing.json").write_text(json.dumps(door))
    write_report(document, folder)
    return folder
