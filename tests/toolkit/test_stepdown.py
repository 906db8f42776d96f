"""A trained model that misses on the device after all: the loop of `fit`, with stand-ins for training and measuring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgefit_benchmarks.reference import Reference
from edgefit_benchmarks.targets.local import LocalTarget
from edgefit_toolkit.network.checkpoints import sidecar_of
from edgefit_toolkit.picker.plan import Candidate, Measured, Plan
from edgefit_toolkit.picker.search import make_plan
from edgefit_toolkit.pipeline import stepdown
from edgefit_toolkit.pipeline.fit import fit
from edgefit_toolkit.pipeline.measuring.bench import Bench
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.pipeline.stages import pick, report
from edgefit_toolkit.pipeline.stages.job import Job
from edgefit_toolkit.pipeline.stages.measure import MeasuredModels
from edgefit_toolkit.pipeline.stages.stage import Stage
from edgefit_toolkit.records import Budget, Latency, Measurement

BUDGET_MS = 12.0


def known(p90: float, origin: Any = "measured on host") -> Latency:
    return Latency(0.9 * p90, p90, 0.98 * p90, 1.02 * p90, origin, "made up for a test")


class Told:
    """A Ui that keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def stage(self, number: int, total: int, title: str, *, resumed: bool = False) -> None: ...

    def progress(self, label: str, done: int, total: int, detail: str = "") -> None: ...

    def note(self, text: str) -> None: ...

    def warn(self, text: str) -> None:
        self.warnings.append(text)


