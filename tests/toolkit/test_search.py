"""The search: one answer for a budget, whatever the predictor; and the walk that measures."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefit_toolkit.devices import SHIPPED_DIR
from edgefit_toolkit.devices.schema import read_profile
from edgefit_toolkit.errors import BudgetMissed, InputError
from edgefit_toolkit.latency.predict import predict
from edgefit_toolkit.network.blocks import blocks
from edgefit_toolkit.network.scaling import variant_from_phi
from edgefit_toolkit.picker.plan import Plan, plan_json
from edgefit_toolkit.picker.rule import RELEASED_REACH_PHI
from edgefit_toolkit.picker.search import PHI_RANGE, around, candidates, distinct_phis, make_plan, pick
from edgefit_toolkit.picker.view import render_plan
from edgefit_toolkit.records import Budget, Latency, Origin, Variant

PIXEL4 = read_profile(SHIPPED_DIR / "pixel4.toml")
PUBLISHED = {"lite0": 6.5, "lite1": 9.1, "lite2": 12.0, "lite3": 18.0, "lite4": 30.0}  # Pixel 4, int8, ms


def pixel4(variant: Variant) -> Latency:
    return predict(variant, PIXEL4, percentile=50)


def flat(ms: float, origin: Origin = "predicted") -> Latency:
    return Latency(ms, 1.1 * ms, 0.9 * ms, 1.2 * ms, origin, "made up for a test")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_budgets_pick_the_released_variant_or_a_little_above(name: str) -> None:
    spec = next(v for v in candidates("lite", "released") if v.released == name)
    roomy = pick(Budget(1.1 * PUBLISHED[name], 50), pixel4).pick.variant
    assert spec.phi <= roomy.phi <= spec.phi + 0.35
    assert spec.madds <= roomy.madds
    tight = pick(Budget(0.9 * PUBLISHED[name], 50), pixel4).pick.variant
    assert tight.phi < spec.phi
    assert tight.madds < spec.madds


@pytest.mark.parametrize("family", ["lite", "b"])
def test_no_network_of_the_range_is_missed(family: str) -> None:
    """Against a grid far finer than the narrowest network: it finds nothing that the break points did not."""

    def network(phi: float) -> tuple[object, ...]:
        variant = variant_from_phi(phi, family)
        return blocks(variant.family, variant.width, variant.depth), variant.resolution_px, variant.madds

    phis = distinct_phis(family, 0, 1.5)
    walked = [network(phi) for phi in phis]
    assert len(set(walked)) == len(walked)
    assert list(phis) == sorted(phis)
    grid = {network(index / 2000) for index in range(3001)}
    assert grid <= set(walked)


@given(st.floats(-4, 6))
@settings(max_examples=40, deadline=None)
def test_any_phi_is_one_of_the_candidates(phi: float) -> None:
    costs = {(v.madds, v.params, v.resolution_px) for v in candidates("lite")}
    variant = variant_from_phi(phi)
    assert (variant.madds, variant.params, variant.resolution_px) in costs


def test_reported_phi_makes_that_very_network() -> None:
    for variant in candidates("lite"):
        if variant.released is None:
            assert variant_from_phi(variant.phi) == variant


@given(st.floats(2, 100), st.sampled_from([50, 90]), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_the_pick_is_the_largest_that_fits(budget_ms: float, percentile: int, seed: int) -> None:
    """With a predictor that is far from monotone."""
    noise = random.Random(seed)
    table = {v: flat(v.madds / 5e7 * noise.uniform(0.7, 1.4)) for v in candidates("lite")}
    budget = Budget(budget_ms, percentile)
    plan = pick(budget, table.__getitem__)
    assert plan.pick.fits(budget)
    fitting = [c for c in plan.frontier if c.fits(budget)]
    largest = fitting[-1]
    if plan.pick != largest:
        assert plan.pick.variant.released
        assert 0 <= largest.variant.phi - plan.pick.variant.phi <= RELEASED_REACH_PHI
    above = [c for c in plan.frontier if c.variant.phi > largest.variant.phi]
    assert not any(c.fits(budget) for c in above)
    assert plan.next == (above[0] if above else None)
    below = [c for c in plan.frontier if c.variant.phi < plan.pick.variant.phi]
    assert {c.variant for c in plan.misses_below} == {c.variant for c in below if not c.fits(budget)}
    assert bool(plan.misses_below) == any("not monotone" in note for note in plan.notes)


def test_a_released_variant_wins_over_a_step_of_phi_only() -> None:
    lite2 = next(v for v in candidates("lite") if v.released == "lite2")
    assert pick(Budget(1.0001 * pixel4(lite2).p50, 50), pixel4).pick.variant == lite2
    assert pick(Budget(1.2 * pixel4(lite2).p50, 50), pixel4).pick.variant.released is None


def test_a_grown_pick_names_the_largest_released_one_that_fits() -> None:
    plan = pick(Budget(17), pixel4)
    assert plan.pick.variant.released is None
    (note,) = [note for note in plan.notes if "--scaling released takes it" in note]
    assert note.startswith(pick(Budget(17), pixel4, scaling="released").pick.variant.label)
    assert not any("--scaling released" in note for note in pick(Budget(13.5), pixel4).notes)  # it is Lite2 already


def test_released_scaling_looks_at_nothing_else() -> None:
    plan = pick(Budget(28, 50), pixel4, scaling="released")
    assert [c.variant.released for c in plan.frontier] == list(PUBLISHED)
    assert plan.pick.variant.released == "lite3"
    assert plan.next is not None
    assert plan.next.variant.released == "lite4"


def test_nothing_fits() -> None:
    with pytest.raises(BudgetMissed, match=r"quickest, lite phi=-3.9\d* 128px, .* ms") as caught:
        pick(Budget(0.01, 90), pixel4, device="pixel4")
    assert caught.value.exit_code == 1
    enough = float(caught.value.hint.split()[1])
    assert pick(Budget(enough, 90), pixel4).pick.fits(Budget(enough, 90))
    assert "continuous" not in caught.value.hint
    with pytest.raises(BudgetMissed, match="Lite0") as caught:
        pick(Budget(4, 90), pixel4, scaling="released")
    assert "--scaling continuous has smaller networks" in caught.value.hint


def test_everything_fits() -> None:
    plan = pick(Budget(1e6), pixel4)
    assert plan.next is None
    assert plan.pick == plan.frontier[-1]
    assert any("whole range fits" in note and "(phi up to 6)" in note for note in plan.notes)
    assert plan_json(plan)["next"] is None


@pytest.mark.parametrize("ms", [0.0, -3.0, math.nan, math.inf])
def test_budgets_that_are_none(ms: float) -> None:
    with pytest.raises(InputError, match="positive number"):
        pick(Budget(ms), pixel4)


def test_percentiles_that_are_not_predicted() -> None:
    with pytest.raises(InputError, match="50 and 90"):
        pick(Budget(30, 99), pixel4)


def test_plan_document() -> None:
    plan = pick(Budget(13.5), pixel4, device="pixel4", classes=5)
    doc = json.loads(json.dumps(plan_json(plan), allow_nan=False))
    assert doc["schema"] == "edgefit.plan/1"
    assert (doc["device"], doc["budget_ms"], doc["percentile"]) == ("pixel4", 13.5, 90)
    for entry in (doc["pick"], doc["next"]):
        keys = {"phi", "family", "width", "depth", "resolution_px", "madds", "params", "latency_ms"}
        assert keys <= set(entry)
        assert set(entry["latency_ms"]) == {"p50", "p90", "low", "high", "origin", "basis"}
    assert doc["pick"]["latency_ms"]["p90"] <= 13.5 < doc["next"]["latency_ms"]["p90"]
    assert len(doc["frontier"]) == len(plan.frontier)


def test_rendered_plan_shows_pick_next_and_frontier() -> None:
    from rich.console import Console

    plan = pick(Budget(13.5), pixel4, device="pixel4")
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(render_plan(plan))
    text = console.export_text()
    assert plan.pick.variant.label in text
    assert plan.next is not None
    assert plan.next.variant.label in text
    assert "80%: " in text
    assert "basis: published" in text
    drawing = text[text.index("against phi") :]
    assert drawing.count("◆") >= 4
    assert "13.5" in drawing
    assert "X" in drawing


def decimals(phi: float) -> int:
    return len(repr(phi).partition(".")[2])


@pytest.mark.parametrize("family", ["lite", "b"])
def test_reported_phis_are_the_roundest_and_largest_of_their_network(family: str) -> None:
    """Two decimals at least; no phi with fewer makes the same network, and no larger one with as many does."""
    for phi in distinct_phis(family, -0.3, 0.9):
        mine, places = variant_from_phi(phi, family), max(2, decimals(phi))
        step = 10.0**-places
        larger = variant_from_phi(round(phi + step, places), family)
        assert (larger.madds, larger.params) != (mine.madds, mine.params) or phi + step > 0.9
        if places > 2:
            coarser = round(phi, places - 1)
            for other in (coarser, round(coarser + 10 * step, places), round(coarser - 10 * step, places)):
                assert variant_from_phi(other, family).madds != mine.madds


def test_the_range_ends_where_it_says() -> None:
    assert PHI_RANGE == (-4.0, 6.0)
    every = candidates("lite")
    assert every[0].phi >= -4.0
    assert variant_from_phi(-4.0).madds == every[0].madds
    assert every[-1].phi == 6.0
    some = candidates("lite", "continuous", 1000, (-1.0, 1.0))
    assert [v.phi for v in some] == sorted(v.phi for v in some)
    assert {v.released for v in some} == {None, "lite0", "lite1"}
    assert set(some) < set(every) | {some[0], some[-1]}
    assert all(-1.0 <= v.phi <= 1.0 for v in some)
    assert len(candidates("lite", "released", 1000, (-1.0, 1.0))) == 5  # all of them, whatever the range


def test_a_network_that_only_the_first_phi_has_is_kept() -> None:
    """That of phi 0 ends there: every stage gains a block just above."""
    assert distinct_phis("lite", 0.0, 0.5)[0] == 0.0
    assert variant_from_phi(distinct_phis("lite", 0.0, 0.5)[1]).madds > variant_from_phi(0.0).madds


@pytest.mark.parametrize("phi_range", [(1.0, 1.0), (2.0, 1.0), (math.nan, 1.0), (0.0, math.inf), (-math.inf, 0.0)])
def test_ranges_without_a_network(phi_range: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="holds no network"):
        candidates("lite", "continuous", 1000, phi_range)


def test_scalings_that_do_not_exist() -> None:
    with pytest.raises(InputError, match="continuous and released"):
        candidates("lite", "grid")


def by_phi(ms_per_phi: float, low: float = 0.9, high: float = 1.2) -> Callable[[Variant], Latency]:
    return lambda v: Latency(*(ms_per_phi * (v.phi + 5) * f for f in (1.0, 1.0, low, high)), "predicted", "a test")


def test_notes_say_what_they_are_about_and_nothing_else() -> None:
    def notes(plan: Plan) -> str:
        *notes, confidence = plan.notes
        assert confidence.startswith("picked to fit with 50% confidence, the median of the prediction")
        return " | ".join(notes)

    roomy = pick(Budget(7.2), by_phi(1.0, 1.0, 1.0))
    assert roomy.misses_below == ()
    assert notes(roomy) == (
        "Lite3 280px is the largest network with published ImageNet weights that fits (6.8 ms): "
        "--scaling released takes it"
    )
    lite2 = next(v for v in candidates("lite") if v.released == "lite2")
    near = pick(Budget(lite2.phi + 5.05), by_phi(1.0, 1.0, 1.0))
    assert near.pick.variant == lite2
    largest = [c for c in near.frontier if c.fits(near.budget)][-1].variant
    assert notes(near) == (
        f"Lite2 260px has published ImageNet weights; {largest.label} would fit too, "
        f"{largest.phi - lite2.phi:.2f} of phi larger, with weights made from those"
    )
    at = pick(Budget(lite2.phi + 5), by_phi(1.0, 1.0, 1.0))
    assert (at.pick.variant, notes(at)) == (lite2, "")
    tight = pick(Budget(7.2), by_phi(1.0, 0.99, 1.01))
    assert "inside the pick's 80% interval" in notes(tight)
    assert "inside" not in notes(pick(Budget(7.2), by_phi(1.0, 1.05, 1.1)))  # it begins above the budget
    assert "inside" not in notes(pick(Budget(7.2), by_phi(1.0, 0.8, 0.9)))  # it ends below


def test_a_confident_pick_is_the_largest_whose_interval_allows_it() -> None:
    profile = read_profile(SHIPPED_DIR / "pixel7.toml")

    def pixel7(variant: Variant) -> Latency:
        return predict(variant, profile)

    median, sure = (pick(Budget(30, 90, level), pixel7) for level in (0.5, 0.9))
    assert sure.pick.phi < median.pick.phi
    assert sure.pick.latency.at(90, 0.9) <= 30 < median.pick.latency.at(90, 0.9)
    assert [level for level, _ in median.picks] == [0.5, 0.9]
    assert [candidate.phi for _, candidate in median.picks] == [median.pick.phi, sure.pick.phi]
    assert f"with --confidence 0.9 it would be {sure.pick.variant.label}" in median.notes[-1]
    assert sure.notes[-1].startswith("picked to fit with 90% confidence, a cautious pick")
    doc = plan_json(sure)
    assert (doc["confidence"], [row["confidence"] for row in doc["picks"]]) == (0.9, [0.5, 0.9])
    with pytest.raises(InputError, match="at least"):
        pick(Budget(30, 90, 0.3), pixel7)


@given(st.floats(0.51, 0.99))
def test_the_interval_is_that_of_80_percent(level: float) -> None:
    latency = Latency(10.0, 12.0, 9.0, 16.0, "predicted", "a test")
    assert latency.at(90, 0.9) == pytest.approx(16.0)
    assert 12.0 < latency.at(90, level) < latency.at(90, min(0.999, level + 0.005))
    assert dataclasses.replace(latency, origin="measured on host").at(90, level) == 12.0


def test_accelerators() -> None:
    """A Pixel 7's GPU has rows and is slow to start; a Galaxy S23's is quick; a Pixel 5's has none."""

    def plan(ms: float, device: str, accelerator: str) -> Plan:
        return make_plan(Budget(ms), device, accelerator=accelerator)

    assert plan(8, "pixel7", "auto").accelerator == "cpu"
    fast = plan(8, "galaxys23", "auto")
    assert fast.accelerator == "gpu"
    assert any("GPU" in note and "Adreno 740" in note for note in fast.notes)
    assert any(note.startswith("CPU: ") for note in fast.notes)
    unknown = plan(20, "pixel5", "auto")
    assert unknown.accelerator == "cpu"
    assert any("nothing is known of float16" in note for note in unknown.notes)
    with pytest.raises(InputError, match="nothing is known of float16"):
        plan(20, "pixel5", "gpu")


