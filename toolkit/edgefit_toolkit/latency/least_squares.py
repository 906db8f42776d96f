"""Least squares for a handful of unknowns that cannot be negative. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence

Equation = tuple[Sequence[float], float]  # coefficients, right-hand side; both divided by the equation's own sigma


def solve(equations: Sequence[Equation]) -> tuple[float, ...]:
    """The unknowns with the least sum of squared errors, none below zero: one that would be is fixed at zero.

    The equations must determine every unknown (priors see to that).
    """
    unknowns = list(range(len(equations[0][0])))
    while True:
        found = _normal(equations, unknowns)
        worst = min(range(len(found)), key=found.__getitem__)
        if found[worst] >= 0:
            break
        del unknowns[worst]
    result = [0.0] * len(equations[0][0])
    for unknown, value in zip(unknowns, found, strict=True):
        result[unknown] = value
    return tuple(result)


def _normal(equations: Sequence[Equation], unknowns: list[int]) -> list[float]:
    """The normal equations of these unknowns, by elimination with pivoting."""
    n = len(unknowns)
    rows = [
        [sum(row[i] * row[j] for row, _ in equations) for j in unknowns] + [sum(row[i] * y for row, y in equations)]
        for i in unknowns
    ]
    for at in range(n):
        pivot = max(range(at, n), key=lambda index: abs(rows[index][at]))
        rows[at], rows[pivot] = rows[pivot], rows[at]
        for below in range(at + 1, n):
            factor = rows[below][at] / rows[at][at]
            rows[below] = [a - factor * b for a, b in zip(rows[below], rows[at], strict=True)]
    found = [0.0] * n
    for at in reversed(range(n)):
        known = sum(rows[at][j] * found[j] for j in range(at + 1, n))
        found[at] = (rows[at][n] - known) / rows[at][at]
    return found
