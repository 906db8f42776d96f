"""Every network of a sweep on every attached phone and board, one model after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgefit_benchmarks.fleet import measure_member, members
from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_toolkit.pipeline.report_rows import measurement_doc
from edgefit_toolkit.pipeline.sweep.plan import Site
from edgefit_toolkit.report.schema import SweepDoc
from edgefit_toolkit.report.schema.sweep import FleetRowDoc

Named = Mapping[str, Sequence[str]]  # flag of a kind of target -> what it names, beside what is attached


def check(named: Named) -> None:
    """Raises DeviceError where there is nothing to measure on, before anything is trained for it."""
    members(named)


def measured(doc: SweepDoc, site: Site, named: Named, threads: int | None) -> list[FleetRowDoc]:
    """A row for each member and network that has a model: its times, or why there are none."""
    found: list[FleetRowDoc] = []
    for member in members(named):
        site.ui.note(f"timing on {member.label}")
        for network in doc["networks"]:
            path = site.out / network["run"] / "model_int8.tflite"
            if not path.is_file():  # the guard said no
                continue
            row = measure_member(member, path, TimingOptions(), model="int8", threads=threads)
            shown: Any = {"network": network["label"], "seed": network["seed"], "target": row.label}
            if row.measurement is None:
                shown |= {"reason": row.reason, "next": row.hint}
            else:
                shown |= {"measurement": measurement_doc(row.measurement)}
            found.append(shown)
    return found
