"""A whole small run, disturbed: killed, interrupted, out of room, beside another one. It goes on and ends the same."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.interrupting import ALLOWANCE
from support.small_job import STAGES, SmallJob, draw
from support.tally import Tally

Often = Callable[[int, int], int]
pytestmark = pytest.mark.long
LIMIT_S = 3.0
TRACES = ("Traceback", "Aborted", "terminate called")


def finished(out: Path) -> bool:
    """Whether a run has written its report: what is left is little, and may be done before an interrupt arrives."""
    return (out / "report.json").exists()


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody disturbed."""

    job: SmallJob
    sha256: str  # of its int8 model
    cpu_s: float
    before: dict[int, Path]  # stage -> a copy of the run directory as that stage found it
    seconds: dict[int, float]  # wall clock of each stage


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    job, out, before, began = SmallJob(draw(folder / "pictures")), folder / "run", {}, {}
    at_first_s = resource.getrusage(resource.RUSAGE_CHILDREN)
    with job.running(out) as run:
        for stage in STAGES:
            assert run.reaches(stage), "".join(run.said)
            began[stage] = time.monotonic()
            before[stage] = folder / f"before-{stage}"
            shutil.copytree(out, before[stage], ignore=shutil.ignore_patterns(".*.????????"))
        assert run.process.wait(900) == 0, "".join(run.said)
        began[9] = time.monotonic()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Undisturbed(
        job,
        hashlib.sha256((out / "model_int8.tflite").read_bytes()).hexdigest(),
        used.ru_utime + used.ru_stime - at_first_s.ru_utime - at_first_s.ru_stime,
        before,
        {stage: began[stage + 1] - began[stage] for stage in STAGES},
    )


@pytest.mark.slow
@pytest.mark.fault("kill -9 at a random moment of a run")
def test_a_killed_run_ends_with_the_same_int8_model(
    undisturbed: Undisturbed, tmp_path: Path, often: Often, tally: Tally
) -> None:
    """A moment is a number of CPU seconds, which a busy machine does not shift. Runs are killed again and again until
    they come to their end."""
    chance, wanted, ends, stages = random.Random(1), often(2, 30), 0, []
    out = tmp_path / "0"
    while tally.tried < wanted or stages[-1] != "end":
        moment_s = chance.uniform(0.1, undisturbed.cpu_s) if tally.tried < wanted else float("inf")
        with undisturbed.job.running(out) as run:
            while run.process.poll() is None and run.cpu_s() < moment_s:
                time.sleep(0.02)
            killed = run.process.poll() is None
            run.process.kill()
            run.process.wait()
            said = "".join(run.said)
            reached = [stage for stage in STAGES if f"[{stage}/8]" in said]
        if killed:
            tally.tried += 1
            stages.append(str(max(reached, default=0)))
            continue
        stages.append("end")
        ends += 1
        if run.process.returncode != 0 or any(word in said for word in TRACES):
            tally.lost.append(f"after {stages}: {run.process.returncode} {said[-500:]}")
        elif hashlib.sha256((out / "model_int8.tflite").read_bytes()).hexdigest() != undisturbed.sha256:
            tally.lost.append(f"after {stages}: another int8 model")
        left = [path.name for path in out.iterdir() if path.name.startswith((".ladder", "training-state"))]
        if left:
            tally.lost.append(f"after {stages}: left behind {left}")
        out = tmp_path / str(ends)
    tally.check(f"killed in stage: {' '.join(stages)}; every int8 model that came out is the undisturbed one's")


