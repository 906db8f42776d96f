"""What the pipeline models cannot know, from published latencies of many devices at once.

    latency_ms = software * threads ** loss(phone or board) / sum of GHz / (core * cycles)  +  calls / GHz
    sum over the cores in use; cycles: of the network on that core, in millions (kernels.toml)

`software` is what memory and calls add to a core's own cycles, one factor for each software and precision; `core` is
what is left of a core's own, near 1; `calls` is what each operator's call costs, more where threads must meet. Models
of cores that run in order are far off where loads and arithmetic pair up: those are held as loosely as stand-ins. All
unknowns but the losses are logarithms, found together by damped least squares on log latency, each held to a prior.
Rows of software other than XNNPACK have a loose factor of their own: they teach how cores compare, not how fast the
runtime is that edgefit ships. Outliers weigh less, and n rows of one device and setting count as the square root of n.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefit_toolkit.latency.kernels import graph_work
from experiments.core_cycles.kernels import CORES
from experiments.core_cycles.pipeline import IN_ORDER
from experiments.networks import network
from experiments.published import Row

Array = npt.NDArray[np.float64]

PRECISIONS = ("float32", "int8", "float16")
SOFTWARE_PRIOR = 0.2  # log: memory and calls add about a fifth
CALL_PRIOR = (np.log(2.0), np.log(12.0), np.log(12.0))  # microseconds * GHz of one operator, by CALLS
CALLS = ("one", "phone", "board")  # one thread; several that meet, on a phone and on a board
LOSS_PRIOR = 0.15
NOISE = 0.12  # of one published latency around the model, in log
SIGMA = {"software": 0.15, "other software": 3.0, "own": 0.1, "stand-in": 0.3, "precision": 0.05}
SIGMA_CALLS = (0.7, 0.2, 1.0)  # a phone's is pthreadpool's own; boards also run what is no operator of ours in turn
SIGMA_LOSS = 0.1


@dataclass(frozen=True)
class Options:
    """What the alternatives that are compared differ in."""

    plain_madds: bool = False  # cycles = multiply-adds over the core's vector width, the model to beat


@dataclass(frozen=True)
class CoreModel:
    """The fitted unknowns."""

    options: Options
    groups: tuple[tuple[str, str], ...]  # (software, precision)
    values: Array  # logarithms: software of each group, core (float32), precision offsets, calls, losses

    def predict(self, rows: list[Row]) -> Array:
        """Latency of each row in ms. The rows' software and precision must have been in the fit."""
        return np.exp(_forward(self.values, _Table(rows, self.groups, self.options))[0])

    def software(self, software: str, precision: str) -> float:
        """What that software adds to the cores' own cycles, as a factor."""
        return float(np.exp(self.values[self.groups.index((software, precision))]))

    def core(self, core: str, precision: str) -> float:
        """Cycles of the core over those of its pipeline model."""
        n, cores = len(self.groups), list(CORES)
        own = self.values[n + cores.index(core)]
        if precision != PRECISIONS[0]:
            own += self.values[n + PRECISIONS.index(precision) * len(cores) + cores.index(core)]
        return float(np.exp(own))

    @property
    def call_us_ghz(self) -> dict[str, float]:
        """Cost of one operator's call, by CALLS; divided by the fastest core's clock."""
        return {name: float(np.exp(value)) for name, value in zip(CALLS, self.values[-5:-2], strict=True)}

    @property
    def loss(self) -> dict[str, float]:
        """Exponent of the threads that are lost: n threads give n ** (1 - loss)."""
        return {"phone": float(self.values[-2]), "board": float(self.values[-1])}


class _Table:
    """Rows as arrays."""

    def __init__(self, rows: list[Row], groups: tuple[tuple[str, str], ...], options: Options) -> None:
        cores = list(CORES)
        self.rate = np.zeros((len(rows), len(cores)))  # networks per ms of the cores in use, by kind
        self.top_ghz = np.zeros(len(rows))
        for at, row in enumerate(rows):
            each = sorted(
                ((ghz / _cycles(row, kind, options), kind, ghz) for kind, ghz in row.device.cores), reverse=True
            )
            for rate, kind, _ in each[: row.threads]:
                self.rate[at, cores.index(kind)] += rate
            self.top_ghz[at] = each[0][2]
        self.group = np.array([groups.index((row.software, row.precision)) for row in rows])
        self.precision = np.array([PRECISIONS.index(row.precision) for row in rows])
        self.threads = np.array([float(min(row.threads, len(row.device.cores))) for row in rows])
        self.phone = np.array([row.device.kind == "phone" for row in rows])
        self.calls = np.array([row.operators / 1000 for row in rows])


