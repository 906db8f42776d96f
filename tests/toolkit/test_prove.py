"""The bracket: pick and next proven by measuring, on simulated phones and, once, on this host."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefit_toolkit.devices import SHIPPED_DIR, read_profile
from edgefit_toolkit.errors import BudgetMissed
from edgefit_toolkit.latency.predict import predict
from edgefit_toolkit.network.scaling import variant_from_phi
from edgefit_toolkit.picker.bracket import (
    FAR,
    MAX_ROUNDS,
    ROUNDS,
    SHARED_ROUNDS,
    TOGETHER,
    _spread_out,
    _Walk,
    apply,
    bracket,
)
from edgefit_toolkit.picker.plan import Candidate, Plan, plan_json
from edgefit_toolkit.picker.rule import FITS_BY, MISSES_BY
from edgefit_toolkit.picker.search import PHI_RANGE, candidates, pick
from edgefit_toolkit.picker.view import render_plan
from edgefit_toolkit.records import Budget, Latency, Measurement, Variant

PIXEL4 = read_profile(SHIPPED_DIR / "pixel4.toml")


@lru_cache(maxsize=1024)
def pixel4(variant: Variant) -> Latency:
    return predict(variant, PIXEL4)


class Phone:
    """A simulated phone: a law of its own, unknown to the predictor; noise of each network's round; and other work
    that slows a whole round's tail now and then."""

    def __init__(self, scale: float, tilt: float = 0.0, noise: float = 0.0, busy: float = 0.0, seed: int = 0) -> None:
        self.scale, self.tilt, self.noise, self.busy = scale, tilt, noise, busy
        self.random = random.Random(seed)
        self.rounds: list[tuple[Variant, ...]] = []

    def true_ms(self, variant: Variant) -> float:
        return self.scale * pixel4(variant).p50 * math.exp(self.tilt * variant.phi)

    def measure(self, variants: Sequence[Variant]) -> list[Latency]:
        self.rounds.append(tuple(variants))
        tail = 1.5 if self.random.random() < self.busy else 1.05
        found = []
        for variant in variants:
            p50 = self.true_ms(variant) * self.random.gauss(1, self.noise)
            found.append(Latency(p50, tail * p50, 0.99 * tail * p50, 1.01 * tail * p50, "measured on device", "a test"))
        return found

    def p90(self, variant: Variant) -> float:
        """Of a quiet phone."""
        return 1.05 * self.true_ms(variant)


@lru_cache(maxsize=256)
def _plan(budget_ms: float) -> Plan:
    return pick(Budget(budget_ms), pixel4, device="pixel4")


def _between(plan: Plan, low: Variant, high: Variant) -> list[Variant]:
    order = [c.variant for c in plan.frontier]
    return order[order.index(low) + 1 : order.index(high)]


@given(st.floats(6, 40), st.floats(0.5, 2.0), st.floats(-0.05, 0.05))
@settings(max_examples=40, deadline=None)
def test_a_quiet_phone_off_by_a_factor_gets_an_exact_bracket(budget_ms: float, scale: float, tilt: float) -> None:
    phone, plan = Phone(scale, tilt), _plan(budget_ms)
    found = bracket(plan.budget, plan.frontier, phone.measure)
    assert found.closed
    assert found.next is not None
    assert phone.p90(found.pick.variant) <= budget_ms
    assert phone.p90(found.next.variant) > budget_ms * (1 + MISSES_BY)
    if not found.pick.variant.released:
        for variant in _between(plan, found.pick.variant, found.next.variant):
            assert 1 - FITS_BY < phone.p90(variant) / budget_ms <= 1 + MISSES_BY
    assert len(phone.rounds) <= MAX_ROUNDS
    assert all(len(together) <= TOGETHER + 2 for together in phone.rounds)


