"""Linear probe, temperature, and the words about an epoch."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from edgefit_toolkit.records import Epoch
from edgefit_toolkit.training.probe import linear_probe, streamed_probe
from edgefit_toolkit.training.probe.linear_probe import (
    LinearProbe,
    best_probe,
    fit_probes,
    fit_temperature,
    grid_for,
    score,
    softer_probe,
)
from edgefit_toolkit.training.trace import best_of, observe


def fit_probe(*data: torch.Tensor) -> LinearProbe:
    return best_probe(fit_probes(*data, classes=3))


def clusters(n: int, seed: int, spread: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Three Gaussian clouds in 20 dimensions of very different scales, one of them constant: features and labels."""
    random = torch.Generator().manual_seed(seed)
    centres = torch.randn(3, 20, generator=torch.Generator().manual_seed(99))
    labels = torch.arange(n) % 3
    features = centres[labels] + spread * torch.randn(n, 20, generator=random)
    features[:, 19] = 7.0
    return features * torch.logspace(-2, 2, 20), labels


def test_probe_separates_clouds() -> None:
    probe = fit_probe(*clusters(90, 1), *clusters(60, 2))
    held_out, labels = clusters(300, 3)
    loss, top1 = score(torch.nn.functional.linear(held_out, probe.weight, probe.bias), labels)
    assert top1 >= 0.9  # chance is .33
    assert loss < 0.5 * math.log(3)


def test_probe_writes_itself_into_a_layer() -> None:
    features, labels = clusters(60, 1)
    probe = fit_probe(features, labels, *clusters(30, 2))
    layer = torch.nn.Linear(20, 3)
    probe.into(layer)
    assert score(layer(features).detach(), labels) == pytest.approx((probe.train_loss, probe.train_top1), rel=1e-5)


def test_probe_takes_stronger_l2_for_noisier_features() -> None:
    easy = fit_probe(*clusters(60, 1, 0.3), *clusters(60, 2, 0.3))
    noisy = fit_probe(*clusters(60, 1, 6.0), *clusters(60, 2, 6.0))
    assert noisy.l2 > easy.l2


def test_probe_is_best_on_val_among_its_grid() -> None:
    data = (*clusters(60, 1, 3.0), *clusters(60, 2, 3.0))
    chosen = fit_probe(*data)
    alone = [fit_probes(*data, classes=3, l2_grid=(l2,))[0].val_loss for l2 in (1.0, 0.1, 0.01)]
    assert chosen.val_loss <= min(alone) + 1e-3


def test_softer_probe_fits_its_training_set_less() -> None:
    probes = fit_probes(*clusters(60, 1), *clusters(60, 2), classes=3)
    assert [softer_probe(probes, than=probe).l2 for probe in probes] == [1.0, 1.0, 1.0, 0.3, 0.1, 0.03]
    assert softer_probe(probes, than=probes[-1]).train_loss > probes[-1].train_loss


@pytest.mark.parametrize("noise", [1.0, 3.0])
def test_streamed_probes_are_those_of_the_full_solve(noise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed_probe, "CHUNK_ROWS", 500)  # several of them
    monkeypatch.setattr(streamed_probe, "BATCH", 16)  # as many steps as there are with many rows
    data = (*clusters(1500, 1, noise), *clusters(300, 2, noise))
    full, streamed = fit_probes(*data, classes=3), streamed_probe.fit_streamed(*data, classes=3)
    assert [probe.l2 for probe in streamed] == [probe.l2 for probe in full]
    for one, other in zip(full, streamed, strict=True):
        assert other.val_loss == pytest.approx(one.val_loss, rel=0.05, abs=0.01)
        assert other.train_loss == pytest.approx(one.train_loss, rel=0.05, abs=0.01)
    assert streamed[0].train_loss > streamed[-1].train_loss
    again = streamed_probe.fit_streamed(*data, classes=3)
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(streamed, again, strict=True))


