"""A model in a process of its own on this host (worker.py)."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.sessions.session import Block
from edgefit_toolkit.errors import DeviceError, InputError
from edgefit_toolkit.host import python_module
from edgefit_toolkit.progress import plain

WORKER = python_module("edgefit_benchmarks.sessions.worker")


_TOO_NEW = re.compile(r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'")


def _cannot_run(model_path: Path, runtime: str, error: str) -> InputError:
    """One message of an interpreter's refusal."""
    newer = _TOO_NEW.search(error)
    if newer:
        return InputError(
            f"{runtime} cannot run {model_path}: it is older than the file's operators "
            f"({newer[1]} of version {newer[2]})",
            "use --runtime litert, or make the file with --converter onnx-tf or tensorflow",
        )
    return InputError(f"{runtime} cannot run {model_path}: {plain(error)}", "convert it again")


class HostSession:
    """See session.Session."""

    def __init__(
        self,
        model_path: Path,
        options: TimingOptions,
        *,
        timeout_s: float = 300.0,
        worker: Sequence[str] = WORKER,
    ) -> None:
        """`worker` is a program that speaks worker.py's lines, for models that LiteRT does not run."""
        if not model_path.is_file():
            raise InputError(f"there is no model {model_path}", "edgefit convert makes one")
        command = [*worker, str(model_path), "--threads", str(options.threads), "--seed", str(options.seed)]
        if options.cpus:
            command += ["--cpus", ",".join(map(str, options.cpus))]
        if options.input_path is not None:
            command += ["--input", str(options.input_path)]
        self._timeout_s = timeout_s
        self._model_path = model_path
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (LiteRT's log, closed with the session)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        try:
            ready = self._answer()
            if "error" in ready:
                raise _cannot_run(model_path, ready.get("runtime", "LiteRT"), ready["error"])
        except BaseException:  # nothing may be left running, whatever ends the wait
            self.close()
            raise
        self.runtime: str = ready["runtime"]
        self.delegate: str = ready["delegate"]
        notes = [ready["input"]]
        if ready["partitions"] > 1:
            notes.append(f"{ready['partitions']} XNNPACK partitions: some operators fall back")
        self.notes = (*notes, *options.pinned)
        self.log: list[str] = []
        self.block_s = 0.25  # long enough to run undisturbed by the switch between models, short against drift

    def block(self, samples: int, warmups: int) -> Block:
        """See Session."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # when the process is gone, _answer says why
            self._process.stdin.write(json.dumps({"warmups": warmups, "samples": samples}) + "\n")
            self._process.stdin.flush()
        answer = self._answer()
        return Block(tuple(answer["warmups_ms"]), tuple(answer["samples_ms"]))

    def close(self) -> None:
        """End the process."""
        if not self._log.closed:
            self._log.seek(0)
            self.log = self._log.read().decode("utf-8", "replace").splitlines()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not stream.closed:
                with contextlib.suppress(BrokenPipeError):  # an order that nobody will read any more
                    stream.close()
        self._log.close()

    def _answer(self) -> dict[str, Any]:
        """The next line from the process, or why there is none."""
        timer = threading.Timer(self._timeout_s, self._process.kill)
        timer.start()
        try:
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
        finally:
            late = not timer.is_alive()
            timer.cancel()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = self._process.wait()
        if late:
            raise DeviceError(
                f"{self._model_path.name} gave no answer within {self._timeout_s:.0f} s", "use a smaller model"
            )
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        self._log.seek(0)
        said = self._log.read().decode("utf-8", "replace").strip().splitlines()
        raise DeviceError(
            f"the process that timed {self._model_path.name} {how}" + (f": {plain(said[-1])}" if said else ""),
            "run it again; when it happens again, the machine may be short of memory",
        )
