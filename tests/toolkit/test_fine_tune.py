"""Fine-tuning on real files with the real Lite0 weights, small enough for seconds."""

from __future__ import annotations

import dataclasses
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.one_thread import one_thread  # noqa: F401  (a fixture)
from support.training_parts import CLASSES, SIZE_PX, drawn_dataset, fresh_network, variant

from edgefit_toolkit.data.dataset import Dataset, Photo
from edgefit_toolkit.data.dataset import labels as labels_of
from edgefit_toolkit.data.pixels import load_pixels
from edgefit_toolkit.data.sources import load_dataset
from edgefit_toolkit.errors import InputError, OutputError, TrainingError
from edgefit_toolkit.network import scaling
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.progress import ignore_progress
from edgefit_toolkit.training.compute import choose_compute
from edgefit_toolkit.training.evaluation import predict
from edgefit_toolkit.training.fine_tune import TrainResult, fine_tune
from edgefit_toolkit.training.inputs.features import UpperPart, lower, prepare_inputs
from edgefit_toolkit.training.settings import (
    STAGES,
    TrainSettings,
    cut_values,
    first_block,
)
from edgefit_toolkit.training.state import Keeper
from edgefit_toolkit.training.trainer import Trainer

SETTINGS = TrainSettings(seed=3, epochs=4, views=2, unfreeze_from=6, lr=1e-3, batch=16)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """36 training, 24 val and 60 test pictures. Do not change the files."""
    return drawn_dataset(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def trained(drawn: Dataset) -> TrainResult:
    return fine_tune(fresh_network(), drawn, SETTINGS)


def right(result: TrainResult, photos: Sequence[Photo]) -> NDArray[np.bool_]:
    """Which photographs the trained network tells right."""
    answers = predict(result.network, load_pixels(photos, result.preprocessing)).argmax(1)
    return np.asarray(answers == labels_of(photos))


def weights_of(network: EfficientNet) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same_weights(one: EfficientNet, other: EfficientNet) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_learns_what_it_was_shown(trained: TrainResult, drawn: Dataset) -> None:
    assert right(trained, drawn.test).mean() >= 0.75  # chance is .33; a test set of 60
    assert trained.trace[-1].train_loss < trained.trace[1].train_loss


def test_learns_flowers(flowers_dir: Path) -> None:
    flowers = load_dataset(str(flowers_dir), seed=0)
    few = dataclasses.replace(flowers, train=flowers.train[::4], val=flowers.val[::2])
    settings = TrainSettings(epochs=1, views=1, unfreeze_from=STAGES)
    result = fine_tune(fresh_network(5), few, settings)
    told = right(result, flowers.test)
    assert told.mean() >= 0.5  # chance is .2; at 64 px from 63 photographs
    truth = labels_of(flowers.test)
    assert all(told[truth == label].any() for label in range(5))


def test_trace_tells_the_training(trained: TrainResult) -> None:
    assert [line.epoch for line in trained.trace] == list(range(len(trained.trace)))
    assert [line.phase for line in trained.trace] == ["probe"] + ["finetune"] * (len(trained.trace) - 1)
    assert all(line.observation and line.images_per_s > 0 for line in trained.trace)
    learning_rates = [line.lr for line in trained.trace[1:]]
    assert learning_rates == sorted(learning_rates, reverse=True)
    assert learning_rates[0] <= SETTINGS.lr


def test_best_epoch_is_what_is_handed_over(trained: TrainResult, drawn: Dataset) -> None:
    best = trained.trace[trained.best_epoch]
    assert trained.val_top1 == best.val_top1 == max(line.val_top1 for line in trained.trace)
    assert right(trained, drawn.val).mean() == trained.val_top1
    assert not trained.network.training
    assert all(weight.requires_grad for weight in trained.network.parameters())


def test_only_layers_above_the_cut_change(trained: TrainResult) -> None:
    assert trained.best_epoch > 0, "this test needs a training whose fine-tuning helps"
    before, after = weights_of(fresh_network()), weights_of(trained.network)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    cut = first_block(variant(), SETTINGS.unfreeze_from)
    expected = {f"blocks.{index}" for index in range(cut, len(trained.network.blocks))} | {"head", "classifier"}
    assert {".".join(name.split(".")[: 2 if name.startswith("blocks") else 1]) for name in changed} == expected
    assert not any("running" in name for name in changed)


def test_same_seed_same_weights(trained: TrainResult, drawn: Dataset) -> None:
    again = fine_tune(fresh_network(), drawn, SETTINGS)
    assert same_weights(again.network, trained.network)
    assert again.temperature == trained.temperature
    other = fine_tune(fresh_network(), drawn, dataclasses.replace(SETTINGS, seed=4))
    assert not same_weights(other.network, trained.network)


@pytest.mark.parametrize(
    ("dies_in", "after", "resumed_after"),
    [
        ("fine-tuning epoch 1", 1, "epoch 0"),
        ("fine-tuning epoch 3", 1, "epoch 2"),
        ("fine-tuning epoch 2", 32, "epoch 1 and 2 steps"),
        ("features", 20, "the features of 32 pictures"),  # of the crops
        ("features", 100, "the features of 104 pictures"),  # of the views
    ],
)
def test_killed_training_resumes_and_ends_the_same(
    dies_in: str,
    after: int,
    resumed_after: str,
    trained: TrainResult,
    drawn: Dataset,
    tmp_path: Path,
) -> None:
    (tmp_path / "pictures").mkdir()
    script = ["-m", "support.killed_training", str(tmp_path / "pictures"), str(tmp_path / "state"), dies_in, str(after)]
    killed = subprocess.run(
        [sys.executable, *script],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = fine_tune(fresh_network(), drawn, SETTINGS, state_dir=tmp_path / "state")
    assert same_weights(resumed.network, trained.network)
    assert resumed.temperature == trained.temperature
    assert [(e.train_loss, e.val_loss) for e in resumed.trace] == [(e.train_loss, e.val_loss) for e in trained.trace]
    said = [note for note in resumed.notes if note.startswith("resumed")]
    assert said == [f"resumed after {resumed_after}"]


@pytest.fixture
def interrupted(drawn: Dataset, tmp_path: Path) -> Path:
    """The state of a training that was stopped in epoch 2."""

    class Stop(Exception):  # noqa: N818
        pass

    def on_progress(label: str, done: int, total: int, detail: str = "") -> None:
        if label.startswith("fine-tuning epoch 2"):
            raise Stop

    with pytest.raises(Stop):
        fine_tune(fresh_network(), drawn, SETTINGS, on_progress, state_dir=tmp_path / "state")
    return tmp_path / "state"


def test_a_resumed_training_reads_no_picture_again(interrupted: Path, drawn: Dataset) -> None:
    seen: dict[str, int] = {}

    def on_progress(label: str, done: int, total: int, detail: str = "") -> None:
        seen.setdefault(label, done)

    result = fine_tune(fresh_network(), drawn, SETTINGS, on_progress, state_dir=interrupted)
    assert not {"features", "reading training pictures"} & set(seen)
    assert result.trace[0].images_per_s > 0


def test_damaged_features_are_made_anew(interrupted: Path, trained: TrainResult, drawn: Dataset) -> None:
    (interrupted / "state.json").unlink()
    (interrupted / "features-0" / "activations.bin").write_bytes(b"short")
    result = fine_tune(fresh_network(), drawn, SETTINGS, state_dir=interrupted)
    assert not any(note.startswith("resumed") for note in result.notes)
    assert same_weights(result.network, trained.network)


def test_damaged_state_starts_anew(interrupted: Path, trained: TrainResult, drawn: Dataset) -> None:
    (file,) = interrupted.glob("*.safetensors")
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    result = fine_tune(fresh_network(), drawn, SETTINGS, state_dir=interrupted)
    assert [note for note in result.notes if note.startswith("resumed")] == [
        "resumed after the features of 132 pictures"
    ]
    assert same_weights(result.network, trained.network)


def test_state_of_another_training_is_not_used(interrupted: Path, drawn: Dataset) -> None:
    other = dataclasses.replace(SETTINGS, epochs=1)
    result = fine_tune(fresh_network(), drawn, other, state_dir=interrupted)
    assert not any(note.startswith("resumed") for note in result.notes)
    assert len(result.trace) == 2


def test_every_layer_can_train(drawn: Dataset) -> None:
    settings = TrainSettings(epochs=1, views=1, unfreeze_from=0, lr=1e-4, batch=12)
    network = fresh_network()
    before = weights_of(network)
    trainer_of(network, drawn, settings).epoch()
    after = weights_of(network)
    still = {name for name in before if torch.equal(before[name], after[name])}
    assert still == {name for name in before if "running" in name or "batches" in name}


def trainer_of(network: EfficientNet, dataset: Dataset, settings: TrainSettings) -> Trainer:
    compute = choose_compute("cpu")
    return Trainer(network, prepare_inputs(network, dataset, settings, compute, ignore_progress), settings, compute)


def test_a_loss_that_is_not_finite_ends_the_training(drawn: Dataset) -> None:
    trainer = trainer_of(fresh_network(), drawn, TrainSettings(epochs=1, views=0, unfreeze_from=6, batch=16))
    for view in trainer.inputs.activations:
        view.fill_(float("nan"))
    states = []
    with pytest.raises(TrainingError, match=r"step 1 in epoch 1 is nan") as told:
        trainer.epoch(lambda: states.append(trainer.state()))
    assert "--epochs 0" in told.value.hint
    assert [line.epoch for line in trainer.trace] == [0]
    assert states == []


def test_a_state_that_is_not_finite_replaces_none(drawn: Dataset, tmp_path: Path) -> None:
    trainer = trainer_of(fresh_network(), drawn, TrainSettings(epochs=1, views=0, unfreeze_from=6))
    keeper = Keeper(tmp_path, "key")
    keeper.save(trainer.state())
    with torch.no_grad():
        trainer.weights[0].fill_(float("nan"))
    assert not trainer.state().finite
    keeper.save(trainer.state())
    kept = keeper.load()
    assert kept is not None
    assert kept.finite


def test_a_full_disk_ends_the_training(drawn: Dataset, tmp_path: Path) -> None:
    """A limit on the size of files stands for it: the same call fails, with another reason."""
    trainer = trainer_of(fresh_network(), drawn, TrainSettings(epochs=1, views=0, unfreeze_from=6))
    keeper = Keeper(tmp_path, "key")
    keeper.save(trainer.state())
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    trainer.epoch()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(OutputError, match="training state cannot be written"):
            keeper.save(trainer.state())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_no_epochs_keep_the_probe(drawn: Dataset) -> None:
    result = fine_tune(fresh_network(), drawn, TrainSettings(epochs=0, views=0))
    assert [line.phase for line in result.trace] == ["probe"]
    assert result.best_epoch == 0


def test_patience_ends_training(drawn: Dataset) -> None:
    settings = dataclasses.replace(SETTINGS, lr=1e-12, epochs=9, patience=1, average=0.0, weight_decay=0.0)
    result = fine_tune(fresh_network(), drawn, settings)
    assert len(result.trace) < 10
    assert "training stops here" in result.trace[-1].observation


def test_network_of_other_classes_is_refused(drawn: Dataset) -> None:
    with pytest.raises(InputError, match=r"5 classes.* has 3"):
        fine_tune(EfficientNet.from_variant(variant(5)), drawn, SETTINGS)


def test_events_count_up_to_their_total(drawn: Dataset) -> None:
    last: dict[str, tuple[int, int]] = {}
    details: list[str] = []

    def on_progress(label: str, done: int, total: int, detail: str = "") -> None:
        assert last.get(label, (0, total))[0] <= done <= total
        last[label] = (done, total)
        details.append(detail)

    fine_tune(fresh_network(), drawn, dataclasses.replace(SETTINGS, epochs=1), on_progress)
    assert all(done == total for done, total in last.values())
    assert {"reading training pictures", "features", "linear probe", "fine-tuning epoch 1 of 1"} <= set(last)
    assert any("images/s" in detail and "left" in detail for detail in details)


@pytest.mark.parametrize("family", ["lite", "b"])
def test_lower_and_upper_part_are_the_network(family: str) -> None:
    network = EfficientNet.from_variant(scaling.variant_from_factors(0.5, 1.0, 64, family, 3, phi=-3)).eval()
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for cut in range(len(network.blocks) + 1):
            torch.testing.assert_close(UpperPart(network, cut)(lower(network, x, cut)), network(x))
    assert {id(p) for p in UpperPart(network, 0).parameters()} == {id(p) for p in network.parameters()}


def test_predict_keeps_the_mode_and_needs_no_full_batch(trained: TrainResult, drawn: Dataset) -> None:
    pixels = load_pixels(drawn.val[:17], trained.preprocessing)
    trained.network.train()
    try:
        probabilities = predict(trained.network, pixels)
        assert trained.network.training
    finally:
        trained.network.eval()
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(predict(trained.network, pixels[:1]), probabilities[:1], atol=1e-5)
    cooler = predict(trained.network, pixels, temperature=2.0)
    assert (cooler.argmax(1) == probabilities.argmax(1)).all()
    assert (cooler.max(1) <= probabilities.max(1) + 1e-6).all()
    assert predict(trained.network, pixels[:0]).shape == (0, len(CLASSES))


def test_cut_values_are_the_activations(drawn: Dataset) -> None:
    network = fresh_network()
    for stage in (2, 5, 6, STAGES):
        middle = lower(network, torch.zeros(1, 3, SIZE_PX, SIZE_PX), first_block(network.variant, stage))
        assert middle.numel() == cut_values(network.variant, stage)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's compiler imports it
def test_a_compiled_training_is_the_same_training(trained: TrainResult, drawn: Dataset) -> None:
    """Without a compiler behind it: every step goes through torch.compile's own door, and the weights are the same."""
    torch.compiler.set_stance("force_eager")
    try:
        result = fine_tune(fresh_network(), drawn, dataclasses.replace(SETTINGS, compiled=True))
    finally:
        torch.compiler.set_stance("default")
    assert same_weights(result.network, trained.network)


def test_bfloat16_trains_float32_weights(drawn: Dataset) -> None:
    """The arithmetic of a GPU's full training, on this CPU."""
    compute = dataclasses.replace(choose_compute("cpu"), bf16_forward=True, bf16_training=True)
    settings = TrainSettings(epochs=1, views=1, unfreeze_from=0, lr=1e-3, batch=18)
    network = fresh_network()
    inputs = prepare_inputs(network, drawn, settings, compute, ignore_progress)
    trainer = Trainer(network, inputs, settings, compute)
    seen: list[torch.dtype] = []
    trainer.upper.layers[-1].register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    trainer.epoch()
    assert seen[0] == torch.bfloat16
    assert seen[-1] == torch.float32  # val is judged exactly
    assert {weight.dtype for weight in trainer.weights} == {torch.float32}
    assert trainer.trace[1].train_loss < trainer.trace[0].train_loss + 2
