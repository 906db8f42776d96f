"""Which processor trains and evaluates, and in which number formats it is fast."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from edgefit_toolkit.host import cpu_name

Device = Literal["cuda", "mps", "cpu"]
CPU_SLICE = 4


@dataclass(frozen=True)
class Compute:
    """One processor. Weights stay float32; `bf16_*` say where autocast computes in bfloat16."""

    device: Device
    name: str  # "NVIDIA H200", "AMD EPYC 9B45"
    bf16_forward: bool  # for frozen layers: cached activations and features
    bf16_training: bool

    def autocast(self, enabled: bool) -> contextlib.AbstractContextManager[object]:
        """bfloat16 arithmetic where it is enabled, float32 elsewhere."""
        if not enabled:
            return contextlib.nullcontext()
        return torch.autocast(self.device, torch.bfloat16)


def slices(batch: Tensor) -> Sequence[Tensor]:
    """A batch in the parts that a forward pass takes at once. On a CPU few pictures stay in its caches: Lite at 384 px
    takes 1.7 s of one core for 16 at once and 1.4 s by fours in bfloat16, 3.9 and 3.4 s in float32."""
    return torch.split(batch, CPU_SLICE) if batch.device.type == "cpu" else (batch,)


def choose_compute(device: Device | None = None) -> Compute:
    """CUDA where there is one, else MPS, else this CPU; or the device that is named.

    On a CPU bfloat16 pays off forward only (AMX or AVX512-BF16: Lite2 at 260 px, 108 against 39 images/s on two Zen 5
    cores); backward it does not, since depthwise convolutions have no fast bfloat16 gradient (70 against 99).
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if device == "cuda":
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return Compute("cuda", torch.cuda.get_device_name(), bf16_forward=bf16, bf16_training=bf16)
    if device == "mps":
        return Compute("mps", f"{cpu_name()} (MPS)", bf16_forward=False, bf16_training=False)
    can = torch.cpu.get_capabilities()
    bf16 = bool(can.get("amx_bf16") or can.get("avx512_bf16") or can.get("amx_tile"))
    return Compute("cpu", cpu_name(), bf16_forward=bf16, bf16_training=False)
