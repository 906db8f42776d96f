"""Quantization-aware training: its int8 copy, what it keeps, and when the ladder reaches it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.models import drawn_pixels, small_trained_network
from support.pictures import open_file
from torch import Tensor

from edgefit_converters.int8 import lockstep, qat, quantize, ranges
from edgefit_converters.int8.lockstep import Corrected
from edgefit_converters.int8.qat import Network, Training
from edgefit_converters.int8.ranges import Observed, Range
from edgefit_converters.judge import parity
from edgefit_converters.ladder.climb import climb
from edgefit_converters.ladder.material import Evidence
from edgefit_converters.ladder.steps import STEPS
from edgefit_converters.recipe import Floors, Recipe
from edgefit_converters.routes import litert
from edgefit_converters.tflite import torchgraph
from edgefit_converters.tflite.torchgraph import Constants, Graph, Op
from edgefit_toolkit.data import preprocessing
from edgefit_toolkit.errors import GuardFailed
from edgefit_toolkit.interpreter import TFLite
from edgefit_toolkit.network import scaling, weights
from edgefit_toolkit.network.efficientnet import EfficientNet

CALIBRATION, HOLDOUT = drawn_pixels(40, seed=1)[0], drawn_pixels(48, seed=5)[0]
SHORT = Training(images=64)
IMPOSSIBLE = Floors(sqnr_db=90.0)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> object:
    """Two threads on small layers wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def graph(small_float_tflite: Path) -> Graph:
    return torchgraph.read_graph(small_float_tflite)


@pytest.fixture(scope="module")
def observed(small_float_tflite: Path) -> dict[str, Observed]:
    return ranges.observe(small_float_tflite, CALIBRATION)


@pytest.fixture(scope="module")
def limits(observed: dict[str, Observed]) -> dict[str, Range]:
    return ranges.choose_ranges(observed, ranges.min_max)


@pytest.fixture(scope="module")
def means(observed: dict[str, Observed]) -> dict[str, np.ndarray]:
    return ranges.means(observed)


@pytest.fixture(scope="module")
def small_b_tflite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("b") / "float.tflite"
    litert.export_float(small_trained_network("b"), path)
    return path


