"""A node of a Ray cluster dies in mid-training, then the sweep itself: two nodes of this machine, `ray start` twice."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.ray_nodes import ENVIRONMENT, LIMIT_S, Cluster, until
from support.small_job import EDGEFIT, draw

from experiments.runs.same_report import differences

FLAGS = ("--budgets-ms", "2.5,3", "--devices", "pixel4", "--epochs", "6", "--threads", "1", "--predict-only")


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
def test_a_node_dies_then_the_sweep(tmp_path: Path, cluster: Cluster) -> None:
    cluster.start("head")
    address, other = cluster.address, cluster.start("node")
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
