"""Tables of the classes: recall, and what is taken for what."""

from __future__ import annotations

from edgefit_toolkit.report import words
from edgefit_toolkit.report.schema import ReportDoc
from edgefit_toolkit.report.schema.results import RecallDoc
from edgefit_toolkit.report.tables import Column, Table

MOST_IN_MATRIX = 16  # classes that fit side by side
MOST_CONFUSED = 12  # pairs; of many classes twice as many
MANY = 40  # classes: from here on one wants to search
MOST_ROWS = 3000  # of a page that stays below 2 MB
WEAKEST = 24  # classes, where not all are shown

RECALL = (
    Column("Class", lambda row: row["label"]),
    Column("Recall", lambda row: words.percent(row["recall"]), "num"),
    Column("95% interval", lambda row: words.interval(row["low"], row["high"]) if "low" in row else "", "num"),
    Column("Pictures", lambda row: f"{row['n']}", "num"),
)
TRAIN = Column("Trained on", lambda row: f"{row['train']:,}" if "train" in row else "", "num")
CONFUSED = (
    Column("Truth", lambda row: row[0]),
    Column("Answer", lambda row: row[1]),
    Column("Pictures", lambda row: f"{row[2]}", "num"),
)
SHOTS_WORDS = {"many": "many: over 100", "medium": "medium: 20 to 100", "few": "few: under 20"}
SHOTS = (
    Column("Training pictures", lambda row: SHOTS_WORDS[row["name"]]),
    Column("Classes", lambda row: f"{row['classes']:,}", "num"),
    Column("Mean over classes", lambda row: words.percent(row["mean_recall"]), "num"),
    Column("Mean over pictures", lambda row: words.percent(row["top1"]["top1"]), "num"),
    Column(
        "95% interval",
        lambda row: words.interval(row["top1"]["low"], row["top1"]["high"]) if "low" in row["top1"] else "",
        "num",
    ),
    Column("Pictures", lambda row: f"{row['top1']['n']:,}", "num"),
)


def weakest(doc: ReportDoc) -> list[RecallDoc]:
    """Every class that was tested, the weakest first; of equally weak ones the one with more pictures."""
    return sorted(doc.get("per_class", []), key=lambda row: (row["recall"], -row["n"]))


def recall(doc: ReportDoc) -> Table:
    """int8 on the test pictures of each class; of many classes the weakest first, what each is taken for, a search."""
    rows = doc.get("per_class", [])
    if len(rows) <= MANY:
        return Table("Recall per class", "int8 on test", RECALL, rows)
    taken_for: dict[str, tuple[str, int]] = {}
    for truth, answer, count in mistakes(doc):
        taken_for.setdefault(truth, (answer, count))

    def mistaken(row: RecallDoc) -> str:
        answer, count = taken_for.get(row["label"], ("", 0))
        return f"{answer} ({count})" if count else ""

    columns = (*RECALL, TRAIN, Column("Most often taken for", mistaken))
    rest = f"; the {len(rows) - MOST_ROWS:,} strongest are in report.json only" if len(rows) > MOST_ROWS else ""
    caption = f"int8 on test, the weakest class first{rest}"
    return Table("Recall per class", caption, columns, weakest(doc)[:MOST_ROWS], search="Find a class")


def shots(doc: ReportDoc) -> Table:
    """Classes with many, medium and few training pictures; no rows where all classes are of one kind."""
    rows = doc.get("balance", {}).get("shots", [])
    caption = "int8 on test, by how many training pictures a class had"
    return Table("Accuracy by training pictures", caption, SHOTS, rows if len(rows) > 1 else [])


def untested(doc: ReportDoc) -> list[str]:
    """Classes without a test picture; empty where recall per class is not reported."""
    tested = {row["label"] for row in doc.get("per_class", [])}
    return [name for name in doc["data"]["classes"] if name not in tested] if tested else []


def mistakes(doc: ReportDoc) -> list[tuple[str, str, int]]:
    """(truth, answer, pictures), the most frequent first."""
    table = doc.get("confusion")
    if table is None:
        return []
    counts = table.get("mistakes") or [
        (i, j, count)
        for i, row in enumerate(table.get("matrix", []))
        for j, count in enumerate(row)
        if i != j and count
    ]
    pairs = [(table["labels"][i], table["labels"][j], count) for i, j, count in counts]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))


def confused(doc: ReportDoc) -> Table:
    """(truth, answer, pictures) of the most frequent mistakes."""
    labels = doc["confusion"]["labels"] if "confusion" in doc else []
    most = MOST_CONFUSED if len(labels) <= MANY else 2 * MOST_CONFUSED
    where = "The whole matrix is" if "matrix" in doc.get("confusion", {}) else "More of them are"
    caption = f"{len(labels)} classes; the most frequent mistakes of int8 on test. {where} in report.json."
    return Table("Most frequent mistakes", caption, CONFUSED, mistakes(doc)[:most])


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
