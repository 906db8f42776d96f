"""The sweep in four numbered stages; killed, it goes on where it was.

1. pick      a network for each cell (plan.py); the distinct ones among them
2. networks  each trained, converted, guarded and evaluated once, several at a time where a pool does them
3. cells     each a whole run that takes its network over; what is attached is measured, one thing at a time, and then
             every network on the whole fleet where that is asked for
4. report    sweep.json, sweep.md, sweep.html
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from edgefit_toolkit import __version__
from edgefit_toolkit.devices import load_profile
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.latency.predict import predict
from edgefit_toolkit.network.families import family_named
from edgefit_toolkit.network.scaling import released
from edgefit_toolkit.pipeline.run_directory.run import locked
from edgefit_toolkit.pipeline.sweep import rows
from edgefit_toolkit.pipeline.sweep.fleet import Everywhere, Fleet, Phones, known_rows
from edgefit_toolkit.pipeline.sweep.grid import Cell, Network
from edgefit_toolkit.pipeline.sweep.plan import Site, SweepPlan, plan_sweep
from edgefit_toolkit.pipeline.sweep.work import Failure, Nested, Work, do
from edgefit_toolkit.report.schema.sweep import ReleasedDoc, SweepCellDoc, SweepDoc
from edgefit_toolkit.report.sweep import sentence, steps, sweep_html, sweep_markdown

STAGES = 4
EVALUATED, MEASURED, REPORTED = 6, 7, 8  # the last stages of a network's and a cell's run
DOCUMENT = "sweep.json"

Pool = Callable[[Sequence[Work]], Iterator[tuple[Work, Failure | None]]]  # in any order


def sweep(
    cells: list[Cell],
    site: Site,
    *,
    jobs: int | None = None,
    ray: str | None = None,
    everywhere: Everywhere | None = None,
) -> SweepDoc:
    """Plan, say what it will cost, and do it: `jobs` networks at once on this machine (None: as memory and cores
    allow), or by the Ray cluster at the address `ray`.

    `everywhere` (None: not asked for) also times every network on everything that is attached or that it names. Raises
    DeviceError where that is nothing, InputError where there is no cluster, and as `run_sweep`.
    """
    if jobs is not None and ray is not None:
        raise InputError("--jobs is for this machine, --ray for a cluster", "leave one of them out")
    with contextlib.ExitStack() as stack:
        pool: Pool | None = None
        phones: Phones | None = None
        if ray is not None:
            from edgefit_toolkit.pipeline.sweep.ray_cluster import Cluster

            pool = cluster = Cluster(ray, site.out)
            stack.callback(cluster.close)
            phones = cluster.phones
            site.ui.note(cluster.summary)
        fleet = None if everywhere is None else Fleet(everywhere, phones)
        if fleet is not None:
            site.ui.note(f"every network will be timed on {', '.join(map(' '.join, fleet.places))}")
        site.ui.stage(1, STAGES, f"pick: {len(cells)} cells")
        plan = plan_sweep(cells, site, prove=True)

        from edgefit_toolkit.pipeline.sweep.cost import costs, said  # only now: torch takes seconds to load
        from edgefit_toolkit.pipeline.sweep.pool import Processes, jobs_here

        dataset = site.load(cells[0].settings, Nested(site.ui), STAGES)
        for line in said(plan, costs(plan, site, dataset), dataset):
            site.ui.note(line)
        if pool is None:
            jobs = min(jobs or jobs_here(len(plan.networks)), len(plan.networks))
            pool = Processes(jobs, site.out / "logs") if jobs > 1 else None
        return run_sweep(plan, site, pool, fleet)


def run_sweep(plan: SweepPlan, site: Site, pool: Pool | None = None, fleet: Fleet | None = None) -> SweepDoc:
    """Make every cell that can be made; the document, which is also written to `site.out`.

    `pool` does the networks' work; None: one after the other, in this process. On `fleet` every network is timed.
    Raises OutputError where the folder cannot be used; what becomes of a cell is a row.
    """
    with locked(site.out, "sweep"):
        doc = _document(plan, site)
        if fleet is not None:
            doc["fleet"] = known_rows(site.out / DOCUMENT)
        _write(doc, site)
        lost = make_networks(plan, site, pool)
        site.ui.stage(3, STAGES, f"cells: {len(plan.cells)} runs, measured and reported")
        for at, cell in enumerate(plan.cells):
            doc["cells"][at] = row = _row(cell, plan, site, lost)
            _tell(row, site)
            _write(doc, site)
        if fleet is not None:
            for timings in fleet.measured(doc, site.out, doc["fleet"]):
                doc["fleet"] = timings
                _write(doc, site)
        site.ui.stage(4, STAGES, "report: what each budget buys")
        judge(doc, site)
        _write(doc, site)
        for name, text in (("sweep.md", sweep_markdown(doc)), ("sweep.html", sweep_html(doc))):
            write_atomic(site.out / name, text)
    return doc


def make_networks(plan: SweepPlan, site: Site, pool: Pool | None) -> dict[str, Failure]:
    """Stage 2; why there is no model, by the names of the networks that have none.

    This host measures a network that some cell needs no device for: in turns with training where one process does all,
    else when nothing trains any more.
    """
    site.ui.stage(2, STAGES, f"networks: {len(plan.networks)} distinct ones, each made once")
    lost: dict[str, Failure] = {}

    def work(network: Network, last: int) -> Work:
        return Work(network.name, network.settings, str(site.made_in(network)), site.command, last)

    def done(number: int, name: str, failure: Failure | None) -> None:
        if failure is None:
            site.ui.note(f"{name}: made, {number} of {len(plan.networks)}")
        else:
            lost[name] = failure
            site.ui.warn(f"{name}: {failure.message}")

    if pool is not None:
        works = [work(network, EVALUATED) for network in plan.networks]
        for number, (finished, failure) in enumerate(pool(works), start=1):
            done(number, finished.name, failure)
    for number, network in enumerate(plan.networks, start=1):
        if network.name in lost:
            continue
        here = any(cell.name in network.cells and cell.settings.device not in plan.attached for cell in plan.cells)
        last = MEASURED if here else EVALUATED
        if pool is None or last == MEASURED:
            failure = do(work(network, last), Nested(site.ui), site.load)
            if pool is None or failure is not None:
                done(number, network.name, failure)
    return lost


def judge(doc: SweepDoc, site: Site) -> None:
    """What each budget buys: steps and sentences, from the cells' answers to the same test pictures."""
    noun = "photograph" if doc["data"]["kind"] == "photographs" else "drawn picture"
    right = {
        cell["run"]: rows.right_answers(site.out / cell["run"]) for cell in doc["cells"] if cell["top1"] is not None
    }
    doc["steps"] = []
    for device in doc["devices"]:
        found = steps(doc["cells"], right, device["name"], noun)
        device["sentence"] = sentence(doc["cells"], found, device["name"], device["title"])
        doc["steps"] += found


