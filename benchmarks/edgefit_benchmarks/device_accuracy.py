"""Accuracy on the device: the test set's outputs computed there, compared with this host's, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgefit_benchmarks.sessions.device import host_answers
from edgefit_benchmarks.targets.target import Target
from edgefit_toolkit.errors import DeviceError, InputError
from edgefit_toolkit.files import sha256_of
from edgefit_toolkit.interpreter import TFLite


@dataclass(frozen=True)
class DeviceAccuracy:
    """What a device answered to labelled pictures. Shares as fractions of `n`."""

    model_sha256: str
    target: str
    n: int
    top1: float  # on the device
    host_top1: float
    equal: int  # pictures whose outputs are the same bytes on both
    first_different: int | None  # index of the first picture that is not
    agreement: float  # share with the same first answer on both


def device_accuracy(
    target: Target,
    model_path: Path,
    pixels: npt.NDArray[np.uint8],
    labels: Sequence[int] | npt.NDArray[np.int64],
    *,
    threads: int = 1,
) -> DeviceAccuracy:
    """Run `pixels` uint8 [N, R, R, 3] through a model that takes uint8 or int8, there and here.

    An emulated device counts: its answers are real. InputError when pixels and labels do not go together or the door is
    another one.
    """
    if pixels.ndim != 4 or pixels.dtype != np.uint8 or len(pixels) != len(labels) or len(pixels) == 0:
        raise InputError(f"pixels {pixels.dtype} {pixels.shape} and {len(labels)} labels do not go together")
    model = TFLite(model_path)
    if model.input.dtype not in ("uint8", "int8") or model.output.dtype not in ("uint8", "int8"):
        raise InputError(f"{model_path.name} takes {model.input.dtype} and gives {model.output.dtype}, not bytes")
    packed = model.input_of_byte[pixels].tobytes()
    there = target.answers(model_path, packed, threads=threads)
    here = host_answers(model_path, packed, threads=threads)
    if len(there) != len(here) or len(here) % len(pixels):
        raise DeviceError(
            f"{target.facts().label} gave {len(there)} bytes of answers, this host {len(here)}", "edgefit doctor"
        )
    device, host = (np.frombuffer(raw, model.output.dtype).reshape(len(pixels), -1) for raw in (there, here))
    first_device, first_host = device.argmax(axis=1), host.argmax(axis=1)
    same = (device == host).all(axis=1)
    truth = np.asarray(labels)
    return DeviceAccuracy(
        model_sha256=sha256_of(model_path),
        target=target.facts().label,
        n=len(pixels),
        top1=float((first_device == truth).mean()),
        host_top1=float((first_host == truth).mean()),
        equal=int(same.sum()),
        first_different=None if same.all() else int(np.flatnonzero(~same)[0]),
        agreement=float((first_device == first_host).mean()),
    )
