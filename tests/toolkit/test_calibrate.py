"""Calibration: probes of a simulated device of any speed bring the prediction to it."""

from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefit_toolkit.devices import SHIPPED_DIR
from edgefit_toolkit.devices.schema import read_profile, write_profile
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.latency.calibrate import fit_profile, probes
from edgefit_toolkit.latency.predict import predict
from edgefit_toolkit.network.scaling import released, variant_from_factors, variant_from_phi
from edgefit_toolkit.records import Variant

PIXEL7 = read_profile(SHIPPED_DIR / "pixel7.toml")
PIXEL4 = read_profile(SHIPPED_DIR / "pixel4.toml")
HOST = read_profile(SHIPPED_DIR / "host.toml")


def _measured(scale: float, fixed_ms: float, noise: float, seed: int) -> list[tuple[Variant, float]]:
    chance = random.Random(seed)
    base = [(variant, predict(variant, PIXEL7).p50) for variant in probes()]
    return [(variant, (scale * ms + fixed_ms) * chance.gauss(1, noise)) for variant, ms in base]


@given(st.floats(0.4, 3), st.floats(0, 3), st.floats(-2, 3))
@settings(max_examples=40)
def test_a_quiet_device_is_predicted_exactly(scale: float, fixed_ms: float, phi: float) -> None:
    calibration = fit_profile(PIXEL7, _measured(scale, fixed_ms, 0, 0), source="a simulation")
    truth = scale * predict(variant_from_phi(phi), PIXEL7).p50 + fixed_ms
    assert predict(variant_from_phi(phi), calibration.profile).p50 == pytest.approx(truth, rel=0.05)


@given(st.floats(0.4, 3), st.integers(0, 2**32))
@settings(max_examples=30)
def test_a_noisy_device_is_predicted_within_its_noise(scale: float, seed: int) -> None:
    calibration = fit_profile(PIXEL7, _measured(scale, 0.5, 0.03, seed), source="a simulation")
    for phi in (-2.0, -0.3, 1.1, 2.7):
        truth = scale * predict(variant_from_phi(phi), PIXEL7).p50 + 0.5
        assert predict(variant_from_phi(phi), calibration.profile).p50 == pytest.approx(truth, rel=0.15)


def test_errors_before_and_after() -> None:
    calibration = fit_profile(PIXEL7, _measured(2.0, 0, 0, 0), source="a simulation")
    assert calibration.before_percent == pytest.approx([-50] * 5)
    assert max(map(abs, calibration.after_percent)) < 6
    assert "median error of 50%" in calibration.sentence


def test_calibrated_profile_says_so_and_survives_its_file(tmp_path: Path) -> None:
    source = "edgefit calibrate, ai-edge-litert 2.3.0, 2026-01-01"
    profile = fit_profile(HOST, _measured(1.0, 0, 0.01, 3), source=source, threads=1).profile
    assert (profile.basis, profile.threads, len(profile.points)) == ("measured here", 1, 5)
    path = tmp_path / "host.toml"
    write_profile(profile, path)
    again = read_profile(path)
    assert dataclasses.replace(again, path=profile.path) == profile
    latency = predict(released("lite1"), again)
    assert latency.basis == f"measured here: 5 int8 latencies of this device ({source})"
    assert latency.high / latency.low < predict(released("lite1"), HOST).high / predict(released("lite1"), HOST).low


def test_calibrating_again_replaces_only_what_was_measured() -> None:
    first = fit_profile(PIXEL4, _measured(1, 0, 0, 0), source="first").profile
    second = fit_profile(first, _measured(2, 0, 0, 0)[:3], source="second").profile
    assert sum(point.measured for point in second.points) == 3
    assert len(second.points_of("float32")) == 5
    assert "first" not in second.sources.values()
    assert sum(not point.measured for point in second.points_of("int8")) == 5


def test_one_probe_sets_the_speed_and_says_that_it_cannot_check_itself() -> None:
    (probe,) = probes(1)
    slow = 2.5 * predict(probe, PIXEL7).p50
    calibration = fit_profile(PIXEL7, [(probe, slow)], source="a simulation")
    assert calibration.after_percent == ()
    assert "cannot check itself" in calibration.sentence
    assert predict(probe, calibration.profile).p50 == pytest.approx(slow, rel=0.02)
    assert predict(probe, calibration.profile).basis.startswith("measured here: 1 int8 latency")


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_latencies_that_are_none(bad: float) -> None:
    with pytest.raises(InputError, match="positive number"):
        fit_profile(PIXEL7, [(released("lite0"), bad), (released("lite1"), 3.0)], source="x")


def test_probes_that_say_too_little() -> None:
    with pytest.raises(InputError, match="no probe was measured"):
        fit_profile(PIXEL7, [], source="x")
    odd = variant_from_factors(1.3, 1.0, 224)
    with pytest.raises(InputError, match="cannot be a probe"):
        fit_profile(PIXEL7, [(odd, 1.0), (released("lite0"), 1.0)], source="x")
    with pytest.raises(InputError, match="1 to 5"):
        probes(9)
    assert [variant.phi for variant in probes(3)] == [-2.0, 0.8, 3.0]
