"""Operators of .tflite files as the predictor reads them: our own graphs come back as what they were written from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgefit_converters.tflite.flatfile import FlatModel, write
from edgefit_converters.tflite.operators import read_operators
from edgefit_converters.tflite.skeleton import write_graph, write_skeleton
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.network.graph import Operator, operators
from edgefit_toolkit.network.scaling import variant_from_phi


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_a_graph_reads_back(tmp_path: Path, dtype: str) -> None:
    variant = variant_from_phi(-1.0)
    found = read_operators(write_skeleton(variant, tmp_path / "m.tflite", dtype))  # type: ignore[arg-type]
    assert found.precision == dtype
    assert not found.unknown
    read = [layer for layer in found.layers if layer.name not in ("QUANTIZE", "SOFTMAX")]
    written = operators(variant)
    assert [layer.kind for layer in read] == [layer.kind for layer in written]
    assert [layer.madds for layer in read] == [layer.madds for layer in written]
    convolutions = [
        (layer.in_shape, layer.out_shape, layer.stride) for layer in read if layer.madds and layer.kind != "fc"
    ]
    assert convolutions == [(x.in_shape, x.out_shape, x.stride) for x in written if x.madds and x.kind != "fc"]


def test_what_is_not_known_is_named(tmp_path: Path) -> None:
    shape = (8, 8, 16)
    layer = Operator("", "add", 0, shape, shape, 1, 1, 0, 0)
    path = write_graph((layer,), tmp_path / "m.tflite", "float32")
    flat = FlatModel.read(path)
    flat.graph.operators[0].opcodeIndex = flat.operator_code("TOPK_V2")
    write(path, flat.to_bytes())
    found = read_operators(path)
    assert found.unknown == {"TOPK_V2": 1}
    assert not found.layers


def test_weights_unpacked_once_cost_nothing(tmp_path: Path) -> None:
    shape = (8, 8, 16)
    path = write_graph((Operator("", "add", 0, shape, shape, 1, 1, 0, 0),), tmp_path / "m.tflite", "float32")
    flat = FlatModel.read(path)
    add = flat.graph.operators[0]
    packed = flat.add_constant(add.inputs[0], np.zeros((1, *shape), np.float32))
    unpacked = flat.add_tensor(add.inputs[0])
    operator = type(add)()
    vars(operator).update(vars(add) | {"opcodeIndex": flat.operator_code("DEQUANTIZE")})
    operator.inputs, operator.outputs = [packed], [unpacked]
    flat.graph.operators.insert(0, operator)
    add.inputs = [add.inputs[0], unpacked]
    write(path, flat.to_bytes())
    assert [layer.name for layer in read_operators(path).layers] == ["ADD"]


def test_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        read_operators(tmp_path / "none.tflite")
    (tmp_path / "x.tflite").write_bytes(b"0123456789")
    with pytest.raises(InputError, match=r"not a \.tflite"):
        read_operators(tmp_path / "x.tflite")
