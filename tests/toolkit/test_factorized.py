"""A classifier in two layers: nearest to the full one, counted as it is, chosen on val, kept through every file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.one_thread import one_thread  # noqa: F401  (a fixture)
from support.pictures import file_photo
from torch import Tensor, nn

from edgefit_converters.int8.quantize import quantize_int8
from edgefit_converters.judge.parity import compare
from edgefit_converters.routes import deploy, litert
from edgefit_converters.tflite.inspect import read_model
from edgefit_toolkit.data.dataset import Dataset, Photo
from edgefit_toolkit.data.pixels import load_pixels
from edgefit_toolkit.errors import InputError, ScalingError
from edgefit_toolkit.interpreter import TFLite
from edgefit_toolkit.network import scaling
from edgefit_toolkit.network.checkpoints import CheckpointMeta, load_checkpoint, save_checkpoint
from edgefit_toolkit.network.efficientnet import EfficientNet, fold_batch_norm, reset_classifier
from edgefit_toolkit.network.graph import classifier_params, operators
from edgefit_toolkit.network.head import FactorizedLinear, Factors, full_layer
from edgefit_toolkit.records import Variant
from edgefit_toolkit.training import factorized
from edgefit_toolkit.training import fine_tune as training
from edgefit_toolkit.training.evaluation import logits
from edgefit_toolkit.training.factorized import LABEL, MOST_LOST, outweighs, ranks_of, smallest
from edgefit_toolkit.training.fine_tune import TrainResult, fine_tune
from edgefit_toolkit.training.probe import linear_probe, streamed_probe
from edgefit_toolkit.training.settings import TrainSettings

CLASSES, SIZE_PX = 200, 32
SETTINGS = TrainSettings(epochs=0, views=0, unfreeze_from=7)


def variant(classes: int = CLASSES) -> Variant:
    """1.2 million multiply-adds; of 200 classes the classifier has just over half of its weights."""
    return scaling.variant_from_factors(0.25, 0.5, SIZE_PX, "lite", classes)


def fresh_network() -> EfficientNet:
    torch.manual_seed(0)
    return EfficientNet.from_variant(variant())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Each class a pattern of colours of its own: 4 noisy pictures to train and 5 to validate."""
    folder, random = tmp_path_factory.mktemp("patterns"), np.random.default_rng(0)
    splits: dict[str, list[Photo]] = {"train": [], "val": [], "test": []}
    for label in range(CLASSES):
        pattern = random.integers(0, 256, (2, 3, 3))
        for number, split in enumerate(["train"] * 4 + ["val"] * 5 + ["test"]):
            values = (pattern + random.integers(-9, 10, pattern.shape)).clip(0, 255).astype(np.uint8)
            path = folder / f"{label:03d}-{number}.png"
            Image.fromarray(values).resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC).save(path)
            splits[split].append(file_photo(path, label))
    names = tuple(f"pattern {label:03d}" for label in range(CLASSES))
    return Dataset("patterns", "drawn", names, *(tuple(splits[split]) for split in ("train", "val", "test")))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training that was killed while it factorized its classifier has left; filled by `trained`."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def trained(drawn: Dataset, state: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    folder = tmp_path_factory.mktemp("training") / "state"

    def on_progress(label: str, done: int, total: int, detail: str = "") -> None:
        if label == LABEL and not done:
            shutil.copytree(folder, state, dirs_exist_ok=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamed_probe, "FULL_ROWS", 0)  # a full solve takes ten times as long
        patch.setattr(linear_probe, "GRID_CLASSES", CLASSES)  # a strong L2 gives a classifier of low rank
        return fine_tune(fresh_network(), drawn, SETTINGS, on_progress, state_dir=folder)


def layer_and_features(rank: int = 40, n: int = 4000) -> tuple[nn.Linear, Tensor]:
    """A linear layer 64 -> 300 of that rank, and features of unlike variances around unlike means."""
    random = torch.Generator().manual_seed(0)
    full = nn.Linear(64, 300)
    with torch.no_grad():
        full.weight.copy_(torch.randn(300, rank, generator=random) @ torch.randn(rank, 64, generator=random))
    scale = torch.logspace(0, -2, 64)
    return full, torch.randn(n, 64, generator=random) * scale + torch.rand(64, generator=random)


def error(made: nn.Module, full: nn.Module, features: Tensor) -> float:
    with torch.no_grad():
        return float((made(features) - full(features)).square().mean())


