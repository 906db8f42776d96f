"""phi to networks: published factors, published sizes, rounding rules, refusals."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefit_toolkit.errors import ScalingError
from edgefit_toolkit.network import scaling
from edgefit_toolkit.network.blocks import blocks, fits_into, head_channels, round_channels, shape_of, stem_channels
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


def test_rounding_of_channels_at_its_edges() -> None:
    """round_filters of TensorFlow's EfficientNet, by hand: to the nearest 8, up from halves, never below 0.9."""
    wished = {0.1: 8, 8: 8, 11.9: 16, 12: 16, 13.34: 16, 19.9: 24, 20: 24, 16 * 1.1: 16, 24 * 1.1: 24, 8.8: 8, 8.9: 16}
    wished |= {32 * 1.4: 48, 40 * 1.1: 48, 80 * 1.2: 96, 112 * 1.1: 120, 192 * 1.1: 208, 1280 * 1.4: 1792}
    wished |= {99.99: 96, 100.0: 104, 1300.0: 1304, 1299.9: 1296}
    assert {wish: round_channels(wish) for wish in wished} == wished


def test_rounding_of_resolutions_at_its_edges() -> None:
    wished = {0.5: 32, 32.99: 32, 33: 34, 34.99: 34, 35: 36, 224: 224, 224.99: 224, 225: 226, 257.6: 258}
    assert {wish: scaling.round_resolution(wish) for wish in wished} == wished


def test_the_published_factors() -> None:
    assert scaling.factors(0) == (1.0, 1.0, 224)
    width, depth, resolution_px = scaling.factors(3)
    assert (width, depth, resolution_px) == (pytest.approx(1.331), pytest.approx(1.728), 340)
    assert pytest.approx(2, abs=0.08) == 1.2 * 1.1**2 * 1.15**2


