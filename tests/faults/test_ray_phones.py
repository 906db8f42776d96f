"""Phones on the nodes of a Ray cluster: one thing at a time on each; a node dies while it measures."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from phone.world import Phone, World
from support.ray_nodes import ENVIRONMENT, LIMIT_S, Cluster, Node, until
from support.small_job import EDGEFIT, draw

from edgefit_benchmarks.native.package import RunnerPackage

FLAGS = ("--budgets-ms", "2.5,3", "--devices", "pixel4", "--epochs", "1", "--threads", "1", "--predict-only")
ABSENT = "127.0.0.1:15699"  # declared, and not there
# An adb that notes when a model is timed: a measurement pushes into a folder of its own, run-..., and runs from there
NOTING = """#!/bin/sh
run=$(printf %s "$*" | grep -o -- "--graph=[^ ]*" | grep -o "run-[0-9a-f]*")
[ -n "$run" ] && echo "$run begin $(date +%s.%N)" >> LOG
ADB "$@"; code=$?
[ -n "$run" ] && echo "$run end $(date +%s.%N)" >> LOG
exit $code
"""


@dataclass
class Place:
    """A machine with a phone: its own network, its own adb server, its own adb that notes when it measures."""

    world: World
    phone: Phone
    log: Path

    @property
    def path(self) -> str:
        return f"{self.log.parent}{os.pathsep}{os.environ['PATH']}"

    def measurements(self) -> list[tuple[float, float]]:
        """Of each run of a measurement on the phone: when its program first began and last ended, in order."""
        times: dict[str, list[float]] = {}
        for line in self.log.read_text().splitlines() if self.log.exists() else ():
            run, _, at = line.split()
            times.setdefault(run, []).append(float(at))
        return sorted((min(found), max(found)) for found in times.values())


def machine(tmp_path: Path, name: str, port: int) -> Place:
    folder = tmp_path / name
    folder.mkdir()
    world = World(folder / "world")
    phone = world.phone(port=port)
    log = folder / "timed.txt"
    (folder / "adb").write_text(NOTING.replace("LOG", str(log)).replace("ADB", str(world.adb)))
    (folder / "adb").chmod(0o755)
    return Place(world, phone, log)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[Place]]:
    """Three, and the third is the one that the sweep is started on."""
    made: list[Place] = []
    try:
        for name, port in (("one", 15601), ("two", 15602), ("own", 15603)):
            made.append(machine(tmp_path, name, port))
        yield made
    finally:
        for place in made:
            place.world.close()


def sweep(out: Path, pictures: Path, address: str, own: Place, runners: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [EDGEFIT, "sweep", *FLAGS, "--offline", "--data", pictures, "--out", out, "--ray", address, "--measure"]
    with out.with_suffix(".txt").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=ENVIRONMENT | runners | {"PATH": own.path})


def fleet(out: Path) -> dict[str, list[Any]]:
    rows = json.loads((out / "sweep.json").read_text())["fleet"]
    return {name: [row for row in rows if row["name"] == name] for name in dict.fromkeys(row["name"] for row in rows)}


@pytest.mark.long
@pytest.mark.usefixtures("adb")
@pytest.mark.filterwarnings("ignore::FutureWarning")  # Ray's own
def test_a_node_dies_while_its_phone_measures(
    tmp_path: Path, machines: list[Place], cluster: Cluster, host_package: RunnerPackage
) -> None:
    one, two, own = machines
    runners = {"EDGEFIT_RUNNERS": str(host_package.folder.parent)}

    def start(name: str, place: Place, *declared: str) -> Node:
        declares = json.dumps({f"edgefit:serial:{serial}": 1 for serial in (place.phone.serial, *declared)})
        return cluster.start(name, f"--resources={declares}", PATH=place.path, **runners)

    start("head", one)
    node = start("node", two, ABSENT)
    pictures, out = draw(tmp_path / "pictures"), tmp_path / "swept"
    first = sweep(out, pictures, cluster.address, own, runners)
    try:
        until(lambda: two.measurements() or first.poll() is not None, "the second node's phone measures")
        assert first.poll() is None, out.with_suffix(".txt").read_text()
        node.die()
        start("node again", two, ABSENT)
        assert first.wait(LIMIT_S) == 3, out.with_suffix(".txt").read_text()  # for the phone that is not there
    finally:
        first.kill()
        first.wait()

    rows = fleet(out)
    assert list(rows) == [one.phone.serial, two.phone.serial, ABSENT, own.phone.serial]
    assert all(len(found) == 2 for found in rows.values())  # networks
    for place in machines:
        for row in rows[place.phone.serial]:
            assert row["measurement"]["origin"] == "measured on device"
            assert row["target"] == f"Pixel 7 (serial {place.phone.serial})"
    assert all("not found" in row["reason"] or "not attached" in row["reason"] for row in rows[ABSENT])
    # one thing at a time: each of the networks once, and what was broken off again
    assert [len(place.measurements()) for place in machines] == [2, 3, 2]
    for place in machines:
        times = place.measurements()
        assert all(ends < begins for (_, ends), (begins, _) in pairwise(times)), times

    again = sweep(out, pictures, cluster.address, own, runners)
    assert again.wait(LIMIT_S) == 3
    assert fleet(out) == rows
    assert [len(place.measurements()) for place in machines] == [2, 3, 2]