def test_a_layer_of_low_rank_is_kept_and_less_is_lost_at_a_higher_rank() -> None:
    full, features = layer_and_features(rank=40)
    factors = Factors(full, features, 48)
    errors = [error(factors.of_rank(rank), full, features) for rank in (4, 8, 16, 32, 40)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-6 * errors[0]


def test_no_other_factorization_is_nearer_on_the_features() -> None:
    full, features = layer_and_features(rank=64)
    own = error(Factors(full, features, 16).of_rank(8), full, features)
    u, s, v = torch.linalg.svd(full.weight.detach(), full_matrices=False)
    plain = nn.Linear(64, 300)
    with torch.no_grad():
        plain.weight.copy_(u[:, :8] * s[:8] @ v[:8])
        plain.bias.copy_(full.bias + (full.weight - plain.weight) @ features.mean(0))
        wanted = full(features) - full(features).mean(0)
    spectrum = torch.linalg.svdvals(wanted.double())
    best = float(spectrum[8:].square().sum() / wanted.numel())  # Eckart and Young 1936
    assert own == pytest.approx(best, rel=1e-3)
    assert own < 0.5 * error(plain, full, features)


def test_a_taught_layer_answers_more_like_the_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factorized, "LR", 3e-3)  # few steps, of few rows
    full, features = layer_and_features(rank=64, n=1100)
    train, held_out = features[:600], features[600:]
    with torch.no_grad():
        full.weight *= 0.2  # neither sure of its answers nor without one
    made = [Factors(full, train, 8).of_rank(8) for _ in range(3)]
    with torch.no_grad():  # as `smallest` asks for them
        taught = [factorized.taught(one, full, train) for one in made[1:]]
    assert taught[0] is made[1]
    assert all(torch.equal(a, b) for a, b in zip(*(one.parameters() for one in taught), strict=True))

    def gap(layer: nn.Module) -> float:  # Kullback-Leibler, in nats
        with torch.no_grad():
            answers = full(held_out).log_softmax(1)
            return float(
                nn.functional.kl_div(layer(held_out).log_softmax(1), answers, log_target=True, reduction="sum")
            )

    assert gap(taught[0]) < 0.9 * gap(made[0])


def test_what_lies_between_the_layers_has_one_range() -> None:
    full, features = layer_and_features()
    with torch.no_grad():
        between = Factors(full, features, 16).of_rank(16).reduce(features)
    torch.testing.assert_close(between.mean(0), torch.zeros(16), atol=1e-3, rtol=0)
    torch.testing.assert_close(between.std(0), torch.ones(16), atol=1e-2, rtol=0)


def test_the_one_layer_that_computes_the_same() -> None:
    made = FactorizedLinear(12, 3, 20)
    x = torch.randn(5, 12)
    torch.testing.assert_close(full_layer(made)(x), made(x))
    assert (made.in_features, made.rank, made.out_features) == (12, 3, 20)


def test_a_variant_counts_both_layers() -> None:
    full = scaling.with_classes(scaling.released("lite2"), 10_000)
    assert outweighs(full)
    assert not outweighs(scaling.with_classes(full, 1000))
    made = scaling.with_head_rank(variant(), 64)
    network = EfficientNet.from_variant(made)
    assert made.params == sum(p.numel() for p in network.parameters())
    assert classifier_params(made) == sum(p.numel() for p in network.classifier.parameters())
    assert [layer.madds for layer in operators(made)[-2:]] == [1280 * 64, 64 * CLASSES]
    assert variant().madds - made.madds == 1280 * CLASSES - 64 * (1280 + CLASSES)
    assert scaling.with_head_rank(made, None) == variant()
    assert scaling.with_classes(made, CLASSES) == variant()
    for useless in (0, 200, 5000):
        with pytest.raises(ScalingError, match="saves nothing"):
            scaling.with_head_rank(variant(), useless)


def test_ranks_halve_the_classifier_at_least() -> None:
    some = scaling.with_classes(scaling.released("lite0"), 10_000)
    ranks = ranks_of(some, 1280)
    assert ranks == sorted(ranks)
    assert ranks[-1] == 512
    for rank in ranks:
        assert 2 * classifier_params(scaling.with_head_rank(some, rank)) <= classifier_params(some)


def of_ranks(factors: Factors, ranks: list[int]) -> Iterator[FactorizedLinear]:
    return (factors.of_rank(rank) for rank in ranks)


def test_the_smallest_rank_that_val_allows() -> None:
    full, features = layer_and_features(rank=24, n=6000)
    train, val = features[:3000], features[3000:]
    with torch.no_grad():
        truth = full(val).argmax(1)
    wrong = torch.rand(len(val), generator=torch.Generator().manual_seed(1)) < 0.3
    truth = torch.where(wrong, (truth + 1) % 300, truth)
    factors, ranks = Factors(full, train, 32), [2, 4, 8, 12, 16, 20, 24, 32]
    found, said = smallest(full, of_ranks(factors, ranks), val, truth)
    assert found is not None
    tried = ranks[: ranks.index(found.rank) + 1]
    assert len(tried) > 1
    with torch.no_grad():
        shares = [float((factors.of_rank(rank)(val).argmax(1) == truth).double().mean()) for rank in tried]
    assert shares[-1] > float((full(val).argmax(1) == truth).double().mean()) - MOST_LOST
    assert f"top-1 is {shares[-1]:.3f} in place of" in said
    assert max(shares[:-1]) < shares[-1] + 0.005


def test_a_val_set_that_shows_too_little_keeps_the_full_classifier() -> None:
    full, features = layer_and_features(rank=24)
    with torch.no_grad():
        truth = full(features[:40]).argmax(1)
    found, said = smallest(full, of_ranks(Factors(full, features, 32), [24, 32]), features[:40], truth)
    assert found is None
    assert "of 40 answers the same; 1 point may be lost" in said


