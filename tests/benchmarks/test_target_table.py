"""Targets and cores from flags and profiles."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefit_benchmarks.targets.affinity import clocks_of, cpu_mask, fast_cores
from edgefit_benchmarks.targets.local import LocalTarget
from edgefit_benchmarks.targets.table import cores_for, open_target
from edgefit_benchmarks.targets.target import Facts
from edgefit_toolkit.devices import load_profile
from edgefit_toolkit.errors import InputError

PIXEL7_MHZ = (1800,) * 4 + (2350,) * 2 + (2850,) * 2
FACTS = Facts(
    kind="adb", label="Pixel 7 (serial 1A2B)", origin="measured on device", name="Pixel 7", cores_max_mhz=PIXEL7_MHZ
)


@pytest.mark.parametrize(
    ("threads", "cores"),
    [(1, (6, 7)), (2, (6, 7)), (3, (4, 5, 6, 7)), (4, (4, 5, 6, 7)), (5, tuple(range(8))), (8, ())],
)
def test_fast_cores_of_a_pixel_7(threads: int, cores: tuple[int, ...]) -> None:
    assert fast_cores(PIXEL7_MHZ, threads) == cores
    pixel7 = load_profile("pixel7")
    assert cores_for(FACTS, pixel7, threads) == cores
    # a phone that does not tell its clocks: the profile's topology, slow cores first
    assert cores_for(replace(FACTS, cores_max_mhz=(0,) * 8), pixel7, threads) == cores
    # and one whose number of cores is not the profile's is not pinned by it
    assert cores_for(replace(FACTS, cores_max_mhz=(0,) * 6), pixel7, threads) == ()


@given(st.lists(st.integers(min_value=0, max_value=3000), max_size=12), st.integers(min_value=1, max_value=12))
def test_pinned_cores_suffice_and_are_the_fastest(clocks: list[int], threads: int) -> None:
    cores = fast_cores(clocks, threads)
    if cores:
        assert len(cores) >= threads
        left = [mhz for i, mhz in enumerate(clocks) if i not in cores]
        assert not left or max(left) < min(clocks[i] for i in cores)


@given(st.sets(st.integers(min_value=0, max_value=63), min_size=1))
def test_masks_hold_exactly_their_cores(cores: set[int]) -> None:
    mask = int(cpu_mask(sorted(cores)), 16)
    assert {i for i in range(64) if mask >> i & 1} == cores


def test_profile_clocks_are_numbered_slowest_first() -> None:
    assert clocks_of([(2, 2.85), (2, 2.35), (4, 1.8)]) == PIXEL7_MHZ


def test_this_host_and_contradictions() -> None:
    host = load_profile("host")
    target = open_target(host)
    assert isinstance(target, LocalTarget)
    assert not target.capabilities.can_pin_cores
    with pytest.raises(InputError, match="no serial"):
        open_target(host, {"serial": "1A2B"})
    with pytest.raises(InputError, match="--host names a board"):
        open_target(host, {"serial": "1A2B", "host": "user@board"})
    with pytest.raises(InputError, match="has no codenames"):
        open_target(replace(load_profile("pixel7"), codenames=()))
