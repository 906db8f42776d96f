"""Small real models, trained in a second and converted once per test session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from edgefit_toolkit.interpreter import Pixels
from edgefit_toolkit.network import scaling
from edgefit_toolkit.network.efficientnet import EfficientNet

SMALL_PX, SMALL_CLASSES = 64, 4
GROUNDS = np.array([(200, 60, 50), (60, 180, 70), (50, 80, 190), (190, 180, 70)])  # RGB, one per class


def drawn_pixels(n: int, seed: int = 0, resolution_px: int = SMALL_PX) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Blobs on a ground whose colour is the class: uint8 [n, R, R, 3] and labels [n]. Smooth, as photographs are."""
    chance = np.random.default_rng(seed)
    labels = chance.integers(0, SMALL_CLASSES, n)
    y, x = np.mgrid[0:resolution_px, 0:resolution_px] / resolution_px
    pictures = np.empty((n, resolution_px, resolution_px, 3))
    for picture, label in zip(pictures, labels, strict=True):
        picture[:] = GROUNDS[label] + chance.normal(0, 20, 3)
        for _ in range(4):
            (cy, cx), radius = chance.uniform(0, 1, 2), chance.uniform(0.05, 0.25)
            blob = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * radius**2))[..., None]
            picture[:] = picture * (1 - blob) + chance.uniform(0, 255, 3) * blob
    return pictures.round().clip(0, 255).astype(np.uint8), labels


def small_trained_network(family: str = "lite", steps: int = 40, seed: int = 0) -> EfficientNet:
    """A small network after a few steps of real training: it tells most grounds apart. Seconds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two threads on small layers wait for each other on a busy machine
    variant = scaling.variant_from_factors(0.5, 0.5, SMALL_PX, family, SMALL_CLASSES, phi=-4)
    torch.manual_seed(seed)
    network = EfficientNet.from_variant(variant).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.2
    pixels, labels = drawn_pixels(256, seed=seed + 100)
    inputs, targets = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128, torch.from_numpy(labels)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    for step in range(steps):
        batch = torch.arange(16) + step * 16 % len(inputs)
        loss = torch.nn.functional.cross_entropy(network(inputs[batch]), targets[batch], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.set_num_threads(threads)
    return network.eval()


@pytest.fixture(scope="session")
def small_network() -> EfficientNet:
    """A small Lite network in eval mode. Do not change it: it serves every test of the session."""
    return small_trained_network()


@pytest.fixture(scope="session")
def small_float_tflite(small_network: EfficientNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network as a float .tflite. Do not change the file."""
    from edgefit_converters.routes import litert

    path = tmp_path_factory.mktemp("models") / "small_float.tflite"
    litert.export_float(small_network, path)
    return path


@pytest.fixture(scope="session")
def small_int8_tflite(small_float_tflite: Path) -> Path:
    """The small network as an int8 .tflite with uint8 input and output. Do not change the file."""
    from edgefit_converters.int8 import quantize

    path = small_float_tflite.with_name("small_int8.tflite")
    quantize.quantize_int8(small_float_tflite, drawn_pixels(32, seed=1)[0], path)
    return path
