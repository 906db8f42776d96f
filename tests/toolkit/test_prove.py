"""The bracket: pick and next proven by measuring, on simulated phones and, once, on this host."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefit_toolkit.devices import SHIPPED_DIR
from edgefit_toolkit.devices.schema import read_profile
from edgefit_toolkit.errors import BudgetMissed
from edgefit_toolkit.latency.predict import predict
from edgefit_toolkit.network.scaling import variant_from_phi
from edgefit_toolkit.picker.bracket import (
    MAX_ROUNDS,
    ROUNDS,
    TOGETHER,
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
    from edgefit_toolkit.pipeline.measuring.bench import Bench
    from edgefit_toolkit.pipeline.measuring.prove import prove
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
    from edgefit_toolkit.pipeline.measuring.prove import DISTURBED_AGAIN, _Quiet
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
