"""Time per operator: LiteRT's own profiler on real files, its printed summary, and what is made of it."""

from __future__ import annotations

import _ctypes
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from support.tiny_model import tiny_tflite

from edgefit_benchmarks import operators
from edgefit_benchmarks.operators import OperatorProfile, OperatorTime, profile_operators, rows_from
from edgefit_converters.tflite.gpu import GPU_KINDS, gpu_fallback
from edgefit_converters.tflite.inspect import read_model
from edgefit_toolkit.cli.main import cli
from edgefit_toolkit.errors import DeviceError, InputError
from edgefit_toolkit.pipeline.measuring.int8_speed import (
    Int8Speed,
    int8_dot,
    profile_models,
    slower_warnings,
    why_slower,
)
from edgefit_toolkit.pipeline.report_rows import times_doc
from edgefit_toolkit.report.schema.results import OperatorTimesDoc
from edgefit_toolkit.report.schema.validation import check


@pytest.fixture(scope="module")
def int8_profile(small_int8_tflite: Path) -> OperatorProfile:
    return profile_operators(small_int8_tflite, threads=1, runs=20)


@pytest.fixture(scope="module")
def float_profile(small_float_tflite: Path) -> OperatorProfile:
    return profile_operators(small_float_tflite, threads=1, runs=20)


# the profiler on real files


@pytest.mark.parametrize("dtype", ["int8", "float"])
def test_every_operator_of_the_file_has_its_row(dtype: str, request: pytest.FixtureRequest) -> None:
    profile: OperatorProfile = request.getfixturevalue(f"{dtype}_profile")
    facts = read_model(request.getfixturevalue(f"small_{dtype}_tflite"))
    # XNNPACK calls a 1x1 convolution "Fully Connected"; the rows must not
    assert {row.op: row.count for row in profile.rows} == facts.ops
    assert {row.op for row in profile.rows if not row.kernels} == set(facts.fallback)


@pytest.mark.parametrize("dtype", ["int8", "float"])
def test_the_rows_sum_to_about_the_whole_inference(dtype: str, request: pytest.FixtureRequest) -> None:
    profile: OperatorProfile = request.getfixturevalue(f"{dtype}_profile")
    assert all(row.ms >= 0 for row in profile.rows)
    assert sum(row.ms / profile.total_ms for row in profile.rows) == pytest.approx(1)
    # operators lie within the call: never more than it, apart from rounding to a microsecond per node
    assert profile.total_ms < 1.1 * profile.invoke_ms + 0.05
    assert [row.ms for row in profile.rows] == sorted((row.ms for row in profile.rows), reverse=True)


def test_little_of_an_inference_lies_between_its_operators(small_float_tflite: Path) -> None:
    # 3% of a Lite0, more of this model of a tenth of a millisecond; other work on the machine may come in between
    profiles = (profile_operators(small_float_tflite, threads=1) for _ in range(5))
    assert any(profile.total_ms > 0.4 * profile.invoke_ms for profile in profiles)


def test_a_model_without_a_signature_is_profiled(tmp_path: Path) -> None:
    rows = profile_operators(tiny_tflite(tmp_path / "tiny.tflite", resolution_px=128), threads=2, runs=5).rows
    assert {row.op for row in rows} >= {"QUANTIZE", "CONV_2D", "MEAN", "FULLY_CONNECTED"}


def test_a_missing_file_and_a_file_that_is_no_model_are_input_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no model"):
        profile_operators(tmp_path / "none.tflite", threads=1)
    (tmp_path / "text.tflite").write_text("no model at all, only words")
    with pytest.raises(InputError, match="LiteRT cannot profile"):
        profile_operators(tmp_path / "text.tflite", threads=1)


