"""Fine-tuning: a linear probe on cached features, then the upper layers on cached activations of augmented views.

1. read      training pictures with room for augmentation; validation pictures as the app will see them
2. features  one pass of every view through the network; activations are kept where the upper layers begin; so are a
             teacher's answers to every view
3. probe     logistic regression on the pooled features goes into the classifier: the start, and the one to beat
4. fine-tune AdamW on upper layers, head and classifier; a moving average of the weights is what counts
5. finish    the best epoch's weights, each class counting alike where that is asked for; a classifier that outweighs
             the rest of the network becomes two layers; a softmax temperature makes confidences honest

The amount of work follows from the settings alone and every random number from the seed and the epoch, so that the
same seed gives the same weights on the same machine, also when the run was killed and resumed in between.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.data.preprocessing import preprocessing_for
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.files import key_of
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.progress import Progress, ignore_progress
from edgefit_toolkit.records import Epoch, Preprocessing
from edgefit_toolkit.training.compute import Compute, choose_compute
from edgefit_toolkit.training.factorized import factorize, outweighs
from edgefit_toolkit.training.inputs.feature_store import ANSWERS, FOLDER, FeatureStore
from edgefit_toolkit.training.inputs.features import prepare_inputs
from edgefit_toolkit.training.probe.linear_probe import fit_temperature, score
from edgefit_toolkit.training.settings import TrainSettings
from edgefit_toolkit.training.state import Keeper
from edgefit_toolkit.training.teacher import Teacher, answers
from edgefit_toolkit.training.trace import best_of
from edgefit_toolkit.training.trainer import Trainer
from edgefit_toolkit.training.world import ALONE, World


@dataclass(frozen=True)
class TrainResult:
    """A fine-tuned network and how it came about."""

    network: EfficientNet  # eval mode, on the CPU; the object that was handed in
    trace: tuple[Epoch, ...]  # epoch 0 is the probe
    best_epoch: int
    val_top1: float  # of the best epoch, in float32
    temperature: float  # divide the logits by it before the softmax
    settings: TrainSettings
    preprocessing: Preprocessing
    seconds: float  # of this process; a resumed run's first part is not in it
    notes: tuple[str, ...] = ()
    classifier: str = ""  # whether it is factorized and why; empty where it does not outweigh the rest of the network


def fine_tune(
    network: EfficientNet,
    dataset: Dataset,
    settings: TrainSettings,
    on_progress: Progress = ignore_progress,
    *,
    state_dir: Path | None = None,
    compute: Compute | None = None,
    world: World = ALONE,
    teacher: Teacher | None = None,
) -> TrainResult:
    """Trains `network` (ImageNet weights, a classifier for the data set's classes) in place.

    With `state_dir` features, activations and a teacher's answers lie there, and the state is kept there after every
    epoch and every few minutes within one; the same call goes on from them, or finds the end; the folder is the
    caller's to remove, once the result is safe. Of the processes of a `world`, which all call this with the same data
    set and settings, the first brings the weights and keeps the state, and each has its own features.
    A `teacher`, which `settings.teacher` names, tells the network what it would answer, beside the labels.
    Raises InputError when network and data set have different class counts, for a classifier that is factorized
    already, or for more processes than pictures, DataError when a picture cannot be read any more, OutputError when the
    state cannot be written, TrainingError for a loss that is not finite.
    """
    if network.variant.classes != len(dataset.classes):
        raise InputError(
            f"the network tells {network.variant.classes} classes apart, the data set has {len(dataset.classes)}",
            "make it with weights.load_network(scaling.with_classes(variant, n))",
        )
    if network.variant.head_rank is not None:
        raise InputError(
            "the network's classifier is factorized already", "efficientnet.reset_classifier makes it anew"
        )
    started = time.monotonic()
    compute = compute or choose_compute()
    if len(dataset.train) < world.size:
        raise InputError(
            f"{len(dataset.train)} training pictures for {world.size} processes", "take fewer processes: --processes"
        )
    world.copy_from_first(network.state_dict().values())
    if teacher is not None:
        world.copy_from_first(teacher.network.state_dict().values())
        teacher.network.to(compute.device).eval()
    key = _key(network, dataset, settings, compute, world)
    keeper = Keeper(state_dir if world.first else None, key)
    store = FeatureStore(None if state_dir is None else state_dir / FOLDER.format(rank=world.rank), key)
    saved = world.by_first(keeper.load)
    notes = [f"trained on {compute.name}"]
    network.to(compute.device)
    network.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]  # eval: BN statistics stay
    for parameter in network.parameters():
        parameter.requires_grad_(False)

    # 1. read, 2. features
    inputs = prepare_inputs(network, dataset, settings, compute, on_progress, world, store)
    if teacher is not None and inputs.cut:
        told = FeatureStore(None if state_dir is None else state_dir / ANSWERS.format(rank=world.rank), key)
        inputs = replace(inputs, taught=answers(teacher, inputs, compute, on_progress, told))

    # 3. probe
    trainer = Trainer(network, inputs, settings, compute, on_progress, saved, world, teacher)
    trace = trainer.trace
    if saved is not None:
        within = f" and {saved.position.step} steps" if saved.position.step else ""
        notes.append(f"resumed after epoch {trace[-1].epoch}{within}")
    else:
        notes += [f"resumed after the features of {store.found:,} pictures"] if store.found else []
        keeper.save(trainer.state())

    def after_step() -> None:
        if keeper.due:
            keeper.save(trainer.state())

    # 4. fine-tune
    while trace[-1].epoch < settings.epochs and trace[-1].epoch - best_of(trace).epoch < settings.patience:
        trainer.epoch(after_step)
        keeper.save(trainer.state())

    # 5. finish
    best = best_of(trace)
    logits = trainer.finish()
    if best.phase == "probe" and settings.epochs > 0:
        notes.append("fine-tuning never beat the linear probe on val: the probe is kept")
    classifier = ""
    if settings.factorize and outweighs(network.variant):
        classifier, logits = factorize(trainer)
        notes.append(classifier)
    trainer.release()
    return TrainResult(
        network=network,
        trace=tuple(trace),
        best_epoch=best.epoch,
        val_top1=score(trainer.balanced(logits), inputs.val_labels)[1],
        temperature=fit_temperature(logits, inputs.val_labels),
        settings=settings,
        preprocessing=preprocessing_for(network.variant),
        seconds=time.monotonic() - started,
        notes=tuple(notes),
        classifier=classifier,
    )


def _key(network: EfficientNet, dataset: Dataset, settings: TrainSettings, compute: Compute, world: World) -> str:
    """What a resumed training must share with the one before: settings, pictures, first weights, processor."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        if not name.startswith("classifier."):  # the probe writes that one
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    data: Any = dataset.sha256 or [[photo.name, photo.label] for photo in (*dataset.train, *dataset.val)]
    return key_of(
        settings=asdict(settings), variant=asdict(network.variant), weights=digest.hexdigest(),
        data=data, compute=asdict(compute), processes=world.size,
        torch=torch.__version__,
    )  # fmt: skip
