"""The predictor: published points are met, work adds up, the interval says what it rests on."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefit_toolkit.devices import SHIPPED_DIR, DeviceProfile, read_profile
from edgefit_toolkit.latency import engine_of, fit_terms, layer_us, predict, work_ms
from edgefit_toolkit.records import Precision
from edgefit_toolkit.scaling import layers, released, variant_from_phi

SHIPPED: dict[str, DeviceProfile] = {path.stem: read_profile(path) for path in SHIPPED_DIR.glob("*.toml")}
PIXEL4 = SHIPPED["pixel4"]


def _left_out(precision: Precision, index: int) -> float:
    """Relative error on one of a device's points when the prediction has not seen it."""
    mine = PIXEL4.points_of(precision)
    held = mine[index]
    others = tuple(point for point in PIXEL4.points if point != held)
    predicted = predict(released(held.network), dataclasses.replace(PIXEL4, points=others), precision)
    return predicted.p50 / held.latency_ms - 1


@pytest.mark.parametrize(("precision", "worst"), [("int8", 0.03), ("float32", 0.06)])
def test_leave_one_out_on_the_published_pixel_4(precision: Precision, worst: float) -> None:
    errors = [_left_out(precision, index) for index in range(5)]
    assert max(map(abs, errors)) <= worst, errors


@given(st.floats(-4, 6), st.sampled_from(sorted(SHIPPED)), st.sampled_from(["int8", "float32"]))
@settings(max_examples=60)
def test_predictions_are_whole(phi: float, device: str, precision: Precision) -> None:
    profile = SHIPPED[device]
    latency = predict(variant_from_phi(phi), profile, precision)
    assert 0 < latency.p50 < latency.p90
    assert latency.low < latency.p90 < latency.high
    assert latency.origin == "predicted"
    assert latency.basis
    median = predict(variant_from_phi(phi), profile, precision, percentile=50)
    assert median.low < median.p50 < median.high


def test_work_is_the_sum_of_its_operators() -> None:
    engine = engine_of(PIXEL4, "int8")
    variant = variant_from_phi(0.4)
    each = [layer_us(layer, engine) for layer in layers(variant)]
    assert min(each) > 0
    assert work_ms(variant, engine) == pytest.approx(sum(each) / 1000)


def test_published_and_scaled_are_two_words() -> None:
    pixel7 = SHIPPED["pixel7"]
    known, scaled = (predict(released("lite2"), profile) for profile in (PIXEL4, pixel7))
    assert "published" in known.basis
    assert "tensorflow/tpu" in known.basis
    assert "scaled" in scaled.basis
    assert "Cortex-X1" in scaled.basis
    assert scaled.high / scaled.low > known.high / known.low


def test_one_point_moves_a_scaled_prediction_to_it() -> None:
    pixel7 = SHIPPED["pixel7"]
    before = predict(released("lite2"), pixel7).p50
    point = dataclasses.replace(PIXEL4.points[2], latency_ms=2 * before, source="tensor")
    assert (point.network, point.precision) == ("lite2", "int8")
    seen = dataclasses.replace(pixel7, points=(point,))
    assert predict(released("lite2"), seen).p50 == pytest.approx(2 * before, rel=0.05)
    assert fit_terms(seen, "int8").basis == "published"


def test_the_interval_widens_outside_of_the_points() -> None:
    inside, outside = (predict(variant_from_phi(phi), PIXEL4) for phi in (1.0, 6.0))
    assert outside.high / outside.low > inside.high / inside.low
