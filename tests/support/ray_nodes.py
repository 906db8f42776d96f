"""Nodes of a Ray cluster on this machine: `ray start`, several times."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

LIMIT_S = 1800.0  # of each wait; a network takes half a minute of an idle core
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}


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

    def __init__(self, folder: Path, name: str, *flags: str, **environment: str) -> None:
        agents = ("metrics-export", "dashboard-agent-listen", "dashboard-agent-grpc", "runtime-env-agent")
        ray = ["nice", "-n", "-10", sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
        for _ in range(3):
            ports = [f"--{agent}-port={port}" for agent, port in zip(agents, free_ports(4), strict=True)]
            log = folder / f"{name}.txt"
            with log.open("wb") as said:
                self.process = subprocess.Popen(
                    [*ray, "--object-store-memory=100000000", *ports, *flags],
                    stdout=said, stderr=said, env=ENVIRONMENT | {"RAY_worker_niceness": "10"} | environment,
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


class Cluster:
    """Nodes that join one another; the first is the head."""

    def __init__(self, folder: Path) -> None:
        ray = pytest.importorskip("ray")
        (self._port,) = free_ports(1)
        self.address = f"{ray.util.get_node_ip_address()}:{self._port}"
        self._folder, self._nodes = folder, list[Node]()
        self._home = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # short: the names of sockets

    def start(self, name: str, *flags: str, **environment: str) -> Node:
        """One more node, with more flags of `ray start` and an environment of its own."""
        head = ("--head", f"--port={self._port}", "--include-dashboard=false", f"--temp-dir={self._home}")
        joins = (f"--address={self.address}",) if self._nodes else head
        self._nodes.append(Node(self._folder, name, *joins, *flags, **environment))
        return self._nodes[-1]

    def close(self) -> None:
        """All nodes die."""
        for node in reversed(self._nodes):
            node.die()
        shutil.rmtree(self._home, ignore_errors=True)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Without nodes."""
    made = Cluster(tmp_path)
    try:
        yield made
    finally:
        made.close()
