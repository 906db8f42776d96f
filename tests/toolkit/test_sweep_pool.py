"""A sweep's work in processes of its own: what they answer, and how they end."""

from __future__ import annotations

import signal
import subprocess
import threading
import types
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from support.small_job import draw

from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.pipeline.sweep import pool
from edgefit_toolkit.pipeline.sweep.pool import Processes, answered, started
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
