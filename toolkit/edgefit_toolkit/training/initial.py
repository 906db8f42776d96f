"""The network that a training begins with."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.data.pixels import load_pixels
from edgefit_toolkit.data.preprocessing import preprocessing_for, to_network_input
from edgefit_toolkit.network import scaling
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.network.weights import Provenance, load_network
from edgefit_toolkit.progress import Progress, ignore_progress
from edgefit_toolkit.records import Variant
from edgefit_toolkit.training.compute import Device

FITTED_TO = (64, 512)  # pictures, fewest and most; where there are fewer photographs they are shown mirrored, too
FITTED_MADDS = 4e11  # of one forward pass over all of them: a few passes on two cores are a minute, and 3 GB


def initial_network(
    variant: Variant,
    dataset: Dataset,
    seed: int = 0,
    *,
    allow_download: bool = True,
    on_progress: Progress = ignore_progress,
    device: Device = "cpu",
) -> tuple[EfficientNet, Provenance]:
    """The variant with ImageNet weights and a new classifier for the data set's classes, and where they come from.

    A variant whose nearest released network is larger is cut from that and fitted to its answers on the data set's
    training pictures, without their labels. Raises DownloadError when no weights can be had, DataError when a picture
    cannot be read.
    """
    count = pictures_for(variant)
    order = np.random.default_rng(seed).permutation(len(dataset.train))[:count]
    photos = [dataset.train[index] for index in sorted(order)]

    def pictures() -> Tensor:
        pixels = load_pixels(
            photos, preprocessing_for(variant), on_progress=on_progress, label="reading training pictures"
        )
        x = to_network_input(pixels)
        return torch.cat([x, x.flip(3)])[:count]

    return load_network(
        scaling.with_classes(variant, len(dataset.classes)),
        allow_download=allow_download,
        on_progress=on_progress,
        seed=seed,
        pictures=pictures,
        device="cuda" if device == "cuda" else "cpu",  # MPS knows no float64
    )


def pictures_for(variant: Variant) -> int:
    """How many pictures a cut network is fitted to: fewer for a large one, whose activations are large, too."""
    fewest, most = FITTED_TO
    return min(max(int(FITTED_MADDS / variant.madds), fewest), most)
