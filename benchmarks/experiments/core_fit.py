"""How fast each microarchitecture is per GHz, from published latencies of many devices at once.

    latency_ms = cycles(software, precision) * work / speed + fixed(threads) / (speed of the fastest core)
    speed      = sum over the cores in use of GHz * per_ghz(precision, core)  * threads ** -loss(phone or board)

`work` counts millions of instructions, so `cycles` is cycles per instruction of a core with per_ghz 1 (Cortex-A76).
All unknowns but the losses are logarithms, found together by damped least squares on log latency, each held to a prior:
what the microarchitecture's vector width and issue rate promise. Outliers weigh less, and n rows of one device and
setting count as the square root of n, so that 35 rows of one phone do not outvote four of another.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.published import Row

Array = npt.NDArray[np.float64]

PRIOR_PER_GHZ = {  # 128-bit vector pipes and issue width against a Cortex-A76; Arm's software optimisation guides
    "Cortex-A53": 0.42,
    "Cortex-A55": 0.45,
    "Cortex-A510": 0.45,
    "Cortex-A520": 0.5,
    "Cortex-A57": 0.6,
    "Kryo": 0.7,
    "Cortex-A72": 0.62,
    "Cortex-A73": 0.6,
    "Cortex-A75": 0.75,
    "Cortex-A76": 1.0,
    "Cortex-A77": 1.15,
    "Cortex-A78": 1.15,
    "Cortex-A710": 1.15,
    "Cortex-A715": 1.2,
    "Cortex-A720": 1.25,
    "Cortex-A725": 1.3,
    "Cortex-X1": 1.7,
    "Cortex-X2": 1.8,
    "Cortex-X3": 1.9,
    "Cortex-X4": 2.1,
    "Cortex-X925": 2.4,
    "Oryon-L": 2.2,
    "Oryon-M": 1.8,
}
PRECISIONS = ("float32", "int8", "float16")
FIXED_PRIOR = (0.5, 1.2)  # GHz * ms: one thread, several
LOSS_PRIOR = 0.15
NOISE = 0.12  # of one published latency around the model, in log
SIGMA = {"cycles": 3.0, "core": 0.15, "precision": 0.12, "fixed": 0.7, "loss": 0.1}  # of the priors, in log


@dataclass(frozen=True)
class Options:
    """What the alternatives that are compared differ in."""

    elementwise_weight: float | None = None  # of instructions outside of matrix products; None: as kernels.toml says
    plain_madds: bool = False  # work = multiply-adds, the model to beat


@dataclass(frozen=True)
class CoreModel:
    """The fitted unknowns."""

    options: Options
    groups: tuple[tuple[str, str], ...]  # (software, precision)
    values: Array  # logarithms, in the order of _Layout

    def predict(self, rows: list[Row]) -> Array:
        """Latency of each row in ms. The rows' software and precision must have been in the fit."""
        return np.exp(_forward(self.values, _Table(rows, self.groups, self.options))[0])

    def cycles(self, software: str, precision: str) -> float:
        """Cycles per instruction on a core with per_ghz 1."""
        return float(np.exp(self.values[self.groups.index((software, precision))]))

    def per_ghz(self, precision: str, core: str) -> float:
        """Speed of one core per GHz, Cortex-A76 near 1."""
        n, at = len(self.groups), list(PRIOR_PER_GHZ).index(core)
        own = 0.0
        if precision != PRECISIONS[0]:
            own = self.values[n + PRECISIONS.index(precision) * len(PRIOR_PER_GHZ) + at]
        return float(np.exp(self.values[n + at] + own))

    @property
    def fixed_ghz_ms(self) -> tuple[float, float]:
        """Cost that does not grow with the network: one thread, several; divided by the fastest core's speed."""
        return float(np.exp(self.values[-4])), float(np.exp(self.values[-3]))

    @property
    def loss(self) -> dict[str, float]:
        """Exponent of the threads that are lost: n threads give n ** (1 - loss)."""
        return {"phone": float(self.values[-2]), "board": float(self.values[-1])}


