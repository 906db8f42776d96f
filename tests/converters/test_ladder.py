"""The ladder and its parts, on the small network of tests/models.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import toy_route
from support.models import drawn_pixels
from torch import Tensor

from edgefit_converters.int8 import adaptive_rounding, equalization, lockstep, quantize, ranges
from edgefit_converters.judge import guard, layer_parity, parity
from edgefit_converters.judge.holdout import JudgedStep
from edgefit_converters.ladder import steps
from edgefit_converters.ladder.climb import _scratch, climb
from edgefit_converters.ladder.material import Evidence, Material
from edgefit_converters.ladder.steps import STEPS
from edgefit_converters.recipe import Floors, Recipe
from edgefit_converters.routes.route import Draft
from edgefit_converters.tflite import flatfile, streams, torchgraph
from edgefit_converters.tflite.flatfile import FlatModel
from edgefit_converters.tflite.torchgraph import Constants, Graph, Op
from edgefit_toolkit.errors import GuardFailed
from edgefit_toolkit.interpreter import TFLite

CALIBRATION, HOLDOUT = drawn_pixels(32, seed=1)[0], drawn_pixels(48, seed=5)[0]
LENIENT = Floors(top1=0.5, sqnr_db=9.0)


def outputs(graph: Graph, pixels: np.ndarray) -> Tensor:
    values = {"image": torchgraph.image(pixels)}
    for op in graph.ops:
        values[op.name] = torchgraph.run(op, [values[n] for n in op.inputs], graph.layers.get(op.layer))
    return values[graph.ops[-1].name]


@pytest.fixture(scope="module")
def graph(small_float_tflite: Path) -> Graph:
    return torchgraph.read_graph(small_float_tflite)


def test_the_graph_in_torch_is_the_files(graph: Graph, small_float_tflite: Path) -> None:
    expected = TFLite(small_float_tflite).logits(HOLDOUT[:8])
    np.testing.assert_allclose(outputs(graph, HOLDOUT[:8]).numpy(), expected, atol=1e-3 * np.abs(expected).max())


def test_layers_written_back_are_the_same_file_content(graph: Graph, small_float_tflite: Path, tmp_path: Path) -> None:
    torchgraph.write_layers(small_float_tflite, graph.layers, tmp_path / "same.tflite")
    again = torchgraph.read_graph(tmp_path / "same.tflite")
    for name, layer in graph.layers.items():
        assert torch.equal(again.layers[name].weight, layer.weight)
        assert torch.equal(again.layers[name].bias, layer.bias)
    assert abs((tmp_path / "same.tflite").stat().st_size - small_float_tflite.stat().st_size) < 10_000


def test_equalizing_changes_constants_and_not_answers(graph: Graph) -> None:
    equal = equalization.equalize(graph, CALIBRATION)
    before, after = outputs(graph, HOLDOUT[:8]), outputs(equal, HOLDOUT[:8])
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3 * float(before.abs().max()))
    changed = [n for n, layer in graph.layers.items() if not torch.equal(layer.weight, equal.layers[n].weight)]
    assert "blocks.0.project" in changed
    assert "stem" not in changed


def test_streams_are_the_sums_of_a_stage(graph: Graph) -> None:
    found = streams.streams(graph)
    sums = [op for op in graph.ops if op.kind == "ADD"]
    assert sums
    for op in sums:
        assert any({op.name, *op.inputs} <= stream for stream in found)
    assert sum(len(stream) for stream in found) == len(frozenset().union(*found))  # no tensor in two


def test_bias_correction_brings_back_the_mean_of_every_layer(graph: Graph, small_float_tflite: Path) -> None:
    observed = ranges.observe(small_float_tflite, CALIBRATION)
    limits = ranges.choose_ranges(observed, ranges.min_max)
    moved = lockstep.walk(graph, CALIBRATION, ranges.means(observed), limits)
    float_mean = outputs(graph, CALIBRATION).mean(0)

    def int8_mean(layers: dict[str, Constants]) -> Tensor:
        values = {"image": torchgraph.image(CALIBRATION)}
        for op in graph.ops:
            value = torchgraph.run(op, [values[n] for n in op.inputs], layers.get(op.layer))
            values[op.name] = value if op is graph.ops[-1] else lockstep.as_int8(value, limits[op.name])
        return values[graph.ops[-1].name].mean(0)

    plain = {
        n: Constants(lockstep.on_grid(v.weight, lockstep.weight_scale(v.weight)), v.bias)
        for n, v in graph.layers.items()
    }
    corrected, uncorrected = (float((int8_mean(x) - float_mean).abs().max()) for x in (moved.layers, plain))
    assert corrected < 0.2 * uncorrected  # not zero: a bias added in another order flips a few activations


@given(
    low=st.floats(-20, 0),
    high=st.floats(0.01, 30),
    seed=st.integers(0, 99),
    shape=st.sampled_from([(3, 5), (2, 4, 3, 3)]),
)
def test_rounding_in_place_is_the_rounding_that_gradients_pass(
    low: float, high: float, seed: int, shape: tuple[int, ...]
) -> None:
    values = 20 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    expected = lockstep.as_int8(values, (low, high))
    assert torch.equal(lockstep.round_to_int8(values, (low, high)), expected)


@given(size=st.integers(1, 400))
def test_a_mean_is_taken_from_inside_and_from_enough_places(size: int) -> None:
    places = range(size)[ranges.mean_places(size)]
    assert len(places) >= min(size, ranges.MEAN_POSITIONS)
    assert len(places) < 2 * ranges.MEAN_POSITIONS
    left, right = places[0], size - 1 - places[-1]
    assert abs(left - right) < places.step  # as far from one border as from the other, to a step


def test_observed_means_are_the_float_networks(graph: Graph, small_float_tflite: Path) -> None:
    found = ranges.means(ranges.observe(small_float_tflite, CALIBRATION[:3]))
    values = {"image": torchgraph.image(CALIBRATION[:3])}
    for op in graph.ops:
        value = torchgraph.run(op, [values[name] for name in op.inputs], graph.layers.get(op.layer))
        values[op.name] = value.clone()
        if value.dim() == 4:
            value = value[:, :, ranges.mean_places(value.shape[2]), ranges.mean_places(value.shape[3])].mean((2, 3))
        np.testing.assert_allclose(found[op.name], value.numpy(), atol=1e-3 * float(value.abs().max()))


@given(seed=st.integers(0, 10_000), width=st.integers(1, 90), out=st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_learned_rounding_stays_on_the_grid_and_never_loses_to_nearest(seed: int, width: int, out: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=generator)
    inputs = torch.randn(200, width, generator=generator) @ mix  # correlated, as features are
    layer = Constants(torch.randn(out, width, generator=generator), torch.zeros(out))
    target = inputs @ layer.weight.T
    scale = lockstep.weight_scale(layer.weight)
    found = adaptive_rounding.adaptive(Op("FULLY_CONNECTED", "y", ("x",), "y"), layer, inputs, target, scale)
    stored = found / scale[:, None]
    assert float((stored - stored.round()).abs().max()) < 1e-3
    assert float(stored.abs().max()) < 127.001
    assert float(((found - layer.weight).abs() / scale[:, None]).max()) < 1.001  # up or down, no further

    def error(weight: Tensor) -> float:
        centred = inputs - inputs.mean(0)
        ridge = adaptive_rounding.RIDGE * float(centred.square().mean())
        moved = weight - layer.weight
        return float((centred @ moved.T).square().mean(0).sum() + ridge * moved.square().sum())

    assert error(found) <= error(lockstep.on_grid(layer.weight, scale)) * (1 + 1e-4) + 1e-9


def test_the_file_holds_the_chosen_grid(graph: Graph, small_float_tflite: Path, tmp_path: Path) -> None:
    observed = ranges.observe(small_float_tflite, CALIBRATION)
    limits = ranges.choose_ranges(observed, ranges.min_max)
    moved = lockstep.walk(graph, CALIBRATION, ranges.means(observed), limits, adaptive_rounding.adaptive)
    torchgraph.write_layers(small_float_tflite, moved.layers, tmp_path / "corrected.tflite")
    quantize.quantize_with(tmp_path / "corrected.tflite", limits, tmp_path / "int8.tflite", Recipe(), moved.scales)
    flat = FlatModel.read(tmp_path / "int8.tflite")
    for operator, kind in flat.weighted():
        name = flat.name(operator.inputs[1]).removesuffix("/weight")
        record = flat.graph.tensors[operator.inputs[1]].quantization
        np.testing.assert_allclose(record.scale, moved.scales[name], rtol=1e-5)
        stored = torch.tensor(flat.constant(operator.inputs[1]).astype(np.float32))
        expected = moved.layers[name].weight / torch.tensor(moved.scales[name]).view(
            -1, *[1] * (moved.layers[name].weight.dim() - 1)
        )
        assert torch.equal(torchgraph._from_tflite(stored, kind), expected.round())


def test_climbing_stops_at_the_first_step_that_passes(small_float_tflite: Path, tmp_path: Path) -> None:
    heard: list[JudgedStep] = []
    low = Recipe(floors=Floors(top1=0.5, sqnr_db=3.0))
    out = tmp_path / "model.tflite"
    result = climb(Evidence(small_float_tflite, CALIBRATION, HOLDOUT), out, low, on_step=heard.append)
    assert [s.name for s in result.steps] == [step.name for step in STEPS[:2]]  # bias correction is on by default
    assert tuple(heard) == result.steps
    assert result.chosen in {s.name for s in result.steps}
    assert result.parity.sqnr_db == max(s.parity.sqnr_db for s in result.steps)
    assert parity.compare(small_float_tflite, out, HOLDOUT) == result.parity
    assert [f.name for f in tmp_path.iterdir()] == ["model.tflite"]
    again = climb(Evidence(small_float_tflite, CALIBRATION, HOLDOUT), tmp_path / "again.tflite", low)
    assert again.model.sha256 == result.model.sha256


def test_when_no_step_passes_nothing_is_handed_over(small_float_tflite: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.tflite"
    out.write_bytes(b"of an earlier run")
    with pytest.raises(GuardFailed, match=r"best is .*dB") as failed:
        climb(
            Evidence(small_float_tflite, CALIBRATION, HOLDOUT),
            out,
            Recipe(floors=Floors(sqnr_db=90.0)),
            steps=STEPS[:2],
        )
    assert "| min-max PTQ |" in failed.value.message
    assert not list(tmp_path.iterdir())


def test_a_step_that_the_recipe_names_must_be_on_the_ladder(small_float_tflite: Path, tmp_path: Path) -> None:
    evidence, typo = Evidence(small_float_tflite, CALIBRATION, HOLDOUT), Recipe(first="bias corection")
    with pytest.raises(ValueError, match="no step bias corection; there are min-max PTQ, "):
        climb(evidence, tmp_path / "model.tflite", typo)


def test_another_step_is_one_object_and_one_entry(
    small_float_tflite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It halves every range; a route that measures ranges itself leaves it out by its own words."""

    class Halved:
        name = "halved ranges"
        why = "to see whether anybody notices"
        own_ranges = True

        def draft(self, material: Material) -> Draft:
            halves = {name: (low / 2, high / 2) for name, (low, high) in material.plain.min_max.items()}
            return material.draft(material.plain, halves | {"image": ranges.INPUT_RANGE})

    monkeypatch.setattr(steps, "STEPS", (STEPS[0], Halved()))
    evidence, recipe = Evidence(small_float_tflite, CALIBRATION, HOLDOUT), Recipe(floors=LENIENT, first="halved ranges")
    plain, halved = climb(evidence, tmp_path / "model.tflite", recipe).steps
    assert halved.name == "halved ranges"
    assert halved.parity.sqnr_db < plain.parity.sqnr_db - 1  # the file does have them
    toy = climb(evidence, tmp_path / "toy.tflite", recipe, route=toy_route.Toy())
    assert toy.left_out == ("halved ranges: a toy has one size",)
    assert toy.chosen == plain.name


