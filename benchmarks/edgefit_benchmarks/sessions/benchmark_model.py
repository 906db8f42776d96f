"""LiteRT's own benchmark_model on a device: started three inferences at a time, so that every sample is known.

The program prints statistics, no samples. Of three samples, though, the minimum, the maximum and three times the
average less both are all there is; so each start takes three samples after a fresh warm-up. Only the block after the
warm-up is read: the first "Running benchmark" in its log is the warm-up, the second the steady state.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgefit_benchmarks.sessions.device import explain_exit
from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.sessions.session import Block
from edgefit_benchmarks.sessions.shell import Shell
from edgefit_toolkit.errors import DeviceError, InputError
from edgefit_toolkit.progress import plain

SAMPLES_PER_START = 3
ACCELERATORS = ("gpu", "nnapi", "hexagon", "coreml", "edgetpu")  # what benchmark_model can be asked for
WARMUP_SECONDS = 0.5  # benchmark_model's own default: enough for a phone's governor to raise the clock


@dataclass(frozen=True)
class BenchmarkModel:
    """A benchmark_model binary and where it is from."""

    path: Path
    source: str  # "LiteRT 2.2.0"
    url: str = ""  # of an official one
    sha256: str = ""  # the whole hash of an official one


@dataclass(frozen=True)
class Steady:
    """The steady block of one log. Times in microseconds, as the program prints them."""

    count: int
    last_us: float
    min_us: float
    max_us: float
    avg_us: float
    init_ms: float | None
    delegate: str  # "xnnpack", "gpu", "none"
    partly: bool  # the delegate left operators over
    asked: str = ""  # the accelerator that the log's parameters ask for: "gpu", "nnapi"

    @property
    def fell_back(self) -> str:
        """What to say where an accelerator was asked for and another processor ran; empty where all is well."""
        if not self.asked or self.asked == self.delegate:
            return ""
        ran = {"xnnpack": "XNNPACK on the CPU", "none": "the CPU without a delegate"}.get(self.delegate, self.delegate)
        return f"the log asks for {self.asked}, yet {ran} ran the model: its times are not {self.asked}'s"

    @property
    def samples_ms(self) -> tuple[float, ...]:
        """The samples themselves, sorted; DeviceError for more than three, which the log does not tell."""
        if self.count > SAMPLES_PER_START:
            raise DeviceError(
                f"a log of {self.count} inferences holds statistics, not samples", "start it with --num_runs=3"
            )
        if self.count == 1:
            microseconds = [self.last_us]
        elif self.count == 2:
            microseconds = [self.min_us, self.max_us]
        else:
            middle = self.count * self.avg_us - self.min_us - self.max_us
            microseconds = [self.min_us, min(max(middle, self.min_us), self.max_us), self.max_us]
        return tuple(us / 1e3 for us in microseconds)


def parse_log(text: str) -> Steady:
    """Read the steady block. DeviceError when the log has none: the program did not get that far."""
    blocks = re.split(r"Running benchmark for at least", text)
    # a log that both logger and console print holds every line twice, one after the other: "[tflite] x", "INFO: x"
    counts = [match for block in blocks if (match := re.search(r"count=(\d+)(.*)", block))]
    if "Inference (avg)" not in text or len(counts) < 2:
        error = re.search(r"^.*(?:ERROR|[Ff]ailed).*$", text, re.MULTILINE)
        said = plain(error.group(0).strip()) if error else "its log has no steady block"
        raise DeviceError(f"benchmark_model did not finish: {said}", "read the raw log")
    steady = counts[-1]
    values = {key: float(value) for key, value in re.findall(r"(\w+)=([0-9.e+]+)", steady.group(2))}
    same = values.get("curr", math.nan)  # with one sample, or equal ones, only `curr` is printed
    init = re.search(r"Initialized session in ([0-9.e+]+)ms", text)
    applied = re.search(r"Explicitly applied (\w+) delegate, and the model graph will be (\w+) executed", text)
    asked = [name.lower() for name in re.findall(r"[Uu]se (\w+)\s*: \[(?:1|true)\]", text)]
    return Steady(
        count=int(steady.group(1)),
        last_us=same,
        min_us=values.get("min", same),
        max_us=values.get("max", same),
        avg_us=values.get("avg", same),
        init_ms=float(init.group(1)) if init else None,
        delegate=applied.group(1).lower() if applied else "none",
        partly=bool(applied and applied.group(2) == "partially"),
        asked=next((name for name in asked if name in ACCELERATORS), ""),
    )


class BenchmarkModelSession:
    """One model with a benchmark_model binary on one device (see session.Session)."""

    def __init__(
        self,
        shell: Shell,
        binary: BenchmarkModel,
        model_path: Path,
        options: TimingOptions,
        *,
        prefix: Sequence[str] = (),
        timeout_s: float = 300.0,
    ) -> None:
        """Push the binary and the model. `prefix` goes before the binary (a loader)."""
        if not model_path.is_file():
            raise InputError(f"there is no model {model_path}", "edgefit convert makes one")
        self._shell, self._model_path, self._options, self._timeout_s = shell, model_path, options, timeout_s
        program = shell.push(binary.path, executable=True)
        flags = [f"--graph={shell.push(model_path)}", f"--num_threads={options.threads}", "--verbose=false"]
        flags += ["--use_gpu=true", "--gpu_precision_loss_allowed=true"] if options.gpu else ["--use_xnnpack=true"]
        self._argv = [*prefix, program, *flags]
        self.runtime = f"benchmark_model ({binary.source})"
        whole = [f"benchmark_model of {binary.source}: sha256 {binary.sha256}"] if binary.sha256 else []
        self.log = list(whole)
        self.block_s = 0.0  # the fewest samples: every three of them are a start of their own
        first = self._start(1)
        if first.fell_back or (options.gpu and first.delegate != "gpu"):
            raise DeviceError(
                first.fell_back or f"the GPU of {shell.address} does not take {model_path.name}",
                "time it on the CPU instead",
            )
        self.delegate = first.delegate
        notes = [
            "input: benchmark_model's own noise",
            f"{SAMPLES_PER_START} samples a start, each after a fresh warm-up",
        ]
        if first.partly:
            notes.append(f"the {first.delegate} delegate leaves operators over: they fall back")
        self.notes = (*notes, *options.pinned, *whole)

    def block(self, samples: int, warmups: int) -> Block:
        """As many starts as give `samples`; the warm-ups of each are benchmark_model's and are not told one by one."""
        found: list[float] = []
        for _ in range(math.ceil(samples / SAMPLES_PER_START)):
            found += self._start(max(warmups, 1)).samples_ms
        return Block((), tuple(found[:samples]))

    def close(self) -> None:
        """Nothing runs between blocks."""

    def _start(self, warmups: int) -> Steady:
        counts = [f"--num_runs={SAMPLES_PER_START}", "--min_secs=0", f"--warmup_runs={warmups}"]
        argv = [*self._argv, *counts, f"--warmup_min_secs={WARMUP_SECONDS}"]
        ran = self._shell.run(argv, timeout_s=self._timeout_s, cpus=self._options.cpus)
        text = ran.stderr.decode("utf-8", "replace") + "\n"
        text = text if "count=" in text else ran.text + "\n" + text
        self.log += text.splitlines()
        if ran.exit_code != 0:
            explain_exit(ran, self._shell, self._model_path.name)
        return parse_log(text)
