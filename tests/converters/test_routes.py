"""Every converter route on real networks: same float answers, same ends, guard and report."""

from __future__ import annotations

import csv
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import toy_route
from support.models import drawn_pixels, small_trained_network
from support.pictures import open_file

from edgefit_converters import routes
from edgefit_converters.int8 import grid
from edgefit_converters.int8.lockstep import weight_scale
from edgefit_converters.judge import layer_parity, parity
from edgefit_converters.ladder.climb import LadderResult, climb
from edgefit_converters.ladder.material import Evidence
from edgefit_converters.ladder.steps import STEPS
from edgefit_converters.recipe import Floors, Recipe
from edgefit_converters.routes import deploy
from edgefit_converters.routes.environments import TENSORFLOW, environment_folder
from edgefit_converters.routes.litert import LiteRT
from edgefit_converters.routes.onnx_tf import OnnxTf
from edgefit_converters.routes.route import Draft, Route
from edgefit_converters.routes.saved_model import WORKER, with_full_range
from edgefit_converters.routes.side_worker import SideWorker
from edgefit_converters.tflite import flatfile, inspect, metadata, torchgraph
from edgefit_converters.tflite.flatfile import FlatModel
from edgefit_toolkit.cli.options import converter_option
from edgefit_toolkit.data import preprocessing
from edgefit_toolkit.errors import ConversionError, InputError, SideEnvironmentError
from edgefit_toolkit.network import scaling, weights
from edgefit_toolkit.network.efficientnet import EfficientNet

CALIBRATION, HOLDOUT = drawn_pixels(32, seed=1)[0], drawn_pixels(48, seed=5)[0]
LOW = Recipe(floors=Floors(top1=0.3, sqnr_db=3.0))
OTHERS = ("onnx-tf", "tensorflow")


@pytest.fixture(scope="module", params=OTHERS)
def route(request: pytest.FixtureRequest, side_environment: Path) -> Route:
    return routes.open_route(request.param)


@pytest.fixture(scope="module")
def network(small_network: EfficientNet) -> deploy.Deployed:
    return deploy.deploy(small_network, temperature=1.3)


