"""A teacher: what it is asked, what its answers change, and whom --teacher may name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from support.one_thread import one_thread  # noqa: F401  (a fixture)
from support.training_parts import CLASSES, drawn_dataset, fresh_network, variant

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.data.pixels import load_pixels
from edgefit_toolkit.data.preprocessing import preprocessing_for, to_network_input
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.network.checkpoints import CheckpointMeta, save_checkpoint
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.pipeline.teacher import identity_of, open_teacher
from edgefit_toolkit.progress import Silent, ignore_progress
from edgefit_toolkit.training.compute import Compute
from edgefit_toolkit.training.fine_tune import TrainResult, fine_tune
from edgefit_toolkit.training.inputs import feature_store
from edgefit_toolkit.training.inputs.feature_store import FeatureStore
from edgefit_toolkit.training.inputs.features import prepare_inputs
from edgefit_toolkit.training.settings import TrainSettings
from edgefit_toolkit.training.teacher import Teacher, answers, distilled

SETTINGS = TrainSettings(seed=3, epochs=1, views=1, unfreeze_from=6, lr=1e-3, batch=16)
CHOICES = FitSettings(30.0, "pixel7", offline=True)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return drawn_dataset(tmp_path_factory.mktemp("drawn"), test=1)


@pytest.fixture(scope="module")
def trained(drawn: Dataset) -> TrainResult:
    return fine_tune(fresh_network(), drawn, SETTINGS)


def checkpoint(trained: TrainResult, folder: Path, classes: tuple[str, ...] = CLASSES, **training: object) -> Path:
    meta = CheckpointMeta(
        variant=trained.network.variant, preprocessing=preprocessing_for(trained.network.variant), classes=classes,
        temperature=1.0, val_top1=1.0, training=training,
    )  # fmt: skip
    save_checkpoint(folder / "checkpoint.safetensors", trained.network, meta)
    return folder / "checkpoint.safetensors"


def test_the_loss_is_least_where_the_teacher_is_repeated() -> None:
    taught = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)) * 3
    truth = taught.argmax(1)
    same, other = distilled(taught, truth, taught), distilled(taught, truth, -taught)
    assert same < other
    labels_only = torch.nn.functional.cross_entropy(taught, truth)
    torch.testing.assert_close(same, labels_only / 2)  # nothing is left to learn of the teacher's half


def test_a_teacher_sees_pictures_at_its_own_size(trained: TrainResult) -> None:
    teacher = Teacher(trained.network)
    small = torch.randn(5, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    assert teacher(small).shape == (5, len(CLASSES))
    exact = torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(teacher(exact), trained.network(exact).detach(), atol=1e-5, rtol=1e-4)
    shares = torch.tensor([0.5, 0.3, 0.2]).log()
    torch.testing.assert_close(Teacher(trained.network, shares)(small), teacher(small) + shares)


def test_its_answers_are_kept_of_the_same_part_of_each_picture(trained: TrainResult, drawn: Dataset) -> None:
    """At its own size, 64 px: twice that of the network that learns, whose crop keeps half of a side."""
    small = fresh_network().at_resolution(32)
    exact = Compute("cpu", "in float32", bf16_forward=False, bf16_training=False)
    inputs = prepare_inputs(small, drawn, SETTINGS, exact, ignore_progress)
    said = answers(Teacher(trained.network), inputs, exact, ignore_progress, FeatureStore(None, ""))
    assert [len(logits) for logits in said] == [len(drawn.train)] * 2
    seen = dataclasses.replace(inputs.views.preprocessing, resolution_px=64, crop_padding_px=64)
    crops = to_network_input(load_pixels(drawn.train, seen))
    torch.testing.assert_close(said[0], trained.network(crops).detach(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("unfreeze_from", [6, 0])
def test_it_changes_what_is_learnt(unfreeze_from: int, trained: TrainResult, drawn: Dataset) -> None:
    """A teacher that takes every class for another pulls the network away from the labels."""
    settings = dataclasses.replace(SETTINGS, unfreeze_from=unfreeze_from)
    wrong = fresh_network()
    with torch.no_grad():
        wrong.load_state_dict(trained.network.state_dict())
        wrong.classifier.weight.copy_(trained.network.classifier.weight.roll(1, 0) * 3)
        wrong.classifier.bias.copy_(trained.network.classifier.bias.roll(1, 0) * 3)
    misled = fine_tune(fresh_network(), drawn, dataclasses.replace(settings, teacher="wrong"), teacher=Teacher(wrong))
    alone = fine_tune(fresh_network(), drawn, settings)
    assert misled.trace[0].val_loss == alone.trace[0].val_loss  # the probe has no teacher
    assert misled.trace[1].val_top1 < alone.trace[1].val_top1 - 0.05


def test_answers_that_were_killed_go_on(
    trained: TrainResult, drawn: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_store, "SAVE_EVERY_S", 0.0)
    settings = dataclasses.replace(SETTINGS, teacher="larger", epochs=0)
    passed: list[int] = []

    def stops(label: str, done: int, total: int, detail: str = "") -> None:
        if label == "the teacher's answers" and done == 52:  # 36 crops and a batch of their views
            raise KeyboardInterrupt

    def listens(label: str, done: int, total: int, detail: str = "") -> None:
        if label == "the teacher's answers":
            passed.append(done)

    teacher = Teacher(trained.network)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(fresh_network(), drawn, settings, stops, state_dir=tmp_path, teacher=teacher)
    fine_tune(fresh_network(), drawn, settings, listens, state_dir=tmp_path, teacher=teacher)
    assert passed == [68, 72]
    fine_tune(fresh_network(), drawn, settings, state_dir=tmp_path / "undisturbed", teacher=teacher)
    kept, undisturbed = (folder / "answers-0" / "answers.bin" for folder in (tmp_path, tmp_path / "undisturbed"))
    assert kept.read_bytes() == undisturbed.read_bytes()


def test_a_run_or_its_checkpoint_teaches(trained: TrainResult, drawn: Dataset, tmp_path: Path) -> None:
    file = checkpoint(trained, tmp_path, settings={"balance": True})
    assert identity_of(str(file)) == identity_of(str(tmp_path))
    found = open_teacher(str(tmp_path), drawn, CHOICES, Silent())
    assert found.network.variant == variant()
    assert found.log_shares is not None  # it was balanced: what that took off belongs to its answers
    torch.testing.assert_close(found.log_shares.exp(), torch.full((3,), 1 / 3))


def test_one_of_other_classes_is_refused(trained: TrainResult, drawn: Dataset, tmp_path: Path) -> None:
    file = checkpoint(trained, tmp_path, classes=("a", "b", "c"))
    with pytest.raises(InputError, match=r"other classes apart: 3 \(a, b, c\); the data set has 3 \(lines"):
        open_teacher(str(file), drawn, CHOICES, Silent())


@pytest.mark.parametrize("what", ["lite9", "nothing.safetensors", "."])
def test_what_is_no_teacher_is_refused_before_training(what: str) -> None:
    with pytest.raises(InputError, match="is no teacher"):
        identity_of(what)


@pytest.mark.slow  # 36 pictures twice through Lite0 at 224 px
def test_a_released_network_teaches_after_its_classifier_was_fitted(drawn: Dataset) -> None:
    assert identity_of("Lite0") == "lite0"
    found = open_teacher("lite0", drawn, CHOICES, Silent())
    assert found.network.variant.classes == len(CLASSES)
    assert found.log_shares is None
