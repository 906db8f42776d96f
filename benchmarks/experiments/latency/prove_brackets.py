"""Proves `edgefit plan --device host`: picks for several budgets, then measures each pick and its next one afresh.

    python -m experiments.latency.prove_brackets --budgets 4 8 16 32 --repeats 5

Each budget goes through the very function behind `edgefit plan`. Afterwards pick and next are measured again, in turns
and in new processes, `--repeats` times; the median repeat is compared: the pick is to be .80 to 1.05 of the budget, the
next one at least .97. Exit 1 when one is not. Writes host_brackets.json and host_brackets.md into the results folder
(`--out`). Takes about two minutes a budget; the machine should have nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgefit_benchmarks.stats import summarise
from edgefit_benchmarks.timing import measure_interleaved
from edgefit_toolkit.api.console import Terminal
from edgefit_toolkit.devices import load_profile
from edgefit_toolkit.host import environment
from edgefit_toolkit.picker.plan import Plan, plan_json
from edgefit_toolkit.picker.search import make_plan
from edgefit_toolkit.pipeline.measuring.bench import Bench, find_bench
from edgefit_toolkit.pipeline.measuring.probes import write_probe
from edgefit_toolkit.pipeline.measuring.prove import prove
from edgefit_toolkit.records import Budget

RESULTS = Path(__file__).parents[2] / "results"
PICK_WITHIN = (0.80, 1.05)  # of the budget, afresh
NEXT_FROM = 0.97


def afresh(plan: Plan, bench: Bench, repeats: int) -> list[dict[str, float]]:
    """p90 of pick and next in ms, one entry a repeat, each with sessions of its own."""
    candidates = {"pick": plan.pick, "next": plan.next}
    with tempfile.TemporaryDirectory(prefix="edgefit-brackets-") as folder:
        paths = {name: Path(folder) / f"{name}.tflite" for name, c in candidates.items() if c is not None}
        for name, candidate in candidates.items():
            if candidate is not None:
                write_probe(candidate.variant, paths[name])
        found = []
        for repeat in range(repeats):
            rows = measure_interleaved(bench.target, paths, bench.options(seed=repeat))
            found.append({name: summarise(row.samples_ms).at(plan.budget.percentile) for name, row in rows.items()})
    return found


def one_budget(budget_ms: float, threads: int, repeats: int) -> dict[str, Any]:
    """Plan, measure afresh, compare."""
    profile, ui = load_profile("host"), Terminal(1)
    bench = find_bench(profile, threads=threads, required=True)
    assert bench is not None
    load = os.getloadavg()[0]
    started = time.monotonic()
    plan, _ = prove(make_plan(Budget(budget_ms), "host"), bench, ui)
    planned_s = time.monotonic() - started
    runs = afresh(plan, bench, repeats)
    row: dict[str, Any] = {"budget_ms": budget_ms, "plan_s": round(planned_s, 1), "load_average": [round(load, 2)]}
    row["load_average"].append(round(os.getloadavg()[0], 2))
    ok = True
    for name, candidate in (("pick", plan.pick), ("next", plan.next)):
        if candidate is None:
            row[name] = None
            continue
        p90 = [run[name] for run in runs]
        ratio = statistics.median(p90) / budget_ms
        ok = ok and (PICK_WITHIN[0] <= ratio <= PICK_WITHIN[1] if name == "pick" else ratio >= NEXT_FROM)
        row[name] = {
            "label": candidate.variant.label,
            "phi": candidate.variant.phi,
            "plan_p90_ms": round(candidate.latency.p90, 3),
            "afresh_p90_ms": [round(ms, 3) for ms in p90],
            "afresh_median_ms": round(statistics.median(p90), 3),
            "ratio": round(ratio, 4),
        }
    return row | {"ok": ok, "notes": list(plan.notes), "proof": plan_json(plan)["proof"]}


def markdown(doc: dict[str, Any]) -> str:
    """The table for people."""
    lines = [
        "# Brackets on this host",
        "",
        f"`edgefit plan --device host`, then pick and next afresh and in turns, {doc['repeats']} times; median repeat "
        f"(lowest to highest). {doc['cpu']}, {doc['cores']} cores, {doc['threads']} threads, "
        f"ai-edge-litert {doc['versions']['ai-edge-litert']}, {doc['date']}. Measured on host, p90, untrained int8.",
        "",
        "| budget ms | pick | plan ms | afresh ms | of budget | next | plan ms | afresh ms | of budget | plan took "
        "| load average | |",
        "|--:|---|--:|--:|--:|---|--:|--:|--:|--:|--:|---|",
    ]
    for row in doc["rows"]:
        cells = [f"{row['budget_ms']:g}"]
        for found in (row["pick"], row["next"]):
            if found is None:
                cells += ["none", "", "", ""]
                continue
            again = found["afresh_p90_ms"]
            spread = f"{found['afresh_median_ms']:.2f} ({min(again):.2f} to {max(again):.2f})"
            cells += [found["label"], f"{found['plan_p90_ms']:.2f}", spread, f"{found['ratio']:.3f}"]
        load = " to ".join(f"{value:.1f}" for value in row["load_average"])
        cells += [f"{row['plan_s']:.0f} s", load, "holds" if row["ok"] else "does not hold"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Held: the pick afresh is .80 to 1.05 of the budget, the next one at least .97."]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--budgets", nargs="+", type=float, default=[4, 8, 16, 32])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    host = environment()
    doc: dict[str, Any] = {
        "schema": "edgefit.host-brackets/1",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": host["cpu"],
        "cores": host["cores"],
        "os": host["os"],
        "versions": host["versions"],
        "threads": args.threads,
        "repeats": args.repeats,
        "rows": [one_budget(budget_ms, args.threads, args.repeats) for budget_ms in args.budgets],
    }
    args.out.mkdir(parents=True, exist_ok=True)
    for name, text in (("json", json.dumps(doc, indent=1) + "\n"), ("md", markdown(doc))):
        part = args.out / f".host_brackets.{name}"
        part.write_text(text, encoding="utf-8")
        part.replace(args.out / f"host_brackets.{name}")
    print(markdown(doc))
    return 0 if all(row["ok"] for row in doc["rows"]) else 1


if __name__ == "__main__":
    sys.exit(main())
