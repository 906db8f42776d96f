"""Count the Arm instructions of single operators under qemu, over the shapes that EfficientNet-Lite has.

    python -m experiments.instruction_counts.count --lab DIR [--limit N]     (README.md says what DIR must hold)

Writes benchmarks/results/instruction_counts.csv. Counts repeat exactly; they are not times.
"""

from __future__ import annotations

import argparse
import csv
import random
import re
import subprocess
import tempfile
from pathlib import Path

from edgefit_converters.tflite.skeleton import Dtype, write_graph, write_skeleton
from edgefit_toolkit.network.graph import Operator, operators
from edgefit_toolkit.network.scaling import released, variant_from_phi

RESULT = Path(__file__).parents[2] / "results" / "instruction_counts.csv"
ENGINES: dict[str, tuple[str, Dtype]] = {  # name -> qemu's -cpu, model
    "int8-neon": ("cortex-a72", "int8"),
    "int8-dotprod": ("cortex-a76", "int8"),
    "int8-i8mm": ("max,sve=off,sme=off", "int8"),
    "float32-neon": ("cortex-a76", "float32"),
}
PER_KIND = {"pointwise": 40, "depthwise": 30, "conv": 8, "add": 8, "pool": 6, "fc": 4}
COLUMNS = ["engine", "kind", "in_px", "in_channels", "out_px", "out_channels", "kernel", "stride", "madds"]
COUNTS = ["total", "dotprod", "i8mm", "load", "store", "simd_fp"]


def shapes(per_kind: dict[str, int], seed: int = 0) -> list[Operator]:
    """Operators drawn evenly from networks over the whole range of phi, none twice."""
    chosen = random.Random(seed)
    variants = [variant_from_phi(-4 + 0.4 * step, classes=classes) for step in range(23) for classes in (10, 1000)]
    found: dict[str, dict[tuple[object, ...], Operator]] = {}
    for variant in variants:
        for operator in operators(variant):
            key = (operator.in_shape, operator.out_shape, operator.kernel, operator.stride)
            found.setdefault(operator.kind, {})[key] = operator
    picked = []
    for kind, count in per_kind.items():
        pool = sorted(found[kind].values(), key=lambda operator: (operator.madds, operator.in_shape))
        picked += chosen.sample(pool, min(count, len(pool)))
    return picked


def count(lab: Path, cpu: str, model: Path) -> dict[str, int]:
    """Instructions of one inference, by class."""
    command = [
        *(str(lab / "root/usr/bin/qemu-aarch64"), "-cpu", cpu, "-plugin", str(lab / "cnt.so")),
        *("-L", str(lab / "armroot"), "./ld-linux-aarch64.so.1", "--library-path", ".", "./mark_runner"),
        *("--lib=libLiteRt.so", f"--graph={model}"),
    ]
    libraries = {"LD_LIBRARY_PATH": str(lab / "root/usr/lib/x86_64-linux-gnu")}
    ran = subprocess.run(command, cwd=lab / "bundle", env=libraries, capture_output=True, text=True, check=True)
    found = re.search(r"^PLUG (.*)$", ran.stderr, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"no count in: {ran.stderr[-500:]}")
    return {key: int(value) for key, value in (word.split("=") for word in found[1].split())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lab", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=None, help="operators per kind, for a quick look")
    args = parser.parse_args()
    lab = args.lab.resolve()
    wanted = {kind: min(n, args.limit or n) for kind, n in PER_KIND.items()}
    with tempfile.TemporaryDirectory() as folder, RESULT.open("w", newline="") as out:
        table = csv.writer(out)
        table.writerow(COLUMNS + COUNTS)
        model = Path(folder) / "one.tflite"
        for engine, (cpu, dtype) in ENGINES.items():
            for operator in shapes(wanted):
                write_graph((operator,), model, dtype, uint8_io=False)
                counts = count(lab, cpu, model)
                table.writerow(
                    [engine, operator.kind, *operator.in_shape[1:], *operator.out_shape[1:]]
                    + [operator.kernel, operator.stride, operator.madds]
                    + [counts[name] for name in COUNTS]
                )
                out.flush()
            for index in range(5):
                variant = released(f"lite{index}")
                counts = count(lab, cpu, write_skeleton(variant, model, dtype))
                table.writerow(
                    [engine, f"network:{variant.released}", variant.resolution_px, 3, 1, 1000, "", "", variant.madds]
                    + [counts[name] for name in COUNTS]
                )
                out.flush()


if __name__ == "__main__":
    main()
