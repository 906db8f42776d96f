"""This Python with packages taken away: what edgefit is on a machine where they do not exist. Nothing is patched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = tuple(str(ROOT / room) for room in ("toolkit", "converters", "benchmarks"))


class BarePython:
    """Every installed package by symlink in one folder, but those whose names begin with one of `without`."""

    def __init__(self, folder: Path, without: tuple[str, ...], modules: tuple[str, ...] = ()) -> None:
        self.folder, self.modules = folder, modules
        folder.mkdir()
        for place in [Path(p) for p in sys.path if p.endswith("site-packages")]:
            for entry in place.iterdir():
                taken = entry.name.lower().replace("-", "_").startswith(without)
                if not taken and entry.suffix != ".pth" and not (folder / entry.name).exists():
                    (folder / entry.name).symlink_to(entry)

    def edgefit(self, *args: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        """edgefit with these arguments; `modules` cannot be imported in it."""
        code = f"import sys; sys.modules.update(dict.fromkeys({self.modules!r}))\n"
        code += "from edgefit_toolkit.cli.main import main; main()"
        environment = os.environ | {"PYTHONPATH": os.pathsep.join((*SOURCES, str(self.folder)))}
        return subprocess.run(
            [sys.executable, "-S", "-c", code, *map(str, args)],
            capture_output=True, text=True, cwd=cwd, env=environment, timeout=300, check=False,
        )  # fmt: skip