def test_networks_that_miss_below_the_pick_are_counted() -> None:
    smallest, second = candidates("lite")[:2]

    def odd(*slow: Variant) -> Plan:
        usual = by_phi(1.0)
        return pick(Budget(7.2), lambda v: flat(99.0) if v in slow else usual(v))

    one, two = odd(smallest), odd(smallest, second)
    assert any("1 smaller network (phi" in note for note in one.notes)
    assert any(f"2 smaller networks (phi {smallest.phi:g} to {second.phi:g})" in note for note in two.notes)


def test_what_nothing_meets_is_rounded_up_to_a_tenth() -> None:
    said = r"answers within 0.5 ms: the quickest, .* has a predicted p90 of 1.0\d ms"
    with pytest.raises(BudgetMissed, match=said) as caught:
        pick(Budget(0.5), by_phi(1.0))
    enough = math.ceil(by_phi(1.0)(candidates("lite")[0]).p90 * 10) / 10
    assert caught.value.hint == f"--budget-ms {enough:g} is the smallest budget that a network meets there"
    assert "confidence" not in caught.value.message
    with pytest.raises(BudgetMissed, match=r"ms, held with 90% confidence$"):
        pick(Budget(0.5, confidence=0.9), by_phi(1.0))


def test_around_a_chosen_network_the_next_is_the_first_above_it_that_does_not_fit() -> None:
    walked = candidates("lite")
    place = len(walked) // 2
    plan = around(Budget(walked[place].phi + 5.0, 50), by_phi(1.0), walked[place])
    assert plan.pick.variant == walked[place]
    assert plan.next is not None
    assert plan.next.variant == walked[place + 1]
    above = around(Budget(walked[place].phi + 4.9, 50), by_phi(1.0), walked[place])
    assert above.next is not None
    assert above.next.variant == walked[place + 1]  # not the chosen one itself, which does not fit either
    assert above.notes == (f"{walked[place].label} was asked for, not picked; it does not fit: 0.1 ms over the budget",)
