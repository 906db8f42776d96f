"""Tables of the classes: recall, and what is taken for what."""

from __future__ import annotations

from edgefit_toolkit.report import words
from edgefit_toolkit.report.schema import RecallDoc, ReportDoc
from edgefit_toolkit.report.tables import Column, Table

MOST_IN_MATRIX = 16  # classes that fit side by side
MOST_CONFUSED = 12  # pairs

RECALL = (
    Column("Class", lambda row: row["label"]),
    Column("Recall", lambda row: words.percent(row["recall"]), "num"),
    Column("95% interval", lambda row: words.interval(row["low"], row["high"]) if "low" in row else "", "num"),
    Column("Pictures", lambda row: f"{row['n']}", "num"),
)
CONFUSED = (
    Column("Truth", lambda row: row[0]),
    Column("Answer", lambda row: row[1]),
    Column("Pictures", lambda row: f"{row[2]}", "num"),
)


def recall(doc: ReportDoc) -> Table:
    """int8 on the test pictures of each class."""
    rows: list[RecallDoc] = doc.get("per_class", [])
    return Table("Recall per class", "int8 on test", RECALL, rows)


def confused(doc: ReportDoc) -> Table:
    """(truth, answer, pictures) of the most frequent mistakes."""
    table = doc.get("confusion")
    labels = table["labels"] if table else []
    pairs = [
        (labels[i], labels[j], count)
        for i, row in enumerate(table["matrix"] if table else [])
        for j, count in enumerate(row)
        if i != j and count
    ]
    caption = f"{len(labels)} classes; the most frequent mistakes of int8 on test. The whole matrix is in report.json."
    rows = sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))[:MOST_CONFUSED]
    return Table("Most frequent mistakes", caption, CONFUSED, rows)


def operators(doc: ReportDoc) -> Table:
    """Operators of both files, the most frequent of int8 first."""
    int8, full = doc["models"]["int8"]["ops"], doc["models"]["float"]["ops"]
    columns = (
        Column("Operator", lambda op: op, "mono"),
        Column("int8", lambda op: f"{int8.get(op, 0)}", "num"),
        Column("float", lambda op: f"{full.get(op, 0)}", "num"),
    )
    names = sorted({*int8, *full}, key=lambda op: (-int8.get(op, 0), -full.get(op, 0), op))
    return Table("Operators", "Operators, read back from the files.", columns, names, css="tight")
