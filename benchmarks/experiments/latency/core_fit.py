"""What the pipeline models cannot know, from published latencies of many devices at once.

    operator_ms = max(software * threads ** loss / sum of GHz / (core * cycles),  memory)
    latency_ms  = sum of operators  +  calls / GHz  +  what detectors sort, on one thread
    sum of GHz over the cores in use; cycles: of the operator on that core, in millions (kernels.toml)

`software` is what calls and caches add to a core's own cycles, one factor for each software and precision; `core` is
what is left of a core's own, near 1; `calls` is what each operator's call costs, more where threads must meet. Models
of cores that run in order are far off where loads and arithmetic pair up: those are held as loosely as stand-ins. All
unknowns but the loss are logarithms, found together by damped least squares on log latency, each held to a prior.
Rows of software other than XNNPACK have a loose factor of their own: they teach how cores compare, not how fast the
runtime is that edgefit ships. Outliers weigh less. Rows of one device and setting share their error, so they count as
one. Memory (latency/memory.py) has no unknown: boards say what theirs was measured to copy at; of phones nobody does.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefit_toolkit.latency.kernels import operator_cycles, tables
from experiments.latency.core_cycles.kernels import CORES
from experiments.latency.core_cycles.pipeline import IN_ORDER
from experiments.latency.networks import network
from experiments.latency.published import Row

Array = npt.NDArray[np.float64]

PRECISIONS = ("float32", "int8", "float16")
SOFTWARE_PRIOR = 0.2  # log: calls and caches add about a fifth
CALL_PRIOR = (np.log(2.0), np.log(12.0))  # microseconds * GHz of one operator, by CALLS
CALLS = ("one", "several")  # one thread; several that meet
LOSS_PRIOR = 0.15
SORT_PRIOR = np.log(40.0)  # passes over every anchor's scores, each like one of an elementwise operator in float32
NOISE = 0.12  # of one published latency around the model, in log
SIGMA = {"software": 0.15, "other software": 3.0, "own": 0.1, "stand-in": 0.3, "precision": 0.05}
SIGMA_REST = (0.7, 0.2, 0.1, 0.7)  # calls (several: pthreadpool's own), loss, sorting


@dataclass(frozen=True)
class Options:
    """What the alternatives that are compared differ in."""

    plain_madds: bool = False  # cycles = multiply-adds over the core's vector width, the model to beat
    memory: bool = True  # the roofline


@dataclass(frozen=True)
class CoreModel:
    """The fitted unknowns."""

    options: Options
    groups: tuple[tuple[str, str], ...]  # (software, precision)
    values: Array  # logarithms: software of each group, core (float32), precision offsets, calls; loss; sorting

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
        return {name: float(np.exp(value)) for name, value in zip(CALLS, self.values[-4:-2], strict=True)}

    @property
    def loss(self) -> float:
        """Exponent of the threads that are lost: n threads give n ** (1 - loss)."""
        return float(self.values[-2])


class _Table:
    """Rows as arrays: of rows, of their operators, and of (operator, kind of core that works on it)."""

    def __init__(self, rows: list[Row], groups: tuple[tuple[str, str], ...], options: Options) -> None:
        each = [_features(row, options) for row in rows]
        counts = [len(facts.memory_ms) for facts in each]
        self.rows, self.first = len(rows), np.concatenate([[0], np.cumsum(counts)[:-1]])
        self.row_of = np.repeat(np.arange(len(rows)), counts)  # of each operator
        self.memory = np.concatenate([facts.memory_ms for facts in each])
        pairs = [(start, kind, rate) for start, facts in zip(self.first, each, strict=True)
                 for kind, rate in facts.rates.items()]  # fmt: skip
        self.pair_rate = np.concatenate([rate for _, _, rate in pairs])  # operators per ms
        self.pair_operator = np.concatenate([start + np.arange(len(rate)) for start, _, rate in pairs])
        self.pair_core = np.concatenate([np.full(len(rate), kind) for _, kind, rate in pairs])
        self.group = np.array([groups.index((row.software, row.precision)) for row in rows])
        self.precision = np.array([PRECISIONS.index(row.precision) for row in rows])
        self.threads = np.array([float(min(row.threads, len(row.device.cores))) for row in rows])
        self.calls = np.array([facts.calls for facts in each])  # thousands / GHz
        self.sorting = np.array([facts.sorting_ms for facts in each])


@dataclass(frozen=True)
class _Features:
    """What does not depend on the unknowns, of one row."""

    rates: dict[int, Array]  # by index of the core: operators per ms on all cores of the kind in use
    memory_ms: Array  # of each operator
    calls: float
    sorting_ms: float  # of one pass


@cache
def _features(row: Row, options: Options) -> _Features:
    layers = network(row.network, row.input_px)
    paces = sorted(
        ((ghz / _cycles(row, kind, options).sum(), kind, ghz) for kind, ghz in row.device.cores), reverse=True
    )
    rates: dict[int, Array] = defaultdict(lambda: np.zeros(len(layers)))
    for _, kind, ghz in paces[: row.threads]:
        rates[list(CORES).index(kind)] += ghz / _cycles(row, kind, options)
    memory = row.device.memory if options.memory and not options.plain_madds else None
    waits = [memory.operator_ms(layer, row.precision) if memory else 0.0 for layer in layers]
    _, top, top_ghz = paces[0]
    elementwise = tables(f"float32-{CORES[top].float32}-{CORES[top].pipeline}")["elementwise"]
    blocks = row.scores / elementwise["columns"] / 1e6
    return _Features(dict(rates), np.array(waits), len(layers) / 1000 / top_ghz,
                     blocks * elementwise["per_pixel_block"] / top_ghz)  # fmt: skip


def _cycles(row: Row, core: str, options: Options) -> Array:
    if options.plain_madds:  # sixteen a cycle and pipe; a small core's pace
        pipes = {"neoverse-v1": 4, "neoverse-v2": 4, "neoverse-n1": 2, "neoverse-n2": 2}
        layers = network(row.network, row.input_px)
        madds = np.array([layer.madds + 1.0 for layer in layers])
        return madds / 1e6 / 16 / pipes.get(CORES[core].pipeline, 0.9)
    return _simulated(row.network, row.input_px, row.tables(core))


@cache
def _simulated(name: str, input_px: int, tables: str) -> Array:
    return np.array([operator_cycles(layer, tables) for layer in network(name, input_px)])


def _forward(values: Array, table: _Table) -> tuple[Array, Array]:
    """(log latency, its derivative by every unknown)."""
    cores = len(CORES)
    n = len(values) - 3 * cores - len(SIGMA_REST)
    factors = values[n : n + 3 * cores].reshape(3, cores).copy()
    factors[1:] += factors[0]
    pair_row = table.row_of[table.pair_operator]
    rate = table.pair_rate * np.exp(-factors[table.precision[pair_row], table.pair_core])
    rates = np.bincount(table.pair_operator, rate)
    scale = np.exp(values[table.group]) * table.threads ** values[-2]
    busy = scale[table.row_of] / rates
    bound = busy >= table.memory  # by arithmetic: only those answer to the unknowns
    busy_ms = np.bincount(table.row_of, busy * bound, table.rows)
    alone = table.threads == 1
    met = np.stack([alone, ~alone], 1)
    calls = met * np.exp(values[-4:-2]) * table.calls[:, None]
    sorting = table.sorting * np.exp(values[-1])
    total = busy_ms + np.bincount(table.row_of, table.memory * ~bound, table.rows) + calls.sum(1) + sorting
    slope = np.zeros((table.rows, len(values)))
    slope[np.arange(table.rows), table.group] = busy_ms / total
    shares = (busy * bound / rates)[table.pair_operator] * rate
    by_core = (
        np.bincount(pair_row * cores + table.pair_core, shares, table.rows * cores).reshape(-1, cores) / total[:, None]
    )
    slope[:, n : n + cores] = by_core
    for index in (1, 2):
        slope[:, n + index * cores : n + (index + 1) * cores] = by_core * (table.precision == index)[:, None]
    slope[:, -4:-2] = calls / total[:, None]
    slope[:, -2] = busy_ms / total * np.log(table.threads)
    slope[:, -1] = sorting / total
    return np.log(total), slope


def fit_cores(rows: list[Row], options: Options = Options()) -> CoreModel:
    """Fit every unknown to the rows."""
    groups = tuple(sorted({(row.software, str(row.precision)) for row in rows}))
    ours = {(row.software, str(row.precision)) for row in rows if row.by_xnnpack}
    table = _Table(rows, groups, options)
    measured = np.log([row.latency_ms for row in rows])
    cores = len(CORES)
    prior = np.concatenate(
        [np.full(len(groups), SOFTWARE_PRIOR), np.zeros(3 * cores), CALL_PRIOR, [LOSS_PRIOR, SORT_PRIOR]]
    )
    sigma = [SIGMA["software" if group in ours and not options.plain_madds else "other software"] for group in groups]
    sigma += [
        SIGMA["own" if core.own and core.pipeline not in IN_ORDER and not options.plain_madds else "stand-in"]
        for core in CORES.values()
    ]
    sigma += [*[SIGMA["precision"]] * 2 * cores, *SIGMA_REST]
    held = 1 / np.array(sigma) ** 2
    setting: Counter[Any] = Counter((row.device.name, row.software, row.precision, row.threads) for row in rows)
    crowd = np.array([setting[row.device.name, row.software, row.precision, row.threads] for row in rows])
    weight = 1 / crowd / NOISE**2
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
