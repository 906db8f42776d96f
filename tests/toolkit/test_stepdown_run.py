"""Stepping down with real parts: proven on this host, trained, converted, measured, set aside, and all of it again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from support.training_parts import drawn_dataset

from edgefit_toolkit.files import sha256_of
from edgefit_toolkit.interpreter import TFLite
from edgefit_toolkit.picker.plan import Plan
from edgefit_toolkit.picker.search import make_plan
from edgefit_toolkit.pipeline import fit as fitting
from edgefit_toolkit.pipeline import stepdown
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.progress import Silent
from edgefit_toolkit.records import Budget
from edgefit_toolkit.report.schema import validate

BUDGET_MS = 10_000.0  # met by every machine: what is judged to miss is the test's to say


@pytest.fixture(scope="module")
def patterns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DIR/{train,val,test}/{lines,rings,spots}/*.png, 12, 8 and 8 of each."""
    folder = tmp_path_factory.mktemp("patterns")
    drawn = drawn_dataset(tmp_path_factory.mktemp("drawn"), train=12, val=8, test=8)
    for split, photos in (("train", drawn.train), ("val", drawn.val), ("test", drawn.test)):
        for photo in photos:
            target = folder / split / drawn.classes[photo.label]
            target.mkdir(parents=True, exist_ok=True)
            shutil.move(photo.place, target)
    return folder


def tiny_plan(*_: Any, **__: Any) -> Plan:
    """Three networks of the shipped range, predicted for this host."""
    plan = make_plan(Budget(BUDGET_MS), "host")
    frontier = plan.frontier[:3]
    return Plan(plan.budget, "host", "lite", "continuous", plan.phi_range, frontier[-1], None, frontier)


@pytest.mark.slow  # about a minute: two trainings, conversions and measurements
def test_a_trained_model_that_misses_is_set_aside_and_a_smaller_one_ships(
    patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real throughout, but for the verdict on the first trained model: a machine that is slower by just as much, an
    hour later, cannot be had to order."""
    judged: list[Plan] = []

    def misses_once(plan: Plan, latency: Any) -> bool:
        judged.append(plan)
        return len(judged) == 1

    monkeypatch.setattr(fitting, "make_plan", tiny_plan)
    monkeypatch.setattr(stepdown, "misses", misses_once)
    settings = FitSettings(
        budget_ms=BUDGET_MS, device="host", data=str(patterns), epochs=1, threads=1, offline=True, calibration_n=24
    )
    out = tmp_path / "run"
    doc = fitting.fit(settings, out, Silent(), command="edgefit")
    validate(doc)
    small, large = judged[1].pick.variant, judged[0].pick.variant
    assert (large, small) == (tiny_plan().frontier[2].variant, tiny_plan().frontier[1].variant)
    assert doc["plan"]["pick"]["label"] == small.label
    assert doc["plan"]["next"]["label"] == large.label
    (attempt,) = doc["attempts"]
    assert attempt["label"] == large.label
    assert attempt["latency_ms"]["origin"] == "measured on host"
    kept, shipped = out / attempt["folder"] / "model_int8.tflite", out / "model_int8.tflite"
    for path, variant in ((kept, large), (shipped, small)):
        assert TFLite(path).resolution_px == variant.resolution_px
    measured = next(row for row in doc["measurements"] if row["model"] == "int8")
    assert measured["model_sha256"] == sha256_of(shipped) != sha256_of(kept)
    assert doc["verdict"]["fits"]
