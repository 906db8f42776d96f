"""The machine that edgefit runs on: its name, and the versions that a run depends on."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from edgefit_toolkit import __version__


def environment() -> dict[str, Any]:
    """The host and the versions that a run depends on, without importing any of the packages."""
    import platform
    from importlib import metadata

    names = ("torch", "numpy", "pillow", "litert-torch", "ai-edge-quantizer", "ai-edge-litert", "safetensors")
    versions = {"edgefit-toolkit": __version__, "python": platform.python_version()}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "os": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": cpu_name(),
        "cores": os.cpu_count() or 1,
        "versions": versions,
    }


def cpu_name() -> str:
    """The processor's own name, as far as the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    import platform

    return platform.processor() or platform.machine() or sys.platform
