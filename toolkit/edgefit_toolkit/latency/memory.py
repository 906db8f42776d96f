"""What one operator moves to and from memory: the other side of the roofline. Pure.

What an operator reads and writes goes to memory as far as it does not stay in the caches. A matrix product of XNNPACK
passes over all its weights once for every few output pixels, so large weights count many times. Memory moves all this
at the speed of a plain copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from edgefit_toolkit.devices.profile import DeviceProfile
from edgefit_toolkit.latency.kernels import MATMULS
from edgefit_toolkit.network.graph import Operator
from edgefit_toolkit.records import Precision

PIXELS = 4  # of one pass: the rows of XNNPACK's tiles on Arm are 4 (6 and 8 on few cores)
BYTES: dict[Precision, int] = {"int8": 1, "float32": 4, "float16": 2}


@dataclass(frozen=True)
class Memory:
    """One device's memory."""

    cache_mb: float  # of all levels that one core reaches, but the first
    copy_gb_s: float  # GB/s at which memory is copied

    def operator_ms(self, layer: Operator, precision: Precision) -> float:
        """What memory takes for the operator alone, in ms."""
        activations = BYTES[precision] * (prod(layer.in_shape) + prod(layer.out_shape)) / 1e6
        weights = BYTES[precision] * layer.params / 1e6
        again = -(-layer.out_shape[0] * layer.out_shape[1] // PIXELS) - 1 if layer.kind in MATMULS else 0
        moved = activations * self._missed(activations) + weights * (1 + again * self._missed(weights))
        return moved / self.copy_gb_s

    def _missed(self, size_mb: float) -> float:
        """The share of accesses that go to memory: nearly none where the caches are far larger."""
        return size_mb / (size_mb + self.cache_mb)


def memory_of(profile: DeviceProfile) -> Memory | None:
    """The device's memory, where both of its figures are known."""
    return Memory(profile.cache_mb, profile.copy_gb_s) if profile.cache_mb and profile.copy_gb_s else None
