"""A sweep's work in processes of its own, and what is said where no Ray cluster takes it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import types
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from support.small_job import draw

from edgefit_toolkit.cli.main import cli
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.pipeline.sweep import pool, ray_cluster
from edgefit_toolkit.pipeline.sweep.pool import Processes, answered, started
from edgefit_toolkit.pipeline.sweep.ray_cluster import Sender, made_on_a_node, unpack
from edgefit_toolkit.pipeline.sweep.work import Failure, Work, do
from edgefit_toolkit.pipeline.sweep.worker import ORPHANED, edition
from edgefit_toolkit.progress import Silent


@pytest.fixture
def work(tmp_path: Path) -> Work:
    settings = FitSettings(1.0, "pixel4", epochs=1, offline=True, measure=False)
    return Work("one", settings, str(tmp_path / "run"), "edgefit sweep", 6)


def test_a_process_refuses_in_the_same_words(work: Work, tmp_path: Path) -> None:
    nowhere = replace(work.settings, budget_ms=2.5, data=str(tmp_path / "nowhere"))
    works = [work, replace(work, name="two", run_dir=str(tmp_path / "other"), settings=nowhere)]
    found = {done.name: failure for done, failure in Processes(2, tmp_path / "logs")(works)}
    assert found == {each.name: do(each, Silent()) for each in works}
    assert [failure.exit_code for failure in found.values() if failure] in ([1, 2], [2, 1])
    assert "data: find" in (tmp_path / "logs" / "two.txt").read_text()


def test_another_edgefit_does_not_do_the_work(work: Work) -> None:
    failure = answered(started(subprocess.DEVNULL), work, "another edition")
    assert failure is not None
    assert "another edgefit, other packages or another kind of processor" in failure.message
    assert not Path(work.run_dir).exists()


def test_a_killed_process_is_a_failure_with_its_signal(work: Work) -> None:
    process = started(subprocess.DEVNULL)
    threading.Timer(0.5, process.send_signal, [signal.SIGKILL]).start()
    failure = answered(process, replace(work, settings=replace(work.settings, budget_ms=2.5)), edition())
    assert isinstance(failure, Failure)
    assert "one was ended by SIGKILL; memory may have run out" in failure.message
    assert failure.exit_code == 70


def test_it_ends_with_whoever_wanted_it(work: Work, tmp_path: Path) -> None:
    pictures = draw(tmp_path / "pictures")
    settings = replace(work.settings, budget_ms=2.5, data=str(pictures))
    process = started(subprocess.PIPE)
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(msgspec.json.encode({"work": replace(work, settings=settings), "edition": edition()}) + b"\n")
    process.stdin.flush()
    for line in process.stderr:
        if b"fine-tune" in line:
            process.stdin.close()
            break
    with process:
        assert process.wait(60) == ORPHANED


def test_without_a_shared_folder_the_run_comes_back(work: Work, tmp_path: Path) -> None:
    draw(tmp_path / "pictures")
    here = replace(work, settings=replace(work.settings, budget_ms=2.5, data="pictures"), last=2)
    sender = Sender(edition(), 1, str(tmp_path), "no logs", str(tmp_path / "no mark"))
    failure, packed = made_on_a_node(here, sender)
    assert failure is None
    assert packed is not None
    assert not Path(work.run_dir).exists()
    (tmp_path / "logs").mkdir()
    stale = Path(work.run_dir) / "stale"
    stale.parent.mkdir()
    stale.touch()
    unpack(packed, Path(work.run_dir), tmp_path / "logs")
    assert json.loads((Path(work.run_dir) / "manifest.json").read_bytes())["settings"]["budget_ms"] == 2.5
    assert not stale.exists()
    assert "18 / 9 / 9 photographs" in (tmp_path / "logs" / "one.txt").read_text()


def test_how_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = types.SimpleNamespace(available=9_000_000_000)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    monkeypatch.setattr("edgefit_benchmarks.targets.local.usable_cores", lambda: 16)
    assert pool.jobs_here(10) == 2  # memory
    memory.available = 10**12
    assert pool.jobs_here(10) == 4  # cores
    assert pool.jobs_here(3) == 3
    memory.available = 1
    assert pool.jobs_here(3) == 1


def refused(address: str, tmp_path: Path, *flags: str) -> str:
    asked = ["sweep", "--budgets-ms", "8", "--devices", "pixel4", "--out", str(tmp_path / "sweep"), *flags]
    error = CliRunner().invoke(cli, [*asked, "--ray", address]).exception
    assert isinstance(error, InputError)
    assert error.exit_code == 2
    assert error.hint
    assert not (tmp_path / "sweep").exists()
    return error.message


def pretend(monkeypatch: pytest.MonkeyPatch, version: str, says: Exception | None = None) -> None:
    """A Ray of that version: these refusals come before anything that a real one would do."""

    def init(**_: object) -> None:
        assert says is not None
        raise says

    ray = types.ModuleType("ray")
    ray.__dict__.update(__version__=version, init=init)
    monkeypatch.setitem(sys.modules, "ray", ray)


def test_no_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert refused("auto", tmp_path) == "--ray needs Ray, which is not installed"


def test_another_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, "3.1.0")
    assert refused("auto", tmp_path) == "Ray 3.1.0 is installed; edgefit speaks to Ray 2.*"
    pretend(monkeypatch, "2.60.0", RuntimeError("Version mismatch: The cluster was started with:\n  Ray: 2.50.0"))
    said = (
        "the Ray cluster at auto does not go with this one: Version mismatch: The cluster was started with: Ray: 2.50.0"
    )
    assert refused("auto", tmp_path) == said


def test_a_cluster_that_wants_its_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = "class AuthenticationError(Exception): pass\ndef init(**_): raise AuthenticationError('InvalidAuthToken')\n"
    (tmp_path / "ray.py").write_text(f"__version__ = '2.60.0'\n{said}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(ray_cluster, "python_module", lambda module: (sys.executable, "-m", module))  # which hears that
    pretend(monkeypatch, "2.60.0")
    assert refused("auto", tmp_path) == "the Ray cluster at auto wants its token"


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, "2.60.0", ConnectionError("Could not find any running Ray instance."))
    assert refused("auto", tmp_path) == "no Ray cluster answers at auto"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        assert refused(address, tmp_path).startswith(f"no Ray cluster answers at {address}: ")
    assert refused("somewhere", tmp_path) == "'somewhere' is no address of a Ray cluster"


def test_something_else_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr(ray_cluster, "ANSWER_S", 5.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert refused(address, tmp_path) == f"no Ray cluster answers at {address}"


def test_this_machine_or_a_cluster(tmp_path: Path) -> None:
    assert refused("auto", tmp_path, "--jobs", "2") == "--jobs is for this machine, --ray for a cluster"