@pytest.fixture(scope="module")
def default_float(network: deploy.Deployed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("default") / "float.tflite"
    LiteRT().export_float(network, path)
    return path


@pytest.fixture(scope="module")
def made(
    route: Route, network: deploy.Deployed, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, LadderResult]:
    """Float file, int8 file and how the latter came about."""
    folder = tmp_path_factory.mktemp(route.name)
    route.export_float(network, folder / "float.tflite")
    evidence = Evidence(folder / "float.tflite", CALIBRATION, HOLDOUT, network=network)
    result = climb(evidence, folder / "int8.tflite", LOW, route=route, steps=STEPS[:2])
    return folder / "float.tflite", folder / "int8.tflite", result


def test_float_is_the_default_routes_to_the_operator(made: tuple[Path, Path, Any], default_float: Path) -> None:
    """No TRANSPOSE, no PAD: what onnx-tf and a second PyTorch-to-TensorFlow layout usually leave behind."""
    own, theirs = inspect.read_model(made[0]), inspect.read_model(default_float)
    assert own.ops == theirs.ops
    assert (own.partitions, own.fallback) == (1, ())
    assert parity.compare(default_float, made[0], HOLDOUT).sqnr_db > 100
    assert torchgraph.read_graph(made[0]).layers.keys() == torchgraph.read_graph(default_float).layers.keys()


def test_int8_has_the_same_ends_and_operators_and_answers_alike(
    made: tuple[Path, Path, LadderResult], default_float: Path, tmp_path: Path
) -> None:
    int8_path, result = made[1:]
    evidence = Evidence(default_float, CALIBRATION, HOLDOUT)
    default = climb(evidence, tmp_path / "int8.tflite", LOW, steps=STEPS[:2])
    own, theirs = inspect.read_model(int8_path), inspect.read_model(tmp_path / "int8.tflite")
    assert own.ops == theirs.ops
    assert own.full_integer
    assert (own.partitions, own.fallback) == (theirs.partitions, theirs.fallback)
    assert (own.inputs, own.outputs) == (theirs.inputs, theirs.outputs)  # image uint8 1/128 127, scores uint8 1/256 0
    assert abs(own.size_bytes - theirs.size_bytes) < 0.02 * theirs.size_bytes
    assert result.model.notes == ()
    for step, reference in zip(result.steps, default.steps, strict=True):
        assert step.name == reference.name
        assert abs(step.parity.sqnr_db - reference.parity.sqnr_db) < 2.5  # two quantizers, one recipe
    # the quantizers err each in its own way, so their noises add at most: no closer than either is to float
    between = parity.compare(tmp_path / "int8.tflite", int8_path, HOLDOUT)
    assert between.sqnr_db > min(step.parity.sqnr_db for step in (*result.steps, *default.steps)) - 3


def test_the_recipe_names_the_route(made: tuple[Path, Path, LadderResult], route: Route) -> None:
    result = made[2]
    assert result.model.recipe == f"int8 W8A8 per-channel, {result.chosen}, uint8 doors, by {route.name}"
    assert route.versions()["tensorflow-cpu"] == "2.15.1"
    assert ("onnx-tf" in route.versions()) == (route.name == "onnx-tf")


def test_corrected_weights_arrive_on_their_grid(
    made: tuple[Path, Path, LadderResult], route: Route, network: deploy.Deployed, tmp_path: Path
) -> None:
    """Every weight pushed one step up or down, the largest too, from which a quantizer would take another grid."""
    graph = torchgraph.read_graph(made[0])
    moved, scales = {}, {}
    chance = torch.Generator().manual_seed(3)
    for name, layer in graph.layers.items():
        scale = weight_scale(layer.weight).view(-1, *[1] * (layer.weight.dim() - 1))
        steps = (layer.weight / scale).round()
        pushed = (steps + torch.randn(steps.shape, generator=chance).sign()).clamp(-126, 126)
        moved[name] = replace(layer, weight=(pushed * scale).float())
        scales[name] = scale.flatten().numpy()
    torchgraph.write_layers(made[0], moved, tmp_path / "moved.tflite")
    draft = Draft(tmp_path / "moved.tflite", CALIBRATION, {}, scales, network)
    route.quantize(draft, tmp_path / "int8.tflite", Recipe())
    source, int8 = FlatModel.read(tmp_path / "moved.tflite"), FlatModel.read(tmp_path / "int8.tflite")
    assert not grid.off_grid(source, int8, scales)
    assert parity.compare(tmp_path / "moved.tflite", tmp_path / "int8.tflite", HOLDOUT).sqnr_db > 10  # biases as well
    plain = FlatModel.read(made[0])
    assert len(grid.off_grid(plain, int8, scales)) >= len(scales) - 1  # and the check can fail


def test_layers_can_be_compared_across_routes(made: tuple[Path, Path, LadderResult], default_float: Path) -> None:
    found = layer_parity.compare_layers(default_float, made[1], HOLDOUT[:4])
    assert [layer.name for layer in found] == [op.name for op in torchgraph.read_graph(default_float).ops]
    assert min(layer.sqnr_db for layer in found) > 0


def test_a_layer_broken_in_the_file_is_named(made: tuple[Path, Path, LadderResult], tmp_path: Path) -> None:
    flat = FlatModel.read(made[1])
    operator = next(op for op, _ in flat.weighted() if flat.name(op.inputs[1]) == "blocks.4.depthwise/weight")
    record = flat.graph.tensors[operator.inputs[1]].quantization
    record.scale = [2 * scale for scale in record.scale]
    flatfile.write(tmp_path / "broken.tflite", flat.to_bytes())
    found = layer_parity.compare_layers(made[0], tmp_path / "broken.tflite", HOLDOUT[:4])
    assert layer_parity.worst(found, 1)[0].name == "blocks.4.depthwise"


def test_labels_and_normalization_can_be_embedded(made: tuple[Path, Path, LadderResult], tmp_path: Path) -> None:
    path = tmp_path / "named.tflite"
    path.write_bytes(made[1].read_bytes())
    before = parity.compare(made[0], path, HOLDOUT[:8])
    metadata.embed(path, ("red", "green", "blue", "sand"), name="small")
    assert metadata.read_labels(path) == ("red", "green", "blue", "sand")
    assert parity.compare(made[0], path, HOLDOUT[:8]) == before


def test_steps_with_ranges_of_our_own_are_left_out_by_name(side_environment: Path) -> None:
    for name in OTHERS:
        declined = [step.name for step in STEPS if routes.open_route(name).declines(step.own_ranges)]
        assert "least-squares ranges" in declined
        assert not {"min-max PTQ", "bias correction", "learned rounding"} & set(declined)


def test_the_b_family_through_onnx_keeps_its_layout(side_environment: Path, tmp_path: Path) -> None:
    """Swish and squeeze-excite: sigmoids, products and pools in the middle of the graph."""
    network = deploy.deploy(small_trained_network("b", steps=4))
    LiteRT().export_float(network, tmp_path / "default.tflite")
    model = routes.open_route("onnx-tf").export_float(network, tmp_path / "float.tflite")
    assert model.ops == inspect.read_model(tmp_path / "default.tflite").ops
    assert parity.compare(tmp_path / "default.tflite", tmp_path / "float.tflite", HOLDOUT[:8]).sqnr_db > 100


def test_int8_ends_and_the_same_bytes_twice(
    side_environment: Path, made: tuple[Path, Path, Any], route: Route, network: deploy.Deployed, tmp_path: Path
) -> None:
    recipe = Recipe(io_dtype="int8")
    draft = Draft(made[0], CALIBRATION[:4], {}, None, network)
    models = [route.quantize(draft, tmp_path / f"{n}.tflite", recipe) for n in (1, 2)]
    assert models[0].sha256 == models[1].sha256
    facts = inspect.read_model(tmp_path / "1.tflite")
    assert [(end.dtype, end.scale, end.zero_point) for end in (facts.inputs[0], facts.outputs[0])] == [
        ("int8", 1 / 128, -1),
        ("int8", 1 / 256, -128),
    ]


def test_real_weights_at_224_px(side_environment: Path, imagenet_dir: Path, tmp_path: Path) -> None:
    """Lite0 by the card's own stack, on photographs: float to the bit, int8 as close as the default's."""
    with open(imagenet_dir / "labels.csv", newline="") as file:
        paths = [imagenet_dir / row["file"] for row in csv.DictReader(file)][::5]
    variant = scaling.released("lite0")
    how = preprocessing.preprocessing_for(variant)
    pixels = np.stack([preprocessing.apply(open_file(path), how) for path in paths])
    network = deploy.deploy(weights.load_network(variant)[0])
    steps = {}
    for name in ("litert", "onnx-tf"):
        route, path = routes.open_route(name), tmp_path / f"{name}.tflite"
        model = route.export_float(network, path)
        assert model.ops == {"CONV_2D": 33, "DEPTHWISE_CONV_2D": 16, "ADD": 9, "MEAN": 1, "FULLY_CONNECTED": 1,
                             "SOFTMAX": 1}  # fmt: skip
        plain = Recipe(first="min-max PTQ", floors=Floors(top1=0.5, sqnr_db=5.0))
        evidence = Evidence(path, pixels[::2], pixels[1::2], network=network)
        result = climb(evidence, tmp_path / "int8.tflite", plain, route=route, steps=STEPS[:1])
        steps[name] = result.steps[0].parity
    assert parity.compare(tmp_path / "litert.tflite", tmp_path / "onnx-tf.tflite", pixels[:4]).sqnr_db > 100
    assert abs(steps["litert"].sqnr_db - steps["onnx-tf"].sqnr_db) < 2
    assert min(step.top1 for step in steps.values()) > 0.8


def test_the_full_range_costs_two_pixels() -> None:
    grey = np.full((3, 8, 8, 3), 90, np.uint8)
    widened = with_full_range(grey)
    assert (widened[:3] == 90).all()
    assert (widened.min(), widened.max()) == (0, 255)
    assert (widened[3] != 90).any(-1).sum() == 2
    assert (grey == 90).all()


def test_a_workers_failure_is_one_error_with_its_last_words(side_environment: Path) -> None:
    worker = SideWorker(TENSORFLOW, WORKER)
    with pytest.raises(ConversionError, match="tensorflow_worker ended with 1 in the tf215 environment") as failed:
        worker.run({"onnx": "/nowhere/network.onnx", "saved_model": "/nowhere/saved"})
    assert "FileNotFoundError" in failed.value.message
    assert str(worker.log) in failed.value.hint
    assert "Traceback" in worker.log.read_text()


def test_offline_without_the_environment_is_one_message(
    network: deploy.Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert not environment_folder(TENSORFLOW).exists()
    route = routes.open_route("onnx-tf", offline=True)
    assert route.to_make() == "--converter onnx-tf makes its own environment first, once: 306 MB, about 2 minutes"
    with pytest.raises(SideEnvironmentError, match="has not been made yet"):
        route.export_float(network, tmp_path / "float.tflite")
    assert LiteRT().to_make() == ""


def test_an_unknown_route_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match="'tflite' is not a converter; valid: litert, onnx-tf, tensorflow"):
        routes.open_route("tflite")
    assert [routes.open_route(name).name for name in routes.ROUTES] == list(routes.ROUTES)


def offered() -> list[str]:
    @converter_option(None)
    def command() -> None: ...

    (option,) = command.__click_params__  # type: ignore[attr-defined]
    return list(option.type.choices)


def test_another_route_is_one_module_and_one_entry(
    network: deploy.Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert offered() == list(routes.ROUTES)
    with pytest.raises(InputError, match="'toy' is not a converter"):
        routes.open_route("toy")
    monkeypatch.setitem(routes.ROUTES, "toy", toy_route.ENTRY)
    assert offered()[-1] == "toy"
    route = routes.open_route("toy", offline=True)
    route.export_float(network, tmp_path / "float.tflite")
    evidence = Evidence(tmp_path / "float.tflite", CALIBRATION, HOLDOUT)
    result = climb(evidence, tmp_path / "int8.tflite", LOW, route=route)
    assert result.model.recipe == f"int8 W8A8 per-channel, {result.chosen}, uint8 doors, by toy"
    assert result.left_out == (
        "narrower ranges: a toy has one size",
        "least-squares ranges: a toy has one size",
    )


def test_the_onnx_route_needs_the_network(tmp_path: Path) -> None:
    route = OnnxTf(offline=True)
    with pytest.raises(ValueError, match="starts from the network"):
        route.quantize(Draft(tmp_path / "float.tflite", CALIBRATION, {}, None), tmp_path / "int8.tflite", Recipe())


def test_the_worker_imports_nothing_of_edgefit(side_environment: Path) -> None:
    code = "import json, pkgutil; print(json.dumps([module.name for module in pkgutil.iter_modules()]))"
    listed = subprocess.run([side_environment, "-I", "-c", code], capture_output=True, text=True, check=True)
    found = json.loads(listed.stdout)
    assert "tensorflow" in found
    assert not [name for name in found if name.startswith("edgefit") or name == "torch"]
