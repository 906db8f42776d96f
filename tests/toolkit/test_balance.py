"""The long tail: when classes are balanced, that it helps where it should, and that nothing else changes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.training_parts import drawn_dataset, fresh_network, variant

from edgefit_toolkit.data.dataset import Dataset, labels
from edgefit_toolkit.data.pixels import load_pixels
from edgefit_toolkit.host import environment
from edgefit_toolkit.pipeline.run_directory.run import open_run
from edgefit_toolkit.pipeline.settings import Balance, FitSettings
from edgefit_toolkit.pipeline.stages.job import Job
from edgefit_toolkit.pipeline.stages.train import Train
from edgefit_toolkit.progress import Silent
from edgefit_toolkit.training.balance import ASKS_FROM, asks_for_balance, log_shares, mean_recall
from edgefit_toolkit.training.evaluation import logits
from edgefit_toolkit.training.fine_tune import TrainResult, fine_tune
from edgefit_toolkit.training.settings import TrainSettings

KEPT = {"train": (24, 2, 1), "val": (12, 2, 1)}  # pictures of each class
SETTINGS = TrainSettings(seed=1, epochs=2, views=1, unfreeze_from=6, lr=1e-4, batch=16)


@pytest.fixture(scope="module")
def tailed(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Drawn patterns, most of them lines; 60 test pictures, of each class as many."""
    whole = drawn_dataset(tmp_path_factory.mktemp("tailed"), train=24, val=12)
    cut = {}
    for split, kept in KEPT.items():
        own = [[photo for photo in whole.split(split) if photo.label == label] for label in range(len(kept))]
        cut[split] = tuple(photo for photos, count in zip(own, kept, strict=True) for photo in photos[:count])
    return dataclasses.replace(whole, train=cut["train"], val=cut["val"])


@pytest.fixture(scope="module")
def both(tailed: Dataset) -> dict[bool, TrainResult]:
    """Trained without and with balance."""
    torch.set_num_threads(1)
    return {
        balance: fine_tune(fresh_network(), tailed, dataclasses.replace(SETTINGS, balance=balance))
        for balance in (False, True)
    }


def test_the_mean_over_classes_rises(both: dict[bool, TrainResult], tailed: Dataset) -> None:
    truth = torch.from_numpy(labels(tailed.test))
    found = {}
    for balance, result in both.items():
        answers = torch.from_numpy(logits(result.network, load_pixels(tailed.test, result.preprocessing)))
        found[balance] = mean_recall(answers, truth)
    assert found[True] >= found[False] + 0.03


def test_the_checkpoint_tells_val_as_the_trace_says(both: dict[bool, TrainResult], tailed: Dataset) -> None:
    for result in both.values():
        answers = logits(result.network, load_pixels(tailed.val, result.preprocessing))
        assert (answers.argmax(1) == labels(tailed.val)).mean() == pytest.approx(result.val_top1)
        assert result.trace[result.best_epoch].val_top1 == result.val_top1


def test_the_best_epoch_is_that_of_the_mean_over_classes(both: dict[bool, TrainResult]) -> None:
    balanced, plain = both[True].trace, both[False].trace
    recalls = [line.val_recall for line in balanced]
    assert recalls[both[True].best_epoch] == max(recall for recall in recalls if recall is not None)
    assert "mean over classes" in balanced[0].observation
    assert all(line.val_recall is None for line in plain)
    # the same training, judged otherwise
    assert [line.train_loss for line in balanced] == [line.train_loss for line in plain]


def test_a_shift_of_the_bias_is_training_on_shifted_logits() -> None:
    """Menon's loss on a network whose bias began that much lower takes the same steps."""
    random = torch.Generator().manual_seed(0)
    features, truth = torch.randn(64, 8, generator=random), torch.randint(0, 4, (64,), generator=random) ** 2 // 3
    shares = log_shares(truth, 4)
    ends = []
    for shift in (torch.zeros(4), shares):
        layer = torch.nn.Linear(8, 4)
        with torch.no_grad():
            layer.weight.copy_(torch.linspace(-1, 1, 32).view(4, 8))
            layer.bias.copy_(-shift)
        groups = [{"params": [layer.weight], "weight_decay": 0.05}, {"params": [layer.bias], "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=0.01)
        for _ in range(20):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(features) + shift, truth).backward()
            optimizer.step()
        ends.append((layer.weight.detach(), layer.bias.detach() + shift))
    torch.testing.assert_close(ends[0], ends[1])


@given(st.lists(st.integers(1, 500), min_size=2, max_size=20))
def test_only_a_tail_asks_for_balance(counts: list[int]) -> None:
    assert asks_for_balance(counts) == (max(counts) >= ASKS_FROM * min(counts))
    assert not asks_for_balance([counts[0]] * len(counts))


def test_equal_shares_change_no_answer() -> None:
    shares = log_shares(torch.arange(5).repeat(7), 5)
    assert shares.unique().numel() == 1
    absent = log_shares(torch.tensor([0, 0, 2]), 4)
    assert torch.isfinite(absent).all()


def test_classes_without_a_picture_do_not_count() -> None:
    answers = torch.from_numpy(np.eye(4, dtype=np.float32)[[0, 0, 1, 3]])
    assert mean_recall(answers, torch.tensor([0, 0, 0, 3])) == pytest.approx((2 / 3 + 1) / 2)


@pytest.mark.parametrize(("asked", "balanced"), [("auto", True), ("on", True), ("off", False)])
def test_a_run_balances_a_tail_and_says_so(asked: Balance, balanced: bool, tailed: Dataset, tmp_path: Path) -> None:
    choices = FitSettings(30.0, "pixel7", balance=asked)
    with open_run(tmp_path / "run", settings={}, environment=environment()) as run:
        tail = Train(Job(choices, run, Silent(), variant(), tailed))
        even = Train(Job(choices, run, Silent(), variant(), dataclasses.replace(tailed, train=tailed.test)))
        assert tail.settings.balance == balanced
        assert tail.key.parts["settings"]["balance"] == balanced
        assert "the largest class has 24 training pictures, the smallest 1" in tail.balance
        assert ("each class counts alike" in tail.balance) == balanced
        assert tail.warnings() == ()
        untested = dataclasses.replace(tailed, test=[photo for photo in tailed.test if photo.label][:10])
        assert "only 5 test pictures" in Train(Job(choices, run, Silent(), variant(), untested)).warnings()[0]
        assert even.settings.balance == (asked == "on")
        assert (even.balance == "") == (asked != "on")
