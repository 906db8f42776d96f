"""The machine that edgefit runs on: its name, and the versions that a run depends on."""

from __future__ import annotations

import contextlib
import os
import re
import site
import subprocess
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


def processes_here() -> int:
    """How many processes of one training this machine has, as torchrun says; 1 where it began none."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def cpu_name() -> str:
    """The processor as the system names it, such as "AMD EPYC" or "Apple M2"; the machine type where it does not."""
    import platform

    if platform.system() == "Darwin":
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or platform.machine()
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else (platform.processor() or platform.machine() or sys.platform)


def python_module(module: str) -> tuple[str, ...]:
    """The start of a command that runs `module` in a Python of its own; arguments follow.

    Isolated (-I): nothing is imported from the current folder or PYTHON* variables. Where edgefit itself was installed
    for the user alone (pip install --user), which -I would hide, that one folder stays.
    """
    isolated = ("-E", "-P") if site.ENABLE_USER_SITE else ("-I",)
    return (sys.executable, *isolated, "-m", module)
