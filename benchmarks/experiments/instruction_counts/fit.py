"""Fit the steps of kernels.toml to instruction_counts.csv, and show how well they add up.

python -m experiments.instruction_counts.fit     prints the tables for latency/kernels.toml
"""

from __future__ import annotations

import csv
from itertools import product

import numpy as np

from edgefit_toolkit.latency.kernels import GROUP, features
from edgefit_toolkit.network.graph import Operator, OperatorKind, operators
from edgefit_toolkit.network.scaling import released
from experiments.instruction_counts.count import RESULT

TILES = {"rows": (1, 2, 3, 4, 6, 8), "columns": (8, 16, 32)}


def read() -> dict[str, list[tuple[Operator, int]]]:
    """Counted operators by engine."""
    found: dict[str, list[tuple[Operator, int]]] = {}
    with RESULT.open() as file:
        for row in csv.DictReader(file):
            if row["kind"].startswith("network"):
                continue
            n = {key: int(row[key]) for key in row if key not in ("engine", "kind")}
            shapes = ((n["in_px"], n["in_px"], n["in_channels"]), (n["out_px"], n["out_px"], n["out_channels"]))
            kind: OperatorKind = row["kind"]  # type: ignore[assignment]
            operator = Operator("", kind, 0, *shapes, n["kernel"], n["stride"], n["madds"], 0)
            found.setdefault(row["engine"], []).append((operator, n["total"]))
    return found


def non_negative(steps: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Least relative error with no negative cost: columns that want one are left out."""
    keep = np.ones(steps.shape[1], bool)
    while True:
        found = np.linalg.lstsq(steps[:, keep] / counts[:, None], np.ones(len(counts)), rcond=None)[0]
        if (found >= 0).all():
            break
        keep[np.flatnonzero(keep)[found.argmin()]] = False
    costs = np.zeros(steps.shape[1])
    costs[keep] = found
    return costs


def fit(counted: list[tuple[Operator, int]], group: str) -> tuple[dict[str, float], float]:
    """(table, worst relative error) of one kernel over the tiles that describe it best."""
    mine = [(operator, total) for operator, total in counted if GROUP[operator.kind] == group]
    counts = np.array([total for _, total in mine], float)
    tiles = product(*TILES.values()) if group in ("matmul", "conv") else [(1, 16)]
    best: tuple[float, dict[str, float], float] | None = None
    for rows, columns in tiles:
        each = [features(operator, rows, columns) for operator, _ in mine]
        steps = np.array([[row[key] for key in each[0]] for row in each], float)
        costs = non_negative(steps, counts)
        errors = steps @ costs / counts - 1
        if best is None or (errors**2).mean() < best[0]:
            table: dict[str, float] = (
                {"rows": rows, "columns": columns} if group in ("matmul", "conv") else {"columns": columns}
            )
            table |= {key: round(float(cost), 3) for key, cost in zip(each[0], costs, strict=True)}
            best = ((errors**2).mean(), table, float(abs(errors).max()))
    assert best is not None
    return best[1], best[2]


def main() -> None:
    networks: dict[tuple[str, str], int] = {}
    with RESULT.open() as file:
        for row in csv.DictReader(file):
            if row["kind"].startswith("network"):
                networks[row["engine"], row["kind"].removeprefix("network:")] = int(row["total"])
    for engine, counted in read().items():
        tables = {}
        for group in ("matmul", "conv", "depthwise", "elementwise", "pool"):
            tables[group], worst = fit(counted, group)
            print(f"[{engine}.{group}]  # worst of one operator {worst:.1%}")
            print("\n".join(f"{key} = {value:g}" for key, value in tables[group].items()), "\n")
        for name in sorted(name for known, name in networks if known == engine):
            total = 0.0
            for operator in operators(released(name)):
                table = tables[GROUP[operator.kind]]
                steps = features(operator, int(table.get("rows", 1)), int(table["columns"]))
                total += sum(count * table[key] for key, count in steps.items())
            print(f"# {engine} {name}: {total / networks[engine, name] - 1:+.1%} of the network's own count")
        print()


if __name__ == "__main__":
    main()