def test_calibration_on_black_pictures_is_caught(small_float_tflite: Path, tmp_path: Path) -> None:
    black = np.zeros_like(CALIBRATION)
    with pytest.raises(GuardFailed, match="all black"):
        climb(Evidence(small_float_tflite, black, HOLDOUT), tmp_path / "model.tflite")


def test_a_layer_broken_on_purpose_is_named(small_float_tflite: Path, small_int8_tflite: Path, tmp_path: Path) -> None:
    """One layer's scales doubled, as a bug in a quantizer would."""
    few = HOLDOUT[:4]
    healthy = layer_parity.compare_layers(small_float_tflite, small_int8_tflite, few)
    assert [layer.name for layer in healthy] == [op.name for op in torchgraph.read_graph(small_float_tflite).ops]
    flat = FlatModel.read(small_int8_tflite)
    names = {flat.name(op.inputs[1]): op for op, _ in flat.weighted()}
    record = flat.graph.tensors[names["blocks.4.depthwise/weight"].inputs[1]].quantization
    record.scale = [2 * scale for scale in record.scale]
    flatfile.write(tmp_path / "broken.tflite", flat.to_bytes())
    broken = layer_parity.compare_layers(small_float_tflite, tmp_path / "broken.tflite", few)
    assert layer_parity.worst(broken, 1)[0].name == "blocks.4.depthwise"
    (said,) = guard.shortfalls(parity.compare(small_float_tflite, tmp_path / "broken.tflite", HOLDOUT), LENIENT)
    assert "SQNR" in said


def test_what_a_killed_climb_left_goes_and_that_of_another_stays(tmp_path: Path) -> None:
    out = tmp_path / "model.tflite"
    with _scratch(tmp_path / "other.tflite") as going_on, _scratch(out) as own:
        code = (
            "import os, signal; from pathlib import Path; from edgefit_converters.ladder.climb import _scratch\n"
            f"with _scratch(Path({str(out)!r})) as folder:\n    print(folder, flush=True)\n    os.kill(os.getpid(), 9)"
        )
        killed = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
        left = Path(killed.stdout.strip())
        assert left.is_dir()
        with _scratch(out) as folder:
            assert not left.exists()
            assert all(other.is_dir() for other in (folder, going_on, own))
    assert not list(tmp_path.iterdir())
