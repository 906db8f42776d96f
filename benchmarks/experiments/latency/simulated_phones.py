"""How near do one, two or three probes bring a wrong profile? Simulated phones, so that the truth is known.

    python -m experiments.latency.simulated_phones [--phones 200] [--write]

A phone's truth is not the predictor's: instructions of the kernels of a Cortex-A55 (int8-x86's table in kernels.toml,
counted under QEMU) times a hidden pace, convolutions and the rest each with one of its own, plus what its memory takes
for every byte and a hidden fixed cost. The profile that is calibrated is another phone's. Every probe is measured as
calibrate does, the p50 of many samples: with noise, and with throttling that has set in by the last probe. Twelve
fresh networks are then predicted and held against the truth of the unthrottled phone.
"""

from __future__ import annotations

import argparse
import csv
import math
import random
import statistics
from dataclasses import dataclass
from math import prod

from edgefit_toolkit.devices import SHIPPED_DIR
from edgefit_toolkit.devices.profile import DeviceProfile
from edgefit_toolkit.devices.schema import read_profile
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.latency.calibrate import Probe, fit_profile, probes
from edgefit_toolkit.latency.kernels import graph_cycles
from edgefit_toolkit.latency.predict import predict
from edgefit_toolkit.network.graph import operators
from edgefit_toolkit.network.scaling import variant_from_phi
from edgefit_toolkit.records import Variant
from experiments.latency.published import RESULTS

RESULT, SHARES = RESULTS / "simulated_phones.md", RESULTS / "simulated_phones.csv"
PHI_RANGE = (-2.0, 3.0)
FRESH = 12
COUNTS = (1, 2, 3)


@dataclass(frozen=True)
class Phone:
    """A hidden phone."""

    matmul_ms: float  # per million instructions
    other_ms: float
    memory_ms_per_mb: float
    fixed_ms: float
    noise: float  # relative, of a probe's p50
    throttled: float  # the last probe is slower by this much

    def truth_ms(self, variant: Variant) -> float:
        """p50 of the variant on the quiet, cool phone."""
        matmul, other = graph_cycles(operators(variant), "int8-x86")
        moved = sum(prod(layer.in_shape) + prod(layer.out_shape) + layer.params for layer in operators(variant)) / 1e6
        return self.matmul_ms * matmul + self.other_ms * other + self.memory_ms_per_mb * moved + self.fixed_ms


def draw(chance: random.Random) -> Phone:
    """From a quarter to four times the middle's speed."""
    pace = 0.05 * math.exp(chance.gauss(0, 0.6))
    return Phone(
        matmul_ms=pace * math.exp(chance.gauss(0, 0.15)),
        other_ms=pace / 3 * math.exp(chance.gauss(0, 0.25)),  # the table weighs them three times
        memory_ms_per_mb=pace * chance.uniform(0, 0.3),
        fixed_ms=10 * pace * chance.uniform(0, 1),  # up to half a millisecond of the middle phone
        noise=chance.uniform(0.005, 0.03),
        throttled=chance.choice([0.0, 0.0, 0.05, 0.12]),
    )


def measure(phone: Phone, variants: tuple[Variant, ...], chance: random.Random) -> list[Probe]:
    """The p50 that calibrate would see. Probes are timed in turns: throttling reaches all, the later ones more."""
    found = []
    for index, variant in enumerate(variants):
        heat = 1 + phone.throttled * (0.3 + 0.7 * (index + 1) / len(variants)) * 0.5
        found.append((variant, phone.truth_ms(variant) * heat * chance.gauss(1, phone.noise)))
    return found


def errors_after(phone: Phone, profile: DeviceProfile, count: int, chance: random.Random) -> list[float]:
    """|predicted / truth - 1| of fresh networks after `count` probes; 0 probes: the wrong profile itself."""
    if count:
        profile = fit_profile(profile, measure(phone, probes(count), chance), source="a simulation").profile
    step = (PHI_RANGE[1] - PHI_RANGE[0]) / FRESH
    fresh = [variant_from_phi(round(PHI_RANGE[0] + step * (index + chance.random()), 3)) for index in range(FRESH)]
    return [abs(predict(variant, profile).p50 / phone.truth_ms(variant) - 1) for variant in fresh]


def errors_by_probes(phones: int, seed: int = 0) -> dict[int, list[list[float]]]:
    """By the number of probes, 0 to 3: each phone's errors."""
    every = [read_profile(path) for path in sorted(SHIPPED_DIR.glob("*.toml"))]
    shipped = [profile for profile in every if profile.kind == "phone"]
    found: dict[int, list[list[float]]] = {}
    for count in (0, *COUNTS):
        chance = random.Random(seed)
        for _ in range(phones):
            phone, profile = draw(chance), chance.choice(shipped)
            errors = errors_after(phone, profile, count, random.Random(chance.random()))
            found.setdefault(count, []).append(errors)
    return found


def table(found: dict[int, list[list[float]]]) -> str:
    """The comparison as Markdown."""
    phones = len(found[0])
    lines = ["# Calibration of simulated phones", ""]
    lines += [
        f"`python -m experiments.latency.simulated_phones --phones {phones}`:",
        f"{phones} phones, {FRESH} networks each that were not probed, phi {PHI_RANGE[0]:g} to {PHI_RANGE[1]:g}.",
        "",
    ]
    lines += ["| probes | median error | 80% of networks | 90% | worst network | phones whose median is within 5% |"]
    lines += ["|--:|--:|--:|--:|--:|--:|"]
    for count, each in found.items():
        flat = sorted(error for errors in each for error in errors)
        within = statistics.mean(statistics.median(errors) <= 0.05 for errors in each)
        middle, most, nearly = statistics.median(flat), quantile(flat, 0.8), quantile(flat, 0.9)
        lines.append(
            f"| {count or 'none'} | {middle:.1%} | {most:.1%} | {nearly:.1%} | {flat[-1]:.1%} | {within:.0%} |"
        )
    lines += [
        "",
        "What 80% of networks keep to after one probe, and after two, is the interval of a calibrated profile.",
    ]
    return "\n".join([*lines, ""])


def quantile(ordered: list[float], share: float) -> float:
    """The value that this share of an ascending list does not exceed."""
    return ordered[math.ceil(share * len(ordered)) - 1]


def widths() -> dict[str, float]:
    """Half-width of the 80% interval after one probe, and after two or more, from the committed simulation."""
    with SHARES.open(newline="") as file:
        inside = {int(row["probes"]): float(row["share_80"]) for row in csv.DictReader(file)}
    return {"measured here": inside[2], "one point": inside[1]}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phones", type=int, default=200)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name} and {SHARES.name}")
    args = parser.parse_args()
    found = errors_by_probes(args.phones)
    text = table(found)
    print(text)
    if args.write:
        write_atomic(RESULT, text)
        lines = [
            f"{count},{quantile(sorted(e for own in each for e in own), 0.8):.4f}" for count, each in found.items()
        ]
        write_atomic(SHARES, "\n".join(["probes,share_80", *lines, ""]))


if __name__ == "__main__":
    main()