@pytest.mark.parametrize("name", ["lite0", "b0"])
def test_the_base_network_is_table_1_of_the_paper(name: str) -> None:
    variant = scaling.released(name)
    every = blocks(variant.family, 1.0, 1.0)
    first = [next(block for block in every if block.stage == stage) for stage in range(7)]
    assert [block.kernel for block in first] == [3, 3, 5, 3, 5, 5, 3]
    assert [block.out_channels for block in first] == [16, 24, 40, 80, 112, 192, 320]
    assert [sum(block.stage == stage for block in every) for stage in range(7)] == [1, 2, 2, 3, 3, 4, 1]
    assert [block.expand for block in every] == [1] + [6] * 15
    assert [block.stride for block in every if not block.skip] == [1, 2, 2, 2, 1, 2, 1]
    assert {block.stride for block in every if block.skip} == {1}
    assert [block.in_channels for block in every] == [32] + [block.out_channels for block in every[:-1]]
    assert [block.hidden_channels for block in first] == [32, 96, 144, 240, 480, 672, 1152]
    squeezed = [max(1, block.in_channels // 4) if name == "b0" else 0 for block in every]
    assert [block.se_channels for block in every] == squeezed


RELEASED = {  # width, depth, resolution, dropout: efficientnet_builder.py and efficientnet_lite_builder.py
    "lite0": (1.0, 1.0, 224, 0.2), "lite1": (1.0, 1.1, 240, 0.2), "lite2": (1.1, 1.2, 260, 0.3),
    "lite3": (1.2, 1.4, 280, 0.3), "lite4": (1.4, 1.8, 300, 0.3), "b0": (1.0, 1.0, 224, 0.2),
    "b1": (1.0, 1.1, 240, 0.2), "b2": (1.1, 1.2, 260, 0.3), "b3": (1.2, 1.4, 300, 0.3), "b4": (1.4, 1.8, 380, 0.4),
    "b5": (1.6, 2.2, 456, 0.4), "b6": (1.8, 2.6, 528, 0.5), "b7": (2.0, 3.1, 600, 0.5),
}  # fmt: skip


def test_released_networks_have_the_published_factors() -> None:
    assert tuple(RELEASED) == released_names()
    for name, factors in RELEASED.items():
        variant = scaling.released(name)
        assert (variant.width, variant.depth, variant.resolution_px, variant.dropout) == factors
        assert variant.classes == 1000


@pytest.mark.parametrize("family", ["lite", "b"])
def test_dropout_is_that_of_the_nearest_released_network(family: str) -> None:
    names = [name for name in released_names() if name.startswith(family)]
    phis = [scaling.released(name).phi for name in names]
    for (name, phi), (other, further) in pairwise(zip(names, phis, strict=True)):
        for share, nearest in ((0.0, name), (0.49, name), (0.51, other), (1.0, other)):
            variant = scaling.variant_from_phi(phi + share * (further - phi), family)
            assert variant.dropout == RELEASED[nearest][3]
    assert scaling.variant_from_phi(-9, family).dropout == 0.2


def test_work_and_weights_of_one_block_by_hand() -> None:
    """Lite0's second block, 16 -> 96 -> 24 channels at 112 px, stride 2; B0's has a squeeze-excite of 4."""
    for family, more in (("lite", 0), ("b", 96 * 4 * 2 + 4 + 96)):
        named = {
            operator.name.removeprefix("blocks.1."): operator for operator in operators(scaling.released(f"{family}0"))
        }
        expand, depthwise, project = (named[part] for part in ("expand", "depthwise", "project"))
        assert (expand.madds, expand.params) == (112 * 112 * 16 * 96, 16 * 96 + 2 * 96)
        assert (depthwise.madds, depthwise.params) == (56 * 56 * 9 * 96, 9 * 96 + 2 * 96)
        assert (project.madds, project.params) == (56 * 56 * 96 * 24, 96 * 24 + 2 * 24)
        assert (depthwise.in_shape, depthwise.out_shape) == ((112, 112, 96), (56, 56, 96))
        assert (depthwise.kernel, depthwise.stride, expand.kernel, expand.stride) == (3, 2, 1, 1)
        assert ("se" in named) == (family == "b")
        if more:
            assert (named["se"].madds, named["se"].params) == (2 * 96 * 4, more)
        stem, classifier = named["stem"], named["classifier"]
        assert (stem.madds, stem.stage) == (112 * 112 * 27 * 32, -1)
        assert (classifier.madds, classifier.params, classifier.stage) == (1280 * 1000, 1281 * 1000, 7)
        assert (named["pool"].in_shape, named["pool"].out_shape, named["head"].stage) == ((7, 7, 1280), (1, 1, 1280), 7)
        assert (named["pool"].kernel, named["pool"].madds, named["pool"].params) == (7, 0, 0)
        assert {operator.stage for name, operator in named.items() if name in ("expand", "depthwise", "project")} == {1}


def test_a_swish_is_an_operator_of_its_own_wherever_lite_has_a_relu6() -> None:
    kinds = [operator.kind for operator in operators(scaling.released("b0"))]
    assert kinds.count("act") == 1 + 15 + 16 + 1  # stem, expand, depthwise, head
    assert kinds.count("se") == 16
    for operator in operators(scaling.released("b0")):
        if operator.kind in ("act", "add"):
            assert (operator.kernel, operator.stride, operator.madds, operator.params) == (1, 1, 0, 0)


def test_odd_sizes_are_halved_upwards() -> None:
    sizes = [
        operator.out_shape[0] for operator in operators(scaling.variant_from_factors(1, 1, 90)) if operator.stride == 2
    ]
    assert sizes == [45, 23, 12, 6, 3]


@pytest.mark.parametrize(("name", "most"), [("width", 64), ("depth", 64), ("resolution_px", 8192)])
def test_the_largest_factors(name: str, most: int) -> None:
    given = {"width": 0.1, "depth": 0.5, "resolution_px": 32}
    assert scaling.variant_from_factors(**{**given, name: most})  # type: ignore[arg-type]
    with pytest.raises(ScalingError, match=rf"{name} is \S+; no network beyond {most} can be built"):
        scaling.variant_from_factors(**{**given, name: most * 1.001})  # type: ignore[arg-type]


def test_equivalent_phi_is_rounded_down_and_ends_where_phi_does() -> None:
    for phi in (-3.0, -0.5, 0.7, 2.25):
        cost = scaling.variant_from_phi(phi).madds
        found = scaling.equivalent_phi("lite", cost)
        assert found == round(found, 4) >= phi
        assert scaling.variant_from_phi(found).madds == cost
        assert scaling.variant_from_phi(found + 1e-4).madds > cost
        assert scaling.variant_from_phi(scaling.equivalent_phi("lite", cost - 1)).madds < cost
    assert scaling.equivalent_phi("lite", 1) == -40.0
    assert math.copysign(1, scaling.released("lite0").phi) == 1  # never "-0.0"


def test_whole_classes_only() -> None:
    assert scaling.variant_from_phi(0, classes=2).classes == 2
    with pytest.raises(ScalingError, match="at least 2"):
        scaling.variant_from_phi(0, classes=2.5)  # type: ignore[arg-type]
    assert scaling.variant_from_factors(1, 1, 224).classes == scaling.variant_from_phi(0).classes == 1000


def test_the_shape_that_weights_have_to_fit() -> None:
    lite2 = scaling.released("lite2")
    assert shape_of(lite2) == ((16, 1), (24, 3), (48, 3), (88, 4), (120, 4), (208, 5), (352, 1), (32, 1280))
    assert shape_of(scaling.released("b2"))[-1] == (32, 1408)
    assert shape_of(scaling.variant_from_factors(1.1, 1.2, 64)) == shape_of(lite2)  # resolution is not in it


def test_what_fits_into_what() -> None:
    base = scaling.variant_from_factors(1, 1, 224)
    for width, depth in ((1, 1), (1.3, 1), (1, 1.3), (2, 2)):
        larger = scaling.variant_from_factors(width, depth, 128)
        assert fits_into(base, larger)
        assert fits_into(larger, base) == (width == depth == 1)
    for width, depth in ((0.5, 2), (2, 0.5)):
        assert not fits_into(base, scaling.variant_from_factors(width, depth, 224))
    assert not fits_into(base, scaling.variant_from_factors(2, 2, 224, "b"))


def test_operators_that_see_one_position_have_no_kernel_and_no_stride() -> None:
    for name in ("lite0", "b0"):
        for operator in operators(scaling.released(name)):
            if operator.kind not in ("conv", "depthwise", "pool"):
                assert (operator.kernel, operator.stride) == (1, 1), operator.name
