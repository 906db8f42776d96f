"""tflite-runtime in its own environment: real models through the real interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.tiny_model import tiny_tflite

from edgefit_benchmarks.sessions.host import HostSession, _cannot_run
from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.tflite_runtime import measure_with_tflite_runtime, worker_command
from edgefit_converters.tflite.inspect import read_model
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.pipeline.measuring.int8_speed import slower_warnings
from edgefit_toolkit.pipeline.report_rows import measurement_doc

EDGEFIT = Path(sys.executable).with_name("edgefit")
QUICK = TimingOptions(threads=1, max_seconds=1.0)


@pytest.fixture(scope="module")
def python(side_environment: Path) -> Path:
    return side_environment


def test_what_litert_torch_writes_runs_there_and_float_is_delegated(python: Path, small_float_tflite: Path) -> None:
    times = measure_with_tflite_runtime(python, small_float_tflite, QUICK, model="float")
    assert times.side.runtime == "tflite-runtime 2.14.0"
    assert (times.side.model, times.side.delegate, times.warning) == ("float", "xnnpack", "")
    assert times.side.origin == "measured on host"
    assert times.litert.runtime.startswith("ai-edge-litert")
    assert times.side.model_sha256 == times.litert.model_sha256
    assert len(times.side.samples_ms) >= 50


def test_int8_that_is_not_delegated_is_said_with_what_it_costs(python: Path, small_int8_tflite: Path) -> None:
    """Not hard-coded: the worker reads it from the interpreter's own nodes, and both runtimes are timed."""
    times = measure_with_tflite_runtime(python, small_int8_tflite, QUICK)
    if times.side.delegate == "xnnpack":
        assert times.warning == ""
        return
    assert "hands no operator of int8 to XNNPACK" in times.warning
    assert times.warning in times.side.notes
    docs = [measurement_doc(times.side), measurement_doc(times.litert)]
    assert [doc["delegate"] for doc in docs] == ["none", "xnnpack"]


def test_a_runtimes_row_is_compared_with_its_own_twin(small_int8_tflite: Path, small_float_tflite: Path) -> None:
    row = {"target": "host", "origin": "measured on host", "runtime": "ai-edge-litert 2.3.0"}
    rows = [row | {"model": "int8", "p50_ms": 1.0}, row | {"model": "float", "p50_ms": 2.0}]
    side = [r | {"runtime": "tflite-runtime 2.14.0", "p50_ms": 20 * r["p50_ms"]} for r in rows[:1]]
    int8, float_ = read_model(small_int8_tflite), read_model(small_float_tflite)
    assert slower_warnings([*rows, *side], int8, float_, {}) == []
    both = [*side, side[0] | {"model": "float", "p50_ms": 2.0}]
    (said,) = slower_warnings([*rows, *both], int8, float_, {})
    assert "tflite-runtime 2.14.0" in said


def test_operators_that_are_too_new_are_one_message() -> None:
    error = (
        "Didn't find op for builtin opcode 'FULLY_CONNECTED' version '12'. An older version of this builtin might..."
    )
    said = _cannot_run(Path("model.tflite"), "tflite-runtime 2.14.0", error)
    assert "older than the file's operators (FULLY_CONNECTED of version 12)" in said.message
    assert "--runtime litert" in said.hint


def test_a_newer_operator_is_refused_by_the_real_interpreter(python: Path, tmp_path: Path) -> None:
    from edgefit_converters.tflite import flatfile
    from edgefit_converters.tflite.flatfile import FlatModel

    flat = FlatModel.read(tiny_tflite(tmp_path / "tiny.tflite"))
    for code in flat.model.operatorCodes:
        code.version = 99
    flatfile.write(tmp_path / "new.tflite", flat.to_bytes())
    with pytest.raises(InputError, match=r"tflite-runtime 2\.14\.0 cannot run .*older than the file's operators"):
        HostSession(tmp_path / "new.tflite", QUICK, worker=worker_command(python))


def test_bench_prints_both_runtimes_and_the_warning(python: Path, small_int8_tflite: Path) -> None:
    done = subprocess.run(
        [EDGEFIT, "bench", small_int8_tflite, "--runtime", "tflite-runtime", "--threads", "1", "--json"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    doc = json.loads(done.stdout)
    assert doc["schema"] == "edgefit.bench/1"
    assert doc["runtime"] == "tflite-runtime 2.14.0"
    assert doc["beside"]["runtime"].startswith("ai-edge-litert")
    assert bool(doc["warnings"]) == (doc["delegate"] == "none")


def test_a_device_has_no_tflite_runtime(small_int8_tflite: Path) -> None:
    done = subprocess.run(
        [EDGEFIT, "bench", small_int8_tflite, "--runtime", "tflite-runtime", "--device", "pixel7"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert "for this host" in done.stderr
