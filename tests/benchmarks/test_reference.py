"""The float reference in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgefit_benchmarks.reference import best_device, measure_reference
from edgefit_toolkit.errors import InputError


class Brightest(nn.Module):
    """Logits = mean of each colour, so the right answer is known."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[:, :, None, None])
            self.conv.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training
        return self.conv(x).mean((2, 3))


def pictures(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, n)
    pixels = rng.integers(0, 100, (n, 16, 16, 3), dtype=np.uint8)
    pixels[np.arange(n), :, :, labels] += 50
    return pixels, labels


def test_reference_grades_and_times_on_the_cpu() -> None:
    pixels, labels = pictures(50)
    labels[:10] = (labels[:10] + 1) % 3
    network = Brightest().train()
    found = measure_reference(network, pixels, labels, device="cpu", min_samples=20, min_seconds=0.01, batch=7)
    assert found.top1 == pytest.approx(40 / 50)
    assert found.n == 50
    assert len(found.samples_ms) >= 20
    assert 0 < found.p50_ms <= found.p90_ms
    assert (found.device, found.dtype) == ("cpu", "float32")
    assert found.hardware not in ("", "cpu")
    assert any("no GPU was found" in note for note in found.notes)
    assert network.training, "the caller's network was changed"


@pytest.mark.skipif(best_device() == "cpu", reason="no GPU that torch can use")
def test_reference_uses_the_gpu_and_its_half_formats() -> None:
    pixels, labels = pictures(50)
    found = measure_reference(Brightest(), pixels, labels, min_samples=20, min_seconds=0.01)
    assert found.device == best_device()
    assert found.dtype == "float32"
    assert "float16" in [other.dtype for other in found.others]
    assert all(other.top1 == pytest.approx(1.0) for other in (found, *found.others))


def test_what_does_not_go_together_is_refused() -> None:
    pixels, labels = pictures(4)
    with pytest.raises(InputError, match="4 pictures and 3 labels"):
        measure_reference(Brightest(), pixels, labels[:3])
    with pytest.raises(InputError, match="float32"):
        measure_reference(Brightest(), pixels.astype(np.float32), labels)
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no cuda device here"):
            measure_reference(Brightest(), pixels, labels, device="cuda")
