"""The converter routes side by side (`edgefit.compare/1`), as Markdown and as lines for a terminal."""

from __future__ import annotations

from typing import Any

from edgefit_toolkit.report.schema.routes import RouteDoc, RoutesDoc
from edgefit_toolkit.report.schema.validation import check
from edgefit_toolkit.report.tables import Column


def columns(doc: RoutesDoc) -> tuple[Column, ...]:
    """The table's columns; a row is a RouteDoc. Of a route without an int8 file most stay empty."""

    def of_int8(text: Any, without: str = "") -> Any:
        return lambda row: without if "error" in row else text(row)

    def ratio(threads: int) -> Any:
        return of_int8(lambda row: _ratio(doc, row, threads))

    return (
        Column("converter", lambda row: row["converter"]),
        Column("float, s", lambda row: f"{row['float_seconds']:.1f}" if "float_seconds" in row else ""),
        Column("int8, s", of_int8(lambda row: f"{row['int8_seconds']:.1f}")),
        Column("size", of_int8(lambda row: f"{row['size_bytes'] / 1e6:.2f} MB")),
        Column("operators", of_int8(lambda row: str(sum(row["ops"].values())))),
        Column("partitions", of_int8(_partitions)),
        Column("time / default, 1 thread", ratio(1)),
        Column("2 threads", ratio(2)),
        Column("step", of_int8(lambda row: row["step"], "failed")),
        Column("same answer as float", of_int8(lambda row: f"{row['agreement']:.3f} (n {row['n']})")),
        Column("SQNR", of_int8(lambda row: f"{row['sqnr_db']:.1f} dB")),
        Column("plain: same answer", of_int8(lambda row: f"{row['steps'][0]['agreement']:.3f}")),
        Column("SQNR", of_int8(lambda row: f"{row['steps'][0]['sqnr_db']:.1f} dB")),
    )


def table(doc: RoutesDoc) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Heads, and one line of cells for every route."""
    shown = columns(doc)
    lines = [tuple(column.of(row).main for column in shown) for row in doc["rows"]]
    return tuple(column.title for column in shown), lines


def markdown(doc: RoutesDoc | dict[str, Any]) -> str:
    """The whole document for people: the table, what it was measured on, and what each route leaves in the graph.

    Raises InputError for a document that is not valid.
    """
    doc = check(doc, RoutesDoc)
    heads, rows = table(doc)
    lines = [
        f"# Converter routes on {doc['network']}",
        "",
        f"{doc['photographs']}. Measured on {doc['environment']['cpu']}, {doc['environment']['cores']} cores; "
        f"latencies in turns, median over rounds of the ratio of medians to {doc['default']}'s of the same round "
        '(smallest to largest). "Plain" is the ladder\'s first step.',
        "",
        "| " + " | ".join(heads) + " |",
        "|" + "---|" * len(heads),
    ]  # fmt: skip
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in rows]
    lines += ["", "## Operators and notes", ""]
    for row in doc["rows"]:
        kinds = ", ".join(f"{count} {kind}" for kind, count in row.get("ops", {}).items()) or "no int8 file"
        notes = [*row.get("notes", []), *row.get("left_out", []), *([row["error"]] if "error" in row else [])]
        lines.append(f"- **{row['converter']}** ({row['stack']}): {kinds}" + "".join(f"; {note}" for note in notes))
    said = dict.fromkeys(note for timed in doc["latencies"] for note in timed["notes"])
    lines += ["", *(f"- {note}" for note in said)] if said else []
    versions = {package: number for row in doc["rows"] for package, number in row["versions"].items()}
    lines += ["", ", ".join(f"{package} {number}" for package, number in sorted(versions.items())) + "."]
    lines += [f"edgefit {doc['edgefit']}, {doc['schema']}"]
    return "\n".join(lines) + "\n"


def _partitions(row: RouteDoc) -> str:
    return str(row["partitions"]) + (f", outside: {', '.join(row['fallback'])}" if row["fallback"] else "")


def _ratio(doc: RoutesDoc, row: RouteDoc, threads: int) -> str:
    for timed in doc["latencies"]:
        if (timed["converter"], timed["threads"]) == (row["converter"], threads):
            return f"{timed['ratio']:.3f} ({min(timed['ratios']):.3f} to {max(timed['ratios']):.3f})"
    return ""
