"""latency/cores.toml from a fit to every row."""

from __future__ import annotations

from edgefit_toolkit.devices import SHIPPED_DIR
from edgefit_toolkit.devices.schema import read_profile
from edgefit_toolkit.latency.kernels import graph_cycles
from edgefit_toolkit.network.graph import operators
from edgefit_toolkit.network.scaling import released
from experiments.latency import simulated_phones
from experiments.latency.core_cycles.kernels import CORES
from experiments.latency.core_fit import CoreModel
from experiments.latency.evidence import evidence_of
from experiments.latency.points_fit import points_width
from experiments.latency.published import Row

SOFTWARE = {"int8": "tflite xnnpack 2024", "float32": "xnnpack 2020"}  # phone rows of the runtime that edgefit ships


def cores_toml(model: CoreModel, rows: list[Row], intervals: dict[str, dict[str, float]]) -> str:
    """The file's text; `intervals` is evidence.widths'."""
    blocks = [_HEAD]
    call = "{ " + ", ".join(f"{name} = {value:.3f}" for name, value in model.call_us_ghz.items()) + " }"
    for precision, software in SOFTWARE.items():
        factor = model.software(software, precision)
        blocks.append(
            f'[software.{precision}-arm64]\nfactor = {factor:.4f}\ncall_us_ghz = {call}\nreference = "{_ARM}"\n'
        )
    blocks.append(_X86)
    blocks.append(f"[threads]  # n give n ** (1 - loss)\nloss = {model.loss:.3f}\n")
    lite0 = operators(released("lite0"))
    for name, core in CORES.items():
        lines = [f'[cores."{name}"]  # {core.pipeline}: {core.why}']
        for precision, kernels in (("int8", core.int8), ("float32", core.float32)):
            tables = f"{precision}-{kernels}-{core.pipeline}"
            pace = 1000 / sum(graph_cycles(lite0, tables))
            factor = model.core(name, precision)
            seen = [row for row in rows if row.precision == precision and row.tables(name) == tables]
            known = evidence_of(name, seen)
            lines.append(
                f'{precision} = {{ kernels = "{tables}", factor = {factor:.3f}, pace = {pace:.2f}, '
                f'evidence = "{known}" }}'
            )
        blocks.append("\n".join(lines) + "\n")
    blocks.append(_HOST)
    for threads, by_class in intervals.items():
        own = [f'"{evidence}" = {share:.2f}' for evidence, share in by_class.items()]
        blocks.append("\n".join([f"[interval.{threads}]", *own, '"nothing" = 3.00']) + "\n")
    lines = [
        "# Of a device with latencies of its own: the Pixel 4's, each left out; simulated_phones.py.",
        "[interval.points]",
    ]
    lines += [f'"{basis}" = {share:.2f}' for basis, share in point_intervals().items()]
    return "\n".join([*blocks, "\n".join(lines) + "\n", _SPREAD])


def point_intervals() -> dict[str, float]:
    """Half-widths of the 80% interval, by what the device's own latencies are."""
    return {"published": points_width(read_profile(SHIPPED_DIR / "pixel4.toml")), **simulated_phones.widths()}


_HEAD = """\
# What published latencies add to the cycles of kernels.toml. Written by
# `python -m experiments.latency.validate_latency --write` from results/published_latency.csv: what caches and calls
# cost, how much of a thread is lost, and per core what is left of its own (near 1) beside the kernels that it runs,
# networks (Lite0) per G cycles, and what the figure rests on.
"""
_ARM = "pipeline models, held to published latencies of TFLite with XNNPACK on other devices"
_X86 = """\
# x86: between two 2-core servers, an AMD EPYC and a Xeon three times slower; `edgefit calibrate` knows better.
[software.int8-x86_64]
factor = 0.055
call_us_ghz = { one = 0.0, several = 0.0 }
reference = "two x86-64 servers that differ by a factor of 3"

[software.float32-x86_64]
factor = 0.16
call_us_ghz = { one = 0.0, several = 0.0 }
reference = "two x86-64 servers that differ by a factor of 3"
"""
_HOST = """\
[cores."x86-64"]
int8 = { kernels = "int8-x86", factor = 1.0, pace = 1.0, evidence = "nothing" }
float32 = { kernels = "float32-x86", factor = 1.0, pace = 1.0, evidence = "nothing" }
"""
_SPREAD = """\
# Median p95 / p50 of 66 CPU measurements on 16 phones is 1.081 (Qualcomm AI Hub devices, 97 samples each); a normal
# tail makes that 1.064 at p90.
[spread]
p90_over_p50 = 1.064
"""
