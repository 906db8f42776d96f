"""Many budgets on many devices, from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefit_toolkit.api.console import listener
from edgefit_toolkit.api.fit import settings_of
from edgefit_toolkit.errors import DeviceError
from edgefit_toolkit.progress import Progress, Ui

if TYPE_CHECKING:
    from edgefit_toolkit.report.schema.sweep import SweepDoc


@dataclass(frozen=True)
class Sweep:
    """A finished sweep: its folder and its document, schema edgefit.sweep/1."""

    path: Path
    report: SweepDoc

    @property
    def exit_code(self) -> int:
        """What the command line ends with: 0 where every cell has a model that fits, else the gravest cell's."""
        lost = any("reason" in row for row in self.report.get("fleet", []))
        return max([cell.get("exit_code", 0) for cell in self.report["cells"]] + [DeviceError.exit_code] * lost)

    def __str__(self) -> str:
        sentences = [device["sentence"] for device in self.report["devices"] if device["sentence"]]
        return "\n".join([*sentences, f"  {self.path / 'sweep.html'}"])


def sweep(
    budgets_ms: Sequence[float],
    devices: Sequence[str],
    data: str | Path | None = None,
    out: str | Path | None = None,
    *,
    seeds: int = 1,
    workers: int | str | None = None,
    everywhere: Mapping[str, Sequence[str]] | None = None,
    on_progress: Progress | Ui | None = None,
    **choices: Any,
) -> Sweep:
    """Fit every budget (ms) on every device with `seeds` seeds; each distinct network is trained, converted and
    guarded once, and a broken or finished sweep in `out` goes on where it was.

    `workers` networks are made at once (None: as memory and cores allow), or it is a Ray cluster's address, or "auto".
    `everywhere` times every network on all that is attached, and on what it names as the flags do, such as
    {"host": ["user@board"]}. A device that is not found by its profile alone is "rpi5:host=user@board".
    `choices` are further fields of FitSettings, as of `fit`; `seed` is the first one. A cell that fails is a row of
    `report["cells"]` with its reason. Raises InputError and its kinds for what no cell can be made of.
    """
    from edgefit_toolkit.pipeline.sweep import sweep as made
    from edgefit_toolkit.pipeline.sweep.fleet import Everywhere
    from edgefit_toolkit.pipeline.sweep.grid import cells_of, default_out
    from edgefit_toolkit.pipeline.sweep.plan import Site

    place = None if data is None else str(data)
    common = settings_of(budget_ms=0.0, device="", data=place, **choices)
    cells = cells_of(common, tuple(budgets_ms), tuple(devices), seeds)
    path = default_out(common) if out is None else Path(out)
    call = f"edgefit.sweep({list(budgets_ms)}, {list(devices)}, {place!r}, {str(path)!r}, seeds={seeds})"
    with listener(on_progress) as ui:
        site = Site(path, ui, call)
        jobs, ray = (None, workers) if isinstance(workers, str) else (workers, None)
        there = None if everywhere is None else Everywhere(everywhere, threads=common.threads)
        return Sweep(path, made.sweep(cells, site, jobs=jobs, ray=ray, everywhere=there))
