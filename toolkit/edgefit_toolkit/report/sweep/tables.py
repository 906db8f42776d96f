"""The sweep's tables: a cell of the grid a row, a network on an attached phone or board a row."""

from __future__ import annotations

from edgefit_toolkit.report import words
from edgefit_toolkit.report.schema.sweep import FleetRowDoc, SweepCellDoc, SweepDoc
from edgefit_toolkit.report.tables import EMPTY, Cell, Column, Table


def cells(doc: SweepDoc) -> Table:
    """One row a cell, linked to its run."""
    columns = [
        Column("Device, budget", lambda row: Cell(_where(row), href=f"{row['run']}/report.html" if _ran(row) else "")),
        Column("Network", _network, short="network"),
        Column(f"p{doc['percentile']} latency", _latency, css="lat", short="latency"),
        Column("int8 top-1", _top1, short="top-1"),
        Column("Same answer as float", _agreement, css="short", short="as float"),
        Column("File", _size, css="num", short="file"),
        Column("Budget", _status, short="budget"),
    ]
    _tell_seeds(columns, doc)
    caption = "One row a cell, linked to its own report. Top-1 on the test pictures with its 95% interval."
    return Table("Cells of the sweep", caption, columns, doc["cells"], css="compare")


def fleet(doc: SweepDoc) -> Table | None:
    """Every network on everything that is attached; None where that was not asked for."""
    if "fleet" not in doc:
        return None
    columns = [
        Column("Network", lambda row: row["network"]),
        Column("Device", lambda row: row["target"], short="device"),
        Column("p50", lambda row: _measured(row, "p50_ms"), css="lat", short="p50"),
        Column("p90", lambda row: _measured(row, "p90_ms"), css="lat", short="p90"),
        Column("How", _how, short="how"),
    ]
    _tell_seeds(columns, doc)
    caption = "The int8 model of every network, one at a time on each device."
    return Table("Networks on what is attached", caption, columns, doc["fleet"], css="compare")


def _tell_seeds(columns: list[Column], doc: SweepDoc) -> None:
    if len(doc["seeds"]) > 1:
        columns.insert(1, Column("Seed", lambda row: str(row["seed"]), css="num", short="seed"))


def _where(row: SweepCellDoc) -> str:
    return f"{row['device']}, {row['budget_ms']:g} ms"


def _ran(row: SweepCellDoc) -> bool:
    """Whether there is a page to read."""
    return row["status"] in ("fits", "misses") or row["run"].startswith("networks/")


def _network(row: SweepCellDoc) -> Cell:
    return Cell(row["network"], "released by Google" if row.get("released") else "") if row["network"] else EMPTY


def _latency(row: SweepCellDoc) -> Cell:
    latency_ms, origin = row["latency_ms"], row["origin"]
    if latency_ms is None or origin is None:
        return EMPTY
    low, high = row.get("latency_low_ms"), row.get("latency_high_ms")
    note = f"{words.level(origin)} {words.number(low)}–{words.ms(high)}" if low is not None and high is not None else ""
    return Cell(words.ms(latency_ms), note, origin)


def _top1(row: SweepCellDoc) -> Cell:
    if row["top1"] is None or row["low"] is None or row["high"] is None:
        return EMPTY
    beside = row.get("float_top1")
    floats = f"; float {words.percent(beside)}" if beside is not None else ""
    return Cell(words.percent(row["top1"]), f"{words.interval(row['low'], row['high'])} of {row['n']}{floats}")


def _agreement(row: SweepCellDoc) -> Cell:
    agreement = row.get("agreement")
    return EMPTY if agreement is None else Cell(words.percent(agreement))


def _size(row: SweepCellDoc) -> Cell:
    size_bytes = row.get("size_bytes")
    return EMPTY if size_bytes is None else Cell(words.size(size_bytes))


def _status(row: SweepCellDoc) -> Cell:
    if row["status"] == "failed":
        return Cell("failed", "; next: ".join(part for part in (row.get("reason"), row.get("next")) if part))
    return Cell({"fits": "fits", "misses": "does not fit", "waiting": "not yet made"}[row["status"]])


def _measured(row: FleetRowDoc, name: str) -> Cell:
    measured = row.get("measurement")
    if measured is None:
        return EMPTY
    return Cell(words.ms(measured[name]), "", measured["origin"])  # type: ignore[literal-required]


def _how(row: FleetRowDoc) -> str:
    measured = row.get("measurement")
    if measured is None:
        return f"not timed: {row.get('reason', '')}; next: {row.get('next', '')}"
    runtime = measured.get("runtime", "")
    return f"{runtime}, {measured['delegate']}, {measured['threads']} threads, {len(measured['samples_ms'])} samples"
