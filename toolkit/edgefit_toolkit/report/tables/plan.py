"""Tables of the plan: the pick and the next network up, and what was measured before training."""

from __future__ import annotations

from edgefit_toolkit.report import words
from edgefit_toolkit.report.schema.plan import LatencyDoc, PlanDoc, at_percentile
from edgefit_toolkit.report.tables import Cell, Column, Table


def candidates(plan: PlanDoc) -> Table:
    """The pick and the next one; a row is (what it is, CandidateDoc)."""
    percentile = plan["percentile"]
    pair = (("pick", plan["pick"]), ("next, does not fit", plan["next"]))
    columns = (
        Column("Network", lambda row: Cell(words.name_of(row[1]), row[0])),
        Column("φ", lambda row: f"{row[1]['phi']:.3f}", "num"),
        Column("Width", lambda row: f"{row[1]['width']:.3f}", "num"),
        Column("Depth", lambda row: f"{row[1]['depth']:.3f}", "num"),
        Column("Input", lambda row: f"{row[1]['resolution_px']} px", "num"),
        Column("MAdds", lambda row: words.millions(row[1]["madds"]), "num"),
        Column("Weights", lambda row: words.millions(row[1]["params"]), "num"),
        Column(f"p{percentile} latency", lambda row: _latency(row[1]["latency_ms"], percentile), "lat"),
    )
    return Table(
        "Pick and next network",
        f"The pick, and the next network up, whose p{percentile} does not fit.",
        columns,
        [row for row in pair if row[1] is not None],
    )


def proof(plan: PlanDoc) -> Table:
    """What was measured before training, in that order; a row is a ProofDoc."""
    columns = (
        Column("Network", words.name_of),
        Column("Input", lambda row: f"{row['resolution_px']} px", "num"),
        Column("p50", lambda row: words.ms(row["latency_ms"]["p50"]), "num"),
        Column("p90", lambda row: words.ms(row["latency_ms"]["p90"]), "num"),
        Column("95% interval", lambda row: _bounds(row["latency_ms"]), "num"),
        Column(f"p{plan['percentile']} of each round, ms", lambda row: ", ".join(map(words.number, row["rounds_ms"]))),
        Column(
            "Verdict",
            lambda row: Cell("fits" if row["fits"] else "does not fit", origin=row["latency_ms"]["origin"]),
            "lat",
        ),
    )
    caption = (
        "Untrained int8 networks of the same graphs, in the order of measuring; latency does not depend on the "
        "weights. Of several rounds the one nearest to the usual pace of this device is shown."
    )
    return Table("Proof", caption, columns, plan.get("proof", []))


def _latency(latency: LatencyDoc, percentile: int) -> Cell:
    note = f"{words.level(latency['origin'])} {_bounds(latency)}"
    return Cell(words.ms(at_percentile(latency, percentile)), note, latency["origin"])


def _bounds(latency: LatencyDoc) -> str:
    return f"{words.number(latency['low'])}–{words.ms(latency['high'])}"
