"""The network: its cost, its padding, its input layer, and its answers beside an independent implementation's."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet as Independent
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgefit_toolkit.errors import ScalingError
from edgefit_toolkit.network import scaling
from edgefit_toolkit.network.catalogue import key_map
from edgefit_toolkit.network.efficientnet import (
    EfficientNet,
    ImageNetNorm,
    SameConv2d,
    fold_batch_norm,
    reset_classifier,
    same_padding,
)
from edgefit_toolkit.network.families import released_names
from edgefit_toolkit.network.weights import load_network
from edgefit_toolkit.records import Variant

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation of pixels / 255


def small(family: str = "lite", width: float = 1.0, depth: float = 1.0, px: int = 64, classes: int = 10) -> Variant:
    return scaling.variant_from_factors(width, depth, px, family, classes)


def with_statistics(network: nn.Module, seed: int = 0) -> nn.Module:
    """Batch norms as after training: without this, random networks hide a mixed-up statistic."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, 0.2, 0.3, generator=generator)
            nn.init.normal_(module.running_mean, 0.0, 0.3, generator=generator)
            nn.init.uniform_(module.running_var, 0.5, 1.5, generator=generator)
    return network.eval()


def pictures(px: int, n: int = 2, seed: int = 0) -> torch.Tensor:
    pixels = torch.randint(0, 256, (n, 3, px, px), generator=torch.Generator().manual_seed(seed))
    return (pixels.float() - 127) / 128


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors: on a busy machine, threads that wait for each other take most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@contextmanager
def counted_madds(network: EfficientNet) -> Iterator[list[int]]:
    """Multiply-adds of whatever the network's convolutions and dense layers are given, one entry each."""
    counts: list[int] = []

    def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
        assert isinstance(module, (nn.Conv2d, nn.Linear))
        counts.append(output[0, 0].numel() * module.weight.numel())

    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    handles = [layer.register_forward_hook(count) for layer in layers]
    yield counts
    for handle in handles:
        handle.remove()


VARIANTS = [
    *(scaling.released(name, classes=7) for name in released_names()),
    *(scaling.variant_from_phi(phi) for phi in (-4.0, -1.0, 0.4, 1.37, 2.2, 3.4, 6.0)),
    *(scaling.variant_from_phi(phi, "b", 3) for phi in (-3.0, -0.5, 1.5)),
]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.label)
def test_cost_is_what_scaling_predicts(variant: Variant) -> None:
    with torch.device("meta"):  # shapes without arithmetic: even B7 takes no time
        network = EfficientNet.from_variant(variant).eval()
        with counted_madds(network) as counts:
            logits = network(torch.empty(1, 3, variant.resolution_px, variant.resolution_px))
    assert logits.shape == (1, variant.classes)
    assert sum(counts) == variant.madds
    assert sum(p.numel() for p in network.parameters()) == variant.params


@pytest.mark.parametrize("name", ["lite0", "lite1", "lite2"])
def test_imagenet_networks_agree_with_an_independent_implementation(name: str) -> None:
    variant = scaling.released(name)
    network, _ = load_network(variant)
    other = Independent.from_name(f"efficientnet-{name}").eval()
    own = network.state_dict()
    theirs = {theirs: own[name] for name, theirs in key_map(variant, "pypi").items()}
    missing, unexpected = other.load_state_dict(theirs, strict=False)
    assert not unexpected
    assert all(key.endswith("num_batches_tracked") for key in missing)
    x = pictures(variant.resolution_px, n=1)
    with torch.inference_mode():
        assert (network(x) - other(x)).abs().max() <= 1e-5


@pytest.mark.parametrize("name", ["b0", "b3"])  # no B weights come with a package: random ones, real statistics
def test_b_networks_agree_with_an_independent_implementation(name: str) -> None:
    variant = scaling.released(name)
    torch.manual_seed(0)
    network = EfficientNet.from_variant(variant).double()  # random networks magnify float32's rounding
    with_statistics(network)
    other = Independent.from_name(f"efficientnet-{name}").eval().double()
    own = network.state_dict()
    missing, unexpected = other.load_state_dict(
        {theirs: own[name] for name, theirs in key_map(variant, "pypi").items()}, strict=False
    )
    assert not unexpected
    assert all(key.endswith("num_batches_tracked") for key in missing)
    x = pictures(variant.resolution_px, n=1).double()
    with torch.inference_mode():
        ours, theirs = network(x), other(ImageNetNorm(IMAGENET).double()(x))
    assert theirs.std() > 0.01  # the comparison means something
    assert (ours - theirs).abs().max() <= 1e-5


