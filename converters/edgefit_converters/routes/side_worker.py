"""Runs a script with the python of a side environment, which is made first where it is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

from edgefit_converters.routes.environments import Lock, ensure
from edgefit_toolkit.errors import ConversionError
from edgefit_toolkit.progress import Progress

LAST_LINES = 5  # of the log, in an error


class SideWorker:
    """One script in one environment. A request is a JSON file, progress are JSON lines on the script's stdout."""

    def __init__(self, lock: Lock, script: Path, on_progress: Progress | None = None, *, offline: bool = False) -> None:
        self.lock, self.script, self.on_progress, self.offline = lock, script, on_progress, offline

    @property
    def log(self) -> Path:
        """What the last request wrote to stderr."""
        return platformdirs.user_cache_path("edgefit") / "logs" / f"{self.script.stem}.log"

    def run(self, request: dict[str, Any]) -> None:
        """Carries out one request. Raises ConversionError with the log's last lines, SideEnvironmentError."""
        python = ensure(self.lock, self.on_progress, offline=self.offline)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="edgefit-") as folder:
            order, log = Path(folder) / "request.json", Path(folder) / "log"
            order.write_text(json.dumps(request), encoding="utf-8")
            with log.open("w", encoding="utf-8") as sink:
                process = subprocess.Popen(
                    [python, "-I", self.script, order], stdout=subprocess.PIPE, stderr=sink, text=True
                )
                try:
                    self._follow(process)
                finally:
                    if process.poll() is None:  # interrupted
                        process.kill()
                        process.wait()
            shutil.copyfile(log, self.log)
        if process.returncode != 0:
            lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
            ended = f"ended with {process.returncode}" if process.returncode > 0 else f"died of {-process.returncode}"
            raise ConversionError(
                f"{self.script.stem} {ended} in the {self.lock.name} environment:\n" + "\n".join(lines[-LAST_LINES:]),
                f"the whole log is {self.log}; --converter litert needs none of it",
            )

    def _follow(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                with suppress(ValueError, KeyError, TypeError):  # a library's own words
                    said = json.loads(line)
                    if self.on_progress is not None:
                        self.on_progress(str(said["label"]), int(said["done"]), int(said["total"]))
        process.wait()