@pytest.mark.slow
@pytest.mark.fault("Ctrl-C at a random moment of each stage")
@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_ends_in_time_and_the_run_goes_on(
    stage: int, undisturbed: Undisturbed, tmp_path: Path, often: Often, tally: Tally, request: pytest.FixtureRequest
) -> None:
    if stage not in (4, 7) and not request.config.getoption("--long"):
        pytest.skip("one of the stages that --long tries")
    chance, took_s, limits_s = random.Random(stage), [], []
    out = tmp_path / "run"
    for number in range(often(2, 20)):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(undisturbed.before[stage], out)
        with undisturbed.job.running(out) as run:
            if not run.reaches(stage):
                tally.lost.append(f"{number}: stage {stage} was not reached: {''.join(run.said)[-500:]}")
                continue
            time.sleep(chance.uniform(0, undisturbed.seconds[stage]))
            if run.process.poll() is not None:
                continue  # over before the moment came
            allowance, over = ALLOWANCE(), finished(out)
            run.process.send_signal(signal.SIGINT)
            began_s = time.monotonic()
            code = run.process.wait(120)
            took_s.append(time.monotonic() - began_s)
            limits_s.append(LIMIT_S * allowance)
        tally.tried += 1
        said = "".join(run.said)
        if (
            code not in ({0, 130} if over else {130})
            or took_s[-1] > limits_s[-1]
            or any(word in said for word in TRACES)
        ):
            tally.lost.append(f"{number}: code {code} after {took_s[-1]:.1f} s: {said[-300:]}")
    if undisturbed.job.finish(out) != undisturbed.sha256:
        tally.lost.append("the run that went on made another int8 model")
    tally.check(
        f"stage {stage}: ended after {min(took_s):.1f} to {max(took_s):.1f} s; {sum(t <= LIMIT_S for t in took_s)} of "
        f"{len(took_s)} within {LIMIT_S:g} s by the clock, the limit grown by this machine's load being "
        f"{min(limits_s):.1f} to {max(limits_s):.1f} s"
        if took_s
        else f"stage {stage}: over before any moment came"
    )


# Run as root of a mount namespace of its own: a disk with 210 MB is filled as each stage begins, then emptied.
FULL_DISK = """
import hashlib, os, subprocess, sys
from pathlib import Path
from support.small_job import SmallJob
job, disk, stages = SmallJob(Path(sys.argv[1])), Path(sys.argv[2]), [int(word) for word in sys.argv[3].split(",")]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=260m", "none", str(disk)], check=True)
os.environ["TMPDIR"] = str(disk)
ballast = disk / "ballast"
for stage in stages:
    with job.running(disk / "run") as run:
        if not run.reaches(stage):
            print(stage, "not reached", run.said[-3:])
            continue
        try:
            with ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        except OSError:
            pass
        code = run.process.wait(900)
    ballast.unlink()
    said = "".join(run.said)
    good = code == 2 and "Traceback" not in said and said.count("error: ") == 1
    print(stage, "ended well" if good else f"{code} {said[-400:]!r}", flush=True)
print(job.finish(disk / "run"), sorted(path.name for path in (disk / "run").iterdir()))
"""


@pytest.mark.slow
@pytest.mark.fault("a full disk from the beginning of a stage on")
def test_a_full_disk(undisturbed: Undisturbed, tmp_path: Path, tally: Tally, request: pytest.FixtureRequest) -> None:
    if not shutil.which("unshare") or subprocess.run(["unshare", "-r", "-m", "true"], capture_output=True).returncode:
        pytest.skip("this machine does not allow user namespaces")
    stages = STAGES if request.config.getoption("--long") else (5,)
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["unshare", "-r", "-m", sys.executable, "-c", FULL_DISK, undisturbed.job.pictures, disk]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [*command, ",".join(map(str, stages))], capture_output=True, text=True, timeout=3000, env=environment
    )
    *lines, last = done.stdout.splitlines() or [""]
    tally.tried = len(stages)
    tally.lost += [line for line in lines if not line.endswith("ended well")]
    if undisturbed.sha256 not in last:
        tally.lost.append(f"another int8 model, or none: {last} {done.stderr[-500:]}")
    if ".ladder" in last or "training-state" in last:
        tally.lost.append(f"left behind: {last}")
    tally.check("the run that went on after the full disks made the undisturbed one's int8 model")


@pytest.mark.slow
@pytest.mark.fault("two runs at once in one directory")
def test_two_runs_in_one_directory(undisturbed: Undisturbed, tmp_path: Path, tally: Tally) -> None:
    """The second is refused in one message, and the first does not notice."""
    out = tmp_path / "run"
    shutil.copytree(undisturbed.before[5], out)
    with undisturbed.job.running(out) as first:
        assert first.reaches(1)
        with undisturbed.job.running(out) as second:
            tally.tried, code = 1, second.process.wait(300)
        said = "".join(second.said)
        if code != 2 or "another edgefit is working in" not in said or "Traceback" in said:
            tally.lost.append(f"the second: {code} {said}")
        assert first.process.poll() is None, "the first was over too soon"
        if first.process.wait(900) != 0:
            tally.lost.append("".join(first.said))
    if hashlib.sha256((out / "model_int8.tflite").read_bytes()).hexdigest() != undisturbed.sha256:
        tally.lost.append("another int8 model")
    tally.check()
