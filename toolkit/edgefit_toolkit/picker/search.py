"""The largest network under a budget, by prediction.

phi is continuous, networks are not: channels go in eights, repeats in ones, resolution in 2 px. So the search walks the
phi at which one of them changes (a few hundred in all) and looks at every distinct network between, not at a grid.
rule.py says which of them is picked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

from edgefit_toolkit.devices import load_profile
from edgefit_toolkit.errors import BudgetMissed, EdgefitError, InputError
from edgefit_toolkit.latency.predict import predict
from edgefit_toolkit.network.blocks import CHANNEL_DIVISOR, blocks, head_channels
from edgefit_toolkit.network.families import DEFAULT_FAMILY, family_named
from edgefit_toolkit.network.scaling import (
    BASE_RESOLUTION_PX,
    DEPTH_BASE,
    MIN_RESOLUTION_PX,
    RESOLUTION_BASE,
    RESOLUTION_STEP_PX,
    WIDTH_BASE,
    factors,
    released,
    variant_from_phi,
    with_classes,
)
from edgefit_toolkit.picker.plan import Accelerator, Candidate, Plan
from edgefit_toolkit.picker.rule import all_within, check_budget, first_beyond, released_or
from edgefit_toolkit.records import Budget, Latency, Precision, Variant

PHI_RANGE = (-4.0, 6.0)  # lite: 128 px, 50 M multiply-adds .. 518 px, 17 G; beyond, nothing trains or runs well

CONFIDENCES = (0.5, 0.9)  # whose picks every predicted plan names

Predictor = Callable[[Variant], Latency]


def pick(
    budget: Budget,
    predictor: Predictor,
    *,
    device: str = "",
    family: str = DEFAULT_FAMILY,
    scaling: str = "continuous",
    classes: int = 1000,
    phi_range: tuple[float, float] = PHI_RANGE,
) -> Plan:
    """The largest network of the range whose predicted percentile fits, and the next larger one, which does not.

    A released network that fits wins over one a little larger (rule.released_or). Raises InputError for a budget that
    is none, BudgetMissed when nothing fits.
    """
    check_budget(budget)
    variants = candidates(family, scaling, classes, phi_range)
    frontier = tuple(Candidate(variant, predictor(variant)) for variant in variants)
    times_ms = _times_ms(frontier, budget, budget.confidence)
    fitting = all_within(times_ms, budget.latency_ms)
    if not fitting:
        raise _missed(budget, device, frontier, scaling)
    largest = fitting[-1]
    after = first_beyond(times_ms, budget.latency_ms, above=largest)
    best = frontier[released_or(variants, fitting, largest)]
    beyond = None if after is None else frontier[after]
    picks = []
    for level in sorted({*CONFIDENCES, budget.confidence}):
        if places := all_within(_times_ms(frontier, budget, level), budget.latency_ms):
            picks.append((level, frontier[released_or(variants, places, places[-1])]))
    plan = Plan(budget, device, family, scaling, phi_range, best, beyond, frontier, picks=tuple(picks))
    return replace(plan, notes=tuple(_notes(plan, frontier[largest], [frontier[place] for place in fitting])))


def _times_ms(frontier: Sequence[Candidate], budget: Budget, confidence: float) -> list[float]:
    return [candidate.latency.at(budget.percentile, confidence) for candidate in frontier]


def around(budget: Budget, predictor: Predictor, chosen: Variant, *, device: str = "") -> Plan:
    """The plan of a network that somebody chose, whether it fits or not. Raises InputError as `pick`."""
    check_budget(budget)
    variants = candidates(chosen.family, "continuous", chosen.classes)
    frontier = tuple(Candidate(variant, predictor(variant)) for variant in variants)
    candidate = Candidate(chosen, predictor(chosen))
    smaller = sum(other.phi <= chosen.phi for other in frontier)
    after = first_beyond(_times_ms(frontier, budget, budget.confidence), budget.latency_ms, above=smaller - 1)
    beyond = None if after is None else frontier[after]
    plan = Plan(budget, device, chosen.family, "continuous", PHI_RANGE, candidate, beyond, frontier)
    over_ms = candidate.latency.at(budget.percentile, budget.confidence) - budget.latency_ms
    said = "fits" if candidate.fits(budget) else f"does not fit: {over_ms:.1f} ms over the budget"
    return replace(plan, notes=(f"{chosen.label} was asked for, not picked; it {said}",))


def chosen_variant(network: str | None, phi: float | None, family: str = DEFAULT_FAMILY) -> Variant | None:
    """The network that --network or --phi names; None when neither does. Raises InputError for both, ScalingError."""
    if network is not None and phi is not None:
        raise InputError(f"both a network ({network}) and a phi ({phi:g}) were asked for", "leave one of them out")
    if network is not None:
        return released(network)
    return None if phi is None else variant_from_phi(phi, family)


def make_plan(
    budget: Budget,
    device: str,
    *,
    family: str = DEFAULT_FAMILY,
    scaling: str = "continuous",
    classes: int = 1000,
    chosen: Variant | None = None,
    accelerator: str = "cpu",
) -> Plan:
    """`pick` by the latencies predicted for the device of that name, or `around` the network that was chosen.

    int8 on the CPU, float16 on the GPU, or ("auto") whichever takes the larger network, with what each rests on in the
    notes. Raises InputError for a device that is none, or a GPU that nothing is known of, too.
    """
    profile = load_profile(device)

    def planned(on: Accelerator) -> Plan:
        precision: Precision = "float16" if on == "gpu" else "int8"

        def predictor(variant: Variant) -> Latency:
            return predict(variant, profile, precision, percentile=budget.percentile)

        if chosen is not None:
            return replace(around(budget, predictor, chosen, device=profile.name), accelerator=on)
        found = pick(budget, predictor, device=profile.name, family=family, scaling=scaling, classes=classes)
        return replace(found, accelerator=on)

    if accelerator != "auto":
        return planned("gpu" if accelerator == "gpu" else "cpu")
    return _auto(planned)


def _auto(planned: Callable[[Accelerator], Plan]) -> Plan:
    """The plan with the larger pick (of one network: the faster); where one accelerator has none, the other's."""
    plans: dict[Accelerator, Plan] = {}
    refused: dict[Accelerator, EdgefitError] = {}
    both: tuple[Accelerator, ...] = ("cpu", "gpu")
    for on in both:
        try:
            plans[on] = planned(on)
        except (InputError, BudgetMissed) as error:
            refused[on] = error
    if not plans:
        raise refused["cpu"]
    taken = max(plans.values(), key=lambda plan: (plan.pick.variant.madds, -plan.pick.latency.p50))
    notes = [
        f"{on.upper()}: {plan.pick.variant.label}, p50 {plan.pick.latency.p50:.1f} ms ({plan.pick.latency.basis})"
        for on, plan in plans.items()
    ]
    notes += [f"{on.upper()}: {error.message}" for on, error in refused.items()]
    return replace(
        taken, notes=(f"{taken.accelerator.upper()} rather than the other: it takes more", *notes, *taken.notes)
    )


