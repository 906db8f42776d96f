"""How far a prediction is off, by what it rests on: the widths of the interval, from devices that were left out.

Each row of a device is predicted by a model without that device, and by one without any device with its fastest core.
What that core then rests on decides the class: `seen` (rows of it on another device are left), `modelled` (none, but
the pipeline model is its own), `stand-in` (none, and a related core's model stands for it).
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from dataclasses import dataclass

from scipy.stats import t as student_t

from experiments.latency.core_cycles.kernels import CORES
from experiments.latency.core_fit import leave_out
from experiments.latency.published import Hardware, Row

COVERAGE = 0.8  # what an interval promises
CLASSES = ("seen", "modelled", "stand-in")
Errors = list[tuple[str, float]]  # (device, |log(predicted / published)|)


@dataclass(frozen=True)
class Setting:
    """What an interval's width depends on."""

    threads: str  # "one" | "several"
    evidence: str


def fastest(device: Hardware) -> str:
    """The core that the first thread runs on."""
    return max(device.cores, key=lambda core: core[1] * PACE[CORES[core[0]].pipeline])[0]


PACE = {  # rough, to tell the fast cluster from the others: vector instructions a cycle
    **dict.fromkeys(("cortex-a53", "cortex-a55", "cortex-a510"), 0.5),
    **dict.fromkeys(("cortex-a57", "kryo"), 1.0),
    **dict.fromkeys(("neoverse-n1", "neoverse-n2"), 2.0),
    **dict.fromkeys(("neoverse-v1", "neoverse-v2"), 4.0),
}


def evidence_of(core: str, rows: list[Row]) -> str:
    """What rows (of any precision) know of that core."""
    if any(fastest(row.device) == core for row in rows):
        return "seen"
    return "modelled" if CORES[core].own else "stand-in"


def left_out_errors(rows: list[Row]) -> dict[Setting, Errors]:
    """Errors of rows by XNNPACK, by setting, each device left out alone and with all that share its fastest core."""
    found: dict[Setting, Errors] = defaultdict(list)
    devices = {row.device.name: row.device for row in rows if row.by_xnnpack}
    for name, device in devices.items():
        core = fastest(device)
        kin = {row.device.name for row in rows if fastest(row.device) == core}
        for names in ({name}, kin) if kin != {name} else ({name},):
            known = evidence_of(core, [row for row in rows if row.device.name not in names])
            for row, predicted in leave_out(rows, names):
                if row.device.name == name and row.by_xnnpack:
                    threads = "one" if row.threads == 1 else "several"
                    found[Setting(threads, known)].append((name, abs(math.log(predicted / row.latency_ms))))
    return found


def half_width(errors: Errors, without: str | None = None) -> float:
    """Factor minus one that a new device's rows should keep to with probability COVERAGE.

    Devices count alike, and there are few: Student's t with as many degrees of freedom as devices, over the root mean
    square of their log errors.
    """
    squares: dict[str, list[float]] = defaultdict(list)
    for name, error in errors:
        if name != without:
            squares[name].append(error**2)
    spread = math.sqrt(statistics.mean(statistics.mean(own) for own in squares.values()))
    return math.exp(float(student_t.ppf((1 + COVERAGE) / 2, len(squares))) * spread) - 1


def covered(errors: dict[Setting, Errors]) -> list[bool]:
    """Whether each error is inside of an interval that was sized without its device."""
    found = []
    for mine in errors.values():
        for name, error in mine:
            if any(other != name for other, _ in mine):
                found.append(error <= math.log1p(half_width(mine, name)) + 1e-9)
    return found


def widths(errors: dict[Setting, Errors]) -> dict[str, dict[str, float]]:
    """The interval's half-width by threads and evidence; less evidence never makes it narrower."""
    found: dict[str, dict[str, float]] = {}
    for threads in ("one", "several"):
        least = 0.0
        found[threads] = {}
        for evidence in CLASSES:
            mine = errors.get(Setting(threads, evidence), [])
            pooled = mine or [
                pair for (setting, pairs) in errors.items() if setting.evidence == evidence for pair in pairs
            ]
            least = max(least, half_width(pooled)) if pooled else least
            found[threads][evidence] = least
    return found
