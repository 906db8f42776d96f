"""Qualcomm AI Hub's adapter against a stand-in with the client's interface (support/qai_hub_client)."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from support.tiny_model import tiny_tflite

from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.targets.ai_hub import AiHubTarget
from edgefit_benchmarks.timing import measure
from edgefit_toolkit.errors import DeviceError, InputError
from edgefit_toolkit.pipeline.sweep.fleet import Timing, timed

EDGEFIT = Path(sys.executable).with_name("edgefit")
STAND_IN = Path(__file__).resolve().parents[1] / "support/qai_hub_client"
ACCEPTED = TimingOptions(threads=4, accept_cost=True)


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def loaded(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The stand-in as a module, under no name that an import finds."""
    spec = importlib.util.spec_from_file_location("qai_hub_stand_in", STAND_IN / "qai_hub.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, calls: Path) -> None:
    monkeypatch.setitem(sys.modules, "qai_hub", loaded(monkeypatch))
    monkeypatch.setenv("QAI_HUB_CALLS", str(calls))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_tflite(tmp_path_factory.mktemp("model") / "tiny.tflite", resolution_px=64)


def done(calls: Path) -> list[list[object]]:
    return [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []


@pytest.mark.usefixtures("stand_in")
def test_one_job_gives_the_samples_and_no_second_is_started(model: Path, calls: Path) -> None:
    measured = measure(AiHubTarget("Samsung Galaxy S24"), model, ACCEPTED)
    assert (measured.target, measured.origin) == ("Samsung Galaxy S24 (Qualcomm AI Hub)", "measured on device")
    assert len(measured.samples_ms) == 99  # of 100: the first told the pace; half a second of them, and no more to get
    assert set(measured.samples_ms) == {5.0 + i / 100 for i in range(7)}
    assert measured.delegate == "CPU 2"
    assert any("/jobs/jtest/" in note for note in measured.notes)
    upload, job = done(calls)
    assert upload == ["upload", model.stat().st_size, "tiny.tflite"]
    assert job[:3] == ["job", "mtest", "Samsung Galaxy S24"]
    for wanted in ("--tflite_delegates xnnpack", "number_of_threads=4", "--max_profiler_iterations 100"):
        assert wanted in str(job[3])


@pytest.mark.usefixtures("stand_in")
def test_nothing_is_uploaded_unless_the_cost_is_accepted(model: Path, calls: Path) -> None:
    with pytest.raises(InputError, match="uploads the model to Qualcomm and takes one job") as refused:
        measure(AiHubTarget("Samsung Galaxy S24"), model, TimingOptions())
    assert "--yes" in refused.value.hint
    assert done(calls) == []


@pytest.mark.usefixtures("stand_in")
def test_a_sweep_accepts_the_cost_for_all_its_networks_or_for_none(model: Path, calls: Path) -> None:
    place = ("ai-hub", "Samsung Galaxy S24")
    refused = timed(Timing("Lite0", 0, str(model), place, 4, accept_cost=False))
    assert "uploads the model to Qualcomm and takes one job" in refused["reason"]
    assert not done(calls)
    row = timed(Timing("Lite0", 0, str(model), place, 4, accept_cost=True))
    assert row["measurement"]["target"] == "Samsung Galaxy S24 (Qualcomm AI Hub)"
    assert [call[0] for call in done(calls)] == ["upload", "job"]


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    ("mood", "said"),
    [
        ("no token", r"refused or did not answer: Failed to load .* client\.ini not found"),
        ("offline", "refused or did not answer: Failed to resolve"),
        ("fails", r"failed: Failed to \\x1b\[31mload"),
        ("slow", "did not end within 3600 s"),
        ("no times", "gave no single times"),
    ],
)
def test_what_goes_wrong_is_one_device_error(
    model: Path, mood: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QAI_HUB_MOOD", mood)
    with pytest.raises(DeviceError, match=said) as fault:
        measure(AiHubTarget("Samsung Galaxy S24"), model, ACCEPTED)
    assert fault.value.hint


@pytest.mark.usefixtures("stand_in")
def test_a_misspelt_device_is_never_guessed() -> None:
    with pytest.raises(DeviceError, match="no device 'Samsung Galaxy S25'") as fault:
        AiHubTarget("Samsung Galaxy S25")
    assert "near: Samsung Galaxy S24; Samsung Galaxy S23" in fault.value.hint


def test_without_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qai_hub", None)
    with pytest.raises(DeviceError, match="is not installed") as fault:
        AiHubTarget("Samsung Galaxy S24")
    assert "edgefit-toolkit[ai-hub]" in fault.value.hint


def test_the_command_line(model: Path, calls: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(STAND_IN), "QAI_HUB_CALLS": str(calls)}

    def bench(*flags: str) -> subprocess.CompletedProcess[str]:
        command = [EDGEFIT, "bench", model, "--ai-hub", "Google Pixel 7", "--json", *flags]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)

    refused = bench()
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert done(calls) == []
    accepted = bench("--yes")
    assert accepted.returncode == 0, accepted.stderr
    assert json.loads(accepted.stdout)["target"] == "Google Pixel 7 (Qualcomm AI Hub)"


def test_the_stand_in_has_the_clients_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the real client is installed."""
    real = pytest.importorskip("qai_hub")
    fake = loaded(monkeypatch)
    for owner, name in (
        ("Client", "get_devices"), ("Client", "upload_model"), ("Client", "submit_inference_job"),
        ("Client", "set_verbose"), ("InferenceJob", "wait"), ("InferenceJob", "download_profile"),
    ):  # fmt: skip
        ours, theirs = (inspect.signature(getattr(getattr(module, owner), name)) for module in (fake, real))
        assert list(ours.parameters) == list(theirs.parameters), name
    assert issubclass(real.UserError, real.Error)
    assert {"name", "os"} <= set(real.Device.__dataclass_fields__)
    assert isinstance(real.JobStatus.success, property)
    assert isinstance(real.InferenceJob.url, property) or "url" in real.Job.__dict__