Start = tuple[Corrected, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def beginning(graph: Graph, limits: dict[str, Range], means: dict[str, np.ndarray]) -> Start:
    """Plain rounding with bias correction, and the photographs to learn from and to choose by."""
    kept, back = qat.hold_back(len(CALIBRATION))
    own = {name: values[kept] for name, values in means.items()}
    return lockstep.walk(graph, CALIBRATION[kept], own, limits), CALIBRATION[kept], CALIBRATION[back]


def sqnr_of_copy(graph: Graph, layers: Corrected, limits: dict[str, Range], pixels: np.ndarray) -> float:
    with torch.no_grad():
        wanted, found = (
            Network(graph, r, constants).run(torchgraph.image(pixels)).numpy()
            for r, constants in ((None, graph.layers), (limits, layers.layers))
        )
    return parity.sqnr_db(wanted, found)


def test_photographs_held_back_are_not_learned_from() -> None:
    kept, back = qat.hold_back(40)
    assert sorted([*kept, *back]) == list(range(40))
    assert len(back) == round(qat.HELD_BACK * 40)
    assert [part.tolist() for part in qat.hold_back(1)] == [[0], [0]]


def test_the_int8_copy_computes_what_the_file_computes(
    graph: Graph, limits: dict[str, Range], beginning: Start, small_float_tflite: Path, tmp_path: Path
) -> None:
    """All but the last roundings of the first layer agree exactly. Further on such differences spread, as any
    difference does in int8; the logits' noise must be the same to 2 dB."""
    start, _, _ = beginning
    torchgraph.write_layers(small_float_tflite, start.layers, tmp_path / "corrected.tflite")
    quantize.quantize_with(tmp_path / "corrected.tflite", limits, tmp_path / "int8.tflite", Recipe(), start.scales)
    reference = TFLite(small_float_tflite).logits(HOLDOUT)
    of_file = parity.sqnr_db(reference, TFLite(tmp_path / "int8.tflite").logits(HOLDOUT))
    assert sqnr_of_copy(graph, start, limits, HOLDOUT) == pytest.approx(of_file, abs=2.0)
    broken = Corrected(start.layers | {"blocks.0.project": graph.layers["blocks.1.project"]}, start.scales)
    if broken.layers["blocks.0.project"].weight.shape == start.layers["blocks.0.project"].weight.shape:
        assert sqnr_of_copy(graph, broken, limits, HOLDOUT) < of_file - 2.0


def test_trained_constants_lie_on_the_grid_and_repeat(graph: Graph, limits: dict[str, Range], beginning: Start) -> None:
    start, shown, held_back = beginning
    heard: list[tuple[str, int, int]] = []
    first, second = (
        qat.train(graph, start, limits, shown, held_back, SHORT, lambda *event: heard.append(event)) for _ in range(2)
    )
    for name, layer in first.layers.items():
        assert torch.equal(layer.weight, second.layers[name].weight)
        assert torch.equal(layer.bias, second.layers[name].bias)
        stored = layer.weight / torch.tensor(start.scales[name]).view(-1, *[1] * (layer.weight.dim() - 1))
        assert float((stored - stored.round()).abs().max()) < 1e-3
        assert float(stored.abs().max()) < 127.001
    assert [event[1:] for event in heard[:8]] == [(step, 8) for step in range(1, 9)]


def test_training_never_loses_on_the_photographs_held_back(
    graph: Graph, limits: dict[str, Range], beginning: Start
) -> None:
    start, shown, held_back = beginning
    for rate in (0.002, 3.0):  # the second destroys the network
        trained = qat.train(graph, start, limits, shown, held_back, Training(images=64, learning_rate=rate))
        before, after = (sqnr_of_copy(graph, m, limits, held_back) for m in (start, trained))
        assert after >= before - 1e-3


def test_training_lifts_plain_rounding_of_a_real_network(flowers_dir: Path, tmp_path: Path) -> None:
    """Lite0's ImageNet weights at 96 px, from the nearest weights and the float biases: alone, without what the steps
    before it do. Judged on photographs that it has not seen."""
    network = weights.load_network(scaling.released("lite0"))[0].at_resolution(96)
    how = preprocessing.preprocessing_for(network.variant)
    shown, held_back, unseen = (
        np.stack([preprocessing.apply(open_file(path), how) for path in paths])
        for paths in (
            sorted((flowers_dir / "train").rglob("*.jpg"))[::5],
            sorted((flowers_dir / "val").rglob("*.jpg"))[::5],
            sorted((flowers_dir / "test").rglob("*.jpg"))[::3],
        )
    )
    float_path = tmp_path / "float.tflite"
    litert.export_float(network, float_path)
    graph = torchgraph.read_graph(float_path)
    limits = ranges.choose_ranges(ranges.observe(float_path, shown), ranges.min_max)
    scales = {name: lockstep.weight_scale(layer.weight) for name, layer in graph.layers.items()}
    plain = {n: Constants(lockstep.on_grid(x.weight, scales[n]), x.bias) for n, x in graph.layers.items()}
    start = Corrected(plain, {name: scale.numpy() for name, scale in scales.items()})
    trained = qat.train(graph, start, limits, shown, held_back, Training(images=240))
    before, after = (sqnr_of_copy(graph, m, limits, unseen) for m in (start, trained))
    assert after > before + 1.0


def test_the_last_step_is_reached_only_when_the_others_fail(small_float_tflite: Path, tmp_path: Path) -> None:
    asked: list[int] = []

    def more() -> np.ndarray:
        asked.append(1)
        return drawn_pixels(24, seed=9)[0]

    two = (STEPS[0], STEPS[-1])
    easy = Recipe(first="min-max PTQ", floors=Floors(top1=0.3, top5=0.3, sqnr_db=3.0))
    evidence = Evidence(small_float_tflite, CALIBRATION, HOLDOUT, more_pixels=more)
    result = climb(evidence, tmp_path / "easy.tflite", easy, steps=two)
    assert result.chosen == "min-max PTQ"
    assert not asked
    hard = Recipe(first="quantization-aware training", floors=IMPOSSIBLE)
    with pytest.raises(GuardFailed) as failed:
        climb(evidence, tmp_path / "hard.tflite", hard, steps=two)
    assert asked == [1]
    assert [step.name for step in failed.value.steps] == ["min-max PTQ", "quantization-aware training"]
    assert not (tmp_path / "hard.tflite").exists()


def test_a_b_network_climbs_every_step(small_b_tflite: Path, tmp_path: Path) -> None:
    """Swish, squeeze-excite and all: full integer in one partition at each, or quantizing would have refused."""
    with pytest.raises(GuardFailed) as failed:
        climb(Evidence(small_b_tflite, CALIBRATION, HOLDOUT), tmp_path / "b.tflite", Recipe(floors=IMPOSSIBLE))
    assert [step.name for step in failed.value.steps] == [step.name for step in STEPS]
    assert all(step.parity.sqnr_db > 3.0 for step in failed.value.steps)


def test_a_network_whose_last_map_is_one_pixel_climbs(tmp_path: Path) -> None:
    """Its mean over that one is written as a SUM."""
    torch.manual_seed(0)
    network = EfficientNet.from_variant(scaling.variant_from_factors(0.5, 0.5, 32, "lite", 4)).eval()
    float_path = tmp_path / "float.tflite"
    litert.export_float(network, float_path)
    assert "SUM" in {op.kind for op in torchgraph.read_graph(float_path).ops}
    pixels = drawn_pixels(24, resolution_px=32)[0]
    evidence, recipe = Evidence(float_path, pixels[:16], pixels[16:]), Recipe(floors=IMPOSSIBLE)
    with pytest.raises(GuardFailed) as failed:
        climb(evidence, tmp_path / "int8.tflite", recipe, steps=STEPS[:2])
    assert [step.name for step in failed.value.steps] == [step.name for step in STEPS[:2]]
    assert failed.value.steps[-1].parity.sqnr_db > 3.0


def test_sigmoids_have_tflites_own_range(small_b_tflite: Path) -> None:
    found = ranges.choose_ranges(ranges.observe(small_b_tflite, CALIBRATION[:4]), ranges.least_squares)
    sigmoids = [name for name in found if name.endswith("/logistic")]
    assert sigmoids
    assert all(found[name] == (0.0, 255 / 256) for name in sigmoids)


def test_what_swish_does_not_let_through_needs_no_range(small_b_tflite: Path) -> None:
    observed = ranges.observe(small_b_tflite, CALIBRATION)
    found = ranges.choose_ranges(observed, ranges.min_max)
    inputs = {name: what for name, what in observed.items() if what.swish}
    assert len(inputs) == sum(name.endswith("/mul") and ".se.expand" not in name for name in observed)
    assert any(found[name][0] > what.low for name, what in inputs.items())
    for name, what in inputs.items():
        cut = what.values[what.values < found[name][0]].astype(np.float64)
        lost = np.abs(cut / (1 + np.exp(-cut)))
        assert lost.size == 0 or lost.max() <= ranges.scale_of(found[what.swish]) / 2
        assert found[name][1] == what.high


def test_photographs_that_join_later_are_where_the_others_are(
    graph: Graph, limits: dict[str, Range], beginning: Start
) -> None:
    start, _, _ = beginning
    together, joined = (lockstep._Pair(graph, limits, with_float=True) for _ in range(2))
    together.corrected = joined.corrected = start.layers
    together.join(CALIBRATION[:6], 0)
    joined.join(CALIBRATION[:2], 0)
    for index, op in enumerate(graph.ops[:9]):
        together.advance(index, op)
        joined.advance(index, op)
    joined.join(CALIBRATION[2:6], 9)
    assert together.float.keys() == joined.float.keys() == joined.int8.keys()
    for name, value in together.float.items():
        torch.testing.assert_close(joined.float[name], value, rtol=1e-4, atol=1e-4)
        step = ranges.scale_of(limits[name])
        assert float(((joined.int8[name] - together.int8[name]).abs() > step / 2).float().mean()) < 0.01


@pytest.mark.parametrize("memory_bytes", [1.0, 1e6, 1e9])
def test_a_walk_with_little_memory_corrects_every_layer(
    graph: Graph,
    limits: dict[str, Range],
    means: dict[str, np.ndarray],
    memory_bytes: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lockstep, "MEMORY_BYTES", memory_bytes)
    seen: dict[str, int] = {}

    def counting(op: Op, layer: Constants, inputs: Tensor, target: Tensor, scale: Tensor) -> Tensor:
        seen[op.layer] = len(inputs)
        assert len(target) == len(inputs)
        return lockstep.on_grid(layer.weight, scale)

    corrected = lockstep.walk(graph, CALIBRATION, means, limits, counting)
    assert corrected.layers.keys() == graph.layers.keys()
    numbers = list(seen.values())
    assert numbers == sorted(numbers)  # photographs only join
    assert numbers[0] == {1.0: 1, 1e6: 1, 1e9: 40}[memory_bytes]
    assert numbers[-1] == {1.0: 1, 1e6: 32, 1e9: 40}[memory_bytes]
    alone = lockstep.walk(graph, CALIBRATION, means, limits)  # the float network stays at home: twice as many fit
    if memory_bytes == 1e9:
        assert all(torch.equal(alone.layers[name].bias, own.bias) for name, own in corrected.layers.items())
