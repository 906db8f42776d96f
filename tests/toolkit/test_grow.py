"""Growing keeps the function; cutting keeps what matters."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toolkit.test_network import one_thread, pictures, small, with_statistics
from torch import nn

from edgefit_toolkit.errors import ScalingError
from edgefit_toolkit.network import scaling
from edgefit_toolkit.network.blocks import blocks, fits_into, head_channels, shape_of, stem_channels
from edgefit_toolkit.network.efficientnet import EfficientNet, MBConv, fold_batch_norm
from edgefit_toolkit.network.families import B0_STAGES
from edgefit_toolkit.network.grow import resize
from edgefit_toolkit.network.weights import load_network
from edgefit_toolkit.records import Variant

__all__ = ["one_thread"]  # used by its name

TOLERANCE = 1e-4  # of logits of about 5


@pytest.fixture(scope="module")
def lite() -> dict[str, EfficientNet]:
    return {name: load_network(scaling.released(name))[0] for name in ("lite0", "lite1", "lite2")}


def difference(a: EfficientNet, b: EfficientNet, px: int, n: int = 1) -> float:
    x = pictures(px, n)
    with torch.inference_mode():
        return (a.at_resolution(px)(x) - b.at_resolution(px)(x)).abs().max().item()


def random_parent(variant: Variant) -> EfficientNet:
    torch.manual_seed(0)
    network = EfficientNet.from_variant(variant)
    with_statistics(network)
    return network


@pytest.mark.parametrize("phi", [0.4, 1.7, 3.4, 6.0])
def test_grown_network_computes_its_parents_function(lite: dict[str, EfficientNet], phi: float) -> None:
    variant = scaling.variant_from_phi(phi)
    parent = max((n for n in lite.values() if fits_into(n.variant, variant)), key=lambda n: n.variant.params)
    grown = resize(parent, variant)
    assert grown.variant == variant
    assert sum(p.numel() for p in grown.parameters()) == variant.params > parent.variant.params
    assert difference(grown, parent, parent.variant.resolution_px) <= TOLERANCE


@settings(max_examples=8, deadline=None)
@given(phi=st.floats(0.0, 6.0))
def test_grown_networks_keep_the_function_at_any_phi(lite: dict[str, EfficientNet], phi: float) -> None:
    variant = scaling.variant_from_phi(phi)
    parent = max((n for n in lite.values() if fits_into(n.variant, variant)), key=lambda n: n.variant.params)
    assert difference(resize(parent, variant), parent, px=64) <= TOLERANCE


@settings(max_examples=6, deadline=None)
@given(phi=st.floats(0.0, 3.0), seed=st.integers(0, 99))
def test_grown_b_networks_keep_the_function(phi: float, seed: int) -> None:
    variant = scaling.variant_from_phi(phi, "b", classes=10)
    parent = random_parent(small("b"))
    x = pictures(64)
    with torch.inference_mode():
        assert parent(x).std() > 0.01  # a function worth keeping
    assert difference(resize(parent, variant, seed), parent, px=64, n=2) <= TOLERANCE


@pytest.mark.parametrize(("width", "depth"), [(1.3, 1.0), (1.0, 2.1), (3.2, 1.5)])
@pytest.mark.parametrize("family", ["lite", "b"])
def test_width_and_depth_grow_alone_and_together(family: str, width: float, depth: float) -> None:
    parent = random_parent(small(family))
    grown = resize(parent, small(family, width, depth))
    assert shape_of(grown.variant) != shape_of(parent.variant)
    assert difference(grown, parent, px=64, n=2) <= TOLERANCE


def test_growth_repeats_by_seed_and_leaves_the_callers_randomness_alone() -> None:
    parent, variant = random_parent(small("b")), small("b", 1.3, 1.4)
    torch.manual_seed(5)
    first = resize(parent, variant, seed=1).state_dict()
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))
    again, other = resize(parent, variant, seed=1).state_dict(), resize(parent, variant, seed=2).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not all(torch.equal(value, other[name]) for name, value in first.items())


def test_training_parts_the_copies_and_wakes_the_new_blocks() -> None:
    parent = random_parent(small(px=64))
    grown = resize(parent, small(width=1.3, depth=1.4)).train()
    nn.functional.cross_entropy(grown(pictures(64, n=4)), torch.tensor([0, 1, 2, 3])).backward()
    conv = grown.blocks[1].expand.conv
    weight, gradient = conv.weight.detach().flatten(1), conv.weight.grad.flatten(1)
    pairs = [
        (i, j)
        for i in range(96)  # Lite0's own hidden channels of this block, then copies of some of them
        for j in range(96, len(weight))
        if torch.equal(weight[i, :16].sign(), weight[j, :16].sign())
    ]
    assert len(pairs) >= len(weight) - 96 > 0
    for i, j in pairs:
        cosine = nn.functional.cosine_similarity(gradient[i], gradient[j], dim=0)
        assert cosine < 0.9999 or not torch.isclose(gradient[i].norm(), gradient[j].norm(), rtol=1e-3)
    silent = [block for block in grown.blocks if not block.project.norm.weight.any()]
    assert len(silent) == len(grown.blocks) - len(parent.blocks) > 0
    assert all(block.project.norm.weight.grad.abs().sum() > 0 for block in silent)


@given(phi=st.floats(0.0, 6.0))
def test_no_grown_network_gains_a_skip(phi: float) -> None:
    """Beside a stage's first block: from phi 5.4 on, stem and stage 0 of Lite have as many channels."""
    variant = scaling.variant_from_phi(phi)
    stage = -1
    for block in blocks(variant.family, variant.width, variant.depth):
        assert block.skip == (block.stage == stage)
        stage = block.stage
    assert fits_into(scaling.released("lite0"), variant)


