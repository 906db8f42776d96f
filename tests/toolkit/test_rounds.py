"""Rounds on a machine whose pace changes, and how often the bracket that is drawn from them holds."""

from __future__ import annotations

import dataclasses
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.simulated_machine import BURSTS, QUIET, Machine, Noise

from edgefit_toolkit.errors import BudgetMissed
from edgefit_toolkit.picker.bracket import bracket
from edgefit_toolkit.picker.rounds import DISTURBED, Rounds
from edgefit_toolkit.picker.search import make_plan
from edgefit_toolkit.records import Budget, Latency

BUDGETS_MS = (4.0, 8.0, 16.0, 32.0)
SEEDS = 40


def took(ms: float, tail: float = 1.05) -> Latency:
    return Latency(ms, tail * ms, tail * ms, tail * ms, "measured on host", "a test")


@given(
    st.lists(st.floats(0.95, 1.05), min_size=3, max_size=12),
    st.lists(st.floats(1.0, 50.0), min_size=2, max_size=5),
)
def test_ratios_are_free_of_the_machines_pace(paces: list[float], true_ms: list[float]) -> None:
    """Network 0 is in every round, each of the others in every other one."""
    rounds = Rounds(90)
    for n, pace in enumerate(paces):
        rounds.add({i: took(pace * ms) for i, ms in enumerate(true_ms) if i == 0 or (i + n) % 2})
    for i in rounds.p50_ms:
        assert rounds.p50_ms[i] / rounds.p50_ms[0] == pytest.approx(true_ms[i] / true_ms[0], rel=1e-3)
    middle = sorted(paces)
    usual = (middle[(len(middle) - 1) // 2] + middle[len(middle) // 2]) / 2
    assert rounds.p50_ms[0] == pytest.approx(true_ms[0] * usual, rel=1e-3)
    assert rounds.tail == pytest.approx(1.05)
    assert rounds.spread is not None
    assert rounds.spread == pytest.approx(statistics.stdev(map(math.log, paces)), abs=1e-3)


@given(st.lists(st.sampled_from(["pace", "tail", ""]), min_size=8, max_size=12), st.floats(1 + 2 * DISTURBED, 4))
def test_disturbed_rounds_do_not_count(faults: list[str], factor: float) -> None:
    if faults.count("") <= 0.75 * len(faults):
        faults = ["", "", "", "", *faults[:1]]
    rounds = Rounds(90)
    for fault in faults:
        ms = factor if fault == "pace" else 1.0
        rounds.add({i: took(10.0 * (i + 1) * ms, 1.05 * factor if fault == "tail" else 1.05) for i in range(2)})
    assert rounds.p50_ms == pytest.approx({0: 10.0, 1: 20.0})
    assert rounds.tail == pytest.approx(1.05)
    assert rounds.count(0) == rounds.shared == faults.count("")
    assert len(rounds.runs(0)) == len(faults)
    assert rounds.usual_run(1).p90 == pytest.approx(21.0)


def test_rounds_that_share_nothing_tell_no_pace() -> None:
    rounds = Rounds(50)
    for network in range(4):
        rounds.add({network: took(10.0)})
    assert rounds.shared == 0
    assert rounds.spread is None
    assert rounds.tail == 1.0
    rounds.add({0: took(10.0), 1: took(10.0)})
    assert rounds.shared == 3


def held(noise: Noise, budget_ms: float, seed: int) -> bool:
    """Whether pick and next, measured afresh on the machine when it is quiet, lie where a proof wants them."""
    plan = make_plan(Budget(budget_ms), "host")
    machine = Machine({c.variant: 0.66 * c.latency.p50 for c in plan.frontier}, noise, seed)
    try:
        found = bracket(
            plan.budget, plan.frontier, machine.measure, start=plan.pick.variant, in_time=lambda: machine.clock < 75
        )
    except BudgetMissed:
        return False
    assert machine.clock < 90
    if found.next is None:  # allowed where the range ends below the budget
        return found.closed
    machine.noise = dataclasses.replace(noise, burst=1.0)
    pick, after = (p90 / budget_ms for p90 in machine.afresh(found.pick.variant, found.next.variant))
    return 0.80 <= pick <= 1.05 and after >= 0.97


@pytest.mark.parametrize(("noise", "at_least"), [(QUIET, 0.98), (BURSTS, 0.90)], ids=["quiet", "busy"])
def test_brackets_hold_when_measured_afresh(noise: Noise, at_least: float) -> None:
    """The very draws are fixed; 300 seeds gave the figures in results/host_brackets_all_runs.md."""
    good = sum(held(noise, budget_ms, seed) for budget_ms in BUDGETS_MS for seed in range(SEEDS))
    assert good >= at_least * len(BUDGETS_MS) * SEEDS


def disturbed_by(factor: float, part: str, rounds: int = 4) -> list[bool]:
    """Which of these rounds are calm when the last one is slower, or has a longer tail, by `factor`."""
    seen = Rounds(90)
    for n in range(rounds):
        odd = factor if n == rounds - 1 else 1.0
        ms, tail = (odd, 1.05) if part == "pace" else (1.0, 1.05 * odd)
        seen.add({i: took(10.0 * (i + 1) * ms, tail) for i in range(2)})
    return seen.calm


@pytest.mark.parametrize("part", ["pace", "tail"])
def test_a_round_is_disturbed_beyond_fifteen_percent(part: str) -> None:
    assert disturbed_by(1.149, part) == [True] * 4
    assert disturbed_by(1.151, part) == [True] * 3 + [False]
    assert disturbed_by(4.0, part, rounds=2) == [True] * 2  # of two, nobody can tell which is the odd one
    assert disturbed_by(1.151, part, rounds=3) == [True, True, False]
    assert disturbed_by(0.5, part) == [True] * 4  # quicker: the others are not "far above the quicker quarter"


def test_the_quicker_quarter_decides_what_is_slow() -> None:
    """Four of nine rounds at half the time: two of them may be luck, more are the machine."""
    for quick, calm in ((2, 9), (3, 3)):
        seen = Rounds(50)
        for n in range(9):
            seen.add({i: took((5.0 if n < quick else 10.0) * (i + 1)) for i in range(2)})
        assert sum(seen.calm) == calm


def test_the_pace_is_known_from_three_rounds_on() -> None:
    seen = Rounds(50)
    for n, pace in enumerate((1.0, 1.02, 1.05)):
        assert seen.spread is None
        seen.add({i: took(pace * (i + 1)) for i in range(2)})
        assert seen.count(0) == n + 1
    assert seen.spread == pytest.approx(statistics.stdev(map(math.log, (1.0, 1.02, 1.05))), abs=1e-6)
    assert [pace is not None for pace in seen.paces] == [True] * 3
    assert statistics.median(pace for pace in seen.paces if pace) == pytest.approx(1.0)


def test_rounds_that_share_no_network_with_others_keep_their_own_figures() -> None:
    seen = Rounds(90)
    for pace in (1.0, 1.1, 1.04):
        seen.add({0: took(10.0 * pace), 1: took(20.0 * pace)})
    seen.add({7: took(33.0)})
    assert seen.paces[3] is None
    assert (seen.shared, seen.count(7)) == (3, 1)
    assert seen.p50_ms[7] == 33.0
    assert seen.p50_ms[0] == pytest.approx(10.4)
    assert list(seen.p50_ms) == [0, 1, 7]


def test_the_most_usual_round_is_reported_as_it_was_measured() -> None:
    seen = Rounds(50)
    for pace in (1.0, 1.1, 1.04, 0.97, 1.08):
        seen.add({0: took(10.0 * pace), 1: took(20.0 * pace)})
    assert seen.usual_run(0) == took(10.4)
    assert seen.runs(1)[1] == took(22.0)
    assert seen.tail == 1.0  # p50 / p50
    at_90 = Rounds(90)
    for tail in (1.02, 1.3, 1.06):
        at_90.add({0: took(10.0, tail), 1: took(20.0, tail)})
    assert at_90.tail == pytest.approx(1.04)  # the long one tells of other work
    assert at_90.usual_run(0).p90 == pytest.approx(10.4, abs=0.21)


def test_networks_that_share_all_their_rounds_do_not_hide_the_pace() -> None:
    """One network in all rounds, two more always together in the slower half: to one another their pace is 1."""
    seen = Rounds(50)
    for n, pace in enumerate((1.0, 1.1) * 4):
        seen.add({0: took(10.0 * pace)} | ({1: took(20.0 * pace), 2: took(30.0 * pace)} if n % 2 else {}))
    assert seen.p50_ms[1] / seen.p50_ms[0] == pytest.approx(2.0, rel=1e-6)
    assert seen.p50_ms[2] / seen.p50_ms[0] == pytest.approx(3.0, rel=1e-6)


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_one_network_that_is_slow_alone_does_not_bend_its_rounds_pace(odd: int) -> None:
    """The first guess of the paces comes from one network; the others outvote it."""
    seen = Rounds(50)
    assert seen.tail == 1.0
    for n in range(5):
        seen.add({i: took(10.0 * (i + 1) * (1.1 if (n, i) == (3, odd) else 1.0)) for i in range(3)})
    assert seen.paces == pytest.approx([1.0] * 5)
    assert seen.spread == pytest.approx(0.0)
    assert seen.p50_ms == pytest.approx({0: 10.0, 1: 20.0, 2: 30.0})


def test_paces_settle_over_rounds_that_share_only_some_networks() -> None:
    """A chain: each round shares one network with the next, and the true times come out up to the usual pace."""
    seen = Rounds(50)
    for pace, networks in ((1.0, (0, 1, 2)), (1.05, (2, 3, 4)), (0.97, (4, 5, 0)), (1.02, (1, 3, 5)), (1.0, (0, 2, 4))):
        seen.add({i: took(pace * 10.0 * (i + 1)) for i in networks})
    usual = seen.p50_ms[0] / 10.0
    assert 0.97 <= usual <= 1.05
    assert seen.p50_ms == pytest.approx({i: usual * 10.0 * (i + 1) for i in range(6)}, rel=0.01)
