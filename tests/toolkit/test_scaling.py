"""phi to networks: published factors, published sizes, rounding rules, refusals."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefit_toolkit.errors import ScalingError
from edgefit_toolkit.network import scaling
from edgefit_toolkit.network.blocks import blocks, head_channels, round_channels, stem_channels
from edgefit_toolkit.network.families import released_names
from edgefit_toolkit.network.graph import operators

phis = st.floats(-20, 12, allow_nan=False)
families = st.sampled_from(["lite", "b"])


def test_exponents_not_products() -> None:
    variant = scaling.variant_from_phi(2)
    assert (variant.width, variant.depth) == (pytest.approx(1.21), pytest.approx(1.44))
    assert variant.resolution_px == 296  # 224 * 1.3225 = 296.24
    assert scaling.variant_from_phi(3).depth == pytest.approx(1.728)


@pytest.mark.parametrize(
    ("name", "mmadds", "mparams"),
    [
        ("lite0", 385, 4.652),  # parameters: github tensorflow/tpu lite/README.md (4.7, 5.4, 6.1, 8.2, 13.0 M)
        ("lite1", 600, 5.417),
        ("lite2", 860, 6.092),
        ("lite3", 1383, 8.197),
        ("lite4", 2553, 13.007),
        ("b0", 386, 5.289),  # timm's own counts: 5.29, 7.79, 9.11, 12.23, 19.34, 30.39, 43.04, 66.35 M
        ("b1", 687, 7.794),
        ("b2", 994, 9.110),
        ("b3", 1827, 12.233),
        ("b4", 4394, 19.342),
        ("b5", 10266, 30.390),
        ("b6", 19068, 43.041),
        ("b7", 37746, 66.348),
    ],
)
def test_released_sizes(name: str, mmadds: int, mparams: float) -> None:
    variant = scaling.released(name)
    assert round(variant.madds / 1e6) == mmadds
    assert variant.params / 1e6 == pytest.approx(mparams, abs=6e-4)
    assert variant.released == name


@pytest.mark.parametrize("name", ["lite0", "lite2", "lite4", "b0", "b2"])
def test_counts_equal_the_built_network(name: str) -> None:
    torch = pytest.importorskip("torch")
    from edgefit_toolkit.network.efficientnet import EfficientNet

    for variant in (scaling.released(name), scaling.variant_from_phi(-1.3, scaling.released(name).family, 7)):
        with torch.device("meta"):
            network = EfficientNet.from_variant(variant)
        assert sum(p.numel() for p in network.parameters() if p.requires_grad) == variant.params


def test_formula_meets_small_released_variants() -> None:
    """B1 and B2 are the formula's phi 0.5 and 1 in channels and repeats (B1's width excepted), not in pixels."""
    two = scaling.released("b2")
    one = scaling.variant_from_phi(1, "b")
    assert blocks("b", two.width, two.depth) == blocks("b", one.width, one.depth)
    assert (two.resolution_px, one.resolution_px) == (260, 258)


def test_released_names_and_case() -> None:
    assert scaling.released("Lite2") == scaling.released("lite2")
    with pytest.raises(ScalingError, match="lite0, lite1"):
        scaling.released("lite5")


def test_equivalent_phi_orders_released_among_continuous() -> None:
    assert scaling.released("lite0").phi == 0
    assert scaling.released("b0").phi == 0
    for name in released_names():
        variant = scaling.released(name)
        assert scaling.variant_from_phi(variant.phi, variant.family).madds <= variant.madds
        assert scaling.variant_from_phi(variant.phi + 2e-4, variant.family).madds > variant.madds


@given(phis, families)
def test_any_phi_gives_the_same_network_twice(phi: float, family: str) -> None:
    once = scaling.variant_from_phi(phi, family)
    assert scaling.variant_from_phi(once.phi, family) == once
    assert once.resolution_px % 2 == 0
    assert once.resolution_px >= scaling.MIN_RESOLUTION_PX


@given(phis, st.floats(0, 3), families)
def test_cost_never_falls_with_phi(phi: float, more: float, family: str) -> None:
    small, large = (scaling.variant_from_phi(p, family) for p in (phi, phi + more))
    assert small.madds <= large.madds
    assert small.params <= large.params


@given(st.floats(0.01, 10_000))
def test_round_channels(wish: float) -> None:
    rounded = round_channels(wish)
    assert rounded % 8 == 0
    assert rounded >= max(8, 0.9 * wish)
    assert rounded <= max(8, wish + 8)


@given(st.floats(-4, 6), families)
@settings(max_examples=30)
def test_layers_join_up(phi: float, family: str) -> None:
    variant = scaling.variant_from_phi(phi, family, 10)
    graph = operators(variant)
    assert graph[0].in_shape == (variant.resolution_px, variant.resolution_px, 3)
    assert all(before.out_shape == after.in_shape for before, after in pairwise(graph))
    assert graph[-1].out_shape == (1, 1, 10)
    assert sum(operator.madds for operator in graph) == variant.madds
    assert sum(operator.params for operator in graph) == variant.params
    adds = sum(operator.kind == "add" for operator in graph)
    assert adds == sum(block.skip for block in blocks(variant.family, variant.width, variant.depth))


def test_lite0_has_the_operators_of_the_converted_file() -> None:
    """33 CONV (stem and pointwise), 16 DEPTHWISE, 9 ADD, 1 MEAN, 1 FULLY_CONNECTED: DESIGN 6, read from a .tflite."""
    kinds = [operator.kind for operator in operators(scaling.released("lite0"))]
    counts = {kind: kinds.count(kind) for kind in set(kinds)}
    assert counts == {"conv": 1, "pointwise": 32, "depthwise": 16, "add": 9, "pool": 1, "fc": 1}


def test_seven_by_seven_before_pooling() -> None:
    pool = next(operator for operator in operators(scaling.variant_from_phi(0)) if operator.kind == "pool")
    assert pool.in_shape == (7, 7, 1280)


def test_lite_rules() -> None:
    wide = blocks("lite", 1.4, 1.8)
    assert stem_channels("lite", 1.4) == 32
    assert head_channels("lite", 1.4) == 1280
    assert [sum(block.stage == stage for block in wide) for stage in range(7)] == [1, 4, 4, 6, 6, 8, 1]
    deep_b = blocks("b", 1.4, 1.8)
    assert [sum(block.stage == stage for block in deep_b) for stage in range(7)] == [2, 4, 4, 6, 6, 8, 2]


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf, -math.inf])
def test_factors_that_no_network_has(bad: float) -> None:
    with pytest.raises(ScalingError, match="width"):
        scaling.variant_from_factors(bad, 1, 224)
    with pytest.raises(ScalingError, match="depth"):
        scaling.variant_from_factors(1, bad, 224)
    with pytest.raises(ScalingError, match="scale_width"):
        scaling.variant_from_phi(1, scale_width=bad)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e6, 60])
def test_phis_that_no_network_has(bad: float) -> None:
    with pytest.raises(ScalingError):
        scaling.variant_from_phi(bad)


def test_classes_and_family_are_checked() -> None:
    with pytest.raises(ScalingError, match="at least 2"):
        scaling.variant_from_phi(0, classes=1)
    with pytest.raises(ScalingError, match="lite and b"):
        scaling.variant_from_phi(0, "c")


def test_with_classes_changes_the_classifier_only() -> None:
    five = scaling.with_classes(scaling.released("lite2"), 5)
    assert five.released == "lite2"
    assert scaling.released("lite2").params - five.params == 995 * 1281


def test_other_bases_take_the_equivalent_phi() -> None:
    same = scaling.variant_from_phi(1.0, scale_width=1.1, scale_depth=1.2, scale_resolution=1.15)
    assert same == scaling.variant_from_phi(1.0)
    other = scaling.variant_from_phi(1.0, scale_width=1.3)
    assert other.width == pytest.approx(1.3)
    assert scaling.variant_from_phi(other.phi).madds <= other.madds
