"""What a network answers, and how often that is right."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from edgefit_toolkit.data.preprocessing import Pixels, to_network_input
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.training.features import FORWARD_BATCH, Meter, OnEvent, ignore_event, in_batches

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """Answers on labelled pictures."""

    top1: float
    recall: tuple[float, ...]  # per class: the share of its pictures that are told right; nan for a class without any
    confusion: NDArray[np.int64]  # [truth, answer] counts
    probabilities: Floats = field(repr=False)  # [N, classes]


def predict(
    network: EfficientNet, pixels: Pixels, *, temperature: float = 1.0, on_event: OnEvent = ignore_event
) -> Floats:
    """Probabilities [N, classes] of pixels uint8 [N, R, R, 3]; see `logits`."""
    raw = torch.from_numpy(logits(network, pixels, temperature=temperature, on_event=on_event))
    return np.asarray(torch.softmax(raw, 1).numpy(), np.float32)


def logits(
    network: EfficientNet, pixels: Pixels, *, temperature: float = 1.0, on_event: OnEvent = ignore_event
) -> Floats:
    """Logits / temperature [N, classes] of pixels uint8 [N, R, R, 3], in float32, where the network's weights lie.

    The network's mode (training or eval) is as before afterwards.
    """
    device = next(network.parameters()).device
    meter = Meter(on_event, "evaluating", len(pixels))
    was_training = network.training
    network.eval()
    answers: list[Floats] = []
    try:
        with torch.inference_mode():
            for batch in in_batches(pixels, FORWARD_BATCH):
                x = to_network_input(batch).to(device, memory_format=torch.channels_last)
                answers.append((network(x) / temperature).cpu().numpy())
                meter.add(len(batch))
    finally:
        network.train(was_training)
    return np.concatenate(answers) if answers else np.empty((0, network.variant.classes), np.float32)


def evaluate(
    network: EfficientNet,
    pixels: Pixels,
    labels: Labels,
    *,
    temperature: float = 1.0,
    on_event: OnEvent = ignore_event,
) -> Evaluation:
    """Top-1, recall per class and confusion of labelled pixels uint8 [N, R, R, 3]."""
    return tally(predict(network, pixels, temperature=temperature, on_event=on_event), labels)


def tally(probabilities: Floats, labels: Labels) -> Evaluation:
    """The same from probabilities [N, classes] that are already there. Raises ValueError when there are none."""
    if len(labels) == 0 or len(labels) != len(probabilities):
        raise ValueError(f"{len(probabilities)} answers and {len(labels)} labels cannot be compared")
    classes = probabilities.shape[1]
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, probabilities.argmax(1)), 1)
    pictures = confusion.sum(1)
    right = np.diag(confusion)
    recall = tuple(float(r) / n if n else float("nan") for r, n in zip(right.tolist(), pictures.tolist(), strict=True))
    return Evaluation(float(right.sum() / len(labels)), recall, confusion, probabilities)
