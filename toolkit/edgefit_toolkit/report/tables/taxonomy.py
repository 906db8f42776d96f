"""Tables of the answers up a taxonomy: what each rank says, and what another wanted precision would give."""

from __future__ import annotations

from edgefit_toolkit.report import words
from edgefit_toolkit.report.rollup import share
from edgefit_toolkit.report.schema import ReportDoc
from edgefit_toolkit.report.tables import Column, Table

RANKS = (
    Column("Rank", lambda row: row["rank"]),
    Column("Names", lambda row: f"{row['names']:,}", "num"),
    Column("Likeliest name right", lambda row: words.percent(row["accuracy"]), "num"),
    Column("Sure from", lambda row: words.percent(row["threshold"], 0) if "threshold" in row else "never", "num"),
    Column("Answered here", lambda row: words.percent(row["answered"]), "num"),
    Column("Of these right", lambda row: share(row["precision"]), "num"),
)
CURVE = (
    Column("Precision wanted", lambda row: words.percent(row["precision_wanted"], 0)),
    Column("Class alone: answered", lambda row: words.percent(row["flat"]["answered"]), "num"),
    Column("right", lambda row: share(row["flat"]["precision"]), "num"),
    Column("Taxonomy: answered", lambda row: words.percent(row["tree"]["answered"]), "num"),
    Column("right", lambda row: share(row["tree"]["precision"]), "num"),
)


def ranks(doc: ReportDoc) -> Table:
    """A line for each rank; none without a taxonomy."""
    found = doc.get("taxonomy")
    caption = "int8 on test, from fine to coarse. A picture is answered at the finest rank that is sure enough."
    return Table("Answers by rank", caption, RANKS, found["tree"]["by_rank"] if found else [])


def curve(doc: ReportDoc) -> Table:
    """Precision against answers given, with and without the taxonomy."""
    found = doc.get("taxonomy")
    caption = "int8 on test; thresholds chosen on val for each wanted precision."
    return Table("Precision against answers given", caption, CURVE, found["curve"] if found else [])
