"""The float reference: the same network in torch, on the best accelerator of this machine, which is always named.

CUDA when there is one, else Apple's MPS, else this CPU. What is timed: one forward pass of one picture already lying
in the device's memory, from the call until the device has finished (synchronised before and after). Copying the picture
there and its decoding are not in it, as they are not in a .tflite's figure.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from edgefit_benchmarks.stats import summarise
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.host import cpu_name
from edgefit_toolkit.records import PIXEL_MEAN, PIXEL_STD

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
MAX_SAMPLES = 2000


@dataclass(frozen=True)
class Reference:
    """One network on one device in one number format."""

    hardware: str  # "NVIDIA H200", "Apple M2", "AMD EPYC"
    device: str  # "cuda" | "mps" | "cpu"
    dtype: str  # "float32", "float32 (TF32)", "float16", "bfloat16"
    p50_ms: float
    p90_ms: float
    samples_ms: tuple[float, ...]
    top1: float  # share of `n` pictures whose first answer is the label
    n: int
    software: str  # "torch 2.13.0, CUDA 13.0, cuDNN 9.1"
    notes: tuple[str, ...] = ()
    others: tuple[Reference, ...] = ()  # the same network and pictures in the device's other formats


def measure_reference(
    network: nn.Module,
    pixels: Pixels,
    labels: Labels,
    *,
    device: str | None = None,
    warmups: int = 5,
    min_samples: int = 30,
    min_seconds: float = 1.0,
    batch: int | None = None,
) -> Reference:
    """Time and grade `network` (float NCHW in, logits out) on `pixels` uint8 [N, R, R, 3] with `labels` [N].

    The record is of float32 without shortcuts; on a GPU, `others` hold TF32 and the half formats that it has.
    `batch` pictures are graded at once: a GPU wants many, and a CPU few, whose activations fit its caches (None).
    `network` itself is left as it was: a copy is moved. InputError when pixels and labels do not go together or
    `device` is not there.
    """
    if pixels.ndim != 4 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8:
        raise InputError(f"pixels {pixels.dtype} {pixels.shape} are not uint8 [N, R, R, 3]")
    if len(pixels) == 0 or len(pixels) != len(labels):
        raise InputError(f"{len(pixels)} pictures and {len(labels)} labels")
    where = torch.device(device or best_device())
    check_device(where)
    at_once = batch or (4 if where.type == "cpu" else 32)

    def one(dtype: torch.dtype, tf32: bool = False) -> Reference:
        moved, right = _moved(network, where, dtype), 0
        with _tf32(tf32), torch.inference_mode():
            samples = _time(moved, _inputs(pixels[:1], where, dtype), warmups, min_samples, min_seconds)
            for i in range(0, len(pixels), at_once):
                answers = moved(_inputs(pixels[i : i + at_once], where, dtype)).argmax(dim=1).cpu().numpy()
                right += int((answers == labels[i : i + at_once]).sum())
        summary = summarise(samples)
        return Reference(
            hardware=hardware_name(where),
            device=where.type,
            dtype=str(dtype).removeprefix("torch.") + (" (TF32)" if tf32 else ""),
            p50_ms=summary.p50_ms,
            p90_ms=summary.p90_ms,
            samples_ms=samples,
            top1=right / len(pixels),
            n=len(pixels),
            software=software(where),
            notes=_notes(where),
        )

    plain = one(torch.float32)
    if where.type == "cpu":
        return plain
    others = [one(torch.float16)]
    if where.type == "cuda" and torch.cuda.get_device_capability(where)[0] >= 8:  # Ampere on: TF32, bfloat16 units
        others = [one(torch.float32, tf32=True), *others, one(torch.bfloat16)]
    return dataclasses.replace(plain, others=tuple(others))


def best_device() -> str:
    """ "cuda" when torch sees one, else "mps", else "cpu"."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def check_device(device: torch.device) -> None:
    """InputError when torch has no such device here."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(device.type, False):
        raise InputError(
            f"torch has no {device.type} device here; there are {', '.join(k for k, v in there.items() if v)}"
        )


def hardware_name(device: torch.device) -> str:
    """The name of the accelerator or CPU itself, never just "cuda"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return cpu_name()  # an Apple chip is CPU and GPU under one name


def software(device: torch.device) -> str:
    """Versions that the figure depends on."""
    parts = [f"torch {torch.__version__}"]
    if device.type == "cuda":
        parts += [f"CUDA {torch.version.cuda}", f"cuDNN {torch.backends.cudnn.version()}"]  # type: ignore[no-untyped-call]
    return ", ".join(parts)


def _notes(device: torch.device) -> tuple[str, ...]:
    notes = ["one picture at a time, already in the device's memory; synchronised before and after"]
    if device.type == "cpu":
        notes.append(f"{torch.get_num_threads()} torch threads; no GPU was found")
    return tuple(notes)


@contextlib.contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    """float32 that is float32, unless TF32 is asked for."""
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    benchmark = torch.backends.cudnn.benchmark
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cudnn.benchmark = True  # one fixed shape: let cuDNN pick its fastest algorithm during warm-up
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, cudnn
        torch.backends.cudnn.benchmark = benchmark


def _moved(network: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    moved = copy.deepcopy(network).eval().to(device=device, dtype=dtype)
    # convolutions of tensor cores and of oneDNN want channels innermost
    return moved.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _inputs(pixels: Pixels, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Raw pixels [N, R, R, 3] -> normalised NCHW [N, 3, R, R], channels innermost in memory."""
    x = torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2)
    return ((x.to(torch.float32) - PIXEL_MEAN) / PIXEL_STD).to(dtype).contiguous(memory_format=torch.channels_last)


def _synchronise(device: torch.device) -> Callable[[], None]:
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    if device.type == "mps":
        return torch.mps.synchronize
    return lambda: None


def _time(
    network: nn.Module, picture: torch.Tensor, warmups: int, min_samples: int, min_seconds: float
) -> tuple[float, ...]:
    wait, samples = _synchronise(picture.device), list[float]()
    for _ in range(warmups):
        network(picture)
    wait()
    begin = time.perf_counter()
    while len(samples) < MAX_SAMPLES and (len(samples) < min_samples or time.perf_counter() - begin < min_seconds):
        wait()
        start = time.perf_counter_ns()
        network(picture)
        wait()
        samples.append((time.perf_counter_ns() - start) / 1e6)
    return tuple(samples)
