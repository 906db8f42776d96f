"""Every network of a sweep on every attached phone and board; what was timed once is not timed again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edgefit_benchmarks.fleet import Member, measure_member, members
from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.targets import table
from edgefit_toolkit.errors import DeviceError
from edgefit_toolkit.files import sha256_of
from edgefit_toolkit.pipeline.report_rows import measurement_doc
from edgefit_toolkit.report.schema.sweep import FleetRowDoc, SweepDoc

INT8 = "model_int8.tflite"  # of a network's run

Place = tuple[str, str]  # the flag of a kind of target, what it names: ("serial", "1A2B")


@dataclass(frozen=True)
class Everywhere:
    """All that is attached, and more."""

    named: Mapping[str, Sequence[str]] = field(default_factory=dict)  # flag of a kind of target -> what it names
    accept_cost: bool = False  # of hosted devices
    threads: int | None = None  # None: what the devices' profiles say


@dataclass(frozen=True)
class Timing:
    """One network's int8 model on one phone or board."""

    network: str  # its label
    seed: int
    model: str  # path of the file
    place: Place
    threads: int | None
    accept_cost: bool

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.network} on {' '.join(self.place)}"


class Phones(Protocol):
    """What other machines measure on: `ray_phones.ClusterPhones`."""

    @property
    def places(self) -> Sequence[Place]:
        """Where they can."""

    def timed(self, timings: Sequence[Timing]) -> Iterator[tuple[Timing, FleetRowDoc]]:
        """A row for each, as they come."""


class Fleet:
    """All that is attached here or to the machines of `phones`, and what `asked` names.

    Raises DeviceError where that is nothing, before anything is trained for it.
    """

    def __init__(self, asked: Everywhere, phones: Phones | None = None) -> None:
        self.asked, self.phones = asked, phones
        there = tuple(phones.places) if phones else ()
        try:
            here = [(member.kind.flag, member.name) for member in members(asked.named)]
        except DeviceError:
            if not there:
                raise
            here = []
        self.places = (*there, *(place for place in here if place not in there))

    def measured(self, doc: SweepDoc, out: Path, known: Iterable[FleetRowDoc]) -> Iterator[list[FleetRowDoc]]:
        """All rows so far whenever one is there: one for each place and each network that has a model, those that a
        cell stepped down to among them; the times of the same file on the same place are taken from `known`."""
        asked, models = self.asked, _models(doc, out)
        timings = {
            Timing(label, seed, str(model), place, asked.threads, asked.accept_cost): sha256
            for place in self.places
            for sha256, (label, seed, model) in models.items()
        }
        before = {_key(row): row for row in known if "measurement" in row}
        found: dict[Timing, FleetRowDoc] = {}
        for timing, sha256 in timings.items():
            if (row := before.get((sha256, *timing.place))) is not None:
                found[timing] = {**row, "network": timing.network, "seed": timing.seed}
        left = [timing for timing in timings if timing not in found]
        yield [found[timing] for timing in timings if timing in found]
        for timing, row in self._timed(left):
            found[timing] = row
            yield [found[each] for each in timings if each in found]

    def _timed(self, timings: Sequence[Timing]) -> Iterator[tuple[Timing, FleetRowDoc]]:
        there = [timing for timing in timings if self.phones and timing.place in self.phones.places]
        if self.phones and there:
            yield from self.phones.timed(there)
        for timing in timings:
            if timing not in there:
                yield timing, timed(timing)


def timed(timing: Timing) -> FleetRowDoc:
    """Time it on what is attached to this machine; a device that is lost is a row with its reason."""
    kind = next(kind for kind in table.KINDS if kind.flag == timing.place[0])
    member = Member(kind, timing.place[1])
    options = TimingOptions(accept_cost=timing.accept_cost)
    found = measure_member(member, Path(timing.model), options, model="int8", threads=timing.threads)
    if found.measurement is None:
        return not_timed(timing, found.reason, found.hint, found.label)
    row = _row(timing, found.label)
    measurement: Any = measurement_doc(found.measurement)
    row["measurement"] = measurement
    return row


def not_timed(timing: Timing, reason: str, hint: str, target: str | None = None) -> FleetRowDoc:
    """The row that says why there are no times."""
    row = _row(timing, target or " ".join(timing.place))
    row |= {"reason": reason, "next": hint}
    return row


def known_rows(document: Path) -> list[FleetRowDoc]:
    """The rows that an earlier sweep left in its document; none where there is no such document."""
    try:
        rows: list[FleetRowDoc] = json.loads(document.read_bytes()).get("fleet", [])
        return [row for row in rows if _key(row)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _models(doc: SweepDoc, out: Path) -> dict[str, tuple[str, int, Path]]:
    """Label, seed and file of each different int8 model, by its SHA-256; a refused network has none."""
    runs = [(network["label"], network["seed"], network["run"]) for network in doc["networks"]]
    runs += [(cell["network"] or "", cell["seed"], cell["run"]) for cell in doc["cells"] if cell["top1"] is not None]
    files = [(label, seed, out / run / INT8) for label, seed, run in runs]
    found: dict[str, tuple[str, int, Path]] = {}
    for label, seed, model in files:
        if model.is_file():
            found.setdefault(sha256_of(model), (label, seed, model))
    return found


def _row(timing: Timing, target: str) -> FleetRowDoc:
    flag, name = timing.place
    return {"network": timing.network, "seed": timing.seed, "target": target, "flag": flag, "name": name}


def _key(row: FleetRowDoc) -> tuple[str, str, str]:
    return row["measurement"]["model_sha256"] if "measurement" in row else "", row["flag"], row["name"]