class _Table:
    """Rows as arrays."""

    def __init__(self, rows: list[Row], groups: tuple[tuple[str, str], ...], options: Options) -> None:
        cores = list(PRIOR_PER_GHZ)
        self.used, self.top = np.zeros((len(rows), len(cores))), np.zeros((len(rows), len(cores)))
        for at, row in enumerate(rows):
            order = sorted(row.device.cores, key=lambda core: core[1] * PRIOR_PER_GHZ[core[0]], reverse=True)
            for kind, ghz in order[: row.threads]:
                self.used[at, cores.index(kind)] += ghz
            self.top[at, cores.index(order[0][0])] = order[0][1]
        self.group = np.array([groups.index((row.software, row.precision)) for row in rows])
        self.precision = np.array([PRECISIONS.index(row.precision) for row in rows])
        self.threads = np.array([float(min(row.threads, len(row.device.cores))) for row in rows])
        self.phone = np.array([row.device.kind == "phone" for row in rows])
        if options.plain_madds:
            self.work = np.array([row.madds / 4e6 for row in rows])  # about four per instruction
        else:
            self.work = np.array([sum(row.work(options.elementwise_weight)) for row in rows])


def _forward(values: Array, table: _Table) -> tuple[Array, Array]:
    """(log latency, its derivative by every unknown)."""
    cores = len(PRIOR_PER_GHZ)
    n = len(values) - 3 * cores - 4
    speeds = values[n : n + 3 * cores].reshape(3, cores).copy()
    speeds[1:] += speeds[0]
    each = np.exp(speeds[table.precision])
    used, top = table.used * each, table.top * each
    loss = np.where(table.phone, values[-2], values[-1])
    busy = np.exp(values[table.group]) * table.work / used.sum(1) * table.threads**loss
    alone = table.threads == 1
    fixed = np.exp(np.where(alone, values[-4], values[-3])) / top.sum(1)
    total = busy + fixed
    share = busy / total
    slope = np.zeros((len(total), len(values)))
    slope[np.arange(len(total)), table.group] = share
    by_core = -share[:, None] * used / used.sum(1, keepdims=True)
    by_core -= (1 - share)[:, None] * top / top.sum(1, keepdims=True)
    slope[:, n : n + cores] = by_core
    for index in (1, 2):
        slope[:, n + index * cores : n + (index + 1) * cores] = by_core * (table.precision == index)[:, None]
    slope[:, -4], slope[:, -3] = (1 - share) * alone, (1 - share) * ~alone
    by_loss = share * np.log(table.threads)
    slope[:, -2], slope[:, -1] = by_loss * table.phone, by_loss * ~table.phone
    return np.log(total), slope


def fit_cores(rows: list[Row], options: Options = Options()) -> CoreModel:
    """Fit every unknown to the rows."""
    groups = tuple(sorted({(row.software, str(row.precision)) for row in rows}))
    table = _Table(rows, groups, options)
    measured = np.log([row.latency_ms for row in rows])
    cores = len(PRIOR_PER_GHZ)
    prior = np.concatenate(
        [
            np.full(len(groups), np.log(0.5)),
            np.log(list(PRIOR_PER_GHZ.values())),
            np.zeros(2 * cores),
            np.log(FIXED_PRIOR),
            [LOSS_PRIOR, LOSS_PRIOR],
        ]
    )
    counts = {"cycles": len(groups), "core": cores, "precision": 2 * cores, "fixed": 2, "loss": 2}
    held = 1 / np.concatenate([np.full(count, SIGMA[name]) for name, count in counts.items()]) ** 2
    setting: Counter[Any] = Counter((row.device.name, row.software, row.precision, row.threads) for row in rows)
    crowd = np.array([setting[row.device.name, row.software, row.precision, row.threads] for row in rows])
    weight = crowd**-0.5 / NOISE**2
    values = prior.copy()
    for _ in range(30):
        predicted, slope = _forward(values, table)
        missing = measured - predicted
        robust = weight / (1 + weight * missing**2)
        normal = slope.T @ (slope * robust[:, None]) + np.diag(held)
        step = np.linalg.solve(normal, slope.T @ (robust * missing) + held * (prior - values))
        values = values + np.clip(step, -0.5, 0.5)
        if abs(step).max() < 1e-4:
            break
    return CoreModel(options, groups, values)


def leave_one_device_out(rows: list[Row], options: Options = Options()) -> dict[str, list[tuple[Row, float]]]:
    """For every phone: its rows with the latency in ms that a model without that phone predicts.

    A row whose software nobody else was measured with has no prediction and is left out.
    """
    found = {}
    for phone in sorted({row.device.name for row in rows if row.device.kind == "phone"}):
        model = fit_cores([row for row in rows if row.device.name != phone], options)
        mine = [row for row in rows if row.device.name == phone and (row.software, row.precision) in model.groups]
        if mine:
            found[phone] = list(zip(mine, model.predict(mine).tolist(), strict=True))
    return found
