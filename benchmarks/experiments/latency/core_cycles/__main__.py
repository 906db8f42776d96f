"""Cycles of XNNPACK's own machine code on every core that LLVM models.

    python -m experiments.latency.core_cycles --lab DIR    count (QEMU), simulate (llvm-mca): results/core_cycles.*
    python -m experiments.latency.core_cycles --lab DIR --check 5    five small operators a kernel set, against these
    python -m experiments.latency.core_cycles    only the tables again: core_cycles.md, latency/kernels.toml

Operators of EfficientNet-Lite's shapes run on an emulated core of each identity; the blocks of machine code that they
execute, and how often, go through LLVM's model of that core (README.md, kernels.py, pipeline.py).
"""

from __future__ import annotations

import argparse
import csv
import random
import statistics
import tempfile
from collections.abc import Iterable
from pathlib import Path

from edgefit_converters.tflite.skeleton import write_graph, write_skeleton
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.latency.kernels import KERNELS_FILE
from edgefit_toolkit.network.graph import Operator
from edgefit_toolkit.network.scaling import released
from edgefit_toolkit.records import Precision
from experiments.latency.core_cycles.count import Blocks, run_blocks, shapes
from experiments.latency.core_cycles.fit import CYCLES_FILE, kernels_toml, read_cycles
from experiments.latency.core_cycles.kernels import KERNEL_SETS
from experiments.latency.core_cycles.pipeline import Cycles, cycles_of, disassemble, hot_blocks, loops, model_cycles
from experiments.latency.core_cycles.table import LOOPS_FILE, report

NETWORKS = ("lite0", "lite2")  # whole, to see that operators add up
SMALL = 40e6  # multiply-adds that QEMU is quick at
LOOPS_SHOWN = 3  # hottest loops of each kernel set
OPERATOR = ("kind", "in_px", "in_channels", "out_px", "out_channels", "kernel", "stride", "madds")
Counted = dict[tuple[Precision, str, Operator | str], Blocks]  # precision, kernel set, operator or network


def count(lab: Path) -> Counted:
    """Blocks of every operator and network with every kernel set; float32 on every other one, which QEMU is slow at."""
    found: Counted = {}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "one.tflite"
        for name, kernels in KERNEL_SETS.items():
            for precision in kernels.precisions:
                operators = shapes()
                for layer in operators[::2] if precision == "float32" else operators:
                    write_graph((layer,), model, precision, uint8_io=False)  # type: ignore[arg-type]
                    found[precision, name, layer] = run_blocks(lab, name, kernels, model)
                for network in NETWORKS[:1] if precision == "float32" else NETWORKS:
                    write_skeleton(released(network), model, precision)  # type: ignore[arg-type]
                    found[precision, name, network] = run_blocks(lab, name, kernels, model)
                print(f"{precision} {name}: counted", flush=True)
    return found


def check(lab: Path, count: int) -> None:
    """Print, per kernel set, how far small operators counted afresh are from the committed ones."""
    committed = {tuple(row[key] for key in ("precision", "kernels", "pipeline", *OPERATOR)): row
                 for row in csv.DictReader(CYCLES_FILE.read_text(encoding="utf-8").splitlines())}  # fmt: skip
    print("| precision | kernels | operators | instructions, worst | cycles, median | cycles, worst |")
    print("|---|---|--:|--:|--:|--:|")
    for name, kernels in KERNEL_SETS.items():
        for precision in kernels.precisions:
            pool = [layer for layer in (shapes()[::2] if precision == "float32" else shapes()) if layer.madds < SMALL]
            picked = random.Random(count).sample(pool, count)
            with tempfile.TemporaryDirectory() as folder:
                model = Path(folder) / "one.tflite"
                found: Counted = {}
                for layer in picked:
                    write_graph((layer,), model, precision, uint8_io=False)  # type: ignore[arg-type]
                    found[precision, name, layer] = run_blocks(lab, name, kernels, model)
            known = cycles_of(hot_blocks(found.values()), kernels.pipelines)
            off = []
            for layer in picked:
                for pipeline in kernels.pipelines:
                    row = committed[tuple(map(str, (precision, name, pipeline, *_facts(layer))))]
                    fresh = model_cycles(found[precision, name, layer], pipeline, known)
                    off.append(
                        [abs(a / float(row[b]) - 1) for a, b in zip(fresh, ("instructions", "cycles"), strict=True)]
                    )
            counted, cycles = ([pair[at] for pair in off] for at in (0, 1))
            print(f"| {precision} | {name} | {count} | {max(counted):.2%} | {statistics.median(cycles):.2%} "
                  f"| {max(cycles):.1%} |", flush=True)  # fmt: skip


def _facts(layer: Operator) -> list[object]:
    shape = [layer.in_shape[0], layer.in_shape[2], layer.out_shape[0], layer.out_shape[2]]
    return [layer.kind, *shape, layer.kernel, layer.stride, layer.madds]


def write_results(counted: Counted) -> None:
    """results/core_cycles.csv: every operator; results/core_loops.csv: the hottest loops of Lite0."""
    codes = hot_blocks(counted.values())
    known = cycles_of(codes, sorted({name for kernels in KERNEL_SETS.values() for name in kernels.pipelines}))
    rows: list[list[object]] = []
    for (precision, name, what), blocks in counted.items():
        network: list[object] = [
            f"network:{what}",
            *[""] * 6,
            "" if isinstance(what, Operator) else released(what).madds,
        ]
        facts = _facts(what) if isinstance(what, Operator) else network
        for pipeline in KERNEL_SETS[name].pipelines:
            instructions, cycles = model_cycles(blocks, pipeline, known)
            rows.append([precision, name, pipeline, *facts, instructions, round(cycles)])
    _write(CYCLES_FILE, ["precision", "kernels", "pipeline", *OPERATOR, "instructions", "cycles"], rows)
    _write(LOOPS_FILE, ["precision", "kernels", "share", "instructions", "pipeline", "cycles"], _loops(counted, known))


def _loops(counted: Counted, known: Cycles) -> Iterable[list[object]]:
    for (precision, name, what), blocks in counted.items():
        if what != NETWORKS[0]:
            continue
        total = sum(runs * len(code) // 8 for code, runs in blocks.items())
        hot = sorted(((runs * len(code) // 8, code) for code, runs in blocks.items()), reverse=True)[:20]
        texts = disassemble([code for _, code in hot])
        turning = [(ran, code) for (ran, code), text in zip(hot, texts, strict=True) if loops(text)][:LOOPS_SHOWN]
        for ran, code in turning:
            for pipeline in KERNEL_SETS[name].pipelines:
                cycles = known[pipeline, code]
                yield [precision, name, f"{ran / total:.3f}", len(code) // 8, pipeline, f"{cycles:.1f}"]


def _write(path: Path, head: list[str], rows: Iterable[list[object]]) -> None:
    lines = [",".join(head), *(",".join(map(str, row)) for row in rows)]
    write_atomic(path, "\n".join(lines) + "\n")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lab", type=Path, default=None)
    parser.add_argument("--check", type=int, metavar="N", default=None)
    args = parser.parse_args()
    if args.lab is not None and args.check:
        check(args.lab.resolve(), args.check)
        return
    if args.lab is not None:
        write_results(count(args.lab.resolve()))
    write_atomic(KERNELS_FILE, kernels_toml(read_cycles()))
    text = report()
    write_atomic(CYCLES_FILE.with_suffix(".md"), text)
    print(text)


if __name__ == "__main__":
    main()