def test_a_truncated_model_never_takes_the_caller_down(small_int8_tflite: Path, tmp_path: Path) -> None:
    content = small_int8_tflite.read_bytes()
    (tmp_path / "half.tflite").write_bytes(content[: len(content) // 2])
    with pytest.raises((InputError, DeviceError)):
        profile_operators(tmp_path / "half.tflite", threads=1, runs=2)


def _worker(folder: Path, code: str) -> list[str]:
    """A worker that first runs `code`, for an ai-edge-litert of another kind, or a process that dies."""
    prepare = f"import runpy; {code}; runpy.run_module('edgefit_benchmarks.operators_worker', run_name='__main__')"
    (folder / "libLiteRt.so").symlink_to(_ctypes.__file__)  # a library that has none of the functions
    return [sys.executable, "-c", prepare]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import ai_edge_litert as a; a.__file__ = 'FOLDER/__init__.py'", "undefined symbol: LiteRt"),
        ("import ai_edge_litert as a; a.__file__ = '/nowhere/__init__.py'", "no profiler for operators.*libLiteRt"),
        ("import os; os.abort()", "SIGABRT"),
    ],
)
def test_no_profiler_and_a_crash_are_device_errors_with_their_reason(
    code: str, says: str, small_int8_tflite: Path, tmp_path: Path
) -> None:
    with pytest.raises(DeviceError, match=says) as caught:
        profile_operators(
            small_int8_tflite, threads=1, runs=2, worker=_worker(tmp_path, code.replace("FOLDER", str(tmp_path)))
        )
    assert "--no-time" in caught.value.hint


def test_a_process_that_hangs_is_ended(small_int8_tflite: Path, tmp_path: Path) -> None:
    worker = _worker(tmp_path, "import time; time.sleep(60)")
    with pytest.raises(DeviceError, match="longer than 1 s"):
        profile_operators(small_int8_tflite, threads=1, runs=2, timeout_s=1, worker=worker)


# the printed summary

HEAD = (
    "===== Run Order =====\n   [node type]  [start]  [first]  [avg ms]  [%]  [cdf%]  [mem KB]  [times called]  [Name]\n"
)


def summary(nodes: list[tuple[str, float, int]]) -> str:
    """LiteRT's first table for (name, ms, times called)."""
    total = sum(ms * called for _, ms, called in nodes) or 1.0
    lines, done = [], 0.0
    for i, (name, ms, called) in enumerate(nodes):
        share = 100 * ms * called / total
        done += share
        where = "Delegate" if name.startswith("Delegate/") else "Builtin"
        numbers = f"0.000   {ms:.3f}   {ms:.3f}   {share:.3f}%   {done:.3f}%   0.000   {called}"
        lines.append(f"   {name}   {numbers}   [{where}]:{i}")
    return HEAD + "\n".join(lines) + "\n\n===== Top by Computation Time =====\n" + "\n".join(lines) + "\n"


GEMM, CONV, DEPTHWISE = (
    "Delegate/Fully Connected (NC, QS8, QC8W) GEMM",
    "Delegate/Convolution (NHWC, QC8) IGEMM",
    "Delegate/Convolution (NHWC, QC8) DWConv",
)


