"""tflite-runtime on this host: an interpreter of a side environment, timed by the same rules as LiteRT.

Whether a runtime hands a model to XNNPACK is read from its own list of nodes, never assumed, and what that costs is
measured: the same file in turns with ai-edge-litert.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgefit_benchmarks.sessions import worker
from edgefit_benchmarks.sessions.host import HostSession
from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.stats import summarise
from edgefit_benchmarks.targets.local import LocalTarget
from edgefit_benchmarks.timing import measure_interleaved
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.records import Measurement

TFLITE_RUNTIME, LITERT = "tflite-runtime", "ai-edge-litert"


@dataclass(frozen=True)
class TFLiteRuntimeTimes:
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
    options: TimingOptions,
    *,
    model: str = "int8",
) -> TFLiteRuntimeTimes:
    """Time a .tflite with tflite-runtime and, in turns with it, with ai-edge-litert, on this host.

    `python` is the interpreter of the side environment. Raises InputError when the file is no model or its operators
    are newer than the runtime, as one message.
    """
    if not model_path.is_file():
        raise InputError(f"there is no model {model_path}", "edgefit convert makes one")
    worker = worker_command(python)
    rows = measure_interleaved(
        LocalTarget(),
        {TFLITE_RUNTIME: model_path, LITERT: model_path},
        options,
        openers={TFLITE_RUNTIME: lambda path, chosen: HostSession(path, chosen, worker=worker)},
    )
    there, here = (replace(rows[name], model=model) for name in (TFLITE_RUNTIME, LITERT))
    warning = _warning(there, here)
    return TFLiteRuntimeTimes(replace(there, notes=(*there.notes, *((warning,) if warning else ()))), here, warning)


def _warning(side: Measurement, litert: Measurement) -> str:
    """What a reader must know before taking the side runtime's time for the model's."""
    if side.delegate != "none" or litert.delegate == "none":
        return ""
    ratio = summarise(side.samples_ms).p50_ms / summarise(litert.samples_ms).p50_ms
    return (
        f"{side.runtime} hands no operator of {side.model} to XNNPACK on this host: it takes {ratio:.2f} times as long "
        f"as {litert.runtime}, which does (medians, timed in turns); it is this runtime's time, not the model's"
    )