def weaken(network: EfficientNet, target: Variant) -> None:
    """Makes what a cut to `target` must drop count for nothing: random channels never written, last blocks silent."""
    generator = torch.Generator().manual_seed(1)

    def silence(norms: list[nn.BatchNorm2d], keep: int) -> None:
        width = norms[0].num_features
        for channel in torch.randperm(width, generator=generator)[: width - keep].tolist():
            for norm in norms:
                norm.weight[channel] = norm.bias[channel] = 0.0

    old = blocks(network.variant.family, network.variant.width, network.variant.depth)
    new = blocks(target.family, target.width, target.depth)
    with torch.no_grad():
        for stage in range(len(B0_STAGES)):
            built = [b for b, block in zip(network.blocks, old, strict=True) if block.stage == stage]
            wanted = [block for block in new if block.stage == stage]
            silence([block.project.norm for block in built], wanted[0].out_channels)
            for block in built[len(wanted) :]:
                block.project.norm.weight.zero_()
                block.project.norm.bias.zero_()
            for block, plan in zip(built, wanted, strict=False):
                assert isinstance(block, MBConv)
                if block.expand is not None:
                    silence([block.depthwise.norm], plan.hidden_channels)
                    if block.se is not None:  # a squeezed channel that nothing reads
                        gone = torch.randperm(block.se.reduce.out_channels, generator=generator)[plan.se_channels :]
                        block.se.expand.weight[:, gone] = 0.0
        first = network.blocks[0]  # does not expand: its hidden channels are the stem's
        assert isinstance(first, MBConv)
        silence([network.stem.norm, first.depthwise.norm], stem_channels(target.family, target.width))
        silence([network.head.norm], head_channels(target.family, target.width))


@pytest.mark.parametrize("family", ["lite", "b"])
@pytest.mark.parametrize(("width", "depth"), [(0.6, 1.0), (1.0, 0.5), (0.7, 0.4)])
def test_cut_drops_exactly_what_counts_for_nothing(family: str, width: float, depth: float) -> None:
    parent, target = random_parent(small(family)), small(family, width, depth)
    weaken(parent, target)
    cut = resize(parent, target)
    assert cut.variant == target
    assert not fits_into(parent.variant, target)
    x = pictures(64)
    with torch.inference_mode():
        assert parent(x).std() > 0.01
    assert difference(cut, parent, px=64, n=2) <= TOLERANCE


def test_cut_and_grown_at_once_has_the_wanted_shape() -> None:
    wanted = small("lite", width=0.7, depth=1.6)
    mixed = resize(random_parent(small("lite")), wanted)
    assert sum(p.numel() for p in mixed.parameters()) == wanted.params
    with torch.inference_mode():
        assert mixed(pictures(64)).isfinite().all()


def test_what_cannot_be_resized_is_refused() -> None:
    parent = random_parent(small("lite"))
    with pytest.raises(ScalingError, match="family and classes"):
        resize(parent, small("b"))
    with pytest.raises(ScalingError, match="family and classes"):
        resize(parent, small("lite", classes=3))
    with pytest.raises(ScalingError, match="folded"):
        resize(fold_batch_norm(parent), small("lite", width=1.3))
