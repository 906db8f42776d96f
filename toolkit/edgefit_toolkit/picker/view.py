"""A plan for the terminal: the pick beside the next one, and the frontier drawn with characters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgefit_toolkit.picker.plan import Candidate, Plan

if TYPE_CHECKING:
    from rich.console import RenderableType

PLOT_COLUMNS, PLOT_ROWS = 64, 14


def render_plan(plan: Plan) -> RenderableType:
    """The plan as something rich can print: table, notes, frontier."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    budget, percentile = plan.budget, plan.budget.percentile
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("pick", style="green")
    table.add_column("next, does not fit")
    columns = [_column(plan.pick, percentile), _column(plan.next, percentile) if plan.next else {}]
    for row in columns[0]:
        table.add_row(
            row, *(column.get(row, "none: the whole range fits" if row == "network" else "") for column in columns)
        )
    runs = {"cpu": "int8 on the CPU", "gpu": "float16 on the GPU"}[plan.accelerator]
    where = f"{plan.device or 'device'}, {runs}"
    title = f"{where}: p{percentile} within {budget.latency_ms:g} ms, {plan.scaling} {plan.family}"
    lines: list[RenderableType] = [
        Text(title, style="bold"),
        table,
        Text(f"basis: {plan.pick.latency.basis}", style="dim"),
    ]
    lines += [Text(f"note: {note}") for note in plan.notes]
    if plan.proof:
        lines += [Text(), Text("measured, in this order", style="bold"), _proof(plan)]
    return Group(*lines, Text(), Text(frontier_plot(plan)))


def _proof(plan: Plan) -> RenderableType:
    """Every network that was measured: what decided, and each of its rounds."""
    from rich.table import Table

    percentile = plan.budget.percentile
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("network")
    for name in ("p50 ms", "p90 ms"):
        table.add_column(name, justify="right")
    for name in ("95% interval", "", f"p{percentile} of each round"):
        table.add_column(name)
    for row in plan.proof:
        latency = row.latency
        table.add_row(
            row.variant.label,
            f"{latency.p50:.2f}",
            f"{latency.p90:.2f}",
            f"{latency.low:.2f} to {latency.high:.2f}",
            "fits" if row.fits(plan.budget) else "does not fit",
            "  ".join(f"{run.at(percentile):.2f}" for run in row.runs),
        )
    return table


def _column(candidate: Candidate, percentile: int) -> dict[str, str]:
    variant, latency = candidate.variant, candidate.latency
    return {
        "network": variant.label,
        "phi": f"{variant.phi:g}",
        "width, depth": f"{variant.width:.3f}, {variant.depth:.3f}",
        "multiply-adds": f"{variant.madds / 1e6:,.0f} M",
        "parameters": f"{variant.params / 1e6:.2f} M",
        f"p{percentile}, {latency.origin}": f"{latency.at(percentile):.2f} ms",
        "interval": f"{'80' if latency.origin == 'predicted' else '95'}%: {latency.low:.2f} to {latency.high:.2f} ms",
    }


def frontier_plot(plan: Plan, columns: int = PLOT_COLUMNS, rows: int = PLOT_ROWS) -> str:
    """Latency (log) against phi as text: the curve, its interval, released variants, the budget line, the pick."""
    percentile, budget_ms = plan.budget.percentile, plan.budget.latency_ms
    points = plan.frontier
    low_phi, high_phi = points[0].variant.phi, points[-1].variant.phi
    low_ms = min(min(c.latency.low for c in points), budget_ms)
    high_ms = max(max(c.latency.high for c in points), budget_ms)

    def column(phi: float) -> int:
        return round((phi - low_phi) / ((high_phi - low_phi) or 1) * (columns - 1))

    def row(ms: float) -> int:
        share = math.log(ms / low_ms) / (math.log(high_ms / low_ms) or 1)
        return rows - 1 - min(rows - 1, max(0, round(share * (rows - 1))))

    grid = [[" "] * columns for _ in range(rows)]
    for candidate in points:
        at = column(candidate.variant.phi)
        for line in range(row(candidate.latency.high), row(candidate.latency.low) + 1):
            grid[line][at] = "░"
    grid[row(budget_ms)] = [cell if cell == "░" else "─" for cell in grid[row(budget_ms)]]
    for candidate in points:
        grid[row(candidate.latency.at(percentile))][column(candidate.variant.phi)] = "•"
    for candidate in points:
        if candidate.variant.released:
            grid[row(candidate.latency.at(percentile))][column(candidate.variant.phi)] = "◆"
    grid[row(plan.pick.latency.at(percentile))][column(plan.pick.variant.phi)] = "X"
    labels = {rows - 1: f"{low_ms:.3g}", 0: f"{high_ms:.3g}", row(budget_ms): f"{budget_ms:g}"}
    lines = [f"{labels.get(index, ''):>8} │{''.join(line).rstrip()}" for index, line in enumerate(grid)]
    axis = f"{low_phi:<.3g}".ljust(columns - 6) + f"{high_phi:.3g}".rjust(6)
    return "\n".join(
        [
            f"p{percentile} in ms (log) against phi",
            *lines,
            " " * 9 + "└" + "─" * columns,
            " " * 10 + axis,
            "X pick   ◆ released   • continuous   ░ 80% interval   ─ budget",
        ]
    )
