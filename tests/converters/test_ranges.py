"""Ranges of activations: against brute force, a root finder, and a model whose values are known."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from edgefit_converters.int8 import ranges
from edgefit_converters.int8.ranges import Observed, Range
from edgefit_converters.tflite.skeleton import write_graph
from edgefit_toolkit.errors import ConversionError
from edgefit_toolkit.network.graph import Operator

ends = st.tuples(st.floats(-50, 50), st.floats(-50, 50)).map(lambda pair: (min(pair), max(pair)))


def seen_as(low: float, high: float, values: np.ndarray, fixed: Range | None = None, swish: str = "") -> Observed:
    return Observed(low, high, values, np.zeros((1, 1), np.float32), fixed, swish)


def swish(x: float) -> float:
    return float(x / (1 + np.exp(-x)))


@given(ends)
def test_a_scale_has_255_steps_and_zero_inside(limits: tuple[float, float]) -> None:
    low, high = limits
    assert ranges.scale_of(limits) == pytest.approx(max(high - low, high, -low, 1e-9) / 255)
    assert ranges.scale_of((low, low)) == pytest.approx(max(abs(low), 1e-9) / 255)


@pytest.mark.parametrize("limits", [(0.0, 0.0), (1e-30, 1e-30)])
def test_a_scale_is_never_zero(limits: tuple[float, float]) -> None:
    assert ranges.scale_of(limits) == pytest.approx(1e-9 / 255)


@given(st.floats(1e-9, 0.25))
def test_swish_is_flat_below_the_place_where_it_falls_under_the_error(error: float) -> None:
    cut = brentq(lambda x: -swish(x) - error, -60.0, -1.2785)
    found = ranges._swish_is_flat_below(error)
    assert found == pytest.approx(cut, abs=1e-6)
    assert -swish(found) <= error + 1e-9


def test_ranges_are_picked_but_for_the_fixed_the_swished_and_the_input() -> None:
    some = np.zeros(1, np.float32)
    observed = {
        "image": seen_as(-3.0, 3.0, some),
        "gate": seen_as(-9.0, 9.0, some, swish="gated"),
        "shallow": seen_as(-0.5, 9.0, some, swish="gated"),
        "sigmoid": seen_as(0.0, 0.7, some, fixed=ranges.SIGMOID_RANGE),
        "gated": seen_as(-0.28, 9.0, some),
    }
    found = ranges.choose_ranges(observed, ranges.min_max)
    assert found["image"] == (-127 / 128, 1.0)
    assert found["sigmoid"] == (0.0, 255 / 256)
    assert found["gated"] == (-0.28, 9.0)
    low, high = found["gate"]
    half_step = 9.28 / 255 / 2
    assert high == 9.0
    assert -swish(low) == pytest.approx(half_step, rel=1e-6)
    assert found["shallow"] == (-0.5, 9.0)
    again = ranges.choose_ranges(observed, lambda what: (2 * what.low, 2 * what.high))
    assert again["gated"] == (-0.56, 18.0)


def loss(values: np.ndarray, limits: tuple[float, float]) -> float:
    """Of int8 with these limits, computed value by value."""
    scale = ranges.scale_of(limits)
    grid = (np.arange(256) - round(-limits[0] / scale)) * scale
    return float(np.mean([np.square(grid - value).min() for value in values]))


@given(st.integers(0, 10_000), st.floats(0, 30))
@settings(max_examples=20)
def test_least_squares_gives_no_end_away_that_helps(seed: int, outlier: float) -> None:
    values = np.append(np.random.default_rng(seed).normal(size=400), outlier).astype(np.float32)
    seen = seen_as(float(values.min()), float(values.max()), values)
    low, high = ranges.least_squares(seen)
    assert seen.low - 1e-6 <= low <= 0.3 * seen.low + 1e-6
    assert 0.3 * seen.high - 1e-6 <= high <= seen.high + 1e-6
    best = loss(values, (low, high))
    assert best <= loss(values, (seen.low, seen.high)) * (1 + 1e-6)
    for share in np.linspace(0.3, 1.0, 36):  # neither end alone can be moved for the better
        assert best <= loss(values, (low, seen.high * share)) * (1 + 1e-5) + 1e-12


def test_least_squares_clips_a_lone_value_where_that_pays_and_keeps_zero_inside() -> None:
    """Rounding costs scale^2 / 12 per value, clipping e^2 / n: the least of both is at e = n * 3 / 255^2 / 12."""
    values = np.append(np.random.default_rng(0).uniform(0.1, 2.8, 39_998), 3.0).astype(np.float32)
    low, high = ranges.least_squares(seen_as(0.1, 3.0, values))
    assert (low, high) == (0.0, pytest.approx(3.0 - 39_999 * 3 / 255**2 / 12, abs=0.05))
    assert ranges.least_squares(seen_as(-3.0, -0.1, -values)) == (pytest.approx(-high, abs=0.05), 0.0)


def test_ends_are_tried_in_fiftieths_down_to_three_tenths() -> None:
    assert list(50 * ranges.SHARES) == pytest.approx(list(range(50, 14, -1)))


def test_a_large_sample_is_thinned_evenly() -> None:
    values = np.zeros(60_000, np.float32)
    values[1::3] = 100.0  # between those that are looked at
    assert ranges.least_squares(seen_as(-1.0, 1.0, values)) == (-1.0, 1.0)  # all losses are 0: nothing to gain
    values = np.full(40_000, 0.25, np.float32)
    values[::2] = 1.0
    assert ranges.least_squares(seen_as(0.0, 2.0, values))[1] == pytest.approx(1.0, abs=0.02)


@pytest.fixture(scope="module")
def one_convolution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    graph = (Operator("conv", "pointwise", 0, (8, 8, 3), (8, 8, 4), 1, 1, 0, 0),)
    return write_graph(graph, tmp_path_factory.mktemp("ranges") / "one.tflite", "float32")


def test_of_a_large_activation_2048_values_are_kept_of_each_photograph(tmp_path: Path) -> None:
    graph = (Operator("conv", "pointwise", 0, (32, 32, 3), (32, 32, 2), 1, 1, 0, 0),)
    photos = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    first, other = ranges.observe(write_graph(graph, tmp_path / "large.tflite", "float32"), photos).values()
    assert (len(first.values), len(other.values)) == (3 * 2048, 3 * 2048)


def test_what_is_observed_is_what_was_computed(one_convolution: Path) -> None:
    black, white = np.zeros((1, 8, 8, 3), np.uint8), np.full((1, 8, 8, 3), 255, np.uint8)
    seen = ranges.observe(one_convolution, np.concatenate([black, white]))
    first, *others = seen.values()
    assert (first.low, first.high) == (-127 / 128, 1.0)
    assert len(first.values) == 2 * 8 * 8 * 3
    assert set(first.values) == {np.float32(-127 / 128), np.float32(1.0)}
    (other,) = others
    assert other.low == other.values.min() >= 0  # ReLU6
    assert other.high == other.values.max() <= 6
    assert (other.fixed, other.swish) == (None, "")
    again = ranges.observe(one_convolution, np.concatenate([black, white]))
    assert all(np.array_equal(seen[name].values, again[name].values) for name in seen)


def test_samples_of_large_maps_are_bounded_and_drawn_by_the_seed(tmp_path: Path) -> None:
    graph = (Operator("conv", "pointwise", 0, (32, 32, 3), (32, 32, 4), 1, 1, 0, 0),)
    path = write_graph(graph, tmp_path / "large.tflite", "float32")
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    one, other = ranges.observe(path, pictures), ranges.observe(path, pictures, seed=1)
    assert {len(what.values) for what in one.values()} == {2 * ranges.SAMPLES}
    assert any(not np.array_equal(one[name].values, other[name].values) for name in one)
    assert all((one[name].low, one[name].high) == (other[name].low, other[name].high) for name in one)


def test_a_channels_mean_is_its_mean_on_each_photograph(one_convolution: Path) -> None:
    pictures = np.zeros((2, 8, 8, 3), np.uint8)
    pictures[0, ..., 1], pictures[1, ..., 2] = 254, 127
    image = next(iter(ranges.observe(one_convolution, pictures).values()))
    black = -127 / 128
    assert image.means == pytest.approx(np.array([[black, -black, black], [black, black, 0.0]]))
    assert ranges.means({"image": image})["image"] is image.means


@given(st.integers(1, 400))
def test_means_are_taken_from_enough_places_inside_the_map(size: int) -> None:
    places = np.arange(size)[ranges.mean_places(size)]
    assert min(size, ranges.MEAN_POSITIONS) <= len(places) < 2 * ranges.MEAN_POSITIONS
    assert len(set(np.diff(places))) <= 1
    if size >= 2 * ranges.MEAN_POSITIONS:
        assert places[0] > 0
    else:
        assert len(places) == size


def test_a_sigmoid_is_fixed_and_what_it_gates_is_known(one_convolution: Path, tmp_path: Path) -> None:
    """x -> LOGISTIC -> s, MUL(x, s): a swish. MUL(x, x) is none."""
    model = flatbuffer_utils.read_model(str(one_convolution))
    graph = model.subgraphs[0]
    x = int(graph.operators[-1].outputs[0])

    def append(code: int, inputs: list[int], name: bytes) -> int:
        tensor = deepcopy(graph.tensors[x])
        tensor.name, tensor.buffer = name, 0
        graph.tensors.append(tensor)
        kind, operator = schema.OperatorCodeT(), schema.OperatorT()
        kind.builtinCode = kind.deprecatedBuiltinCode = code
        kind.version = 1
        model.operatorCodes.append(kind)
        operator.opcodeIndex, operator.inputs = len(model.operatorCodes) - 1, inputs
        operator.outputs = [len(graph.tensors) - 1]
        if code == schema.BuiltinOperator.MUL:
            operator.builtinOptionsType, operator.builtinOptions = (
                schema.BuiltinOptions.MulOptions,
                schema.MulOptionsT(),
            )
        graph.operators.append(operator)
        return len(graph.tensors) - 1

    gate = append(schema.BuiltinOperator.LOGISTIC, [x], b"gate")
    gated = append(schema.BuiltinOperator.MUL, [x, gate], b"gated")
    append(schema.BuiltinOperator.MUL, [gated, gated], b"square")
    graph.outputs = [len(graph.tensors) - 1]
    model.signatureDefs[0].outputs[0].tensorIndex = graph.outputs[0]
    path = tmp_path / "swish.tflite"
    flatbuffer_utils.write_model(model, str(path))
    seen = ranges.observe(path, np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8))
    assert {name: what.fixed for name, what in seen.items() if what.fixed} == {"gate": ranges.SIGMOID_RANGE}
    assert [what.swish for what in seen.values() if what.swish] == ["gated"]
    assert seen[graph.tensors[x].name.decode()].swish == "gated"


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    graph = (Operator("project", "pointwise", 0, (8, 8, 3), (8, 8, 4), 1, 1, 0, 0),)
    path = write_graph(graph, tmp_path / "broken.tflite", "float32")
    model = flatbuffer_utils.read_model(str(path))
    weights = next(b for b in model.buffers if b.data is not None and len(b.data) == 4 * 3 * 4)
    weights.data = np.frombuffer(np.full(12, 3e38, np.float32).tobytes(), np.uint8)
    flatbuffer_utils.write_model(model, str(path))
    with pytest.raises(ConversionError, match="not finite"):
        ranges.observe(path, np.full((1, 8, 8, 3), 255, np.uint8))