@given(st.floats(6, 40), st.floats(0.6, 1.6), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_noisy_phone_gets_a_bracket_that_measures_again_alike(budget_ms: float, scale: float, seed: int) -> None:
    """1% of noise between rounds: afresh, the pick is under 1.03 of the budget and the next one over .97."""
    phone, plan = Phone(scale, noise=0.01, seed=seed), _plan(budget_ms)
    found = bracket(plan.budget, plan.frontier, phone.measure)
    assert found.pick.fits(plan.budget)
    assert phone.p90(found.pick.variant) <= budget_ms * 1.03
    assert found.next is not None
    assert not found.next.fits(plan.budget)
    assert phone.p90(found.next.variant) >= budget_ms * 0.97
    if found.closed:
        for variant in _between(plan, found.pick.variant, found.next.variant):
            assert found.pick.variant.released or phone.p90(variant) >= budget_ms * 0.95
        assert len(found.pick.runs) >= ROUNDS
        assert len(found.next.runs) >= ROUNDS
    else:
        assert found.notes


def test_rounds_that_other_work_disturbs_are_outvoted() -> None:
    good = 0
    for seed in range(40):
        phone, plan = Phone(1.3, noise=0.005, busy=0.15, seed=seed), _plan(16.0)
        found = bracket(plan.budget, plan.frontier, phone.measure)
        assert found.next is not None
        good += 0.8 * 16 <= phone.p90(found.pick.variant) <= 1.02 * 16 <= 1.05 * phone.p90(found.next.variant)
    assert good >= 36


def test_what_is_compared_was_measured_in_turns() -> None:
    phone, plan = Phone(0.8, noise=0.01), _plan(12.0)
    found = bracket(plan.budget, plan.frontier, phone.measure)
    assert found.next is not None
    together = [r for r in phone.rounds if {found.pick.variant, found.next.variant} <= set(r)]
    assert len(together) >= ROUNDS - 1
    runs = {variant: sum(variant in r for r in phone.rounds) for r in phone.rounds for variant in r}
    assert {m.variant: len(m.runs) for m in found.measured} == runs
    first_seen = list(dict.fromkeys(variant for r in phone.rounds for variant in r))
    assert [m.variant for m in found.measured] == first_seen


def test_a_released_network_in_reach_is_measured_and_preferred() -> None:
    plan = _plan(12.0)
    lite2 = next(v for v in candidates("lite") if v.released == "lite2")
    phone = Phone(12.0 * 0.97 / 1.05 / pixel4(lite2).p50)
    found = bracket(plan.budget, plan.frontier, phone.measure)
    assert found.pick.variant == lite2
    larger = [m for m in found.measured if m.fits(plan.budget) and m.variant.phi > lite2.phi]
    assert bool(larger) == any("published ImageNet weights" in note for note in found.notes)


def test_no_time_ends_the_walk_with_what_is_known() -> None:
    phone, plan = Phone(1.4), _plan(20.0)
    left = iter([True, True, False])
    found = bracket(plan.budget, plan.frontier, phone.measure, in_time=lambda: next(left))
    assert len(phone.rounds) == 3
    assert not found.closed
    assert found.pick.fits(plan.budget)
    assert found.notes


def test_nothing_or_everything_fits() -> None:
    small = tuple(Candidate(v, pixel4(v)) for v in candidates("lite")[:6])
    phone = Phone(30.0)
    with pytest.raises(BudgetMissed, match="measured on device") as missed:
        bracket(Budget(1.0), small, phone.measure)
    assert missed.value.exit_code == 1
    quickest = min(small, key=lambda c: phone.true_ms(c.variant)).variant
    assert quickest.label in missed.value.message
    offered = float(missed.value.hint.split()[1])
    assert bracket(Budget(offered), small, phone.measure).pick.variant
    found = bracket(Budget(100.0), small, Phone(1.0).measure)
    assert found.next is None
    assert found.closed
    assert "does not bind" in found.notes[-1]


def test_a_measured_plan_says_measured_and_carries_its_proof() -> None:
    phone, plan = Phone(1.2), _plan(15.0)
    found = bracket(plan.budget, plan.frontier, phone.measure)
    measured = apply(plan, found)
    doc = plan_json(measured)
    assert "proof" not in plan_json(plan)
    for entry in (doc["pick"], doc["next"], *doc["proof"]):
        assert entry["latency_ms"]["origin"] == "measured on device"
    assert measured.pick.variant.phi < plan.pick.variant.phi
    assert [row["label"] for row in doc["proof"]] == [m.variant.label for m in found.measured]
    for row in doc["proof"]:
        assert row["fits"] == (row["latency_ms"]["p90"] <= 15.0)
        assert any(row["latency_ms"]["p90"] == pytest.approx(ms, abs=1e-3) for ms in row["rounds_ms"])
    origins = [point["origin"] for point in doc["frontier"]]
    assert origins.count("measured on device") == len(found.measured)
    assert origins.count("predicted") == len(origins) - len(found.measured)


def test_the_terminal_shows_the_proof() -> None:
    from rich.console import Console

    plan = _plan(15.0)
    measured = apply(plan, bracket(plan.budget, plan.frontier, Phone(1.2).measure))
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(render_plan(measured))
    table = console.export_text().split("measured, in this order")[1]
    for row in measured.proof:
        assert row.variant.label in table
    assert "80%" not in table.split("ms (log)")[0]


def test_this_host_proves_a_pick_of_tiny_networks() -> None:
    """Real graphs, real processes, a budget that no machine misses; what the figures are is not looked at."""
    from edgefit_benchmarks.targets.local import LocalTarget
    from edgefit_toolkit.pipeline.bench import Bench
    from edgefit_toolkit.pipeline.prove import prove
    from edgefit_toolkit.progress import Silent

    tiny = [variant_from_phi(phi, classes=5) for phi in (-4.0, -3.9, -3.8)]
    frontier = tuple(Candidate(v, pixel4(v)) for v in tiny)
    plan = Plan(Budget(10_000.0), "host", "lite", "continuous", PHI_RANGE, frontier[0], frontier[1], frontier)
    proven, _ = prove(plan, Bench(LocalTarget(), threads=1), Silent(), limit_s=40.0)
    assert proven.pick.variant == tiny[-1]
    assert proven.next is None
    for row in proven.proof:
        assert row.latency.origin == "measured on host"
        assert 0 < row.latency.low <= row.latency.p90 <= row.latency.high
        assert "1 threads" in row.latency.basis or "1 thread," in row.latency.basis
    impossible = replace(plan, budget=Budget(1e-6))
    with pytest.raises(BudgetMissed, match="measured on host"):
        prove(impossible, Bench(LocalTarget(), threads=1), Silent(), limit_s=0.0)


def test_a_round_that_other_programs_disturbed_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a /proc/stat of our own, in which others are busy, or not, while a round runs."""
    from edgefit_benchmarks import other_work
    from edgefit_toolkit.pipeline.prove import DISTURBED_AGAIN, _Quiet
    from edgefit_toolkit.progress import Silent

    stat, busy = tmp_path / "stat", [0]
    monkeypatch.setattr(other_work, "PROC_STAT", stat)
    rounds: list[int] = []

    def taking(disturbed: int) -> Callable[[], dict[str, Measurement]]:
        def measure() -> dict[str, Measurement]:
            rounds.append(1)
            busy[0] += 10_000_000 if len(rounds) <= disturbed else 0
            stat.write_text(f"cpu {busy[0]} 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\n")
            return {}

        return measure

    stat.write_text("cpu 0 0 0 0 0 0 0 0 0 0\n")
    quiet = _Quiet(True, Silent())
    quiet.round(taking(disturbed=2), lambda: True)
    assert len(rounds) == 3
    assert quiet.notes() == ()
    rounds.clear()
    quiet.round(taking(disturbed=100), lambda: True)
    assert len(rounds) == DISTURBED_AGAIN - 2 + 1
    assert "100% of this computer's cores" in quiet.notes()[0]
    rounds.clear()
    _Quiet(False, Silent()).round(taking(disturbed=100), lambda: True)  # a phone: this host's load is not its own
    assert len(rounds) == 1
    stat.unlink()
    assert other_work.OtherWork().share() is None


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
