"""Run .tflite models on emulated Arm cores; which blocks of machine code ran how often. README.md: what LAB holds."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

from edgefit_toolkit.network.graph import Operator, operators
from edgefit_toolkit.network.scaling import variant_from_phi
from experiments.latency.core_cycles.kernels import QUALCOMM, KernelSet

PER_KIND = {"pointwise": 28, "depthwise": 16, "conv": 6, "add": 5, "pool": 5, "fc": 4}
EMULATED_CORES = 4
FEATURES = "fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"

WIDE_CONVS = ((28, 64, 28, 96, 3, 1), (56, 32, 28, 64, 3, 2), (14, 96, 14, 64, 5, 1), (20, 40, 10, 120, 3, 2))
# in pixels and channels, out, kernel, stride: EfficientNet has none but its stem, other people's networks do

Blocks = dict[str, int]  # hex of a block's instructions (little-endian) -> how often it ran in one inference


def shapes(per_kind: dict[str, int] | None = None, seed: int = 0) -> list[Operator]:
    """Operators drawn evenly from networks over all of phi, none twice, and convolutions of other depths."""
    chosen = random.Random(seed)
    variants = [variant_from_phi(-4 + 0.4 * step, classes=classes) for step in range(23) for classes in (10, 1000)]
    found: dict[str, dict[tuple[object, ...], Operator]] = {}
    for variant in variants:
        for layer in operators(variant):
            key = (layer.in_shape, layer.out_shape, layer.kernel, layer.stride)
            found.setdefault(layer.kind, {})[key] = layer
    picked = []
    for kind, count in (per_kind or PER_KIND).items():
        pool = sorted(found[kind].values(), key=lambda layer: (layer.madds, layer.in_shape))
        picked += chosen.sample(pool, min(count, len(pool)))
    for px, depth, out_px, channels, kernel, stride in WIDE_CONVS:
        weights = kernel * kernel * depth * channels
        shape = (px, px, depth), (out_px, out_px, channels)
        picked.append(Operator("", "conv", 0, *shape, kernel, stride, weights * out_px * out_px, weights))
    return picked


def run_blocks(lab: Path, name: str, kernels: KernelSet, model: Path) -> Blocks:
    """The blocks of the second inference of `model` on one thread of an emulated core of that identity."""
    root = lab / "roots" / name
    if not root.is_dir():
        write_cpu_root(root, kernels.midr_part, "0x51" if name in QUALCOMM else "0x41")
    command = ["qemu-aarch64", "-cpu", kernels.cpu, "-plugin", str(lab / "blocks.so"), "-L", str(root)]
    command += [
        "./ld-linux-aarch64.so.1",
        "--library-path",
        ".",
        "./mark_runner",
        "--lib=libLiteRt.so",
        f"--graph={model}",
    ]
    ran = subprocess.run(command, cwd=lab / "bundle", capture_output=True, text=True, check=True)
    found: Blocks = {}
    for line in ran.stderr.splitlines():
        if line.startswith("BLOCK "):
            _, runs, code = line.split()
            found[code] = found.get(code, 0) + int(runs)
    if not found:
        raise RuntimeError(f"no block in: {ran.stderr[-500:]}")
    return found


def write_cpu_root(root: Path, part: str, implementer: str) -> None:
    """/proc/cpuinfo and /sys as cpuinfo reads them, for cores of one kind; QEMU shows them to the guest with -L."""
    blocks = [
        f"processor\t: {core}\nFeatures\t: {FEATURES}\nCPU implementer\t: {implementer}\nCPU architecture: 8\n"
        f"CPU variant\t: 0x1\nCPU part\t: {part}\nCPU revision\t: 0\n"
        for core in range(EMULATED_CORES)
    ]
    last = EMULATED_CORES - 1
    files = {"proc/cpuinfo": "\n".join(blocks), "sys/devices/system/cpu/kernel_max": str(last)}
    files |= {f"sys/devices/system/cpu/{name}": f"0-{last}" for name in ("possible", "present", "online")}
    for core in range(EMULATED_CORES):
        own = f"sys/devices/system/cpu/cpu{core}"
        files |= {f"{own}/cpufreq/cpuinfo_max_freq": "2000000", f"{own}/cpufreq/cpuinfo_min_freq": "300000"}
        files |= {f"{own}/topology/{name}": f"0-{last}" for name in ("cluster_cpus_list", "package_cpus_list")}
        files |= {f"{own}/topology/physical_package_id": "0", f"{own}/topology/core_id": str(core)}
        files[f"{own}/topology/core_siblings_list"] = f"0-{last}"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
