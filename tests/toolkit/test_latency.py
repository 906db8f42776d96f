"""The predictor: published points are met, work adds up, the interval says what it rests on."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefit_toolkit.devices import SHIPPED_DIR
from edgefit_toolkit.devices.profile import Core, DeviceProfile
from edgefit_toolkit.devices.schema import read_profile
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.latency.memory import Memory
from edgefit_toolkit.latency.points import FIXED_MS, point_variant
from edgefit_toolkit.latency.predict import fit_terms, operator_us, predict
from edgefit_toolkit.latency.speed import EVIDENCE, Speed, core_data, cpu_speed
from edgefit_toolkit.network.graph import Operator, operators
from edgefit_toolkit.network.scaling import released, variant_from_phi
from edgefit_toolkit.records import Precision

SHIPPED: dict[str, DeviceProfile] = {path.stem: read_profile(path) for path in SHIPPED_DIR.glob("*.toml")}
PIXEL4 = SHIPPED["pixel4"]


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


def test_a_gpu_is_predicted_from_its_own_rows_only() -> None:
    assert predict(released("lite2"), PIXEL4, "float16").p50 == pytest.approx(10, rel=0.05)
    assert "Mali-G710" in predict(released("lite2"), SHIPPED["pixel7"], "float16").basis
    with pytest.raises(InputError, match="GPU of Google Pixel 5"):
        predict(released("lite2"), SHIPPED["pixel5"], "float16")
    own = dataclasses.replace(PIXEL4.points_of("float16")[0], latency_ms=20.0, source="soc", measured=True)
    seen = dataclasses.replace(SHIPPED["pixel5"], points=(own,))
    assert predict(released("lite0"), seen, "float16").p50 == pytest.approx(20, rel=0.1)


def test_an_x1_is_what_its_pipeline_says() -> None:
    """MobileNetV4's paper, one thread of a Pixel 6: 5.0 ms for MobileNetV2, 300 M multiply-adds; Lite0 has 385 M."""
    alone = dataclasses.replace(SHIPPED["pixel6"], threads=1)
    assert 5.0 < predict(released("lite0"), alone).p50 < 8.0


def test_less_evidence_is_no_narrower_interval() -> None:
    by_class = core_data()["interval"]
    for threads in ("one", "several"):
        widths = [by_class[threads][evidence] for evidence in EVIDENCE]
        assert widths == sorted(widths)


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


def test_the_interval_widens_outside_of_the_points() -> None:
    inside, outside = (predict(variant_from_phi(phi), PIXEL4) for phi in (1.0, 6.0))
    assert outside.high / outside.low > inside.high / inside.low


UNKNOWN = dataclasses.replace(SHIPPED["pixel7"], points=())  # nothing but cores and clocks


def test_twice_the_clock_is_half_the_time() -> None:
    faster = tuple(dataclasses.replace(core, clock_ghz=2 * core.clock_ghz) for core in UNKNOWN.cores)
    for precision in ("int8", "float32"):
        slow, fast = (
            predict(released("lite1"), dataclasses.replace(UNKNOWN, cores=c), precision)
            for c in (UNKNOWN.cores, faster)
        )
        assert fast.p50 - FIXED_MS == pytest.approx((slow.p50 - FIXED_MS) / 2)


def test_the_fastest_cores_are_used_wherever_they_stand() -> None:
    turned = dataclasses.replace(UNKNOWN, cores=UNKNOWN.cores[::-1])
    assert predict(released("lite1"), turned) == dataclasses.replace(
        predict(released("lite1"), UNKNOWN), basis=predict(released("lite1"), turned).basis
    )
    best = min(UNKNOWN.cores, key=lambda core: matmul_ms(cpu_speed(alone(UNKNOWN, core), "int8")))
    assert cpu_speed(alone(UNKNOWN, best), "int8") == cpu_speed(dataclasses.replace(UNKNOWN, threads=1), "int8")


def alone(profile: DeviceProfile, core: Core, count: int = 1) -> DeviceProfile:
    return dataclasses.replace(profile, cores=(dataclasses.replace(core, count=count),), threads=count)


