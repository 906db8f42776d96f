"""What the peers' workers share. They run in the side environment, where edgefit is not installed.

    python WORKER.py settings
    python WORKER.py quantize SETTING --onnx F --calibration A.npy --holdout B.npy --out DIR --threads 2
    python WORKER.py time MODEL --threads 2

`quantize` writes DIR/logits.npy [N, classes] of the held-out pictures and prints one JSON line; both arrays are float32
[N, 3, R, R] as the network takes them. `time` speaks the lines of edgefit_benchmarks/sessions/worker.py.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class Model(Protocol):
    """A file, opened with a number of threads."""

    shape: tuple[int, ...]  # of its input, [1, 3, R, R]

    def answer(self, picture: Floats) -> Floats:
        """Logits [1, classes] of one picture [1, 3, R, R]."""

    def placed(self, picture: Floats) -> Callable[[], object]:
        """One inference whose input is already in place."""


@dataclass(frozen=True)
class Worker:
    """A peer."""

    packages: tuple[str, ...]
    settings: tuple[str, ...]
    quantize: Callable[[str, Path, Floats, Path], Path]  # setting, ONNX file, calibration, folder -> the int8 model
    open: Callable[[Path, int], Model]

    def main(self) -> None:
        """Reads the command line; `settings` prints those of `quantize`."""
        parser = argparse.ArgumentParser()
        commands = parser.add_subparsers(dest="command", required=True)
        commands.add_parser("settings")
        quantize = commands.add_parser("quantize")
        quantize.add_argument("setting", choices=self.settings)
        for name in ("--onnx", "--calibration", "--holdout", "--out"):
            quantize.add_argument(name, type=Path, required=True)
        quantize.add_argument("--threads", type=int, default=2)
        clock = commands.add_parser("time")
        clock.add_argument("model", type=Path)
        clock.add_argument("--threads", type=int, required=True)
        arguments, _ = parser.parse_known_args()  # an edgefit session also says --seed, which nothing here needs
        if arguments.command == "settings":
            print(json.dumps(self.settings))
        elif arguments.command == "quantize":
            print(json.dumps(self._judge(arguments)), flush=True)
        else:
            self._serve(arguments.model, arguments.threads)

    def _judge(self, job: argparse.Namespace) -> dict[str, object]:
        started = time.monotonic()
        path = self.quantize(job.setting, job.onnx, np.load(job.calibration), job.out)
        seconds = time.monotonic() - started
        model = self.open(path, job.threads)
        logits = np.concatenate([model.answer(picture[None]) for picture in np.load(job.holdout)])
        np.save(job.out / "logits.npy", logits)
        return {
            "model": str(path),
            "seconds": round(seconds, 1),
            "versions": {name: version(name) for name in self.packages},
        }

    def _serve(self, path: Path, threads: int) -> None:
        model = self.open(path, threads)
        picture = np.random.default_rng(0).uniform(-1, 1, model.shape).astype(np.float32)
        invoke = model.placed(picture)
        runtime = f"{self.packages[0]} {version(self.packages[0])}"
        ready = {"runtime": runtime, "delegate": "cpu", "partitions": 1, "input": "input: seeded noise, seed 0"}
        print(json.dumps(ready), flush=True)
        gc.disable()  # a collection in the middle of a sample is not the model's time
        for line in sys.stdin:
            order = json.loads(line)
            times = {f"{what}_ms": _times_ms(invoke, order[what]) for what in ("warmups", "samples")}
            print(json.dumps(times), flush=True)


def _times_ms(invoke: Callable[[], object], n: int) -> Sequence[float]:
    samples_ns = []
    for _ in range(n):
        start = time.perf_counter_ns()
        invoke()
        samples_ns.append(time.perf_counter_ns() - start)
    return [ns / 1e6 for ns in samples_ns]
