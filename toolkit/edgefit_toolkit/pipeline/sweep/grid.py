"""Budgets times devices times seeds, and the distinct networks among their picks."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgefit_benchmarks.targets import table
from edgefit_toolkit.devices import load_profile
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.picker.plan import Plan
from edgefit_toolkit.picker.rule import check_budget
from edgefit_toolkit.pipeline.run_directory.place import RUNS, place_of
from edgefit_toolkit.pipeline.settings import FitSettings, name_of
from edgefit_toolkit.records import Budget, Variant


@dataclass(frozen=True)
class Cell:
    """One budget on one device with one seed."""

    settings: FitSettings

    @property
    def name(self) -> str:
        """Its folder below cells/."""
        return name_of(self.settings)

    @property
    def label(self) -> str:
        """For people: `8 ms on pixel4, seed 1`."""
        settings = self.settings
        return f"{settings.budget_ms:g} ms on {settings.device}" + (f", seed {settings.seed}" if settings.seed else "")


@dataclass(frozen=True)
class Network:
    """One distinct network: what is trained, converted and guarded once for all its cells."""

    variant: Variant
    settings: FitSettings  # of its own run: the network is chosen, and no device is measured
    cells: tuple[str, ...]  # their names

    @property
    def name(self) -> str:
        """Its folder below networks/."""
        variant = self.variant
        which = variant.released or f"{variant.family}-phi{variant.phi:g}"
        # what its cells' names say beside device and budget: data, seed, epochs, ...
        settings = dataclasses.replace(self.settings, network=None, phi=None)
        rest = name_of(settings).removeprefix(f"{settings.device}-{settings.budget_ms:g}ms-")
        return f"{which}-{variant.resolution_px}px-{rest}"


def cells_of(common: FitSettings, budgets_ms: tuple[float, ...], devices: tuple[str, ...], seeds: int) -> list[Cell]:
    """The grid, device by device, from the smallest budget; `common` is every other setting, its seed the first.

    Raises InputError where a list is empty or names something that is none, before anything is done.
    """
    if not budgets_ms or not devices or seeds < 1:
        raise InputError("a sweep needs a budget, a device and a seed", "such as --budgets-ms 8,16 --devices pixel4")
    for budget_ms in budgets_ms:
        check_budget(Budget(budget_ms))
    places: dict[str, dict[str, str]] = {}
    for device in devices:
        name, where = placed(device)
        if places.setdefault(name, where) != where:
            raise InputError(f"{name} is given at two places", "one a sweep; --measure times every network on several")
    return [
        Cell(dataclasses.replace(common, device=device, budget_ms=budget_ms, seed=common.seed + number,
                                 where=places[device] or common.where))
        for device, budget_ms, number in itertools.product(places, sorted(set(budgets_ms)), range(seeds))
    ]  # fmt: skip


def placed(device: str) -> tuple[str, dict[str, str]]:
    """`rpi5:host=pi@board` -> its profile's name, and where it is, as in FitSettings.where; none: where it is found.

    Raises DeviceUnknown, and InputError where the place is none.
    """
    name, colon, place = device.partition(":")
    flag, _, value = place.partition("=")
    flags = [kind.flag for kind in table.KINDS if kind.flag]
    if colon and (flag not in flags or not value):
        raise InputError(
            f"{device!r} says no place", f"valid: NAME, {', '.join(f'NAME:{known}=...' for known in flags)}"
        )
    return load_profile(name).name, {flag: value} if colon else {}


def default_out(common: FitSettings) -> Path:
    """The folder of a sweep over these pictures: more budgets and devices of the same command join what is there."""
    data = place_of(common.data)
    name = data if common.data is None else Path(data.rpartition(":")[2]).name
    return RUNS / re.sub(r"[^A-Za-z0-9._-]+", "_", f"sweep-{name}")


def networks_of(picks: Iterable[tuple[Cell, Plan]]) -> list[Network]:
    """The distinct networks of these picks, a seed each its own, in the order in which the cells first want them."""
    wanted: dict[tuple[Variant, int], list[Cell]] = {}
    for cell, plan in picks:
        wanted.setdefault((plan.pick.variant, cell.settings.seed), []).append(cell)
    found = []
    for (variant, _), cells in wanted.items():
        settings = dataclasses.replace(
            cells[0].settings, network=variant.released, phi=None if variant.released else variant.phi, measure=False,
            where={},
        )  # fmt: skip
        found.append(Network(variant, settings, tuple(cell.name for cell in cells)))
    return found
