"""The latency of one .tflite file, from Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgefit_toolkit.records import Measurement


def bench(
    model: str | Path,
    device: str = "host",
    *,
    where: Mapping[str, str] | None = None,
    threads: int | None = None,
    **options: Any,
) -> Measurement:
    """Times a .tflite on this host, the attached phone of a profile, or what `where` names: warm-up, then samples.

    `options` are further fields of TimingOptions, such as min_samples=200. The record keeps every sample
    (`samples_ms`) and says where they come from (`origin`). Raises DeviceError when the device is not there or unfit,
    InputError when the file is no model that runs there.
    """
    from edgefit_benchmarks.timing import measure
    from edgefit_toolkit.devices import load_profile
    from edgefit_toolkit.pipeline.measuring.bench import find_bench

    path = Path(model)
    found = find_bench(load_profile(device), where, threads=threads, required=True)
    assert found is not None
    try:
        return measure(found.target, path, found.options(**options), model=path.name)
    finally:
        found.target.cleanup()
