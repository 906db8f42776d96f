"""What a network answers."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from edgefit_toolkit.data.decoding import Pixels
from edgefit_toolkit.data.preprocessing import to_network_input
from edgefit_toolkit.network.efficientnet import EfficientNet, fold_batch_norm
from edgefit_toolkit.progress import Progress, ignore_progress
from edgefit_toolkit.training.compute import slices
from edgefit_toolkit.training.inputs.features import Meter

Floats = NDArray[np.float32]
EVALUATED_AT_ONCE = 16


def predict(network: EfficientNet, pixels: Pixels, *, temperature: float = 1.0) -> Floats:
    """Probabilities [N, classes] of pixels uint8 [N, R, R, 3]; see `logits`."""
    raw = torch.from_numpy(logits(network, pixels, temperature=temperature))
    return np.asarray(torch.softmax(raw, 1).numpy(), np.float32)


def logits(
    network: EfficientNet, pixels: Pixels, *, temperature: float = 1.0, on_progress: Progress = ignore_progress
) -> Floats:
    """Logits / temperature [N, classes] of pixels uint8 [N, R, R, 3], in float32, where the network's weights lie.

    It answers as in eval mode, and is left as it is.
    """
    device = next(network.parameters()).device
    meter = Meter(on_progress, "evaluating", len(pixels))
    folded = fold_batch_norm(network)
    answers: list[Floats] = []
    with torch.inference_mode():
        for at in range(0, len(pixels), EVALUATED_AT_ONCE):
            batch = pixels[at : at + EVALUATED_AT_ONCE]
            pictures = to_network_input(batch, device=device.type).contiguous(memory_format=torch.channels_last)
            answers += [(folded(x) / temperature).cpu().numpy() for x in slices(pictures)]
            meter.add(len(batch))
    return np.concatenate(answers) if answers else np.empty((0, network.variant.classes), np.float32)
