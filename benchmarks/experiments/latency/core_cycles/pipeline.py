"""Cycles of blocks of Arm machine code by LLVM's pipeline models: llvm-mc and llvm-mca of Debian's llvm-19.

The models know decoding, issue, latencies and the ports; every load hits the first cache. A block that branches to
itself costs what a simulation of many turns takes, unless it loads single lanes (see LANE). Any other block overlaps
with its neighbours on a core that runs out of order, so there it costs what its ports and its front end take; on one
that runs in order, its own simulation.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable

from experiments.latency.core_cycles.count import Blocks

IN_ORDER = ("cortex-a53", "cortex-a55", "cortex-a510")
TURNS = 20
COLD = 0.002  # a block below this share of a model's instructions costs what the others do on average
BATCH = 200
UNMODELLED = ("svc", "mrs", "msr", "udf", "hint", "paciasp", "autiasp", "dmb", "dc\t")
BRANCH = re.compile(r"^(?:b\.?\w*|cbn?z|tbn?z)\t.*#(-?\d+)$")
# llvm gives the pointer of a post-incremented SIMD structure load the latency of its data, a chain that no core has
STRUCTURE = re.compile(r"^((?:ld|st)[1-4]r?\t.*\[(\w+)\]), (#\d+|x\d+)$")
# ... and lets a load of one lane wait for the register that it merges into all the while: cores merge when it is there
LANE = re.compile(r"^ld[1-4]\t.*\}\[\d+\]")

Cycles = dict[tuple[str, str], float]  # (pipeline, block) -> cycles of one run


def hot_blocks(found: Iterable[Blocks]) -> list[str]:
    """Blocks that matter to at least one of these models."""
    hot: set[str] = set()
    for blocks in found:
        total = sum(runs * len(code) // 8 for code, runs in blocks.items())
        hot |= {code for code, runs in blocks.items() if runs * len(code) // 8 > COLD * total}
    return sorted(hot)


def cycles_of(codes: list[str], pipelines: Iterable[str]) -> Cycles:
    """Every block on every pipeline."""
    texts = disassemble(codes)
    found: Cycles = {}
    for pipeline in pipelines:
        for start in range(0, len(codes), BATCH):
            part = slice(start, start + BATCH)
            for code, text, (turn, ports) in zip(
                codes[part], texts[part], _simulate(texts[part], pipeline), strict=True
            ):
                simulated = pipeline in IN_ORDER or (loops(text) and not any(map(LANE.match, text)))
                found[pipeline, code] = turn if simulated else ports
    return found


def model_cycles(blocks: Blocks, pipeline: str, known: Cycles) -> tuple[int, float]:
    """(instructions, cycles) of one inference."""
    instructions, covered, cycles = 0, 0, 0.0
    for code, runs in blocks.items():
        instructions += runs * len(code) // 8
        if (pipeline, code) in known:
            covered += runs * len(code) // 8
            cycles += runs * known[pipeline, code]
    return instructions, cycles * instructions / covered


def disassemble(codes: list[str]) -> list[list[str]]:
    """The instructions of each block as assembly; every A64 instruction has four bytes."""
    bytes_ = " ".join(f"0x{code[at : at + 2]}" for code in codes for at in range(0, len(code), 2))
    ran = _llvm(["llvm-mc-19", "--disassemble", "-triple=aarch64", "-mattr=+all"], bytes_)
    lines = [line.strip() for line in ran.splitlines() if line.startswith("\t") and not line.startswith("\t.")]
    if len(lines) != sum(len(code) // 8 for code in codes):
        raise RuntimeError(f"{len(lines)} instructions were read of {sum(len(code) // 8 for code in codes)}")
    found, at = [], 0
    for code in codes:
        found.append(lines[at : at + len(code) // 8])
        at += len(code) // 8
    return found


def loops(text: list[str]) -> bool:
    """Whether the block's last instruction branches to its first."""
    found = BRANCH.match(text[-1])
    return found is not None and int(found[1]) == -4 * (len(text) - 1)


def _simulate(texts: list[list[str]], pipeline: str) -> list[tuple[float, float]]:
    """(cycles of one turn of many, cycles that ports and front end take) of each block."""
    source = "".join(
        f"# LLVM-MCA-BEGIN r{index}\n" + "\n".join(_modelled(text)) + f"\n# LLVM-MCA-END r{index}\n"
        for index, text in enumerate(texts)
    )
    command = ["llvm-mca-19", "-mtriple=aarch64", f"-mcpu={pipeline}", "-mattr=+all", f"-iterations={TURNS}"]
    ran = _llvm([*command, "-resource-pressure=false", "-instruction-info=false"], source)
    found = re.findall(r"Total Cycles:\s+(\d+).*?Block RThroughput: ([\d.]+)", ran, re.DOTALL)
    if len(found) != len(texts):
        raise RuntimeError(f"{pipeline}: {len(found)} of {len(texts)} blocks were simulated")
    return [(int(total) / TURNS, float(ports)) for total, ports in found]


def _modelled(text: list[str]) -> list[str]:
    lines: list[str] = []
    for line in text:
        if found := STRUCTURE.match(line):
            lines += [found[1], f"add\t{found[2]}, {found[2]}, {found[3]}"]
        elif not line.startswith(UNMODELLED):
            lines.append(line)
    return lines or ["nop"]


def _llvm(command: list[str], text: str) -> str:
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
