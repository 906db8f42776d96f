"""A node of a Ray cluster dies in mid-training, then the sweep itself: two nodes of this machine, `ray start` twice."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.small_job import EDGEFIT, draw

from experiments.same_report import differences

LIMIT_S = 1800.0  # of each wait; a network takes half a minute of an idle core
FLAGS = ("--budgets-ms", "2.5,3", "--devices", "pixel4", "--epochs", "6", "--threads", "1", "--predict-only")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}


def until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("", 0))
        return [each.getsockname()[1] for each in sockets]


class Node:
    """`ray start`, with one CPU. It gives up after 30 s: so it goes first where that is allowed, has three tries, and
    the ports of its agents are named, since it waits 15 s for those that they choose."""

    def __init__(self, folder: Path, name: str, *flags: str) -> None:
        agents = ("metrics-export", "dashboard-agent-listen", "dashboard-agent-grpc", "runtime-env-agent")
        ray = ["nice", "-n", "-10", sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
        for _ in range(3):
            ports = [f"--{agent}-port={port}" for agent, port in zip(agents, free_ports(4), strict=True)]
            log = folder / f"{name}.txt"
            with log.open("wb") as said:
                self.process = subprocess.Popen(
                    [*ray, "--object-store-memory=100000000", *ports, *flags],
                    stdout=said, stderr=said, env=ENVIRONMENT | {"RAY_worker_niceness": "10"},
                )  # fmt: skip
            until(lambda log=log: "Ray runtime started" in log.read_text() or self.process.poll() is not None, name)
            if self.process.poll() is None:
                return
        raise AssertionError(log.read_text())

    def works_on(self, logs: Path) -> str | None:
        """The network whose log one of its processes writes."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                for file in process.open_files():
                    if Path(file.path).parent == logs:
                        return Path(file.path).stem
        return None

    def die(self) -> None:
        """As by a power cut: all its processes at once."""
        with contextlib.suppress(psutil.NoSuchProcess):
            node = psutil.Process(self.process.pid)
            for process in [node, *node.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self.process.wait()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[str, Node, Node]]:
    """The cluster's address, its head and the other node."""
    ray = pytest.importorskip("ray")
    started: list[Node] = []
    (port,) = free_ports(1)
    address = f"{ray.util.get_node_ip_address()}:{port}"
    place = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # short: the names of sockets
    try:
        head = ("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={place}")
        for name, flags in (("head", head), ("node", (f"--address={address}",))):
            started.append(Node(tmp_path, name, *flags))
        yield address, *started
    finally:
        for node in reversed(started):
            node.die()
        shutil.rmtree(place, ignore_errors=True)


def sweep(out: Path, pictures: Path, *flags: str) -> subprocess.Popen[bytes]:
    command = [EDGEFIT, "sweep", *FLAGS, "--offline", "--data", pictures, "--out", out, *flags]
    with out.with_suffix(".txt").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=ENVIRONMENT)


def states(out: Path) -> dict[str, Any]:
    """The epochs that the unfinished trainings have kept, by the networks' names."""
    found = out.glob("networks/*/training-state/*/state.json")
    return {state.parents[2].name: json.loads(state.read_text())["trace"] for state in found}


def stages(run: Path) -> Any:
    return json.loads((run / "manifest.json").read_text())["stages"]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::FutureWarning")  # Ray's own
def test_a_node_dies_then_the_sweep(tmp_path: Path, nodes: tuple[str, Node, Node]) -> None:
    address, _, other = nodes
    pictures, out, local = draw(tmp_path / "pictures"), tmp_path / "ray", tmp_path / "local"
    kept: dict[str, Any] = {}

    def trains() -> bool:
        kept.update((name, trace) for name, trace in states(out).items() if name == other.works_on(out / "logs"))
        return bool(kept)

    first = sweep(out, pictures, "--ray", address)
    try:
        until(trains, "the second node trains")
        other.die()
        kept.update((name, states(out).get(name, kept[name])) for name in kept)
        until(lambda: "made, 1 of 2" in out.with_suffix(".txt").read_text(), "the first network is made")
        assert first.poll() is None
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    (gone_on,) = kept
    done = {run.name: stages(run) for run in (out / "networks").iterdir() if "train" in stages(run)}
    again = sweep(out, pictures, "--ray", address)
    assert again.wait(LIMIT_S) == 0, out.with_suffix(".txt").read_text()
    # what was trained before has its times still: no epoch was trained again
    assert (
        stages(out / "networks" / gone_on)["train"]["value"]["training"]["trace"][: len(kept[gone_on])] == kept[gone_on]
    )
    for name, before in done.items():
        assert {stage: stages(out / "networks" / name)[stage] for stage in before} == before

    assert sweep(local, pictures, "--jobs", "2").wait(LIMIT_S) == 0, local.with_suffix(".txt").read_text()
    cells = sorted(cell.name for cell in (local / "cells").iterdir())
    assert len(cells) == 2
    assert [differences(out / "cells" / name, local / "cells" / name) for name in cells] == [[], []]
