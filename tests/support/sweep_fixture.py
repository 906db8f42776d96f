"""A sweep's document made by its own pure parts from answers that are drawn here."""

from __future__ import annotations

from typing import Any

from edgefit_toolkit.intervals import wilson
from edgefit_toolkit.report.schema.sweep import SweepCellDoc, SweepDoc
from edgefit_toolkit.report.sweep import sentence, steps

N = 100  # test pictures


def cell(device: str, budget_ms: float, right: list[bool] | None, *, seed: int = 0, **changes: Any) -> SweepCellDoc:
    """A row; without answers one that failed."""
    doc: Any = {
        "device": device, "budget_ms": budget_ms, "seed": seed, "network": f"lite phi={budget_ms:g}", "phi": budget_ms,
        "released": None, "status": "failed", "latency_ms": None, "origin": None, "top1": None, "n": None, "low": None,
        "high": None, "run": f"cells/{device}-{budget_ms:g}ms-seed{seed}",
    }  # fmt: skip
    if right is None:
        doc |= {"reason": f"no network answers within {budget_ms:g} ms", "next": "--budget-ms 2.4", "exit_code": 1}
    else:
        low, high = wilson(sum(right), len(right))
        doc |= {
            "status": "fits", "latency_ms": 0.9 * budget_ms, "origin": "predicted", "latency_low_ms": 0.8 * budget_ms,
            "latency_high_ms": 1.1 * budget_ms, "top1": sum(right) / len(right), "n": len(right), "low": low,
            "high": high, "float_top1": 0.96, "agreement": 0.99, "size_bytes": 3_400_000, "exit_code": 0,
        }  # fmt: skip
    doc |= changes
    found: SweepCellDoc = doc
    return found


def answers(wrong: range) -> list[bool]:
    """N answers, wrong on these pictures."""
    return [i not in wrong for i in range(N)]


def document() -> SweepDoc:
    """Three devices: better, not shown and worse steps, a shared network, a released one, a miss, a failure."""
    bought = {
        ("pixel4", 4.0): answers(range(30)),
        ("pixel4", 8.0): answers(range(9)),
        ("pixel4", 16.0): answers(range(8)),
        ("pixel4", 30.0): answers(range(8)),
        ("pixel7", 4.0): answers(range(6)),
        ("pixel7", 8.0): answers(range(25)),
        ("pixel7", 16.0): answers(range(5)),
        ("pixel7", 30.0): answers(range(4)),
        ("rpi5", 8.0): answers(range(9)),
        ("rpi5", 16.0): answers(range(7)),
        ("rpi5", 30.0): answers(range(3)),
    }
    changes: dict[tuple[str, float], dict[str, Any]] = {
        ("pixel4", 16.0): {"network": "Lite2 260px", "released": "lite2"},
        ("pixel4", 30.0): {"network": "Lite2 260px", "released": "lite2", "latency_ms": 14.4},
        ("rpi5", 30.0): {"status": "misses", "latency_ms": 31.5, "origin": "measured on device", "exit_code": 1},
    }
    cells = [
        cell(device, budget_ms, bought.get((device, budget_ms)), **changes.get((device, budget_ms), {}))
        for device in ("pixel4", "pixel7", "rpi5")
        for budget_ms in (4.0, 8.0, 16.0, 30.0)
    ]
    right = {row["run"]: bought[row["device"], row["budget_ms"]] for row in cells if row["top1"] is not None}
    titles = {"pixel4": "Google Pixel 4", "pixel7": "Google Pixel 7", "rpi5": "Raspberry Pi 5"}
    found = [step for device in titles for step in steps(cells, right, device, "photograph")]
    released = [(name, ms) for name, ms in zip(("lite0", "lite2", "lite4"), (6.5, 12.0, 30.0), strict=True)]
    return {
        "schema": "edgefit.sweep/1",
        "edgefit": "0.2.0",
        "created": "2026-11-26T12:00:00+00:00",
        "command": "edgefit sweep --budgets-ms 4,8,16,30 --devices pixel4,pixel7,rpi5 --data ./plants",
        "percentile": 90,
        "budgets_ms": [4.0, 8.0, 16.0, 30.0],
        "seeds": [0],
        "data": {
            "name": "plants",
            "kind": "photographs",
            "summary": "plants: 5 classes, 250 / 75 / 100 photographs to train, validate and test",
        },
        "devices": [
            {
                "name": name,
                "title": title,
                "sentence": sentence(cells, found, name, title),
                "released": [
                    {"name": each, "latency_ms": ms, "low": 0.9 * ms, "high": 1.1 * ms} for each, ms in released
                ],
            }
            for name, title in titles.items()
        ],
        "networks": [
            {
                "label": "Lite2 260px",
                "phi": 2.0,
                "released": "lite2",
                "seed": 0,
                "cells": 2,
                "run": "networks/lite2-260px-plants-seed0",
            },
        ],
        "cells": cells,
        "steps": found,
    }