def test_a_second_core_helps_by_a_little_less_than_itself() -> None:
    one, two, four = (cpu_speed(alone(UNKNOWN, UNKNOWN.cores[0], n), "int8") for n in (1, 2, 4))
    gain = matmul_ms(one) / matmul_ms(two)
    assert 1.5 < gain < 2
    assert matmul_ms(two) / matmul_ms(four) == pytest.approx(gain)
    assert two.call_ms == four.call_ms > one.call_ms  # known for one thread and for several


def matmul_ms(speed: Speed) -> float:
    return speed.variant_ms(released("lite1"))[0]


def test_nothing_known_is_exactly_what_cores_promise() -> None:
    terms = fit_terms(UNKNOWN, "int8")
    assert (terms.matmul_scale, terms.other_scale, terms.known_ms) == (1.0, 1.0, None)
    assert terms.fixed_ms == FIXED_MS
    latency = predict(released("lite1"), UNKNOWN)
    assert f"{UNKNOWN.cores[0].count}x {UNKNOWN.cores[0].kind} {UNKNOWN.cores[0].clock_ghz:g} GHz + " in latency.basis


def test_an_interval_is_as_wide_upwards_as_downwards_and_a_share_more_for_each_doubling() -> None:
    shares = {}
    low, high = fit_terms(PIXEL4, "int8").known_ms or (0.0, 0.0)
    for phi in (-4.0, -1.0, 0.0, 1.0, 3.0, 6.0):
        for percentile in (50, 90):
            latency = predict(variant_from_phi(phi), PIXEL4, percentile=percentile)
            at = latency.at(percentile)
            assert latency.high / at == pytest.approx(at / latency.low)
            shares[latency.p50] = latency.high / at - 1
    inside = {share for ms, share in shares.items() if low <= ms <= high}
    assert max(inside) == pytest.approx(min(inside))
    for ms, share in shares.items():
        doublings = max(0.0, math.log2(low / ms), math.log2(ms / high))
        assert share == pytest.approx(min(inside) * (1 + doublings))
    assert max(shares.values()) > 1.5 * min(inside)


def test_the_profiles_own_tail_is_used() -> None:
    usual = predict(released("lite1"), PIXEL4)
    long = predict(released("lite1"), dataclasses.replace(PIXEL4, p90_over_p50=1.5))
    assert (long.p50, long.p90) == (usual.p50, pytest.approx(1.5 * usual.p50))
    assert 1.0 < usual.p90 / usual.p50 < 1.3


@given(st.floats(0.6, 1.6))
@settings(max_examples=20)
def test_a_device_that_is_slower_throughout_is_predicted_so(factor: float) -> None:
    points = tuple(dataclasses.replace(point, latency_ms=factor * point.latency_ms) for point in PIXEL4.points)
    moved = dataclasses.replace(PIXEL4, points=points)
    for name in ("lite0", "lite2", "lite4"):
        assert predict(released(name), moved).p50 == pytest.approx(
            factor * predict(released(name), PIXEL4).p50, rel=0.03
        )


def test_one_disturbed_point_bends_the_others_little() -> None:
    mine = PIXEL4.points_of("int8")
    for index, point in enumerate(mine):
        odd = dataclasses.replace(point, latency_ms=2.5 * point.latency_ms)
        points = tuple(odd if other == point else other for other in PIXEL4.points)
        bent = dataclasses.replace(PIXEL4, points=points)
        for other in (*mine[:index], *mine[index + 1 :]):
            name = other.network
            assert predict(released(name), bent).p50 == pytest.approx(predict(released(name), PIXEL4).p50, rel=0.12)


def test_cores_hold_a_device_whose_points_say_too_little() -> None:
    """One point moves both scales together; where it says nothing of their ratio, that stays near 1."""
    point = dataclasses.replace(
        PIXEL4.points_of("int8")[2], source="soc", latency_ms=2 * predict(released("lite2"), UNKNOWN).p50
    )
    terms = fit_terms(dataclasses.replace(UNKNOWN, points=(point,)), "int8")
    assert terms.matmul_scale / terms.other_scale == pytest.approx(1, abs=0.25)
    assert 1.5 < terms.matmul_scale < 2.5
    assert 0 <= terms.fixed_ms < 1.0