@pytest.mark.parametrize("fit", [fit_probes, streamed_probe.fit_streamed])
def test_a_probe_of_many_classes_tries_weaker_l2(
    fit: Callable[..., tuple[LinearProbe, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed_probe, "BATCH", 16)
    assert grid_for(5) == linear_probe.L2_GRID
    random = torch.Generator().manual_seed(0)
    classes = 300
    centres = torch.randn(classes, 40, generator=random)
    train, val = (torch.arange(classes * each) % classes for each in (4, 2))
    rows = [centres[labels] + 0.5 * torch.randn(len(labels), 40, generator=random) for labels in (train, val)]
    data = (rows[0], train, rows[1], val, classes)
    weaker, same = fit(*data), fit(*data, linear_probe.L2_GRID)
    assert [probe.l2 for probe in weaker] == pytest.approx([l2 / 30 for l2 in linear_probe.L2_GRID])
    assert best_probe(weaker).val_loss < 0.7 * best_probe(same).val_loss


def test_where_the_full_solve_ends() -> None:
    assert not streamed_probe.is_large(rows=250 * 9, classes=5)
    assert streamed_probe.is_large(rows=50_000, classes=1081)
    assert streamed_probe.is_large(rows=60_000, classes=2)


def test_scores_in_parts_are_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_probe, "PART_ROWS", 7)
    features, labels = clusters(30, 1)
    weight, bias = torch.randn(3, 20, generator=torch.Generator().manual_seed(0)), torch.zeros(3)
    whole = score(torch.nn.functional.linear(features, weight, bias), labels)
    assert linear_probe.score_in_parts(features, weight, bias, labels) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_temperature_finds_the_factor_that_confidences_are_off_by(factor: float) -> None:
    random = torch.Generator().manual_seed(0)
    honest = 2 * torch.randn(4000, 5, generator=random)
    labels = torch.multinomial(torch.softmax(honest, 1), 1, generator=random)[:, 0]
    assert fit_temperature(honest * factor, labels) == pytest.approx(factor, rel=0.05)


def test_temperature_stays_sane_when_all_is_right() -> None:
    logits = torch.eye(3).repeat(5, 1) * 4
    temperature = fit_temperature(logits, logits.argmax(1))
    assert 0.25 <= temperature <= 1


def line(epoch: int, train_loss: float, val_loss: float, val_top1: float, train_top1: float = 0.9) -> Epoch:
    phase = "finetune" if epoch else "probe"
    return Epoch(epoch, phase, train_loss, train_top1, val_loss, val_top1, 10.0, 1e-4)


def test_what_stays_true_is_said_once() -> None:
    first, second = line(1, 0.4, 0.35, 0.92, train_top1=1.0), line(2, 0.3, 0.34, 0.93, train_top1=1.0)
    assert "every training picture" not in observe([START, first, second], patience=2)


START = line(0, 0.5, 0.40, 0.90)


@pytest.mark.parametrize(
    ("later", "said"),
    [
        ([], "a linear classifier on frozen ImageNet features, val top-1 0.900"),
        ([line(1, 0.4, 0.35, 0.92)], "best so far, val top-1 +0.020"),
        ([line(1, 0.4, 0.35, 0.90)], "best so far, by its lower val loss"),
        ([line(1, 0.4, 0.45, 0.90)], "val loss rises while train loss falls: overfitting begins"),
        ([line(1, 0.4, 0.39, 0.88)], "val top-1 -0.020 against epoch 0, the best"),
        ([line(1, 0.4, 0.401, 0.90)], "no change on val"),
        ([line(1, 0.6, 0.45, 0.90)], "as many val pictures right as at best, with a higher loss"),
        ([line(1, 0.4, 0.35, 0.92, train_top1=1.0)], "every training picture is told right"),
        ([line(1, 0.4, 0.5, 0.88), line(2, 0.4, 0.5, 0.88)], "nothing better in 2 epochs: training stops here"),
    ],
)
def test_an_epoch_in_words(later: list[Epoch], said: str) -> None:
    assert said in observe([START, *later], patience=2)


def test_best_is_the_earlier_among_equals() -> None:
    assert best_of([START, line(1, 0.4, 0.40, 0.90)]) is START
    assert best_of([START, line(1, 0.4, 0.50, 0.91)]).epoch == 1