def _cycles(row: Row, core: str, options: Options) -> float:
    if options.plain_madds:  # sixteen a cycle and pipe; a small core's pace
        pipes = {"neoverse-v1": 4, "neoverse-v2": 4, "neoverse-n1": 2, "neoverse-n2": 2}
        return row.madds / 1e6 / 16 / pipes.get(CORES[core].pipeline, 0.9)
    return _simulated(row.network, row.input_px, row.tables(core))


@cache
def _simulated(name: str, input_px: int, tables: str) -> float:
    return sum(graph_work(network(name, input_px), tables))


def _forward(values: Array, table: _Table) -> tuple[Array, Array]:
    """(log latency, its derivative by every unknown)."""
    cores = len(CORES)
    n = len(values) - 3 * cores - 5
    factors = values[n : n + 3 * cores].reshape(3, cores).copy()
    factors[1:] += factors[0]
    rate = table.rate * np.exp(-factors[table.precision])
    loss = np.where(table.phone, values[-2], values[-1])
    busy = np.exp(values[table.group]) * table.threads**loss / rate.sum(1)
    alone = table.threads == 1
    met = np.stack([alone, ~alone & table.phone, ~alone & ~table.phone], 1)
    calls = met @ np.exp(values[-5:-2]) * table.calls / table.top_ghz
    total = busy + calls
    share = busy / total
    slope = np.zeros((len(total), len(values)))
    slope[np.arange(len(total)), table.group] = share
    by_core = share[:, None] * rate / rate.sum(1, keepdims=True)
    slope[:, n : n + cores] = by_core
    for index in (1, 2):
        slope[:, n + index * cores : n + (index + 1) * cores] = by_core * (table.precision == index)[:, None]
    slope[:, -5:-2] = (1 - share)[:, None] * met
    by_loss = share * np.log(table.threads)
    slope[:, -2], slope[:, -1] = by_loss * table.phone, by_loss * ~table.phone
    return np.log(total), slope


def fit_cores(rows: list[Row], options: Options = Options()) -> CoreModel:
    """Fit every unknown to the rows."""
    groups = tuple(sorted({(row.software, str(row.precision)) for row in rows}))
    ours = {(row.software, str(row.precision)) for row in rows if row.by_xnnpack}
    table = _Table(rows, groups, options)
    measured = np.log([row.latency_ms for row in rows])
    cores = len(CORES)
    prior = np.concatenate(
        [np.full(len(groups), SOFTWARE_PRIOR), np.zeros(3 * cores), CALL_PRIOR, [LOSS_PRIOR, LOSS_PRIOR]]
    )
    sigma = [SIGMA["software" if group in ours and not options.plain_madds else "other software"] for group in groups]
    sigma += [
        SIGMA["own" if core.own and core.pipeline not in IN_ORDER and not options.plain_madds else "stand-in"]
        for core in CORES.values()
    ]
    sigma += [SIGMA["precision"]] * 2 * cores + [*SIGMA_CALLS] + [SIGMA_LOSS] * 2
    held = 1 / np.array(sigma) ** 2
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


def leave_out(rows: list[Row], names: set[str], options: Options = Options()) -> list[tuple[Row, float]]:
    """The rows of these devices, each with the latency in ms that a model without all of them predicts.

    A row whose software nobody else was measured with has no prediction and is left out.
    """
    model = fit_cores([row for row in rows if row.device.name not in names], options)
    mine = [row for row in rows if row.device.name in names and (row.software, row.precision) in model.groups]
    return list(zip(mine, model.predict(mine).tolist(), strict=True)) if mine else []


def leave_one_device_out(rows: list[Row], options: Options = Options()) -> dict[str, list[tuple[Row, float]]]:
    """For every device: its rows with the latency in ms that a model without that device predicts."""
    found = {name: leave_out(rows, {name}, options) for name in sorted({row.device.name for row in rows})}
    return {name: pairs for name, pairs in found.items() if pairs}