def test_a_basis_counts_its_latencies_and_names_each_source_once() -> None:
    assert fit_terms(PIXEL4, "int8").sentence.startswith("published: 5 int8 latencies of this device (")
    one = dataclasses.replace(PIXEL4, points=PIXEL4.points_of("int8")[:1])
    sentence = fit_terms(one, "int8").sentence
    assert sentence.startswith("published: 1 int8 latency of this device (")
    assert sentence.count(PIXEL4.sources[one.points[0].source]) == 1


def test_a_point_of_a_phi_is_the_network_of_its_family() -> None:
    point = dataclasses.replace(PIXEL4.points_of("int8")[0], network="b", phi=0.5)
    assert point_variant(point) == variant_from_phi(0.5, "b")
    assert point_variant(dataclasses.replace(point, network="lite")) == variant_from_phi(0.5)


def test_memory_of_one_operator() -> None:
    """Four pixels a pass; a tensor as large as the caches misses every other access."""
    memory = Memory(cache_mb=2.0, copy_gb_s=4.0)
    shapes = ((2, 2, 250_000), (2, 2, 250_000))  # 2 MB of int8 in and out
    layer = Operator("", "pointwise", 0, *shapes, 1, 1, 0, 2_000_000)
    assert memory.operator_ms(layer, "int8") == pytest.approx((2 * 0.5 + 2) / 4)
    again = dataclasses.replace(layer, out_shape=(1, 5, 200_000))  # a second pass, of which half misses
    assert memory.operator_ms(again, "int8") == pytest.approx((2 * 0.5 + 2 + 2 * 0.5) / 4)
    assert memory.operator_ms(dataclasses.replace(again, kind="depthwise"), "int8") == pytest.approx((2 * 0.5 + 2) / 4)
    assert memory.operator_ms(layer, "float32") == pytest.approx((8 * 8 / 10 + 8) / 4)


def test_memory_binds_where_it_is_slower_than_the_cores() -> None:
    known = dataclasses.replace(UNKNOWN, cache_mb=1.0, copy_gb_s=0.05)
    layers = operators(released("lite0"))
    slow, fast = (cpu_speed(profile, "int8") for profile in (known, dataclasses.replace(known, copy_gb_s=1e6)))
    assert slow.memory == Memory(1.0, 0.05)
    waited = sum(slow.memory.operator_ms(layer, "int8") for layer in layers)
    calls = len(layers) * slow.call_ms
    assert sum(slow.graph_ms(layers)) == pytest.approx(waited + calls, rel=0.1)
    assert fast.variant_ms(released("lite0")) == cpu_speed(UNKNOWN, "int8").variant_ms(released("lite0"))
    for layer in layers:
        both = max(slow.memory.operator_ms(layer, "int8"), sum(fast.operator_ms(layer)) - fast.call_ms)
        assert sum(slow.operator_ms(layer)) == pytest.approx(both + slow.call_ms)


@pytest.mark.parametrize("unknown", [{"cache_mb": None}, {"copy_gb_s": None}])
def test_memory_with_one_figure_missing_is_left_out(unknown: dict[str, None]) -> None:
    assert cpu_speed(SHIPPED["rpi4"], "float32").memory is not None
    assert cpu_speed(dataclasses.replace(SHIPPED["rpi4"], **unknown), "float32").memory is None  # type: ignore[arg-type]


def test_a_board_loses_threads_to_memory_in_float32_and_not_in_int8() -> None:
    """Published: a Pi 4's EfficientDet-Lite4 gains 1.95 from four threads in float32, 3.14 in int8."""
    gain = {}
    for precision in ("int8", "float32"):
        one, four = (
            predict(released("lite4"), dataclasses.replace(SHIPPED["rpi4"], threads=n), precision) for n in (1, 4)
        )
        gain[precision] = one.p50 / four.p50
    assert gain["float32"] < 0.9 * gain["int8"]