def test_rare_classes_count_where_each_class_counts_alike() -> None:
    """A class of 20 of 4,000 pictures is lost: half a point of the pictures, a third of the classes."""
    truth = torch.tensor([0] * 1990 + [1] * 1990 + [2] * 20)
    features = torch.eye(3)[truth]
    full = nn.Linear(3, 3)
    made = FactorizedLinear(3, 2, 3)
    with torch.no_grad():
        full.weight.copy_(torch.eye(3))
        full.bias.zero_()
        made.reduce.weight.copy_(torch.eye(3)[:2])
        made.reduce.bias.zero_()
        made.expand.weight.copy_(torch.eye(3)[:, :2])
        made.expand.bias.zero_()
    assert smallest(full, iter([made]), features, truth)[0] is made
    assert smallest(full, iter([made]), features, truth, balanced=True)[0] is None


def test_training_factorizes_a_classifier_that_outweighs_the_network(trained: TrainResult, drawn: Dataset) -> None:
    made = trained.network.variant
    assert made.head_rank in ranks_of(variant(), 1280)
    assert made.params < 0.8 * variant().params
    assert trained.classifier in trained.notes
    assert f"is factorized at rank {made.head_rank}" in trained.classifier
    pixels = load_pixels(drawn.val, trained.preprocessing)
    right = logits(trained.network, pixels).argmax(1) == [photo.label for photo in drawn.val]
    assert trained.val_top1 == pytest.approx(right.mean(), abs=0.002)
    assert trained.val_top1 > 0.5
    with pytest.raises(InputError, match="factorized already"):
        fine_tune(trained.network, drawn, SETTINGS)


def test_where_every_layer_trains_it_is_factorized_from_pixels(
    trained: TrainResult, drawn: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed_probe, "FULL_ROWS", 0)
    monkeypatch.setattr(linear_probe, "GRID_CLASSES", CLASSES)
    live = fine_tune(fresh_network(), drawn, replace(SETTINGS, unfreeze_from=0))
    assert "is factorized at rank" in live.classifier
    assert live.val_top1 == pytest.approx(trained.val_top1, abs=0.02)


def test_killed_while_it_factorizes_a_training_ends_the_same(
    trained: TrainResult, state: Path, drawn: Dataset, tmp_path: Path
) -> None:
    again = fine_tune(fresh_network(), drawn, SETTINGS, state_dir=shutil.copytree(state, tmp_path / "state"))
    assert any("resumed after epoch 0" in note for note in again.notes)
    own, other = trained.network.state_dict(), again.network.state_dict()
    assert own.keys() == other.keys()
    assert all(torch.equal(own[name], other[name]) for name in own)


def test_little_is_lost_against_the_full_classifier(
    trained: TrainResult, state: Path, drawn: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "outweighs", lambda variant: False)
    full = fine_tune(fresh_network(), drawn, SETTINGS, state_dir=shutil.copytree(state, tmp_path / "state"))
    assert (full.network.variant, full.classifier) == (variant(), "")
    assert full.val_top1 - trained.val_top1 < MOST_LOST
    assert 0.5 < full.temperature / trained.temperature < 2


def test_a_factorized_network_goes_through_every_file(trained: TrainResult, drawn: Dataset, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    meta = CheckpointMeta(trained.network.variant, trained.preprocessing, drawn.classes, 1.5, trained.val_top1)
    save_checkpoint(checkpoint, trained.network, meta)
    network, read = load_checkpoint(checkpoint)
    assert read.variant == trained.network.variant
    pixels = load_pixels(drawn.val, trained.preprocessing)[:200]
    expected = logits(network, pixels)
    assert (expected == logits(trained.network, pixels)).all()
    larger = network.at_resolution(40)
    assert larger.variant.head_rank == network.variant.head_rank
    assert larger.variant.params == network.variant.params

    deployed = deploy.deploy(network, 1.5)
    assert list(deploy.layers(deployed))[-2:] == ["classifier.reduce", "classifier.expand"]
    inputs = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.no_grad():
        np.testing.assert_allclose(deployed(inputs).numpy(), expected / 1.5, atol=1e-3)
        torch.testing.assert_close(fold_batch_norm(network)(inputs), network(inputs), atol=1e-3, rtol=1e-3)
    float_file = tmp_path / "float.tflite"
    litert.export_deployed(deployed, float_file)
    quantize_int8(float_file, pixels[:64], tmp_path / "int8.tflite")
    for file in (float_file, tmp_path / "int8.tflite"):
        facts = read_model(file)
        assert (facts.ops["FULLY_CONNECTED"], facts.partitions) == (2, 1)
    np.testing.assert_allclose(TFLite(float_file).logits(pixels), expected / 1.5, atol=1e-2)
    kept = compare(float_file, tmp_path / "int8.tflite", pixels)
    assert kept.sqnr_db > 10
    assert kept.top1 > 0.9

    reset_classifier(network, 7)
    assert network.variant == variant(7)
    with torch.no_grad():
        assert network(inputs[:2]).shape == (2, 7)
