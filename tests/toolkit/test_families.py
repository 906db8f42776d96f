"""A family that the product does not know: one entry in a table, and everything works."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from toolkit.test_network import one_thread, with_statistics  # noqa: F401  (a fixture)

from edgefit_toolkit.errors import ConversionError, ScalingError
from edgefit_toolkit.network import scaling
from edgefit_toolkit.network.blocks import blocks, fits_into
from edgefit_toolkit.network.catalogue import WeightFile, key_map
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.network.families import FAMILIES, Family, ReleasedSpec, StageSpec
from edgefit_toolkit.network.graph import operators
from edgefit_toolkit.network.grow import resize
from edgefit_toolkit.network.shrink import shrink
from edgefit_toolkit.network.weights import load_network
from edgefit_toolkit.picker.search import candidates, make_plan
from edgefit_toolkit.records import Budget, Preprocessing, Variant
from edgefit_toolkit.report.walkthrough import pipeline_trace
from edgefit_toolkit.training.settings import TrainSettings

TOY = Family(
    title="Toy",
    summary="four stages, ReLU, a squeeze-excite in every block",
    activation="ReLU",
    stages=(StageSpec(3, 1, 1, 16, 1), StageSpec(3, 2, 3, 24, 2), StageSpec(5, 2, 3, 40, 1), StageSpec(3, 2, 3, 64, 2)),
    fixed_stages=frozenset({0}),
    stem=16,
    head=256,
    squeeze_ratio=0.5,
    released={"toy0": ReleasedSpec(1.0, 1.0, 128, 0.1), "toy1": ReleasedSpec(1.2, 1.5, 160, 0.2)},
)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "toy", TOY)


def trained(variant: Variant) -> EfficientNet:
    torch.manual_seed(0)
    network = EfficientNet.from_variant(variant)
    with_statistics(network)
    return network.eval()


def test_scaled() -> None:
    one = scaling.released("toy1")
    assert [block.stage for block in blocks("toy", one.width, one.depth)] == [0, 1, 1, 1, 2, 2, 3, 3, 3]
    graph = operators(one)
    assert {operator.kind for operator in graph} == {"conv", "pointwise", "depthwise", "se", "add", "pool", "fc"}
    assert graph[-1].stage == 4
    network = EfficientNet.from_variant(one)
    assert sum(p.numel() for p in network.parameters()) == one.params
    with pytest.raises(ScalingError, match="lite and b and toy"):
        scaling.variant_from_phi(0, "other")


def test_rules_of_a_family(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (TOY.scaled_channels, TOY.scaled_repeats) == ({16, 24, 40, 64, 256}, {1, 2})
    lite = FAMILIES["lite"]
    assert (lite.scaled_channels, lite.scaled_repeats) == ({16, 24, 40, 80, 112, 192, 320}, {2, 3, 4})
    assert {name: (family.fused_activation, family.skeleton) for name, family in FAMILIES.items()} == {
        "lite": (True, True), "b": (False, False), "toy": (True, False),
    }  # fmt: skip
    for change in ({"activation": "ReLU"}, {"squeeze_ratio": 0.1}, {"input_norm": FAMILIES["b"].input_norm}):
        assert not dataclasses.replace(lite, **change).skeleton
    monkeypatch.setitem(FAMILIES, "thin", dataclasses.replace(TOY, squeeze_ratio=0.001))
    assert {block.se_channels for block in blocks("thin", 1.0, 1.0)} == {1}  # a squeeze-excite squeezes to something


def test_searched_and_predicted() -> None:
    every = candidates("toy")
    assert {variant.family for variant in every} == {"toy"}
    assert {variant.released for variant in every} == {None, "toy0", "toy1"}
    plan = make_plan(Budget(3.5), "pixel4", family="toy")
    assert plan.pick.variant.family == "toy"
    assert plan.next is not None
    assert plan.pick.latency.p90 <= 3.5 < plan.next.latency.p90


def test_built_grown_and_cut() -> None:
    parent = trained(scaling.variant_from_factors(1.0, 1.0, 48, "toy", 5))
    x = torch.rand(3, 3, 48, 48)
    larger = scaling.variant_from_factors(1.4, 2.0, 48, "toy", 5)
    assert fits_into(parent.variant, larger)
    with torch.inference_mode():
        answers = parent(x)
        assert answers.std() > 1e-3
        assert torch.allclose(resize(parent, larger)(x), answers, atol=1e-4)
    smaller = shrink(parent, scaling.variant_from_factors(0.7, 0.5, 48, "toy", 5), torch.rand(24, 3, 48, 48))
    with torch.inference_mode():
        assert (smaller(x) - answers).square().mean() < answers.var()


def test_weights_from_a_file(tmp_path: Path) -> None:
    own = trained(scaling.released("toy0")).state_dict()
    names = key_map(scaling.released("toy0"), "timm")
    torch.save({theirs: own[name] for name, theirs in names.items()}, tmp_path / "toy0.pth")
    files = {n: WeightFile(n, f"{n}.pth", "", 0, "timm", "Apache-2.0", 128, 50.0, url="nowhere") for n in TOY.released}
    loaded, provenance = load_network(scaling.released("toy0"), entries=files, cache_dir=tmp_path, allow_download=False)
    assert provenance.how == "released"
    assert all(torch.equal(loaded.state_dict()[name], own[name]) for name in names)


def test_trained_and_reported() -> None:
    variant = scaling.variant_from_phi(-1, "toy", 5)
    assert TrainSettings.default_for(variant, 100).unfreeze_from <= 4
    features = pipeline_trace(variant, Preprocessing(variant.resolution_px))[2]
    assert [row["name"] for row in features["stages"]] == ["stem", "stage 1", "stage 2", "stage 3", "stage 4", "head"]


def test_no_skeleton_is_written(tmp_path: Path) -> None:
    from edgefit_converters.tflite.skeleton import write_skeleton

    with pytest.raises(ConversionError, match="Lite"):
        write_skeleton(scaling.released("toy0"), tmp_path / "toy.tflite")
