"""Cut networks that are fitted to their parent's answers, and the linear algebra under them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pictures import open_file
from support.training_parts import CLASSES, drawn_dataset
from support.training_parts import variant as drawn_variant
from toolkit.test_grow import random_parent, weaken
from toolkit.test_network import small

from edgefit_toolkit.data.preprocessing import apply, preprocessing_for, to_network_input
from edgefit_toolkit.errors import ScalingError
from edgefit_toolkit.network import scaling
from edgefit_toolkit.network.blocks import blocks
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.network.grow import resize
from edgefit_toolkit.network.linear_maps import drop_inputs, refit, subspace
from edgefit_toolkit.network.shrink import shrink
from edgefit_toolkit.network.weights import load_network, parents_of
from edgefit_toolkit.training.initial import initial_network, pictures_for


def sqnr_db(wanted: torch.Tensor, got: torch.Tensor) -> float:
    return float(10 * torch.log10(wanted.square().sum() / (wanted - got).square().sum()))


def smooth_pictures(px: int, n: int, seed: int) -> torch.Tensor:
    """Soft random blots: neighbouring pixels agree, as in a photograph."""
    coarse = torch.rand(n, 3, 6, 6, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=(px, px), mode="bicubic").clamp(-1, 1)


# Linear maps -----------------------------------------------------------------------------------------------------


@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 6))
def test_refit_finds_the_map_that_made_the_samples(seed: int, inputs: int, outputs: int) -> None:
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(200, inputs, generator=random)
    weight, bias = torch.randn(outputs, inputs, generator=random), torch.randn(outputs, generator=random)
    found = refit(x, x @ weight.T + bias, torch.zeros_like(weight), torch.zeros_like(bias), ridge=1e-9)
    torch.testing.assert_close(found[0], weight, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[1], bias, atol=1e-4, rtol=1e-4)


def test_refit_leaves_what_the_samples_do_not_show() -> None:
    x = torch.zeros(50, 3)
    x[:, 0] = torch.linspace(-1, 1, 50)  # the other two inputs never move
    start = torch.tensor([[1.0, 2.0, 3.0]])
    weight, bias = refit(x, 5 * x[:, :1] + 7, start, torch.zeros(1), ridge=1e-6)
    torch.testing.assert_close(weight, torch.tensor([[5.0, 2.0, 3.0]]), atol=1e-3, rtol=0)
    torch.testing.assert_close(bias, torch.tensor([7.0]), atol=1e-4, rtol=0)


@settings(max_examples=40)
@given(st.integers(0, 1000), st.integers(2, 14), st.data())
def test_dropped_inputs_are_made_up_for_as_well_as_can_be(seed: int, inputs: int, data: st.DataObject) -> None:
    keep = data.draw(st.integers(1, inputs - 1))
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(300, inputs, generator=random) @ torch.randn(inputs, inputs, generator=random)
    weight = torch.randn(3, inputs, generator=random)
    bias = torch.randn(3, generator=random)
    kept, fewer, offset = drop_inputs(x, weight, bias, keep, ridge=1e-10)
    torch.testing.assert_close(
        (x[:, kept] @ fewer.T + offset).mean(0), (x @ weight.T + bias).mean(0), atol=1e-3, rtol=1e-3
    )
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert len(kept) == keep
    centred = (x - x.mean(0)).double().numpy()
    wanted = centred @ weight.double().numpy().T
    best, *_ = np.linalg.lstsq(
        centred[:, kept.numpy()], wanted, rcond=None
    )  # an independent answer for the same inputs
    loss = np.square(wanted - centred[:, kept.numpy()] @ fewer.double().numpy().T).sum()
    least = np.square(wanted - centred[:, kept.numpy()] @ best).sum()
    assert loss <= least * 1.001 + 1e-6 * np.square(wanted).sum()


def test_inputs_that_others_repeat_are_the_ones_dropped() -> None:
    random = torch.Generator().manual_seed(0)
    base = torch.randn(100, 4, generator=random)
    x = torch.cat([base, base[:, :2] * 2 + 1], 1)  # inputs 4 and 5 say what 0 and 1 say
    weight = torch.randn(2, 6, generator=random)
    kept, fewer, _ = drop_inputs(x, weight, torch.zeros(2), 4, ridge=1e-10)
    assert {2, 3} <= set(kept.tolist())
    wanted = (x - x.mean(0)) @ weight.T
    torch.testing.assert_close((x - x.mean(0))[:, kept] @ fewer.T, wanted, atol=1e-3, rtol=1e-3)


@settings(max_examples=40)
@given(st.integers(0, 1000), st.integers(1, 5), st.integers(5, 10))
def test_subspace_keeps_samples_of_that_rank_whole(seed: int, rank: int, channels: int) -> None:
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(80, rank, generator=random) @ torch.randn(rank, channels, generator=random) + 3
    encode, decode, offset = subspace(x, torch.eye(channels), rank)
    torch.testing.assert_close(x @ encode.T @ decode.T + offset, x, atol=2e-3, rtol=1e-3)


def test_subspace_keeps_what_is_read_not_what_is_large() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(500, 3, generator=random) * torch.tensor([100.0, 1.0, 1.0])
    read = torch.diag(torch.tensor([0.0, 1.0, 1.0]))  # nobody reads the loudest channel
    encode, decode, offset = subspace(x, read, 2)
    back = x @ encode.T @ decode.T + offset
    torch.testing.assert_close(back[:, 1:], x[:, 1:], atol=0.05, rtol=0)


# Networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["lite", "b"])
@pytest.mark.parametrize(("width", "depth"), [(0.6, 1.0), (1.0, 0.5), (0.7, 0.4)])
def test_what_counts_for_nothing_goes_without_a_trace(family: str, width: float, depth: float) -> None:
    parent, target = random_parent(small(family)), small(family, width, depth)
    weaken(parent, target)
    x = smooth_pictures(64, 48, seed=1)
    cut = shrink(parent, target, x)
    assert cut.variant == target
    assert not cut.training
    with torch.inference_mode():
        answers, got = parent(x), cut(x)
    assert answers.std() > 0.01
    assert sqnr_db(answers, got) > 55
    if family == "lite":  # a random B network hardly looks at its input: its answers differ by 1e-4 from one another
        assert sqnr_db(answers - answers.mean(0), got - answers.mean(0)) > 40


@pytest.mark.parametrize(("width", "depth"), [(1.0, 1.4), (1.3, 1.0), (0.9, 0.7)])
def test_blocks_that_do_not_expand_are_read_channel_by_channel(width: float, depth: float) -> None:
    """A deep B network's stage 0: its second block convolves each of the stage's channels alone."""
    parent, target = random_parent(small("b", 1.3, 1.4)), small("b", width, depth)
    assert parent.blocks[1].expand is None
    weaken(parent, target)
    x = smooth_pictures(64, 32, seed=1)
    with torch.inference_mode():
        assert sqnr_db(parent(x), shrink(parent, target, x)(x)) > 50


@pytest.fixture(scope="module")
def lite0() -> EfficientNet:
    return load_network(scaling.released("lite0"))[0]


@pytest.fixture(scope="module")
def flowers(request: pytest.FixtureRequest) -> dict[str, torch.Tensor]:
    folder: Path = request.getfixturevalue("flowers_dir")
    preprocessing = preprocessing_for(scaling.variant_from_phi(-3.15))
    found = {}
    for split, count in (("train", 120), ("test", 60)):
        files = sorted((folder / split).glob("*/*.jpg"))
        chosen = [files[i] for i in np.random.default_rng(0).permutation(len(files))[:count]]
        found[split] = to_network_input(np.stack([apply(open_file(file), preprocessing) for file in chosen]))
    return found


def test_fitted_cut_answers_new_photographs_far_more_like_its_parent(
    lite0: EfficientNet, flowers: dict[str, torch.Tensor]
) -> None:
    """phi -3.15: two thirds of the channels, 13 of 16 blocks."""
    variant = scaling.variant_from_phi(-3.15)
    plain, fitted = resize(lite0, variant), shrink(lite0, variant, flowers["train"])
    x = flowers["test"]
    with torch.inference_mode():
        wanted = lite0.at_resolution(variant.resolution_px)(x)
        before, after = plain(x), fitted(x)
    assert sqnr_db(wanted, after) > sqnr_db(wanted, before) + 3
    same = [float((answers.argmax(1) == wanted.argmax(1)).float().mean()) for answers in (before, after)]
    assert same[0] < 0.1
    assert same[1] > 0.3


def test_layers_above_the_first_cut_stay_the_parents_own(lite0: EfficientNet, flowers: dict[str, torch.Tensor]) -> None:
    variant = scaling.variant_from_factors(0.95, 1.0, 144, "lite")  # stages 0 to 3 have Lite0's channels
    fitted = shrink(lite0, variant, flowers["train"][:16])
    first = next(i for i, block in enumerate(blocks("lite", 0.95, 1.0)) if block.stage == 4)
    for name, tensor in lite0.state_dict().items():
        if name.startswith("stem") or (name.startswith("blocks.") and int(name.split(".")[1]) < first):
            assert torch.equal(tensor, fitted.state_dict()[name]), name


def test_seed_repeats_and_the_callers_randomness_goes_on() -> None:
    parent, target = random_parent(small("b")), small("b", 0.7, 0.5)
    x = smooth_pictures(64, 12, seed=1)
    torch.manual_seed(5)
    first = shrink(parent, target, x, seed=1).state_dict()
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))
    again, other = shrink(parent, target, x, seed=1).state_dict(), shrink(parent, target, x, seed=2).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not all(torch.equal(value, other[name]) for name, value in first.items())


def test_one_picture_is_enough_to_give_finite_weights() -> None:
    cut = shrink(random_parent(small()), small("lite", 0.5, 0.5), smooth_pictures(64, 1, seed=1))
    assert all(tensor.isfinite().all() for tensor in cut.state_dict().values())


def test_batch_norm_statistics_are_those_of_the_pictures(lite0: EfficientNet, flowers: dict[str, torch.Tensor]) -> None:
    x = flowers["train"][:64]
    cut = shrink(lite0, scaling.variant_from_phi(-3.15), x)
    assert isinstance(cut.blocks[4].depthwise.norm, torch.nn.BatchNorm2d)
    for unit in (cut.blocks[4].depthwise, cut.blocks[9].project, cut.head):
        seen: list[torch.Tensor] = []
        hook = unit.conv.register_forward_hook(lambda module, args, out, seen=seen: seen.append(out))
        with torch.inference_mode():
            cut(x)
        hook.remove()
        mean, variance = seen[0].mean((0, 2, 3)), seen[0].var((0, 2, 3))
        spread = variance.sqrt()
        assert ((unit.norm.running_mean - mean).abs() / spread).median() < 0.05
        assert (unit.norm.running_var / variance).median() == pytest.approx(1, abs=0.1)


def test_what_cannot_shrink_is_refused(lite0: EfficientNet) -> None:
    x = torch.zeros(1, 3, 64, 64)
    for target in (small("lite", 1.2, 1.0), small("lite", 0.7, 1.6), small("b", 0.5), small(classes=11, width=0.5)):
        with pytest.raises(ScalingError, match="cannot shrink"):
            shrink(random_parent(small()), target, x)


# Where they are used ---------------------------------------------------------------------------------------------


def test_only_a_cut_network_asks_for_pictures() -> None:
    asked = []

    def look() -> torch.Tensor:
        asked.append(True)
        return smooth_pictures(126, 8, seed=1)

    _, released = load_network(scaling.released("lite0"), pictures=look)
    _, grown = load_network(scaling.variant_from_phi(0.14), pictures=look)
    assert grown.how == "grown"
    assert not asked
    assert "fitted" not in released.note + grown.note
    network, cut = load_network(scaling.variant_from_factors(0.8, 0.7, 126, "lite", 5), pictures=look)
    assert len(asked) == 1
    assert cut.how == "cut"
    assert network.classifier.out_features == 5
    assert "cut from Lite0 and fitted to its answers on 8 pictures" in cut.note


def test_training_begins_with_a_network_fitted_to_the_training_pictures(tmp_path: Path) -> None:
    dataset = drawn_dataset(tmp_path, train=4)
    events: list[tuple[str, int, int]] = []
    variant = scaling.variant_from_factors(0.7, 0.6, drawn_variant().resolution_px, "lite")
    network, provenance = initial_network(
        variant, dataset, seed=1, on_progress=lambda label, done, total: events.append((label, done, total))
    )
    assert network.variant.classes == len(CLASSES)
    assert f"on {2 * len(dataset.train)} pictures" in provenance.note  # each mirrored, too
    blocks = len(network.blocks)
    fitting = [event for event in events if event[0].startswith("fitting")]
    assert [event[1:] for event in fitting] == [(done, blocks) for done in range(1, blocks + 1)]
    again, _ = initial_network(variant, dataset, seed=1)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in network.state_dict().items())


def test_large_networks_are_fitted_to_fewer_pictures() -> None:
    counts = [pictures_for(scaling.variant_from_phi(phi)) for phi in (-4.0, 0.98, 1.58, 3.57, 9.0)]
    assert counts == sorted(counts, reverse=True)
    assert (counts[0], counts[1], counts[-1]) == (512, 512, 64)
    assert 100 < counts[3] < counts[2] < 400


@pytest.mark.parametrize(
    ("phi", "grown", "fitted"),
    [
        (-1.0, ["lite0"], ["lite0", "lite1", "lite2", "lite3", "lite4"]),
        (0.14, ["lite1", "lite0"], ["lite1", "lite2", "lite0", "lite3", "lite4"]),
        (0.98, ["lite1", "lite0"], ["lite2", "lite1", "lite0", "lite3", "lite4"]),
        (1.58, ["lite2", "lite1", "lite0"], ["lite3", "lite2", "lite1", "lite0", "lite4"]),
        (6.0, ["lite4", "lite3", "lite2", "lite1", "lite0"], ["lite4", "lite3", "lite2", "lite1", "lite0"]),
    ],
)
def test_parents_are_the_nearest_in_weights_where_a_cut_is_fitted(
    phi: float, grown: list[str], fitted: list[str]
) -> None:
    variant = scaling.variant_from_phi(phi, classes=5)
    assert [parent.released for parent in parents_of(variant)] == grown
    assert [parent.released for parent in parents_of(variant, fitted=True)] == fitted


def test_a_network_just_below_a_released_one_is_cut_from_it(tmp_path: Path) -> None:
    """And grown from the one below where nobody shows pictures."""
    variant = scaling.variant_from_factors(*scaling.factors(0.98)[:2], 64, "lite", 3)
    network, near = load_network(variant, pictures=lambda: smooth_pictures(64, 4, seed=1), cache_dir=tmp_path)
    assert (near.parent, near.how) == ("lite2", "cut")
    assert network.variant == variant
    assert load_network(variant, cache_dir=tmp_path)[1].parent == "lite1"
