"""The default route on a real, small network: PyTorch -> float .tflite -> int8 .tflite, read back and run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support.models import SMALL_CLASSES, SMALL_PX, drawn_pixels
from support.tiny_model import tiny_tflite

from edgefit_converters.int8 import quantize
from edgefit_converters.judge import parity
from edgefit_converters.recipe import Recipe
from edgefit_converters.routes import deploy, litert
from edgefit_converters.tflite import flatfile, inspect
from edgefit_converters.tflite.flatfile import FlatModel
from edgefit_toolkit.errors import ConversionError, InputError
from edgefit_toolkit.interpreter import TFLite
from edgefit_toolkit.network.efficientnet import EfficientNet


def torch_logits(network: EfficientNet, pixels: np.ndarray) -> np.ndarray:
    inputs = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.no_grad():
        return network(inputs).numpy()


# float


def test_float_file_computes_what_the_network_computes(small_network: EfficientNet, small_float_tflite: Path) -> None:
    pixels, _ = drawn_pixels(8, seed=7)
    scores, logits = TFLite(small_float_tflite).answers(pixels)
    expected = torch_logits(small_network, pixels)
    np.testing.assert_allclose(logits, expected, atol=1e-3 * np.abs(expected).max())
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    assert (scores.argmax(1) == expected.argmax(1)).all()


def test_float_file_has_the_networks_operators_and_no_other(small_float_tflite: Path) -> None:
    facts = inspect.read_model(small_float_tflite)
    assert set(facts.ops) == {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED", "SOFTMAX"}
    assert (facts.partitions, facts.fallback, facts.io_dtype) == (1, (), "float32")
    assert facts.inputs[0].shape == (1, SMALL_PX, SMALL_PX, 3)
    assert facts.outputs[0].shape == (1, SMALL_CLASSES)


def test_tensors_are_named_after_layers(small_network: EfficientNet, small_float_tflite: Path) -> None:
    flat = FlatModel.read(small_float_tflite)
    names = [flat.name(t) for t in range(len(flat.graph.tensors))]
    assert len(names) == len(set(names))  # the quantizer knows tensors by name alone
    assert names[flat.graph.inputs[0]] == "image"
    assert names[flat.graph.outputs[0]] == "scores"
    layers = deploy.layers(deploy.deploy(small_network))
    assert [n for n in layers if n in names] == list(layers)
    assert {f"{layer}/{what}" for layer in layers for what in ("weight", "bias")} <= set(names)


def test_temperature_divides_the_logits(small_network: EfficientNet) -> None:
    inputs = torch.randn(2, 3, SMALL_PX, SMALL_PX)
    with torch.no_grad():
        warm = deploy.deploy(small_network, temperature=2.5)(inputs)
        torch.testing.assert_close(warm, small_network(inputs) / 2.5, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_none_is_refused(small_network: EfficientNet, temperature: float) -> None:
    with pytest.raises(ConversionError, match="temperature"):
        deploy.deploy(small_network, temperature)


def test_a_diverged_network_is_refused_by_name(small_network: EfficientNet) -> None:
    broken = EfficientNet.from_variant(small_network.variant)
    broken.stem.conv.weight.data[0] = float("nan")
    with pytest.raises(ConversionError, match="stem"):
        deploy.deploy(broken)


def test_conversion_is_silent_and_repeats_its_bytes(
    small_network: EfficientNet, small_float_tflite: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    litert.export_float(small_network, tmp_path / "again.tflite")
    quantize.quantize_int8(small_float_tflite, drawn_pixels(4)[0], tmp_path / "int8.tflite")
    quantize.quantize_int8(tmp_path / "again.tflite", drawn_pixels(4)[0], tmp_path / "int8_again.tflite")
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / "again.tflite").read_bytes() == small_float_tflite.read_bytes()
    assert (tmp_path / "int8.tflite").read_bytes() == (tmp_path / "int8_again.tflite").read_bytes()
    assert sorted(f.name for f in tmp_path.iterdir()) == ["again.tflite", "int8.tflite", "int8_again.tflite"]


# int8


def test_int8_file_is_full_integer_with_raw_bytes_as_its_input(small_int8_tflite: Path) -> None:
    facts = inspect.read_model(small_int8_tflite)
    assert facts.full_integer
    assert facts.partitions == 1
    assert set(facts.fallback) <= {"QUANTIZE", "SOFTMAX"}
    start, end = facts.inputs[0], facts.outputs[0]
    assert (start.name, start.dtype, start.scale, start.zero_point) == ("image", "uint8", 1 / 128, 127)
    assert (end.name, end.dtype, end.scale, end.zero_point) == ("scores", "uint8", 1 / 256, 0)
    assert (TFLite(small_int8_tflite).input_of_byte == np.arange(256)).all()


def test_int8_keeps_the_answers(small_float_tflite: Path, small_int8_tflite: Path) -> None:
    found = parity.compare(small_float_tflite, small_int8_tflite, drawn_pixels(64, seed=5)[0])
    assert found.sqnr_db > 10  # a small, hardly trained network; ImageNet's are measured in benchmarks/
    assert found.top1 > 0.8
    assert sum(found.per_image) == round(found.top1 * found.n)


def test_both_input_types_answer_alike(small_float_tflite: Path, small_int8_tflite: Path, tmp_path: Path) -> None:
    made = quantize.quantize_int8(
        small_float_tflite, drawn_pixels(32, seed=1)[0], tmp_path / "int8.tflite", Recipe(io_dtype="int8")
    )
    assert made.io_dtype == "int8"
    pixels, _ = drawn_pixels(8, seed=6)
    np.testing.assert_array_equal(TFLite(made.path).predict(pixels), TFLite(small_int8_tflite).predict(pixels))


def test_weights_lie_on_the_per_channel_grid(small_float_tflite: Path, small_int8_tflite: Path) -> None:
    before, after = FlatModel.read(small_float_tflite), FlatModel.read(small_int8_tflite)
    for (old, kind), (new, _) in zip(before.weighted(), after.weighted(), strict=True):
        weight, stored = before.constant(old.inputs[1]), after.constant(new.inputs[1])
        record = after.graph.tensors[new.inputs[1]].quantization
        axis = weight.ndim - 1 if kind == "DEPTHWISE_CONV_2D" else 0
        others = tuple(i for i in range(weight.ndim) if i != axis)
        assert record.quantizedDimension == axis
        scale = np.expand_dims(np.asarray(record.scale, np.float32), others)
        np.testing.assert_allclose(scale * 127, np.abs(weight).max(axis=others, keepdims=True), rtol=1e-5)
        assert stored.min() >= -127
        assert (np.abs(stored * scale - weight) <= scale * 0.501).all()


def test_a_channel_of_zero_weights_keeps_its_bias(small_network: EfficientNet, tmp_path: Path) -> None:
    """Batch norms learn dead channels: their bias in units of a tiny scale overflows an int32."""
    dead = EfficientNet.from_variant(small_network.variant).eval()
    dead.load_state_dict(small_network.state_dict())
    dead.head.norm.weight.data[:5] = 1e-12
    dead.head.norm.bias.data[:5] = 2.0
    litert.export_float(dead, tmp_path / "dead.tflite")
    quantize.quantize_int8(tmp_path / "dead.tflite", drawn_pixels(8)[0], tmp_path / "dead8.tflite")
    flat = FlatModel.read(tmp_path / "dead8.tflite")
    bias = next(op.inputs[2] for op, _ in flat.weighted() if flat.name(op.inputs[2]) == "head/bias")
    real = flat.constant(bias) * np.asarray(flat.graph.tensors[bias].quantization.scale)
    np.testing.assert_allclose(real[:5], 2.0, rtol=1e-3)


def test_no_calibration_photographs_is_refused(small_float_tflite: Path, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="no calibration"):
        quantize.quantize_int8(small_float_tflite, drawn_pixels(0)[0], tmp_path / "x.tflite")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_not_as_ordered_is_refused(small_float_tflite: Path, small_int8_tflite: Path) -> None:
    quantize.check(small_int8_tflite, Recipe())
    with pytest.raises(ConversionError, match="image is"):
        quantize.check(small_int8_tflite, Recipe(io_dtype="int8"))
    with pytest.raises(ConversionError, match="computes in float"):
        quantize.check(small_float_tflite, Recipe())


# inspect and the interpreter, on files from elsewhere


def test_inspect_reads_a_foreign_model(tmp_path: Path) -> None:
    facts = inspect.read_model(tiny_tflite(tmp_path / "tiny.tflite"))
    assert facts.ops["QUANTIZE"] == 2
    assert facts.full_integer
    json.dumps(facts.ops)


def test_inspect_names_what_falls_back(small_float_tflite: Path, tmp_path: Path) -> None:
    """A FLOOR_MOD-like operator that XNNPACK has no kernel for, put in the middle of a real model."""
    flat = FlatModel.read(small_float_tflite)
    add = next(op for op in flat.graph.operators if flat.kind(op) == "ADD")
    add.opcodeIndex = flat.operator_code("FLOOR_MOD")
    add.builtinOptions, add.builtinOptionsType = None, 0
    flatfile.write(tmp_path / "mixed.tflite", flat.to_bytes())
    facts = inspect.read_model(tmp_path / "mixed.tflite")
    assert facts.fallback == ("FLOOR_MOD",)
    assert facts.partitions == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [("note.txt", b"hello" * 50), ("empty.tflite", b""), ("head.tflite", b"\x1c\0\0\0TFL3" + b"\0" * 64)],
)
def test_inspect_refuses_what_is_not_a_model(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=name):
        inspect.read_model(path)


def test_inspect_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        inspect.read_model(tmp_path / "none.tflite")


def test_interpreter_refuses_other_pixels(small_int8_tflite: Path) -> None:
    with pytest.raises(ValueError, match="uint8"):
        TFLite(small_int8_tflite).predict(np.zeros((1, 8, 8, 3), np.uint8))
