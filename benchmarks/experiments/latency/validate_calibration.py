"""Does a calibrated host profile predict networks that it has not seen?

    python -m experiments.latency.validate_calibration [--threads 2] [--rounds 15] [--write]
    python -m experiments.latency.validate_calibration --foreign DIR [--threads 1] [--write]

Five probes (edgefit_toolkit.latency.calibrate) and 12 other networks over phi in [-2, 3] are timed on this computer,
interleaved: every round runs each model a few times in a new order, so that a slow minute hits all alike. The profile
is fitted to the probes' p50 and predicts the other twelve. Models are skeletons: the operators of the real ones, random
weights. With --foreign: float32 probes, and every .tflite file in DIR instead of the twelve, by its operators alone.
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

from edgefit_converters.tflite.operators import read_operators
from edgefit_converters.tflite.skeleton import Dtype, write_skeleton
from edgefit_toolkit.devices import load_profile
from edgefit_toolkit.host import cpu_name
from edgefit_toolkit.latency.calibrate import fit_profile, probes
from edgefit_toolkit.latency.predict import predict_graph
from edgefit_toolkit.network.graph import operators
from edgefit_toolkit.network.scaling import variant_from_phi
from edgefit_toolkit.records import Variant

RESULT = Path(__file__).parents[2] / "results" / "calibration_host.md"
FOREIGN = RESULT.with_name("calibration_foreign.md")
FRESH = 12
PHI_RANGE = (-2.0, 3.0)
RUNS_PER_ROUND = 5


def fresh_variants(seed: int) -> list[Variant]:
    """Networks spread over the range, one drawn from each twelfth of it."""
    chance = random.Random(seed)
    step = (PHI_RANGE[1] - PHI_RANGE[0]) / FRESH
    return [variant_from_phi(PHI_RANGE[0] + step * (index + chance.random())) for index in range(FRESH)]


def measure(paths: list[Path], threads: int, rounds: int, seed: int) -> list[float]:
    """p50 of each file in ms, interleaved. Of one thread its own time on the processor: other work does not count."""
    clock = time.thread_time if threads == 1 else time.perf_counter
    models = [_loaded(path, threads, seed) for path in paths]
    samples: list[list[float]] = [[] for _ in models]
    order = list(range(len(models)))
    chance = random.Random(seed)
    for _ in range(rounds):
        chance.shuffle(order)
        for index in order:
            models[index].invoke()  # caches and clocks of this model, not of the one before
            for _ in range(RUNS_PER_ROUND):
                start = clock()
                models[index].invoke()
                samples[index].append(1000 * (clock() - start))
    return [statistics.median(own) for own in samples]


def _loaded(path: Path, threads: int, seed: int) -> Interpreter:
    model = Interpreter(model_path=str(path), num_threads=threads)
    model.allocate_tensors()
    for entry in model.get_input_details():
        whole = np.issubdtype(entry["dtype"], np.integer)
        pixels = np.random.default_rng(seed).integers(0, 128 if whole else 2, entry["shape"])
        model.set_tensor(entry["index"], pixels.astype(entry["dtype"]))
    return model


def skeletons(variants: list[Variant], folder: Path, dtype: Dtype) -> list[Path]:
    """One file for each variant."""
    return [write_skeleton(variant, folder / f"{index}.tflite", dtype) for index, variant in enumerate(variants)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    parser.add_argument("--foreign", type=Path, metavar="DIR", help=f"its .tflite files; --write then: {FOREIGN.name}")
    args = parser.parse_args()
    dtype: Dtype = "float32" if args.foreign else "int8"
    known, fresh = list(probes()), [] if args.foreign else fresh_variants(args.seed)
    files = sorted(args.foreign.glob("*.tflite")) if args.foreign else []
    with tempfile.TemporaryDirectory() as folder:
        paths = skeletons(known + fresh, Path(folder), dtype) + files
        times = measure(paths, args.threads, args.rounds, args.seed)
    measured = list(zip(known, times, strict=False))
    calibration = fit_profile(
        load_profile("host"), measured, source="this run", threads=args.threads, precision=dtype
    )  # fmt: skip
    graphs = [(variant.label, operators(variant)) for variant in fresh]
    graphs += [(path.stem, read_operators(path).layers) for path in files]
    options = f"--threads {args.threads} --rounds {args.rounds} --seed {args.seed}"
    lines = [
        f"# Calibration on a host{', and files of others' if args.foreign else ''}",
        "",
        f"`python -m experiments.latency.validate_calibration {'--foreign DIR ' if args.foreign else ''}{options}`",
        f"on {cpu_name()}, ai-edge-litert {version('ai-edge-litert')}, {dtype}, {time.strftime('%Y-%m-%d')}.",
        f"Measured on host ({'thread time' if args.threads == 1 else 'wall clock'}), beside other work:",
        f"load average {os.getloadavg()[0]:.1f} at the end.",
        "",
        f"Five probes: {calibration.sentence}.",
        "",
        "| network | measured p50 ms | predicted ms | error |",
        "|---|--:|--:|--:|",
    ]
    errors = []
    for (name, graph), p50 in zip(graphs, times[len(known) :], strict=True):
        predicted = predict_graph(graph, calibration.profile, dtype).p50
        errors.append(abs(predicted / p50 - 1))
        lines.append(f"| {name} | {p50:.2f} | {predicted:.2f} | {predicted / p50 - 1:+.1%} |")
    lines += ["", f"{len(errors)} others: median error {statistics.median(errors):.1%}, worst {max(errors):.1%}.", ""]
    text = "\n".join(lines)
    print(text)
    if args.write:
        (FOREIGN if args.foreign else RESULT).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
