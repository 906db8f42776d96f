"""A new kind of target is one module and one entry in a table: farm.py adds one without a line of edgefit changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.farm import KIND, FarmTarget
from support.tiny_model import tiny_tflite

from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.targets import table
from edgefit_benchmarks.timing import measure, measure_interleaved
from edgefit_toolkit.devices import load_profile
from edgefit_toolkit.errors import DeviceError, InputError
from edgefit_toolkit.latency.predict import predict
from edgefit_toolkit.network.scaling import variant_from_phi
from edgefit_toolkit.picker.plan import Candidate, Plan
from edgefit_toolkit.picker.search import PHI_RANGE
from edgefit_toolkit.pipeline.measuring.bench import Bench, find_bench
from edgefit_toolkit.pipeline.measuring.prove import prove
from edgefit_toolkit.progress import Silent
from edgefit_toolkit.records import Budget

QUICK = TimingOptions(threads=1, min_seconds=0.001, max_seconds=0.01)
TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture
def farm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "KINDS", [*table.KINDS, KIND])


def edgefit(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command line of an edgefit that has the farm."""
    command = [sys.executable, "-m", "support.farm", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=os.environ | {"PYTHONPATH": str(TESTS)}
    )


def test_it_is_timed_like_any_other(tmp_path: Path) -> None:
    models = {px: tiny_tflite(tmp_path / f"{px}.tflite", resolution_px=int(px)) for px in ("64", "96")}
    rows = measure_interleaved(FarmTarget("pixel-9"), models, QUICK)
    for row in rows.values():
        assert (row.target, row.origin) == ("pixel-9 (farm)", "measured on device")
        assert len(row.samples_ms) >= 50
        assert "timed by a farm" in row.notes
    with pytest.raises(DeviceError, match=r"pixel-9 \(farm\) times models and gives no outputs"):
        FarmTarget("pixel-9").answers(models["64"], b"")
    assert measure(FarmTarget("pixel-9"), models["64"], QUICK, model="int8").model == "int8"


@pytest.mark.usefixtures("farm")
def test_its_flag_finds_it_and_a_plan_is_proven_on_it() -> None:
    pixel4 = load_profile("pixel4")
    bench = find_bench(pixel4, {"farm": "pixel-9"})
    assert bench is not None
    assert (bench.target.facts().name, bench.threads, bench.cpus) == ("pixel-9", pixel4.threads, ())
    with pytest.raises(InputError, match="--farm names a farm's phone and --host a board"):
        find_bench(pixel4, {"farm": "pixel-9", "host": "pi@board"})
    with pytest.raises(DeviceError, match="the farm has no pixel-10"):
        find_bench(pixel4, {"farm": "pixel-10"})

    networks = [variant_from_phi(phi, classes=5) for phi in (-4.0, -3.9)]
    frontier = tuple(Candidate(variant, predict(variant, pixel4)) for variant in networks)
    plan = Plan(Budget(10_000.0), "pixel4", "lite", "continuous", PHI_RANGE, frontier[0], frontier[1], frontier)
    proven, _ = prove(plan, Bench(bench.target, threads=1), Silent(), limit_s=120.0)
    assert proven.pick.variant == networks[-1]
    assert {row.latency.origin for row in proven.proof} == {"measured on device"}
    assert "pixel-9 (farm)" in proven.pick.latency.basis


def test_edgefit_bench_has_its_flag_and_times_on_it(tmp_path: Path) -> None:
    model = tiny_tflite(tmp_path / "tiny.tflite", resolution_px=64)
    done = edgefit("bench", model, "--device", "pixel4", "--farm", "pixel-9", "--json")
    assert done.returncode == 0, done.stderr
    doc = json.loads(done.stdout)
    assert (doc["target"], doc["origin"], doc["runtime"]) == (
        "pixel-9 (farm)",
        "measured on device",
        "the farm's LiteRT",
    )
    absent = edgefit("bench", model, "--device", "pixel4", "--farm", "pixel-10")
    assert absent.returncode == 3
    assert "it has: pixel-9" in absent.stderr


@pytest.mark.parametrize("command", ["fit", "plan", "calibrate"])
def test_every_command_that_measures_has_its_flag(command: str) -> None:
    done = edgefit(command, "--help")
    assert "--farm PHONE" in done.stdout
    assert "--host USER@BOARD" in done.stdout
