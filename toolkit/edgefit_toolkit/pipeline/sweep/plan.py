"""What a sweep will do: a pick for each cell, and the distinct networks among them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgefit_toolkit.devices import load_profile
from edgefit_toolkit.errors import EdgefitError
from edgefit_toolkit.picker.plan import Plan
from edgefit_toolkit.pipeline.fit import LAST, opened, predict
from edgefit_toolkit.pipeline.measuring.bench import find_bench
from edgefit_toolkit.pipeline.stages.pick import pick
from edgefit_toolkit.pipeline.sweep.grid import Cell, Network, networks_of
from edgefit_toolkit.pipeline.sweep.work import Failure, Load, Nested, read_once
from edgefit_toolkit.progress import Ui


@dataclass(frozen=True)
class Site:
    """Where a sweep works, and how it speaks."""

    out: Path
    ui: Ui
    command: str  # makes the sweep again
    load: Load = field(default_factory=read_once)

    def run_of(self, cell: Cell) -> Path:
        """A cell's run directory."""
        return self.out / "cells" / cell.name

    def made_in(self, network: Network) -> Path:
        """A network's run directory."""
        return self.out / "networks" / network.name


@dataclass(frozen=True)
class SweepPlan:
    """The picks, by the cells' names, and what follows from them."""

    cells: list[Cell]
    picks: dict[str, Plan]
    failed: dict[str, Failure]  # cells without a pick
    networks: list[Network]
    attached: frozenset[str]  # devices that were measured here, and on which the models will be

    def network_of(self, cell: Cell) -> Network | None:
        """What the cell shares; None where nothing fits."""
        return next((network for network in self.networks if cell.name in network.cells), None)


def plan_sweep(cells: list[Cell], site: Site, *, prove: bool) -> SweepPlan:
    """Pick for every cell: by prediction, and on each device that is attached (and `prove` is true) by measuring
    untrained networks there, one cell after the other; a proof is kept in the cell's run."""
    picks: dict[str, Plan] = {}
    failed: dict[str, Failure] = {}
    attached: set[str] = set()
    for cell in cells:
        settings = cell.settings
        try:
            found = predict(settings)
            profile, where = load_profile(settings.device), settings.where
            if prove and settings.measure and find_bench(profile, where, threads=settings.threads):
                attached.add(settings.device)
                with opened(settings, site.run_of(cell), site.ui, command=site.command) as run:
                    found = pick(found, settings, run, Nested(site.ui), LAST)[0]
            picks[cell.name] = found
        except EdgefitError as error:
            failed[cell.name] = Failure.of(error)
    by_cell = [(cell, picks[cell.name]) for cell in cells if cell.name in picks]
    return SweepPlan(cells, picks, failed, networks_of(by_cell), frozenset(attached))