def _row(cell: Cell, plan: SweepPlan, site: Site, lost: dict[str, Failure]) -> SweepCellDoc:
    found = plan.picks.get(cell.name)
    network, run_dir = plan.network_of(cell), site.run_of(cell)
    if network is None:
        return rows.failed(cell, found, plan.failed[cell.name], f"cells/{cell.name}")
    if network.name in lost:
        return rows.failed(cell, found, lost[network.name], f"networks/{network.name}")
    donor = str(site.made_in(network))
    failure = do(
        Work(cell.name, cell.settings, str(run_dir), site.command, REPORTED, donor), Nested(site.ui), site.load
    )
    return rows.made(cell, run_dir) if failure is None else rows.failed(cell, found, failure, f"cells/{cell.name}")


def _tell(row: SweepCellDoc, site: Site) -> None:
    where = f"{row['device']}, {row['budget_ms']:g} ms, seed {row['seed']}"
    if row["status"] == "failed":
        site.ui.warn(f"{where}: {row.get('reason', '')}")
    else:
        site.ui.note(f"{where}: {row['network']}, top-1 {row['top1']:.3f}, {row['latency_ms']:.2f} ms {row['origin']}")


def _document(plan: SweepPlan, site: Site) -> SweepDoc:
    """Everything but what the cells will say."""
    first = plan.cells[0].settings
    dataset = site.load(first, site.ui, STAGES)
    used = [(network, site.made_in(network).relative_to(site.out)) for network in plan.networks]
    return {
        "schema": "edgefit.sweep/1",
        "edgefit": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": site.command,
        "percentile": first.percentile,
        "budgets_ms": sorted({cell.settings.budget_ms for cell in plan.cells}),
        "seeds": sorted({cell.settings.seed for cell in plan.cells}),
        "data": {"name": dataset.name, "kind": dataset.kind, "summary": dataset.summary},
        "devices": [
            {"name": name, "title": load_profile(name).title, "sentence": "", "released": _released(name, plan)}
            for name in dict.fromkeys(cell.settings.device for cell in plan.cells)
        ],
        "networks": [
            {"label": network.variant.label, "phi": network.variant.phi, "released": network.variant.released,
             "seed": network.settings.seed, "cells": len(network.cells), "run": path.as_posix()}
            for network, path in used
        ],
        "cells": [rows.waiting(cell, plan.picks.get(cell.name)) for cell in plan.cells],
        "steps": [],
    }  # fmt: skip


def _released(device: str, plan: SweepPlan) -> list[ReleasedDoc]:
    settings, profile = plan.cells[0].settings, load_profile(device)
    found: list[ReleasedDoc] = []
    for name in family_named(settings.family).released:
        latency = predict(released(name), profile, "int8", percentile=settings.percentile)
        at = latency.at(settings.percentile)
        found.append({"name": name, "latency_ms": at, "low": latency.low, "high": latency.high})
    return found


def _write(doc: Any, site: Site) -> None:
    write_atomic(site.out / DOCUMENT, json.dumps(doc, indent=1, allow_nan=False) + "\n")
