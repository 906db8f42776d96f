"""Models for timing only: the operators of the real ones, and they run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgefit_converters.tflite.inspect import read_model
from edgefit_converters.tflite.skeleton import write_skeleton
from edgefit_toolkit.errors import ConversionError
from edgefit_toolkit.interpreter import TFLite
from edgefit_toolkit.network.scaling import released, variant_from_phi


def test_int8_skeleton_is_the_converted_model_without_its_answers(tmp_path: Path) -> None:
    variant = released("lite0", classes=10)
    path = write_skeleton(variant, tmp_path / "s.tflite")
    facts = read_model(path)
    expected = {"CONV_2D": 33, "DEPTHWISE_CONV_2D": 16, "ADD": 9, "MEAN": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1}
    assert {name: facts.ops.get(name) for name in expected} == expected
    assert set(facts.ops) == {*expected, "QUANTIZE"}
    assert facts.io_dtype == "uint8"
    pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    scores = TFLite(path, threads=1).predict(pixels)
    assert scores.shape == (2, 10)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("phi", [-3.5, 0.7])
def test_float_skeleton_runs(phi: float, tmp_path: Path) -> None:
    variant = variant_from_phi(phi, classes=5)
    path = write_skeleton(variant, tmp_path / "s.tflite", "float32")
    size = variant.resolution_px
    scores = TFLite(path, threads=1).predict(np.zeros((1, size, size, 3), np.uint8))
    assert scores.shape == (1, 5)
    assert scores.sum() == pytest.approx(1, abs=1e-4)


def test_b_has_none(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="Lite"):
        write_skeleton(released("b0"), tmp_path / "s.tflite")
