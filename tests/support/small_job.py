"""The smallest whole job: drawn pictures of three classes, the smallest network, every stage; 30 s of one core."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from support.interrupting import interruptible

EDGEFIT = Path(sys.executable).with_name("edgefit")
STAGES = range(1, 9)
GROUNDS = {"red": (200, 60, 50), "green": (60, 180, 70), "blue": (50, 70, 200)}
COUNTS = {"train": 6, "val": 3, "test": 3}  # of each class
FLAGS = ("--budget-ms", "2.5", "--device", "pixel4", "--epochs", "1", "--threads", "1", "--predict-only", "--offline")


def draw(folder: Path) -> Path:
    """128 px pictures: noise on the class's ground."""
    chance = np.random.default_rng(0)
    for name, ground in GROUNDS.items():
        for split, count in COUNTS.items():
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = np.clip(chance.normal(0, 25, (128, 128, 3)) + ground, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    return folder


@dataclass
class Running:
    """A run in a process of its own, and what it has said."""

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)
    _heard: threading.Condition = field(default_factory=threading.Condition)
    _ended: bool = False

    def listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._heard:
                self.said.append(line)
                self._heard.notify_all()
        with self._heard:
            self._ended = True
            self._heard.notify_all()

    def reaches(self, stage: int, limit_s: float = 900.0) -> bool:
        """Waits until a stage begins; False where the process ends before."""
        begins = f"[{stage}/8]"
        with self._heard:
            self._heard.wait_for(lambda: self._ended or any(line.startswith(begins) for line in self.said), limit_s)
        return any(line.startswith(begins) for line in self.said)

    def cpu_s(self) -> float:
        """What the process has computed so far."""
        try:
            times = psutil.Process(self.process.pid).cpu_times()
        except psutil.Error:
            return float("inf")
        return times.user + times.system


@dataclass(frozen=True)
class SmallJob:
    """The job's pictures; every run of it ends with the same files."""

    pictures: Path

    def command(self, out: Path) -> list[str]:
        return [str(EDGEFIT), *FLAGS, "--data", str(self.pictures), "--out", str(out)]

    @contextmanager
    def running(self, out: Path) -> Iterator[Running]:
        """A run that may be disturbed; it is killed at the end."""
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with interruptible(
            self.command(out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
        ) as process:
            run = Running(process)
            listener = threading.Thread(target=run.listen)
            listener.start()
            try:
                yield run
            finally:
                process.kill()
                process.wait()
                listener.join()

    def finish(self, out: Path) -> str:
        """Runs to the end; the SHA-256 of the int8 model."""
        with self.running(out) as run:
            code = run.process.wait(1800)
            assert code == 0, "".join(run.said)
        return hashlib.sha256((out / "model_int8.tflite").read_bytes()).hexdigest()