def test_pointwise_convolutions_get_their_own_name_back() -> None:
    text = summary([("QUANTIZE", 0.1, 4), (CONV, 0.4, 4), (DEPTHWISE, 0.2, 4), (GEMM, 0.2, 4), (GEMM, 0.1, 4)])
    kinds = ["QUANTIZE", "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "FULLY_CONNECTED"]
    rows = {row.op: row for row in rows_from(text, kinds, 4)}
    assert set(rows) == set(kinds)
    assert rows["CONV_2D"].count == 2
    assert rows["CONV_2D"].ms == pytest.approx(0.6, abs=1e-4)
    assert rows["FULLY_CONNECTED"].ms == pytest.approx(0.1, abs=1e-4)
    assert rows["QUANTIZE"].kernels == ()


def test_nodes_of_two_partitions_that_were_merged_count_twice() -> None:
    text = summary([(GEMM, 0.2, 10), ("FLOOR_MOD", 0.1, 5)])  # called 10 times in 5 inferences
    rows = {row.op: row for row in rows_from(text, ["CONV_2D", "FLOOR_MOD", "CONV_2D"], 5)}
    assert rows["CONV_2D"].count == 2
    assert rows["CONV_2D"].ms == pytest.approx(0.4, abs=1e-4)


def test_what_cannot_be_told_apart_keeps_the_name_of_xnnpack() -> None:
    rows = rows_from(summary([(GEMM, 0.2, 10)]), ["CONV_2D", "FULLY_CONNECTED"], 5)
    assert [row.op for row in rows] == ["Fully Connected (NC, QS8, QC8W) GEMM (XNNPACK)"]
    lookup = rows_from(summary([("Delegate/Invalid Unary Op", 0.2, 5)]), ["LOGISTIC", "MUL"], 5)
    assert [row.op for row in lookup] == ["Table look-up (XNNPACK)"]


def test_the_delegate_as_a_whole_is_not_counted_beside_its_operators() -> None:
    rows = rows_from(summary([("TfLiteXNNPackDelegate", 0.5, 5), (CONV, 0.5, 5)]), ["CONV_2D"], 5)
    assert [row.op for row in rows] == ["CONV_2D"]
    assert rows[0].ms == pytest.approx(0.5)


@pytest.mark.parametrize("text", ["", "no table", HEAD, HEAD.replace("Run Order", "Another")])
def test_a_summary_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(DeviceError, match="no table"):
        rows_from(text, ["CONV_2D"], 5)


names = st.sampled_from([GEMM, CONV, DEPTHWISE, "QUANTIZE", "Delegate/Add (ND)", "Delegate/Some New Thing (X, 7) v2"])


@given(st.lists(st.tuples(names, st.integers(1, 9000).map(lambda us: us / 1e3)), min_size=1), st.integers(1, 50))
def test_no_time_is_lost_or_counted_twice(nodes: list[tuple[str, float]], runs: int) -> None:
    kinds = ["CONV_2D", "ADD", "QUANTIZE"]
    rows = rows_from(summary([(name, ms, runs) for name, ms in nodes]), kinds, runs)
    assert sum(row.ms for row in rows) == pytest.approx(sum(ms for _, ms in nodes), rel=1e-6)
    assert sum(row.count for row in rows) == len(nodes)


@given(st.text(max_size=400))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        rows = rows_from("Run Order\n" + text, [], 5)
    except DeviceError:
        return
    assert rows


# the GPU's list


def test_the_gpus_kinds_are_kinds_and_hold_all_of_ours(small_int8_tflite: Path, small_float_tflite: Path) -> None:
    known = {name for name in vars(schema.BuiltinOperator) if name.isupper()}
    assert not GPU_KINDS - known
    for path in (small_int8_tflite, small_float_tflite):
        assert gpu_fallback(read_model(path).ops) == ()
    assert gpu_fallback(["CONV_2D", "TOPK_V2", "CUSTOM", "TOPK_V2"]) == ("CUSTOM", "TOPK_V2")


# why int8 is slower


def _profile(*rows: tuple[str, float, bool]) -> OperatorProfile:
    times = tuple(OperatorTime(op, 1, ms, ("kernel",) if inside else ()) for op, ms, inside in rows)
    return OperatorProfile(times, sum(row.ms for row in times), 1, 30, "a runtime")


def test_reasons_name_islands_partitions_glue_kernels_and_the_cpu(
    small_int8_tflite: Path, small_float_tflite: Path
) -> None:
    int8, float_ = read_model(small_int8_tflite), read_model(small_float_tflite)
    bad = replace(
        int8, float_islands=("CONV_2D x", "CONV_2D y"), partitions=5, ops=int8.ops | {"TRANSPOSE": 34, "PAD": 17}
    )
    profiles = (
        _profile(("DEPTHWISE_CONV_2D", 5.0, True), ("QUANTIZE", 2.0, False), ("ADD", 0.1, True)),
        _profile(("DEPTHWISE_CONV_2D", 3.0, True), ("ADD", 0.09, True)),
    )
    said = "\n".join(why_slower(bad, float_, profiles, "flags : sse avx2"))
    for word in ("2 operators still compute in float", "5 XNNPACK partitions, float into 1", "34 TRANSPOSE, 17 PAD",
                 "QUANTIZE 2.00 ms", "DEPTHWISE_CONV_2D takes 5.00 ms in int8 and 3.00 ms", "no int8 dot"):  # fmt: skip
        assert word in said
    assert "ADD takes" not in said  # a hundredth of a millisecond is no reason


def test_a_sound_int8_model_gives_no_structural_reason(small_int8_tflite: Path, small_float_tflite: Path) -> None:
    int8, float_ = read_model(small_int8_tflite), read_model(small_float_tflite)
    (said,) = why_slower(int8, float_, None, "flags : avx512_vnni")
    assert said.startswith("no single operator explains it")


def test_int8_dot_products_are_found_by_the_words_of_cpuinfo() -> None:
    assert int8_dot("processor : 0\nFeatures\t: fp asimd asimddp\n") is True
    assert int8_dot("flags\t\t: fpu avx512_vnni\n") is True
    assert int8_dot("flags\t\t: fpu avx2\n") is False
    assert int8_dot("") is None


def test_only_a_target_where_int8_is_slower_is_warned_about(small_int8_tflite: Path, small_float_tflite: Path) -> None:
    int8, float_ = read_model(small_int8_tflite), read_model(small_float_tflite)
    rows = [
        {"target": target, "origin": origin, "model": model, "p50_ms": ms}
        for target, origin, times in (
            ("a host", "measured on host", (9.0, 4.0)),
            ("a phone", "measured on device", (4.0, 9.0)),
            ("a twin", "measured on device", (4.05, 4.0)),  # noise
        )
        for model, ms in zip(("int8", "float"), times, strict=True)
    ]
    (warning,) = slower_warnings(rows, int8, float_, {})
    assert re.match(r"int8 is slower than float on a host \(9.0 against 4.0 ms, measured on host\): ", warning)
    assert Int8Speed(9.0, 4.0, 1, ()).slower
    assert "SLOWER" in Int8Speed(9.0, 4.0, 1, ()).sentence
    assert "2.00 times as fast" in Int8Speed(2.0, 4.0, 1, ()).sentence
    assert "as fast as" in Int8Speed(4.05, 4.0, 1, ()).sentence


# where it goes


def test_the_document_is_the_reports_and_a_failure_is_a_warning(
    int8_profile: OperatorProfile, small_int8_tflite: Path, tmp_path: Path
) -> None:
    check(times_doc("int8", int8_profile, "a host"), OperatorTimesDoc, "operator_times[0]")
    profiles, warnings = profile_models({"int8": small_int8_tflite, "float": tmp_path / "none.tflite"}, 1)
    assert set(profiles) == {"int8"}
    (warning,) = warnings
    assert warning.startswith("no time per operator for float: there is no model")


def test_inspect_of_a_run_shows_times_beside_float(
    small_int8_tflite: Path, small_float_tflite: Path, tmp_path: Path
) -> None:
    (tmp_path / "model_int8.tflite").write_bytes(small_int8_tflite.read_bytes())
    (tmp_path / "model_float.tflite").write_bytes(small_float_tflite.read_bytes())
    done = CliRunner().invoke(cli, ["inspect", str(tmp_path), "--threads", "1"], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    for word in ("time per operator on this host, 1 thread,", "measured on host", "DEPTHWISE_CONV_2D", "float ms",
                 "GPU delegate", "hand the GPU the float model", "int8 is"):  # fmt: skip
        assert word in done.stdout
    assert done.stderr == ""


def test_inspect_json_of_an_int8_model_with_its_float_twin(small_int8_tflite: Path, small_float_tflite: Path) -> None:
    arguments = ["inspect", str(small_int8_tflite), "--float", str(small_float_tflite), "--threads", "1", "--json"]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    doc = json.loads(done.stdout)
    assert doc["schema"] == "edgefit.inspect/1"
    assert doc["gpu"]["fallback"] == []
    assert [times["model"] for times in doc["operator_times"]] == ["model", "float"]
    for times in doc["operator_times"]:
        check(times, OperatorTimesDoc, "operator_times")
        assert sum(row["ms"] for row in times["rows"]) > 0
    speed = doc["int8_speed"]
    assert speed["slower"] == (speed["int8_ms"] > 1.02 * speed["float_ms"]) == bool(speed["reasons"])


def test_inspect_without_times_starts_no_process(small_float_tflite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "profile_operators", None)
    done = CliRunner().invoke(cli, ["inspect", str(small_float_tflite), "--no-time", "--json"])
    assert done.exit_code == 0, done.output
    doc = json.loads(done.stdout)
    assert (doc["operator_times"], doc["int8_speed"], doc["gpu"]["note"]) == ([], None, None)


def test_inspect_refuses_twins_that_are_none_and_empty_runs(
    small_int8_tflite: Path, small_float_tflite: Path, tmp_path: Path
) -> None:
    for arguments, says in (
        ([str(small_float_tflite), "--float", str(small_int8_tflite)], "float twin"),
        ([str(tmp_path)], "holds no model_int8.tflite"),
    ):
        done = CliRunner().invoke(cli, ["inspect", *arguments])
        assert isinstance(done.exception, InputError)
        assert says in done.exception.message
