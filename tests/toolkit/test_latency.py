"""The predictor: published points are met, work adds up, the interval says what it rests on."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefit_toolkit.devices import SHIPPED_DIR, DeviceProfile, read_profile
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.latency.predict import fit_terms, operator_us, predict
from edgefit_toolkit.network.graph import operators
from edgefit_toolkit.network.scaling import released, variant_from_phi
from edgefit_toolkit.records import Precision

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


def test_operators_add_up_to_the_prediction() -> None:
    variant = variant_from_phi(0.4)
    each = [operator_us(operator, PIXEL4) for operator in operators(variant)]
    assert min(each) > 0
    p50 = predict(variant, PIXEL4).p50
    assert sum(each) / 1000 + fit_terms(PIXEL4, "int8").fixed_ms == pytest.approx(p50)


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
    point = dataclasses.replace(PIXEL4.points[2], latency_ms=2 * before, source="soc")
    assert (point.network, point.precision) == ("lite2", "int8")
    seen = dataclasses.replace(pixel7, points=(point,))
    assert predict(released("lite2"), seen).p50 == pytest.approx(2 * before, rel=0.05)
    assert fit_terms(seen, "int8").basis == "published"


def test_the_users_own_measurement_outweighs_what_is_published() -> None:
    mine = dataclasses.replace(PIXEL4.points[0], latency_ms=20.0, measured=True)
    terms = fit_terms(dataclasses.replace(PIXEL4, points=(*PIXEL4.points, mine)), "int8")
    assert terms.basis == "measured here"
    assert terms.known_ms == (20.0, 20.0)


def test_points_of_another_thread_count_do_not_count() -> None:
    alone = dataclasses.replace(PIXEL4, threads=1)
    assert fit_terms(alone, "int8").basis == "scaled"
    assert predict(released("lite0"), alone).p50 > 1.5 * predict(released("lite0"), PIXEL4).p50


def test_a_gpu_is_predicted_from_its_own_points_only() -> None:
    assert predict(released("lite2"), PIXEL4, "float16").p50 == pytest.approx(10, rel=0.05)
    with pytest.raises(InputError, match="GPU of Google Pixel 7"):
        predict(released("lite2"), SHIPPED["pixel7"], "float16")


def test_a_core_that_nobody_knows() -> None:
    odd = dataclasses.replace(PIXEL4.cores[0], kind="Cortex-Z9")
    with pytest.raises(InputError, match=r"Cortex-Z9.*known: .*Cortex-A76"):
        predict(released("lite0"), dataclasses.replace(PIXEL4, cores=(odd,)))


def test_more_and_faster_cores_are_never_slower() -> None:
    pixel7 = SHIPPED["pixel7"]
    base = predict(released("lite2"), pixel7).p50
    faster = tuple(dataclasses.replace(core, clock_ghz=core.clock_ghz * 1.1) for core in pixel7.cores)
    assert predict(released("lite2"), dataclasses.replace(pixel7, cores=faster)).p50 < base
    assert predict(released("lite2"), dataclasses.replace(pixel7, threads=2)).p50 > base
    without = dataclasses.replace(pixel7, dotprod=False)
    assert predict(released("lite2"), without).p50 > 1.4 * base


def test_the_interval_widens_outside_of_the_points() -> None:
    inside, outside = (predict(variant_from_phi(phi), PIXEL4) for phi in (1.0, 6.0))
    assert outside.high / outside.low > inside.high / inside.low
