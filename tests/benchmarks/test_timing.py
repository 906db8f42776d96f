"""Timing on this host: real models, a real interpreter, real processes."""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.tiny_model import tiny_tflite

from edgefit_benchmarks import preflight, timing
from edgefit_benchmarks.sessions.host import HostSession
from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.sessions.session import Block
from edgefit_benchmarks.stats import summarise
from edgefit_benchmarks.targets.local import LocalTarget
from edgefit_benchmarks.targets.target import Condition, Facts
from edgefit_toolkit.errors import DeviceError, InputError

BRIEF = TimingOptions(threads=1, min_seconds=0.05, max_seconds=0.3)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_tflite(tmp_path_factory.mktemp("tiny") / "tiny model.tflite", resolution_px=96)


def test_a_measurement_keeps_every_sample_and_says_what_it_is(tiny: Path) -> None:
    measured = timing.measure(
        LocalTarget(),
        tiny,
        TimingOptions(threads=1, warmups=4, min_samples=60, min_seconds=0.05, max_seconds=0.3),
    )
    assert len(measured.samples_ms) >= 60
    assert sum(measured.samples_ms) >= 50
    assert min(measured.samples_ms) > 0
    assert measured.model_sha256 == hashlib.sha256(tiny.read_bytes()).hexdigest()
    assert (measured.origin, measured.delegate, measured.threads, measured.warmups) == (
        "measured on host",
        "xnnpack",
        1,
        4,
    )
    assert measured.runtime.startswith("ai-edge-litert ")
    assert measured.target.startswith("host (")
    assert "input: seeded noise, seed 0" in measured.notes


def test_a_larger_picture_takes_longer(tmp_path: Path) -> None:
    models = {f"{px}": tiny_tflite(tmp_path / f"{px}.tflite", resolution_px=px) for px in (64, 512)}
    measured = timing.measure_interleaved(
        LocalTarget(), models, TimingOptions(threads=1, min_seconds=0.05, max_seconds=0.3)
    )
    small, large = (summarise(measured[px].samples_ms) for px in ("64", "512"))
    # 64 times the pixels: nothing that a busy machine does can turn the medians round
    assert large.p50_ms > 3 * small.p50_ms
    assert measured["64"].model == "64"


def test_interleaved_rounds_take_turns(tiny: Path) -> None:
    order: list[str] = []

    class Recorded:
        runtime, delegate, notes, log, block_s = "none", "none", (), [], 0.25

        def __init__(self, name: str) -> None:
            self.name = name

        def block(self, samples: int, warmups: int) -> Block:
            order.append(self.name)
            return Block((5.0,) * warmups, (5.0,) * samples)

        def close(self) -> None:
            order.append("closed")

    models = {name: tiny.with_name(f"{name}.tflite") for name in "abc"}
    for path in models.values():
        path.write_bytes(tiny.read_bytes())
    measured = timing.measure_interleaved(
        LocalTarget(),
        models,
        TimingOptions(min_seconds=1),
        openers={name: lambda path, _: Recorded(path.stem) for name in models},
    )
    assert order[-3:] == ["closed"] * 3
    rounds = ["".join(sorted(order[i : i + 3])) for i in range(3, len(order) - 3, 3)]
    assert rounds == ["abc"] * len(rounds)
    # 5 ms each: blocks of 50, and one second needs 4 of them
    assert [len(m.samples_ms) for m in measured.values()] == [200] * 3


def test_a_noisy_model_is_repeated_until_its_limit(tiny: Path) -> None:
    ticks = itertools.count()  # every tenth is twice as slow: p90 lies just on the step

    class Noisy:
        runtime, delegate, notes, log, block_s = "none", "none", (), [], 0.25

        def block(self, samples: int, warmups: int) -> Block:
            return Block((), tuple(20.0 if next(ticks) % 10 == 9 else 10.0 for _ in range(samples)))

        def close(self) -> None: ...

    measured = timing.measure(
        LocalTarget(), tiny, TimingOptions(min_seconds=0.1, max_seconds=3), open_session=lambda *_: Noisy()
    )
    assert 3000 <= sum(measured.samples_ms) <= 3500
    assert any("p90 is known to" in note for note in measured.notes)


def test_a_given_picture_is_the_input(tiny: Path, tmp_path: Path) -> None:
    picture = tmp_path / "leaf.raw"
    picture.write_bytes(np.zeros((96, 96, 3), np.uint8).tobytes())
    session = HostSession(tiny, TimingOptions(threads=1, input_path=picture))
    session.close()
    assert session.notes == ("input: leaf.raw",)
    picture.write_bytes(b"too short")
    with pytest.raises(InputError, match="9 bytes"):
        HostSession(tiny, TimingOptions(threads=1, input_path=picture))


def test_what_is_no_model_is_one_clear_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"not a model at all")
    with pytest.raises(InputError, match=r"ai-edge-litert 2\.3\.0 cannot run .*broken\.tflite"):
        timing.measure(LocalTarget(), broken)
    with pytest.raises(InputError, match="cannot be read"):
        timing.measure(LocalTarget(), tmp_path / "absent.tflite")
    with pytest.raises(InputError, match="0 threads"):
        timing.measure(LocalTarget(), broken, TimingOptions(threads=0))


def test_a_worker_that_is_killed_is_one_clear_error(tiny: Path) -> None:
    session = HostSession(tiny, TimingOptions(threads=1))
    os.kill(session._process.pid, signal.SIGKILL)
    with pytest.raises(DeviceError, match="SIGKILL"):
        session.block(1, 0)
    session.close()


def test_a_worker_that_hangs_is_ended(tiny: Path) -> None:
    session = HostSession(tiny, TimingOptions(threads=1))
    session._timeout_s = 0.3
    os.kill(session._process.pid, signal.SIGSTOP)
    with pytest.raises(DeviceError, match="no answer within"):
        session.block(1, 0)
    session.close()


def test_an_emulator_is_never_timed(tiny: Path) -> None:
    class Emulated(LocalTarget):
        def facts(self) -> Facts:
            return replace(super().facts(), label="Pixel 7 (serial emulator-5554)", emulated=True)

    with pytest.raises(DeviceError, match="milliseconds are no latency"):
        timing.measure(Emulated(), tiny)


def test_a_hot_or_empty_phone_is_refused_and_a_busy_one_is_noted() -> None:
    quiet = Condition(cores=8, load_1min=0.5, battery_percent=80, battery_c=25.0, thermal_status=0, screen_on=False)
    assert all(f.level == "note" for f in preflight.check(quiet, threads=4))
    for bad, why in ((replace(quiet, thermal_status=3), "severe"), (replace(quiet, battery_percent=9), "9%")):
        with pytest.raises(DeviceError, match=why):
            preflight.notes(preflight.check(bad))
    busy = preflight.notes(preflight.check(replace(quiet, load_1min=7.0), threads=4))
    assert busy[0].startswith("warning: load average 7.0 on 8 cores")
    saving = preflight.notes(preflight.check(replace(quiet, governors=("powersave",))))
    assert "warning: CPU governor powersave" in saving


def test_this_host_says_what_it_is() -> None:
    facts = LocalTarget().facts()
    assert facts.abi
    assert len(facts.cores_max_mhz) == os.cpu_count()
    assert facts.label == f"host ({facts.name})"
