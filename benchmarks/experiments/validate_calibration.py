"""Does a calibrated host profile predict networks that it has not seen?

    python -m experiments.validate_calibration [--threads 2] [--rounds 15] [--write]

Five probes (edgefit_toolkit.latency.calibrate) and 12 other networks over phi in [-2, 3] are timed on this computer,
interleaved: every round runs each model a few times in a new order, so that a slow minute hits all alike. The profile
is fitted to the probes' p50 and predicts the other twelve. Models are skeletons: the operators of the real ones, random
weights.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from edgefit_converters.tflite.skeleton import write_skeleton
from edgefit_toolkit.devices import load_profile
from edgefit_toolkit.host import cpu_name
from edgefit_toolkit.latency.calibrate import fit_profile, probes
from edgefit_toolkit.latency.predict import predict
from edgefit_toolkit.network.scaling import variant_from_phi
from edgefit_toolkit.records import Variant

RESULT = Path(__file__).parents[1] / "results" / "calibration_host.md"
FRESH = 12
PHI_RANGE = (-2.0, 3.0)
RUNS_PER_ROUND = 5


def fresh_variants(seed: int) -> list[Variant]:
    """Networks spread over the range, one drawn from each twelfth of it."""
    chance = random.Random(seed)
    step = (PHI_RANGE[1] - PHI_RANGE[0]) / FRESH
    return [variant_from_phi(PHI_RANGE[0] + step * (index + chance.random())) for index in range(FRESH)]


def measure(variants: list[Variant], threads: int, rounds: int, seed: int) -> list[float]:
    """p50 of each in ms, interleaved."""
    models = []
    with tempfile.TemporaryDirectory() as folder:
        for index, variant in enumerate(variants):
            path = write_skeleton(variant, Path(folder) / f"{index}.tflite")
            model = Interpreter(model_path=str(path), num_threads=threads)
            model.allocate_tensors()
            entry = model.get_input_details()[0]
            pixels = np.random.default_rng(seed).integers(0, 256, entry["shape"], dtype=np.uint8)
            model.set_tensor(entry["index"], pixels)
            models.append(model)
    samples: list[list[float]] = [[] for _ in models]
    order = list(range(len(models)))
    chance = random.Random(seed)
    for _ in range(rounds):
        chance.shuffle(order)
        for index in order:
            models[index].invoke()  # caches and clocks of this model, not of the one before
            for _ in range(RUNS_PER_ROUND):
                start = time.perf_counter()
                models[index].invoke()
                samples[index].append(1000 * (time.perf_counter() - start))
    return [statistics.median(own) for own in samples]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    args = parser.parse_args()
    known, fresh = list(probes()), fresh_variants(args.seed)
    times = measure(known + fresh, args.threads, args.rounds, args.seed)
    measured = list(zip(known, times, strict=False))
    calibration = fit_profile(load_profile("host"), measured, source="this run", threads=args.threads)
    options = f"--threads {args.threads} --rounds {args.rounds} --seed {args.seed}"
    lines = [
        "# Calibration on a host",
        "",
        f"`python -m experiments.validate_calibration {options}`",
        f"on {cpu_name()}, ai-edge-litert {version('ai-edge-litert')}, int8, {time.strftime('%Y-%m-%d')}.",
        f"Measured on host, load average {os.getloadavg()[0]:.1f} (other work on the same cores) at the end.",
        "",
        f"Five probes: {calibration.sentence}.",
        "",
        "| network | measured p50 ms | predicted ms | error |",
        "|---|--:|--:|--:|",
    ]
    errors = []
    for variant, p50 in zip(fresh, times[len(known) :], strict=True):
        predicted = predict(variant, calibration.profile).p50
        errors.append(abs(predicted / p50 - 1))
        lines.append(f"| {variant.label} | {p50:.2f} | {predicted:.2f} | {predicted / p50 - 1:+.1%} |")
    lines += ["", f"Twelve fresh networks: median error {statistics.median(errors):.1%}, worst {max(errors):.1%}.", ""]
    text = "\n".join(lines)
    print(text)
    if args.write:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