@lru_cache(maxsize=32)
def candidates(
    family: str = DEFAULT_FAMILY,
    scaling: str = "continuous",
    classes: int = 1000,
    phi_range: tuple[float, float] = PHI_RANGE,
) -> tuple[Variant, ...]:
    """Every distinct network of the range in order of phi, the released ones among them.

    A continuous variant carries the roundest phi (fewest decimals, then largest) that makes this very network.
    """
    low, high = phi_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"the phi range {low} to {high} holds no network")
    if scaling not in ("continuous", "released"):
        raise InputError(f"scaling is {scaling!r}; there are continuous and released")
    known = [released(name, classes) for name in family_named(family).released]
    found = [variant for variant in known if low <= variant.phi <= high or scaling == "released"]
    taken = {_network(variant.family, variant.width, variant.depth, variant.resolution_px) for variant in found}
    if scaling == "continuous":
        for phi in distinct_phis(family, low, high):
            variant = variant_from_phi(phi, family)
            if _network(family, variant.width, variant.depth, variant.resolution_px) not in taken:
                found.append(with_classes(variant, classes))
    return tuple(sorted(found, key=lambda variant: (variant.phi, variant.madds)))


def distinct_phis(family: str, low: float, high: float) -> tuple[float, ...]:
    """One phi for each distinct network of [low, high], ascending."""
    edges = sorted({low, high, *(phi for phi in _break_points(family, low, high) if low < phi < high)})
    phis: list[float] = []
    if _network_at(family, low) != _network_at(family, (edges[0] + edges[1]) / 2):
        phis.append(low)  # a network that ends at the range's first phi, as that of phi 0 does
    last = None
    for start, end in pairwise(edges):
        if end - start < 1e-9:  # the same break point twice, up to rounding
            continue
        network = _network_at(family, (start + end) / 2)
        if network == last:
            phis.pop()  # an edge of rounding only
        phis.append(_roundest(family, start, end))
        last = network
    return tuple(phis)


