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
from edgefit_toolkit.network.efficientnet import ConvNormAct, EfficientNet, MBConv, SameConv2d, fold_batch_norm
from edgefit_toolkit.network.families import B0_STAGES
from edgefit_toolkit.network.grow import (
    _choose,
    _head_strength,
    _hidden_strength,
    _read,
    _share_out,
    _stage_strength,
    _stem_strength,
    _written,
    resize,
)
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


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@given(st.integers(1, 9), st.integers(1, 20))
def test_new_channels_repeat_the_old_ones_evenly(old: int, count: int) -> None:
    strength = torch.rand(old, generator=seeded())
    chosen = _choose(old, count, lambda: strength, seeded()).tolist()
    assert len(chosen) == count
    if count >= old:
        assert chosen[:old] == list(range(old))
        assert {count // old, -(-count // old)} >= {chosen.count(channel) for channel in range(old)}
    else:
        assert chosen == sorted(strength.argsort(descending=True)[:count].tolist())


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 14))
def test_copies_of_an_input_share_its_weight_unequally(outputs: int, old: int, count: int) -> None:
    weight = torch.randn(outputs, old, 3, 3, generator=seeded())
    inputs = _choose(old, count, lambda: torch.ones(old), seeded())
    shared = _share_out(weight, inputs, seeded())
    assert shared.shape == (outputs, count, 3, 3)
    for channel in inputs.unique():
        mine = shared[:, inputs == channel]
        assert torch.allclose(mine.sum(1), weight[:, channel], atol=1e-6)
        shares = mine / weight[:, channel, None]
        assert (shares > 0.5 / (0.5 + 1.5 * mine.shape[1])).all()  # none is left out of the gradient
        if mine.shape[1] > 1:
            assert not torch.allclose(shares[:, 0], shares[:, 1])


def unit(cin: int, cout: int, groups: int = 1) -> ConvNormAct:
    made = ConvNormAct(SameConv2d(cin, cout, 8, groups=groups), nn.Identity())
    with_statistics(made)
    return made


def test_how_strongly_a_channel_is_written_and_read() -> None:
    """Against what the units give: for noise, and for noise with one input moved by 1."""
    x = torch.randn(100, 6, 1, 1, generator=seeded())
    for made in (unit(6, 6), unit(6, 6, groups=6)):
        made.eval()
        with torch.no_grad():
            moved = [made(x + one.view(1, 6, 1, 1)) - made(x) for one in torch.eye(6)]
            assert torch.allclose(_read(made), torch.stack([y[0].norm() for y in moved]), rtol=1e-3)
            variance, mean = (part.view(1, 6, 1, 1) for part in (made.norm.running_var, made.norm.running_mean))
            noise = torch.randn(200_000, 6, 1, 1, generator=seeded()) * variance.sqrt() + mean
            assert torch.allclose(_written(made), made.norm(noise).square().mean((0, 2, 3)).sqrt(), rtol=0.02)


def test_a_channel_counts_by_the_product_of_how_it_is_written_and_read() -> None:
    """Written 1, 10, .1 and read 1, .05, 8: the first is strongest, then the third."""
    network = random_parent(small())
    stage = network.stages[1]
    block = stage[0]

    def written(made: ConvNormAct) -> None:
        made.norm.bias.zero_()
        made.norm.weight[:3] = torch.tensor([1.0, 10.0, 0.1])

    def read(weight: torch.Tensor, now: torch.Tensor) -> None:
        weight *= (torch.tensor([1.0, 0.05, 8.0]) / now[:3]).view(-1, *[1] * (weight.dim() - 1))

    with torch.no_grad():
        for made in (network.stem, block.depthwise, network.head, *(each.project for each in stage)):
            written(made)
        depthwise = network.blocks[0].depthwise
        read(depthwise.conv.weight[:3], _read(depthwise))
        for made in (block.project, stage[1].first):
            read(made.conv.weight[:, :3].transpose(0, 1), _read(made))
        read(network.classifier.weight[:, :3].T, network.classifier.weight.norm(dim=0))
        strengths = {
            "stem": _stem_strength(network),
            "hidden": _hidden_strength(block),
            "head": _head_strength(network),
            "stage": _stage_strength(stage),
        }
    for name, strength in strengths.items():
        assert (strength[:3] / strength[0]).tolist() == pytest.approx([1.0, 0.5, 0.8], rel=1e-4), name


def test_a_stage_of_one_block_counts_by_what_is_written() -> None:
    stage = random_parent(small()).stages[0]
    assert torch.equal(_stage_strength(stage), _written(stage[0].project))


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
