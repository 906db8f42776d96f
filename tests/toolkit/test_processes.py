"""Two real processes, with gloo between them, against one: the same steps and network, and what a death leaves."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import safetensors.torch
import torch
from support.small_job import SmallJob, draw
from torch import Tensor

TESTS = Path(__file__).parents[1]
CACHED, EVERY_LAYER = 6, 0  # unfreeze_from


def start(
    out: Path, size: int, unfreeze_from: int = CACHED, ends: str = "", answer_s: int = 300
) -> list[subprocess.Popen[str]]:
    """The processes, with the environment that torchrun gives them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    given["EDGEFIT_ANSWER_S"] = str(answer_s)
    script = [
        sys.executable,
        "-m",
        "support.trained_together",
        str(out / "pictures"),
        str(out),
        str(unfreeze_from),
        ends,
    ]
    started = []
    for rank in range(size):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)} if size > 1 else {}
        process = subprocess.Popen(
            script, cwd=TESTS, env=os.environ | given | place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
    return started


def finish(processes: list[subprocess.Popen[str]]) -> None:
    try:
        said = [process.communicate(timeout=600)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0] * len(processes), said


def losses(out: Path, rank: int = 0) -> list[float]:
    return [float(loss) for loss in json.loads((out / f"losses-{rank}.json").read_text())]


def network(out: Path, rank: int = 0) -> dict[str, Tensor]:
    return safetensors.torch.load_file(out / f"network-{rank}.safetensors")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes made that nobody disturbed."""
    out = tmp_path_factory.mktemp("together")
    finish(start(out, 2))
    return out


@pytest.mark.slow  # it starts three processes that import torch
def test_two_processes_take_the_steps_of_one(together: Path, tmp_path: Path) -> None:
    finish(start(tmp_path, 1))
    assert len(losses(tmp_path)) == 6  # 36 pictures in batches of 16, two epochs
    torch.testing.assert_close(losses(together), losses(tmp_path), atol=1e-4, rtol=1e-4)
    assert losses(together, 1) == losses(together, 0)
    for name, tensor in network(tmp_path).items():
        torch.testing.assert_close(network(together)[name], tensor, atol=1e-4, rtol=1e-3)
        assert torch.equal(network(together, 1)[name], network(together)[name])


@pytest.mark.slow  # as above
def test_every_layer_on_fresh_views_too(tmp_path: Path) -> None:
    for size in (1, 2):
        finish(start(tmp_path / str(size), size, EVERY_LAYER))
    torch.testing.assert_close(losses(tmp_path / "2"), losses(tmp_path / "1"), atol=1e-4, rtol=1e-4)


@pytest.mark.slow  # four processes that import torch
def test_a_killed_process_ends_the_other_and_both_go_on(together: Path, tmp_path: Path) -> None:
    first, second = start(tmp_path, 2, ends="1,5,SIGKILL")
    said = first.communicate(timeout=600)[1]
    second.communicate(timeout=300)
    assert second.returncode == -signal.SIGKILL
    assert first.returncode == 1, said
    assert [line for line in said.splitlines() if line.startswith("PeerLost: another process of this training is gone")]
    kept = [json.loads((tmp_path / "state" / f"features-{rank}" / "store.json").read_text()) for rank in range(2)]
    assert [store["done"] for store in kept] == [48, 48]  # half of 36 pictures under two views and of 24 of val
    assert (tmp_path / "state" / "features-0" / "all.bin").exists()  # where the first one had read those of both
    finish(start(tmp_path, 2))
    assert len(losses(tmp_path)) == 2  # of six: four were kept
    for rank in range(2):
        name = f"network-{rank}.safetensors"
        assert (tmp_path / name).read_bytes() == (together / name).read_bytes()


@pytest.mark.slow  # two processes that import torch, and 20 s of waiting
def test_a_process_that_is_stopped_ends_the_other(tmp_path: Path) -> None:
    waits, stopped = start(tmp_path, 2, ends="1,2,SIGSTOP", answer_s=20)
    assert what_is_told_of(stopped, by=waits).startswith("process 1 of 2")


@pytest.mark.slow  # six processes that import torch, and 70 s of waiting
def test_a_process_that_hangs_ends_the_other_wherever_it_waits_and_both_go_on(together: Path, tmp_path: Path) -> None:
    # the second process's thread gives signs of life although its main thread hangs
    waits, hangs = start(tmp_path, 2, ends="1,features,mount", answer_s=20)
    assert what_is_told_of(hangs, by=waits).startswith("process 1 of 2")
    done = [json.loads((tmp_path / "state" / f"features-{rank}" / "store.json").read_text())["done"] for rank in (0, 1)]
    assert done == [48, 18]
    # so does nothing of the first one, which the store of both goes with
    stopped, waits = start(tmp_path, 2, ends="0,linear probe,SIGSTOP", answer_s=20)
    assert what_is_told_of(stopped, by=waits).startswith("process 0 of 2")
    # one that takes longer than that is waited for
    finish(start(tmp_path, 2, ends="0,linear probe,slow", answer_s=20))
    for rank in range(2):
        name = f"network-{rank}.safetensors"
        assert (tmp_path / name).read_bytes() == (together / name).read_bytes()


def what_is_told_of(hanging: subprocess.Popen[str], *, by: subprocess.Popen[str]) -> str:
    try:
        said = by.communicate(timeout=600)[1]
    finally:
        hanging.kill()
        hanging.communicate()
    assert by.returncode == 1, said
    (told,) = (line for line in said.splitlines() if line.startswith("PeerLost: "))
    return told.removeprefix("PeerLost: ")


@pytest.mark.slow  # two whole starts of the program in two processes each
def test_the_program_tells_of_a_death_once_and_goes_on(tmp_path: Path) -> None:
    job = SmallJob(draw(tmp_path / "pictures"))
    command = [*job.command(tmp_path / "run"), "--processes", "2"]
    command.insert(1, "train")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        deadline = time.monotonic() + 600
        while not (others := _of_rank(process.pid, "1")):
            assert time.monotonic() < deadline, "no second process"
            time.sleep(0.2)
        others[0].kill()
        said = process.communicate(timeout=600)[1]
    finally:
        process.kill()
    assert process.returncode == 2
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert errors == ["error: process 1 of 2 ended before its work was done: SIGKILL"]
    assert "Traceback" not in said
    again = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900, check=False)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()
    assert not (tmp_path / "run" / "training-state").exists()
    assert "in 2 processes" in again.stderr


def _of_rank(pid: int, rank: str) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(pid).children():
        try:
            if child.environ().get("RANK") == rank:
                found.append(child)
        except psutil.Error:
            continue
    return found