def _break_points(family: str, low: float, high: float) -> Iterator[float]:
    """Every phi at which channels, repeats or the resolution change."""

    def phi(ratio: float, base: float) -> float:
        return math.log(ratio) / math.log(base)

    smallest_px = max(MIN_RESOLUTION_PX, int(BASE_RESOLUTION_PX * RESOLUTION_BASE**low) - RESOLUTION_STEP_PX)
    largest_px = int(BASE_RESOLUTION_PX * RESOLUTION_BASE**high) + RESOLUTION_STEP_PX
    for odd_px in range(smallest_px // 2 * 2 + 1, largest_px + 1, RESOLUTION_STEP_PX):  # halves are rounded up
        yield phi(odd_px / BASE_RESOLUTION_PX, RESOLUTION_BASE)
    for repeats in family_named(family).scaled_repeats:
        for blocks_ in range(1, math.ceil(repeats * DEPTH_BASE**high)):
            yield phi(blocks_ / repeats, DEPTH_BASE)
    for whole in family_named(family).scaled_channels:
        for channels in range(CHANNEL_DIVISOR, int(whole * WIDTH_BASE**high) + CHANNEL_DIVISOR, CHANNEL_DIVISOR):
            upto = min(channels + CHANNEL_DIVISOR / 2, channels / 0.9)  # where round_channels leaves this step
            yield phi(upto / whole, WIDTH_BASE)


def _roundest(family: str, start: float, end: float) -> float:
    """The phi with the fewest decimals (two or more) between two break points, the largest of those."""
    middle = (start + end) / 2
    network = _network_at(family, middle)
    for decimals in range(2, 12):
        step = float(10**decimals)
        top = math.floor(end * step + 1e-6)
        for phi in (top / step, (top - 1) / step):
            if start <= phi <= end and _network_at(family, phi) == network:
                return phi
    return middle


def _network_at(family: str, phi: float) -> tuple[object, ...]:
    return _network(family, *factors(phi))


def _network(family: str, width: float, depth: float, resolution_px: int) -> tuple[object, ...]:
    """What tells two networks apart."""
    return blocks(family, width, depth), resolution_px, head_channels(family, width)


def _missed(budget: Budget, device: str, frontier: Sequence[Candidate], scaling: str) -> BudgetMissed:
    level = budget.confidence
    quickest = min(frontier, key=lambda candidate: candidate.latency.at(budget.percentile, level))
    needs = quickest.latency.at(budget.percentile, level)
    where = f" on {device}" if device else ""
    return BudgetMissed(
        f"no network answers within {budget.latency_ms:g} ms{where}: the quickest, {quickest.variant.label}, has a "
        f"{quickest.latency.origin} p{budget.percentile} of {needs:.2f} ms"
        + (f", held with {level:.0%} confidence" if level != 0.5 else ""),
        f"--budget-ms {math.ceil(needs * 10) / 10:g} is the smallest budget that a network meets there"
        + (", and --scaling continuous has smaller networks" if scaling == "released" else ""),
    )


def _notes(plan: Plan, largest: Candidate, fitting: Sequence[Candidate]) -> Iterator[str]:
    budget, phi = plan.budget, plan.pick.variant.phi
    if plan.next is None:
        yield (
            f"the whole range fits: {plan.pick.variant.label} is the largest network considered "
            f"(phi up to {plan.phi_range[1]:g}), so the budget does not bind"
        )
    if plan.pick is not largest:
        yield (
            f"{plan.pick.variant.label} has published ImageNet weights; {largest.variant.label} would fit too, "
            f"{largest.variant.phi - phi:.2f} of phi larger, with weights made from those"
        )
    known = [candidate for candidate in fitting if candidate.variant.released]
    if known and not plan.pick.variant.released:
        yield (
            f"{known[-1].variant.label} is the largest network with published ImageNet weights that fits "
            f"({known[-1].latency.at(budget.percentile):.1f} ms): --scaling released takes it"
        )
    if missing := plan.misses_below:
        yield (
            f"latency is not monotone in phi: {len(missing)} smaller network{'s' if len(missing) > 1 else ''} "
            f"(phi {missing[0].variant.phi:g} to {missing[-1].variant.phi:g}) would not fit"
        )
    if plan.pick.latency.low <= budget.latency_ms < plan.pick.latency.high:
        yield "the budget lies inside the pick's 80% interval: measure on the device before you promise it"
    if plan.pick.latency.origin == "predicted":
        others = [
            f"with --confidence {level:g} it would be {candidate.variant.label}"
            for level, candidate in plan.picks
            if level != budget.confidence and candidate is not plan.pick
        ]
        taken = "the median of the prediction" if budget.confidence == 0.5 else "a cautious pick"
        yield "; ".join([f"picked to fit with {budget.confidence:.0%} confidence, {taken}", *others])
