"""What cores and clocks promise: of two of a device's cores, the faster one counts, by however little."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefit_toolkit.devices import SHIPPED_DIR
from edgefit_toolkit.devices.profile import Core, DeviceProfile
from edgefit_toolkit.devices.schema import read_profile
from edgefit_toolkit.latency.speed import core_data, cpu_speed

PIXEL7 = read_profile(SHIPPED_DIR / "pixel7.toml")
FACTS = core_data()["cores"]


def device(threads: int, *cores: tuple[str, float]) -> DeviceProfile:
    own = tuple(Core(kind, 1, clock_ghz, "a test") for kind, clock_ghz in cores)
    return dataclasses.replace(PIXEL7, points=(), cores=own, threads=threads)


@given(st.floats(1.0, 3.5), st.floats(0.001, 0.5))
def test_the_higher_clock_is_taken(clock_ghz: float, more_ghz: float) -> None:
    clocks = (clock_ghz, clock_ghz + more_ghz)
    for order in (clocks, clocks[::-1]):
        speed = cpu_speed(device(1, *(("Cortex-A77", ghz) for ghz in order)), "int8")
        assert speed == cpu_speed(device(1, ("Cortex-A77", clocks[1])), "int8")


@pytest.mark.parametrize("kind", ["Cortex-A72", "Cortex-A77"])
def test_a_core_that_needs_more_cycles_than_its_model_has_fewer_useful_ghz(kind: str) -> None:
    (core,) = cpu_speed(device(2, (kind, 2.0), (kind, 1.0)), "int8").cores
    assert core.kernels == FACTS[kind]["int8"]["kernels"]
    assert core.ghz_per_factor == pytest.approx(3.0 / FACTS[kind]["int8"]["factor"], rel=1e-9)


def test_the_evidence_is_that_of_the_fastest_core() -> None:
    fast, slow = ("Cortex-X3", 3.0), ("Cortex-A53", 1.0)
    assert FACTS[fast[0]]["int8"]["evidence"] != FACTS[slow[0]]["int8"]["evidence"]
    for cores in ((fast, slow), (slow, fast)):
        assert cpu_speed(device(2, *cores), "int8").evidence == FACTS[fast[0]]["int8"]["evidence"]


@pytest.mark.parametrize(("threads", "us_at_1_ghz"), [(1, "one"), (2, "several")])
def test_a_call_takes_its_cycles_on_the_fastest_core(threads: int, us_at_1_ghz: str) -> None:
    cycles = core_data()["software"]["int8-arm64"]["call_us_ghz"][us_at_1_ghz]
    speed = cpu_speed(device(threads, ("Cortex-A76", 2.5), ("Cortex-A76", 2.0)), "int8")
    assert 1000 * speed.call_ms == pytest.approx(cycles / 2.5, rel=1e-9)
