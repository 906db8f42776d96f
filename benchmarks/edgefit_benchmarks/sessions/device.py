"""Our own runner on a phone or a board: blocks of samples, and answers to a set of inputs."""

from __future__ import annotations

import json
import re
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from edgefit_benchmarks.native.package import RunnerPackage, build_package, find_package
from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.sessions.session import Block
from edgefit_benchmarks.sessions.shell import Ran, Shell
from edgefit_toolkit.errors import DeviceError, InputError

SCHEMA = "edgefit.runner/1"
EXIT_LITERT = 4  # of edgefit_runner.c
WARMUP_MS = 300  # a phone's governor needs about this long to raise the clock
CHUNK_BYTES = 32 << 20  # of inputs that lie on the device at once


class DeviceSession:
    """One model with our runner on one device (see session.Session)."""

    delegate = "xnnpack"

    def __init__(
        self,
        shell: Shell,
        model_path: Path,
        options: TimingOptions,
        *,
        package: RunnerPackage | None = None,
        timeout_s: float = 300.0,
    ) -> None:
        """Push the runner and the model, unless they are there. DeviceError when there is no runner for the device."""
        if not model_path.is_file():
            raise InputError(f"there is no model {model_path}", "edgefit convert makes one")
        self._shell, self._model_path, self._options, self._timeout_s = shell, model_path, options, timeout_s
        self._package = package or find_package(shell.abi) or build_package(shell.abi)
        self._folder = push_package(shell, self._package)
        self._model = shell.push(model_path)
        self.runtime = f"LiteRT {self._package.litert_version} (edgefit_runner)"
        self.log: list[str] = []  # every line that the runner printed
        self.block_s = 1.0  # each block is a process of its own
        self.notes = (f"input: seeded noise, seed {options.seed}", *options.pinned)

    def block(self, samples: int, warmups: int) -> Block:
        """A fresh process on the device: warm-up for at least WARMUP_MS, then `samples` timed invocations."""
        counts = [f"--warmups={max(warmups, 3)}", f"--warmup-ms={WARMUP_MS}", f"--samples={samples}"]
        report = self._run([*counts, f"--seed={self._options.seed}"])
        if len(report["samples_ms"]) != samples:
            raise DeviceError(f"the runner gave {len(report['samples_ms'])} of {samples} samples", "run it again")
        return Block(tuple(report["warmups_ms"]), tuple(report["samples_ms"]))

    def answers(self, inputs: bytes) -> bytes:
        """The model's outputs for packed inputs (raw bytes of the input tensor, one after the other), packed alike."""
        one = self._run(["--samples=1", "--warmups=0"])
        size, answered = int(one["input_bytes"]), b""
        if len(inputs) % size:
            raise InputError(f"{len(inputs)} bytes are no whole number of inputs of {size} bytes")
        step = max(1, CHUNK_BYTES // size) * size
        outputs = f"{self._shell.root}/outputs-{Path(self._model).parent.name}.bin"
        with tempfile.TemporaryDirectory() as work:
            packed, back = Path(work) / "inputs.bin", Path(work) / "outputs.bin"
            for at in range(0, len(inputs), step):
                packed.write_bytes(inputs[at : at + step])
                remote = self._shell.push(packed, folder="inputs")
                report = self._run(["--samples=0", f"--inputs={remote}", f"--outputs={outputs}"])
                self._shell.pull(outputs, back)
                expected = len(inputs[at : at + step]) // size
                if report["answered"] != expected or back.stat().st_size != expected * report["output_bytes"]:
                    raise DeviceError(f"the runner answered {report['answered']} of {expected} inputs", "run it again")
                answered += back.read_bytes()
        return answered

    def close(self) -> None:
        """Nothing runs between blocks; what was pushed is removed by the target's cleanup."""

    def _run(self, flags: Sequence[str]) -> dict[str, Any]:
        threads = f"--threads={self._options.threads}"
        argv = [*self._package.command(self._folder), f"--graph={self._model}", threads, *flags]
        ran = self._shell.run(argv, timeout_s=self._timeout_s, cpus=self._options.cpus)
        self.log += ran.text.splitlines() + ran.stderr.decode("utf-8", "replace").splitlines()
        if ran.exit_code != 0:
            explain_exit(ran, self._shell, self._model_path.name)
        try:
            report: dict[str, Any] = json.loads(ran.text.strip().splitlines()[-1])
        except (IndexError, ValueError) as error:
            raise DeviceError(f"the runner on {self._shell.address} printed no result", "run it again") from error
        if report.get("schema") != SCHEMA:
            raise DeviceError(
                f"the runner printed {report.get('schema')!r}, not {SCHEMA}", "rebuild it: edgefit doctor"
            )
        return report


def push_package(shell: Shell, package: RunnerPackage) -> str:
    """Push the package's files; their folder over there."""
    if package.abi != shell.abi:
        raise DeviceError(
            f"{shell.address} runs {shell.abi}, the runner is for {package.abi}", "build one for it: edgefit doctor"
        )
    for name, sha256 in package.files.items():
        executable = not name.startswith("lib")
        remote = shell.push(package.folder / name, sha256, executable=executable, folder=package.name)
    return remote.rpartition("/")[0]


def explain_exit(ran: Ran, shell: Shell, what: str) -> NoReturn:
    """Why a program on a device did not end with 0."""
    code, who = ran.exit_code, shell.address
    said = ran.stderr.decode("utf-8", "replace")
    if code > 128:
        name = signal.Signals(code - 128).name if code - 128 in set(signal.Signals) else f"signal {code - 128}"
        hint = {
            "SIGKILL": "the system ends what needs too much memory: close other apps, or use a smaller model",
            "SIGILL": "this processor lacks an instruction that the runner uses: name another runner",
        }.get(name, "run it again; name another runner when it happens twice")
        raise DeviceError(f"{who} ended the runner with {name} while it ran {what}", hint)
    if code == 126 or re.search(
        r"Exec format error|not executable|cannot execute|wrong ELF class", said, re.IGNORECASE
    ):
        raise DeviceError(
            f"{who} ({shell.abi}) cannot execute the runner: {ran.complaint}",
            "build one for its ABI: edgefit doctor",
        )
    if code == EXIT_LITERT:
        raise InputError(f"LiteRT on {who} cannot run {what}: {ran.complaint}", "convert it again")
    if "No space left on device" in said:
        raise DeviceError(f"the storage of {who} is full", "free some space on it and run it again")
    raise DeviceError(f"the runner on {who} ended with code {code}: {ran.complaint}", "edgefit doctor")


def host_answers(model_path: Path, inputs: bytes, *, threads: int = 1) -> bytes:
    """What ai-edge-litert on this host answers to the same packed inputs."""
    import numpy as np

    from edgefit_toolkit.interpreter import open_interpreter

    interpreter = open_interpreter(model_path, threads)
    (start, *_), (end, *_) = interpreter.get_input_details(), interpreter.get_output_details()
    pictures = np.frombuffer(inputs, dtype=start["dtype"]).reshape(-1, *start["shape"][1:])
    answered = b""
    for picture in pictures:
        interpreter.set_tensor(start["index"], picture[None])
        interpreter.invoke()
        answered += interpreter.get_tensor(end["index"]).tobytes()
    return answered
