"""tflite-runtime on this host: an interpreter of a side environment, timed by the same rules as LiteRT.

Whether a runtime hands a model to XNNPACK is read from its own list of nodes, never assumed, and what that costs is
measured: the same file in turns with ai-edge-litert.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgefit_benchmarks.sessions import worker
from edgefit_benchmarks.sessions.session import HostSession
from edgefit_benchmarks.stats import summarise
from edgefit_benchmarks.targets.local import LocalTarget
from edgefit_benchmarks.timing import OpenSession, measure_interleaved
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.records import Measurement

TFLITE_RUNTIME = "tflite-runtime"


@dataclass(frozen=True)
class SideTimes:
    """One file by both runtimes, timed in turns."""

    side: Measurement  # by tflite-runtime
    litert: Measurement  # by ai-edge-litert, of the same file
    warning: str  # empty where there is none


def worker_command(python: Path) -> tuple[str, ...]:
    """worker.py with the python of an environment that has tflite-runtime; needs nothing else of edgefit there."""
    return (str(python), "-I", str(Path(worker.__file__)), "--runtime", TFLITE_RUNTIME)


def measure_with_tflite_runtime(
    python: Path,
    model_path: Path,
    *,
    model: str = "int8",
    threads: int = 2,
    min_samples: int = 50,
    cpus: Sequence[int] = (),
    max_seconds: float = 10.0,
) -> SideTimes:
    """Time a .tflite with tflite-runtime and, in turns with it, with ai-edge-litert, on this host.

    `python` is the interpreter of the side environment. Raises InputError when the file is no model or its operators
    are newer than the runtime, as one message.
    """
    if not model_path.is_file():
        raise InputError(f"there is no model {model_path}", "edgefit convert makes one")
    command = worker_command(python)
    with tempfile.TemporaryDirectory(prefix="edgefit-runtime-") as folder:
        side = Path(folder) / model_path.name
        side.symlink_to(model_path.resolve())  # the opener knows a runtime by its path
        open_ = _opener(side, command, threads, cpus)
        rows = measure_interleaved(
            LocalTarget(), {TFLITE_RUNTIME: side, "ai-edge-litert": model_path}, threads=threads, cpus=cpus,
            min_samples=min_samples, max_seconds=max_seconds, session=open_,
        )  # fmt: skip
    there, here = (replace(rows[name], model=model) for name in (TFLITE_RUNTIME, "ai-edge-litert"))
    warning = _warning(there, here)
    return SideTimes(replace(there, notes=(*there.notes, *((warning,) if warning else ()))), here, warning)


def _opener(side: Path, command: Sequence[str], threads: int, cpus: Sequence[int]) -> OpenSession:
    def open_(path: Path) -> HostSession:
        if path == side:
            return HostSession(path, threads=threads, cpus=cpus, worker=command)
        return HostSession(path, threads=threads, cpus=cpus)

    return open_


def _warning(side: Measurement, litert: Measurement) -> str:
    """What a reader must know before taking the side runtime's time for the model's."""
    if side.delegate != "none" or litert.delegate == "none":
        return ""
    ratio = summarise(side.samples_ms).p50_ms / summarise(litert.samples_ms).p50_ms
    return (
        f"{side.runtime} hands no operator of {side.model} to XNNPACK on this host: it takes {ratio:.2f} times as long "
        f"as {litert.runtime}, which does (medians, timed in turns); it is this runtime's time, not the model's"
    )