class World:
    """Networks that, trained, take `slower` times what was predicted; what was trained, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, slower: float) -> None:
        self.slower, self.trained, self.docs = slower, list[float](), list[dict[str, Any]]()
        plan = make_plan(Budget(BUDGET_MS), "pixel4")
        self.predicted_ms = {(c.variant.phi, c.variant.resolution_px): c.latency.p90 for c in plan.frontier}
        bench = Bench(LocalTarget(), threads=1)
        monkeypatch.setattr(pick, "pick", lambda predicted, *_: (predicted, bench))
        monkeypatch.setattr(Stage, "run", lambda stage: self.stand_in(stage.job, stage.name))
        monkeypatch.setattr(report, "report", self.document)

    def stand_in(self, job: Job, name: str) -> MeasuredModels | SimpleNamespace | None:
        if name == "train":
            self.trained.append(job.variant.phi)
        if name == "convert":
            return SimpleNamespace(power=1)
        if name != "measure":
            return None
        for file in (job.float_tflite, job.int8_tflite, job.checkpoint, sidecar_of(job.checkpoint)):
            file.write_text(f"{file.name} of {job.variant.label}")
        job.preprocessing_file.write_text("{}")
        answers = np.eye(4, 5, dtype=np.float32)
        np.savez(job.answers_file, int8_tflite=answers, truth=np.array([0, 1, 2, 0]))
        ms = self.predicted_ms[job.variant.phi, job.variant.resolution_px] * self.slower
        row = Measurement("int8", "", "host", "test", "xnnpack", 1, "measured on host", 1, (ms,) * 60)
        elsewhere = replace(row, model="x", origin="measured on device")
        reference = Reference("a CPU", "cpu", "float32", 1.0, 1.0, (1.0,), 1.0, 1, "torch")
        return MeasuredModels((elsewhere, row), {}, "host", reference, None, ())

    def document(self, job: Job, plan: Plan, *_: Any, command: str, attempts: list[report.Attempt]) -> Any:
        self.docs.append({"plan": plan, "attempts": [a.doc for a in attempts]})
        return self.docs[-1]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], tuple[World, Told, dict[str, Any]]]:
    def go(slower: float) -> tuple[World, Told, dict[str, Any]]:
        world, ui = World(monkeypatch, slower), Told()
        settings = FitSettings(budget_ms=BUDGET_MS, device="pixel4", data=None)
        return world, ui, fit(settings, tmp_path / "run", ui, command="edgefit")

    return go


def test_a_model_that_fits_is_trained_once(run: Any, tmp_path: Path) -> None:
    world, ui, doc = run(1.0)
    assert len(world.trained) == 1
    assert doc["attempts"] == []
    assert not [w for w in ui.warnings if "stepping down" in w]


def test_a_miss_steps_down_says_so_and_keeps_what_was_made(run: Any, tmp_path: Path) -> None:
    world, ui, doc = run(1.2)
    assert len(world.trained) == 2
    assert world.trained[1] < world.trained[0]
    plan = doc["plan"]
    assert plan.pick.variant.phi == world.trained[1]
    assert plan.next.variant.phi == world.trained[0]
    assert plan.next.latency.origin == "measured on host"
    assert "predicted from the measured latency" in plan.pick.latency.basis
    (attempt,) = doc["attempts"]
    assert attempt["top1"] == 0.75
    assert attempt["latency_ms"]["p90"] > BUDGET_MS
    (warning,) = [w for w in ui.warnings if "stepping down" in w]
    assert attempt["label"] in warning
    kept = tmp_path / "run" / attempt["folder"]
    assert (kept / "model_int8.tflite").read_text() == f"model_int8.tflite of {attempt['label']}"
    assert {f.name for f in kept.iterdir()} >= {"checkpoint.safetensors", "answers.npz", "preprocessing.json"}
    assert plan.pick.variant.label in (tmp_path / "run" / "model_int8.tflite").read_text()


def test_a_broken_run_does_not_train_the_larger_one_again(run: Any) -> None:
    first, _, before = run(1.2)
    again, ui, doc = run(1.2)
    assert again.trained == first.trained[1:]
    assert doc["attempts"] == before["attempts"]
    assert [w for w in ui.warnings if "stepping down" in w]


def test_it_gives_up_after_two_steps(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepdown, "FITS_BY", -0.199)  # steps too small to help
    world, _, doc = run(1.2)
    assert len(world.trained) == 1 + stepdown.MAX_STEP_DOWNS
    assert sorted(world.trained, reverse=True) == world.trained
    assert [a["folder"] for a in doc["attempts"]] == ["attempt-1", "attempt-2"]


def test_a_miss_within_its_interval_is_no_miss() -> None:
    plan = make_plan(Budget(BUDGET_MS), "pixel4")
    assert not stepdown.misses(plan, known(BUDGET_MS * 1.01))
    assert stepdown.misses(plan, known(BUDGET_MS * 1.03))
    assert not stepdown.misses(plan, known(BUDGET_MS * 0.9))


def test_a_measured_smaller_network_is_the_next_pick() -> None:
    predicted = make_plan(Budget(BUDGET_MS), "pixel4")
    at = predicted.frontier.index(predicted.pick)
    lower = predicted.frontier[at - 4].variant
    pick = Measured(predicted.pick.variant, known(11.8), (known(11.8),))
    proven = Measured(lower, known(11.0), (known(11.0),))
    plan = Plan(
        predicted.budget, "pixel4", "lite", "continuous", predicted.phi_range, Candidate(pick.variant, pick.latency),
        None, predicted.frontier, proof=(proven, pick),
    )  # fmt: skip
    step = stepdown.smaller(plan, predicted, known(12.4))
    assert step is not None
    assert lower.phi <= step.pick.variant.phi < pick.variant.phi
    assert step.next == Candidate(pick.variant, known(12.4))
    assert step.pick.latency.p90 <= BUDGET_MS
    worse = stepdown.smaller(plan, predicted, known(14.0))
    assert worse is not None
    assert worse.pick.variant.phi < lower.phi  # what was measured is slower by as much
    tiny = Plan(
        predicted.budget, "pixel4", "lite", "continuous", predicted.phi_range, predicted.frontier[0], None,
        predicted.frontier,
    )  # fmt: skip
    assert stepdown.smaller(tiny, predicted, known(13.0)) is None
