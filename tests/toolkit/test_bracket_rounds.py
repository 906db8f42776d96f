"""Which networks a round measures and when the walk ends: on a machine whose pace is known."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefit_toolkit.errors import BudgetMissed
from edgefit_toolkit.network.scaling import variant_from_phi
from edgefit_toolkit.picker.bracket import (
    FAR,
    MAX_ROUNDS,
    SHARED_ROUNDS,
    TOGETHER,
    _spread_out,
    _Walk,
    bracket,
)
from edgefit_toolkit.picker.plan import Candidate
from edgefit_toolkit.picker.rule import FITS_BY, MISSES_BY
from edgefit_toolkit.records import Budget, Latency, Variant


def ladder(count: int, ratio: float, first_ms: float = 10.0) -> tuple[Candidate, ...]:
    """Networks of phi 0, 1, 2..., each predicted to take `ratio` times as long as the one before; p50 and p90 alike."""
    base = variant_from_phi(0.0)
    times = [first_ms * ratio**i for i in range(count)]
    return tuple(
        Candidate(replace(base, phi=float(i)), Latency(ms, ms, ms, ms, "predicted", "a test"))
        for i, ms in enumerate(times)
    )


class Paced:
    """A machine that takes `factor` times the prediction, at another pace in every round."""

    def __init__(self, frontier: Sequence[Candidate], factor: float, paces: Sequence[float] = (1.0,)) -> None:
        self.ms = {c.variant: factor * c.latency.p50 for c in frontier}
        self.paces, self.rounds = paces, []  # type: ignore[var-annotated]

    def measure(self, variants: Sequence[Variant]) -> list[Latency]:
        pace = self.paces[len(self.rounds) % len(self.paces)]
        self.rounds.append([int(variant.phi) for variant in variants])
        times = [pace * self.ms[variant] for variant in variants]
        return [Latency(ms, ms, 0.99 * ms, 1.01 * ms, "measured on device", "a test") for ms in times]


def test_a_steady_machine_is_told_from_the_budget_by_one_percent_and_a_half() -> None:
    """11 * 1.05^i ms against 14: 13.37 fits, 14.04 is too near to tell, 14.74 does not fit."""
    frontier = ladder(12, 1.05)
    machine = Paced(frontier, 1.1)
    found = bracket(Budget(14.0), frontier, machine.measure)
    assert machine.rounds[0] == [6]  # 13.40 predicted: at most 97% of the budget, while nothing is known of the spread
    assert found.next is not None
    assert (found.pick.variant.phi, found.next.variant.phi, found.closed) == (4, 6, True)
    assert found.notes == ("1 network between them lies too near to the budget to tell",)
    assert {int(m.variant.phi) for m in found.measured} == {4, 5, 6}
    shared = [r for r in machine.rounds if len(r) > 1]
    assert len(machine.rounds) == SHARED_ROUNDS == 9
    assert len(shared) == 8
    assert all(len(r) <= TOGETHER for r in shared)


@pytest.mark.parametrize("swing", [0.012, 0.03, 0.05])
def test_the_distance_is_one_and_a_half_standard_deviations_of_the_pace_and_has_an_end(swing: float) -> None:
    frontier = ladder(60, 1.004)
    machine = Paced(frontier, 1.0, [1.0, math.exp(swing), math.exp(-swing)])
    found = bracket(Budget(11.0), frontier, machine.measure, max_rounds=40)
    assert found.next is not None
    paces = [machine.paces[n % 3] for n in range(len(machine.rounds))]
    kept = min(FAR, 1.5 * statistics.stdev(map(math.log, paces)))
    assert machine.ms[found.pick.variant] <= 11.0 * (1 - kept) < machine.ms[found.pick.variant] * 1.004**2
    after_ms, limit_ms = machine.ms[found.next.variant], 11.0 * (1 + kept + MISSES_BY - FITS_BY)
    assert after_ms / 1.004**2 <= limit_ms < after_ms
    said = [note for note in found.notes if "standard deviation" in note]
    if swing < 0.02:
        assert said == []
    else:
        assert said[0].endswith(f"the pick keeps {kept:.1%} from the budget")
    assert (kept == FAR == 0.06) == (swing == 0.05)


def test_networks_far_from_the_budget_are_measured_three_times_and_no_more() -> None:
    frontier = ladder(3, 2.0)
    machine = Paced(frontier, 1.0)
    found = bracket(Budget(12.0), frontier, machine.measure)
    assert machine.rounds == [[0], [0, 1], [0, 1], [0, 1]]
    assert (found.closed, found.notes) == (True, ())
    assert found.pick.variant.phi == 0
    assert len(found.pick.runs) == 4


@pytest.mark.parametrize(("ratio", "rounds"), [(1.14, 9), (1.2, 4)])
def test_the_pace_is_measured_well_where_a_network_is_within_fifteen_percent(ratio: float, rounds: int) -> None:
    frontier = ladder(2, 1.5, first_ms=10.0)
    machine = Paced(frontier, 1.0)
    bracket(Budget(10.0 * ratio), frontier, machine.measure)
    assert len(machine.rounds) == rounds


def test_the_walk_begins_where_it_is_told_and_ends_after_its_rounds() -> None:
    frontier = ladder(30, 1.02)
    machine = Paced(frontier, 1.0)
    found = bracket(Budget(14.0), frontier, machine.measure, start=frontier[3].variant, max_rounds=4)
    assert machine.rounds[0] == [3]
    assert len(machine.rounds) == 4
    assert not found.closed
    assert any("measure again when it is idle" in note for note in found.notes)
    elsewhere = Paced(frontier, 1.0)
    bracket(Budget(14.0), frontier, elsewhere.measure, max_rounds=1)
    assert elsewhere.rounds == [[15]]  # 13.46 predicted
    usual = Paced(frontier, 1.0)
    bracket(Budget(14.0), frontier, usual.measure, in_time=lambda: False)
    assert len(usual.rounds) == 1  # the first round is always taken
    assert MAX_ROUNDS == 16


def test_unmeasured_networks_are_counted_when_time_runs_out() -> None:
    frontier = ladder(60, 1.003)
    machine = Paced(frontier, 1.0)
    found = bracket(Budget(11.0), frontier, machine.measure, max_rounds=2)
    places = sorted(int(m.variant.phi) for m in found.measured)
    assert found.next is not None
    between = range(int(found.pick.variant.phi) + 1, int(found.next.variant.phi))
    unmeasured = len(between) - len(set(places) & set(between))
    assert unmeasured > 1
    assert f"{unmeasured} networks between the pick and the next one were not measured" in found.notes


def test_disturbed_rounds_are_counted_in_the_notes() -> None:
    frontier = ladder(4, 1.3)
    machine = Paced(frontier, 1.0, [1.0, 1.0, 1.0, 1.0, 1.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    found = bracket(Budget(14.0), frontier, machine.measure)
    assert found.pick.variant.phi == 1  # 13.0
    assert len(machine.rounds) == SHARED_ROUNDS + 1
    assert "1 of 10 rounds do not count: other work disturbed them" in found.notes


def test_a_missed_budget_names_one_with_room_to_spare() -> None:
    frontier = ladder(3, 1.5)
    with pytest.raises(BudgetMissed, match=r"within 5 ms: .* took 10.00 ms \(p50, measured on device\)") as missed:
        bracket(Budget(5.0, 50), frontier, Paced(frontier, 1.0).measure)
    assert missed.value.hint.startswith("--budget-ms 10.1 is one that it meets")


def test_nearer_networks_correct_an_estimate_more() -> None:
    frontier = ladder(11, 1.1)
    walk = _Walk(Budget(15.0), frontier)
    assert walk.estimates == [c.latency.p90 for c in frontier]
    slow, right = frontier[0].latency.p50 * 2, frontier[10].latency.p50
    walk.add([0, 10], [Latency(ms, ms, ms, ms, "measured on device", "a test") for ms in (slow, right)])
    off = [estimate / c.latency.p50 for estimate, c in zip(walk.estimates, frontier, strict=True)]
    assert off == sorted(off, reverse=True)
    assert (off[0], off[10]) == (pytest.approx(2), pytest.approx(1))
    assert off[5] == pytest.approx(2**0.5)
    assert off[2] == pytest.approx(2**0.8)
    walk.add([0], [Latency(slow, slow, slow, slow, "measured on device", "a test")])
    assert walk.estimates[5] / frontier[5].latency.p50 == pytest.approx(
        2 ** (2 / 3)
    )  # twice measured, twice the weight


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60, unique=True).map(sorted), st.integers(1, 6))
def test_networks_of_a_round_are_spread_out(networks: list[int], count: int) -> None:
    chosen = _spread_out(networks, count)
    assert len(chosen) == len(set(chosen)) == min(count, len(networks))
    assert chosen == sorted(chosen)
    places = [networks.index(network) for network in chosen]
    gaps = [b - a for a, b in pairwise([-1, *places, len(networks)])]
    assert max(gaps[1:-1], default=0) <= len(networks) / len(chosen) + 1
    assert abs(gaps[0] - gaps[-1]) <= 1 + len(networks) / len(chosen) / 2
    assert _spread_out([], 3) == []