def test_b_network_normalises_to_imagenet_by_itself() -> None:
    pixels = torch.randint(0, 256, (2, 3, 5, 5), generator=torch.Generator().manual_seed(0)).double()
    mean, std = (torch.tensor(colour).double().view(3, 1, 1) for colour in IMAGENET)
    layer = ImageNetNorm(IMAGENET)
    torch.testing.assert_close(
        layer(((pixels - 127) / 128).float()).double(), (pixels / 255 - mean) / std, atol=1e-6, rtol=0
    )
    network = EfficientNet.from_variant(small("b"))
    assert not any(name.startswith("input_norm") for name in network.state_dict())
    assert not any(name.startswith("input_norm") for name, _ in network.named_parameters())


@given(
    size=st.integers(1, 400),
    kernel_and_stride=st.sampled_from([(1, 1), (3, 1), (3, 2), (5, 1), (5, 2)]),
)
def test_same_padding_is_tensorflows(size: int, kernel_and_stride: tuple[int, int]) -> None:
    kernel, stride = kernel_and_stride
    before, after = same_padding(size, kernel, stride)
    out = (size + before + after - kernel) // stride + 1
    assert out == -(-size // stride)  # SAME: the size divided by the stride, rounded up
    assert 0 <= after - before <= 1  # centred, the odd pixel at the end
    last_window_end = (out - 1) * stride + kernel
    assert before + size <= last_window_end or after == 0  # no more padding than the last window reaches


@pytest.mark.parametrize(("size", "padded"), [(224, True), (225, False)])
def test_only_unequal_sides_get_a_padding_layer(size: int, padded: bool) -> None:
    conv = SameConv2d(3, 4, size, kernel=3, stride=2)
    assert (conv.pad is not None) == padded
    assert conv(torch.zeros(1, 3, size, size)).shape[-1] == conv.size_out_px == -(-size // 2)


def test_direct_constructor_is_the_paper_formula() -> None:
    network = EfficientNet(scale_depth=1.2, scale_width=1.1, scale_resolution=1.15, phi=1.0, classes=5)
    assert network.variant == scaling.variant_from_phi(1.0, classes=5)
    assert network.variant.resolution_px == 258
    own = EfficientNet(scale_depth=1.4, scale_width=1.0, scale_resolution=1.0, classes=5).variant
    assert (own.depth, own.width, own.resolution_px) == (1.4, 1.0, 224)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["scale_depth", "scale_width", "scale_resolution"])
def test_direct_constructor_refuses_a_factor_that_is_none(name: str, factor: float) -> None:
    with pytest.raises(ScalingError, match=name):
        EfficientNet(**{name: factor})


@pytest.mark.parametrize("family", ["lite", "b"])
@settings(max_examples=6, deadline=None)
@given(px=st.integers(33, 70))
def test_any_resolution_runs_and_another_is_refused(family: str, px: int) -> None:
    network = EfficientNet.from_variant(small(family, px=px, width=0.5, depth=0.5)).eval()
    assert network(pictures(px)).shape == (2, 10)
    with pytest.raises(ValueError, match=f"{px} x {px}"):
        network(pictures(px + 1))
    moved = network.at_resolution(px + 1)
    assert moved(pictures(px + 1)).shape == (2, 10)
    assert moved.state_dict().keys() == network.state_dict().keys()


@pytest.mark.parametrize("family", ["lite", "b"])
def test_folding_batch_norm_keeps_the_function(family: str) -> None:
    network = EfficientNet.from_variant(small(family)).double()  # random networks magnify float32's rounding
    with_statistics(network)
    before = copy.deepcopy(network.state_dict())
    folded = fold_batch_norm(network.train())
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert not folded.training
    x = pictures(64).double()
    with torch.inference_mode():
        expected = network.eval()(x)
        assert expected.std() > 0.01
        torch.testing.assert_close(folded(x), expected, atol=1e-6, rtol=1e-6)


def test_new_classifier_repeats_by_seed() -> None:
    network = EfficientNet.from_variant(small(classes=10))
    torch.manual_seed(1)
    reset_classifier(network, 4, seed=3)
    first = network.classifier.weight.detach().clone()
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(1))  # the caller's own randomness goes on undisturbed
    reset_classifier(network, 4, seed=3)
    assert torch.equal(network.classifier.weight, first)
    reset_classifier(network, 4, seed=4)
    assert not torch.equal(network.classifier.weight, first)
    assert network.variant.classes == 4
    assert network(pictures(64)).shape == (2, 4)


def test_dropout_only_in_training() -> None:
    network = EfficientNet.from_variant(small()).eval()
    assert network.dropout.p == network.variant.dropout > 0
    x = pictures(64)
    with torch.inference_mode():
        assert torch.equal(network(x), network.classifier(network.features(x)))
