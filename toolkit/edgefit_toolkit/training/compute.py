"""Which processor trains and evaluates, and in which number formats it is fast."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar, cast

import torch
from torch import Tensor

from edgefit_toolkit.host import cpu_name, processes_here

Device = Literal["cuda", "mps", "cpu"]
CPU_SLICE = 4
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Compute:
    """One processor. Weights stay float32; `bf16_*` say where autocast computes in bfloat16."""

    device: Device
    name: str  # "NVIDIA H200", "AMD EPYC 9B45"
    bf16_forward: bool  # for frozen layers: cached activations and features
    bf16_training: bool

    @property
    def forward_batch(self) -> int:
        """Pictures that pass at once: more are no faster on a CPU and cost memory at high resolutions."""
        return 128 if self.device == "cuda" else 16

    @property
    def reading_processes(self) -> int:
        """How many processes read pictures for it; 0: threads of this one do, which is enough for a CPU."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        own = cores // processes_here()
        return own - 1 if self.device != "cpu" and own > 2 else 0

    def padded(self, batch: Tensor, rows: int) -> Tensor:
        """[rows, ...] on a GPU, the rest zeros, and as it is elsewhere: for a shape that it has not met yet cuDNN looks
        for kernels first, for 11 s on an H100."""
        if self.device != "cuda" or len(batch) >= rows:
            return batch
        return torch.cat([batch, batch.new_zeros(rows - len(batch), *batch.shape[1:])])

    def ahead(self, items: Iterator[T], make: Callable[[T], U]) -> Iterator[U]:
        """What `make` makes of each item; on a GPU the next one, in a thread and a stream of its own, while one is
        used."""
        if self.device != "cuda":
            yield from map(make, items)
            return
        stream, done = torch.cuda.Stream(), object()  # type: ignore[no-untyped-call]

        def one() -> object:
            with torch.cuda.stream(stream):
                item = next(items, done)
                made = done if item is done else make(cast(T, item))
            stream.synchronize()
            return made

        with ThreadPoolExecutor(1) as thread:
            coming = thread.submit(one)
            while (made := coming.result()) is not done:
                coming = thread.submit(one)
                yield cast(U, made)

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
