"""The document `edgefit.compare/1` as Markdown and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADS = (
    "converter", "float, s", "int8, s", "size", "operators", "partitions", "time / default, 1 thread", "2 threads",
    "step", "same answer as float", "SQNR", "plain: same answer", "SQNR",
)  # fmt: skip


def table(doc: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Heads, and one line of cells for every route."""
    return HEADS, [_cells(doc, row) for row in doc["rows"]]


def markdown(doc: Mapping[str, Any]) -> str:
    """The whole document for people: the table, what it was measured on, and what each route leaves in the graph."""
    lines = [
        f"# Converter routes on {doc['network']}",
        "",
        f"{doc['photographs']}. Measured on {doc['environment']['cpu']}, {doc['environment']['cores']} cores; "
        f"latencies in turns, median over rounds of the ratio of medians to {doc['default']}'s of the same round "
        '(smallest to largest). "Plain" is the ladder\'s first step.',
        "",
        "| " + " | ".join(HEADS) + " |",
        "|" + "---|" * len(HEADS),
    ]  # fmt: skip
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in table(doc)[1]]
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


def _cells(doc: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[str, ...]:
    float_s = f"{row['float_seconds']:.1f}" if "float_seconds" in row else ""
    if "error" in row:
        return (row["converter"], float_s, *[""] * 6, "failed", *[""] * 4)
    first = row["steps"][0]
    return (
        row["converter"],
        float_s,
        f"{row['int8_seconds']:.1f}",
        f"{row['size_bytes'] / 1e6:.2f} MB",
        str(sum(row["ops"].values())),
        str(row["partitions"]) + (f", outside: {', '.join(row['fallback'])}" if row["fallback"] else ""),
        _ratio(doc, row["converter"], 1),
        _ratio(doc, row["converter"], 2),
        row["step"],
        f"{row['agreement']:.3f} (n {row['n']})",
        f"{row['sqnr_db']:.1f} dB",
        f"{first['agreement']:.3f}",
        f"{first['sqnr_db']:.1f} dB",
    )


def _ratio(doc: Mapping[str, Any], converter: str, threads: int) -> str:
    for timed in doc["latencies"]:
        if (timed["converter"], timed["threads"]) == (converter, threads):
            return f"{timed['ratio']:.3f} ({min(timed['ratios']):.3f} to {max(timed['ratios']):.3f})"
    return ""
