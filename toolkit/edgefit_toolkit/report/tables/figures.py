"""The latency table: int8 against float against the reference, every latency with its origin.

A line is one figure (a latency on one target, an accuracy, a size), a column one network. COLUMNS is the one place
that names the columns; a column may also show what was measured behind a line.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgefit_toolkit.report import words
from edgefit_toolkit.report.schema import ReportDoc
from edgefit_toolkit.report.schema.plan import at_percentile
from edgefit_toolkit.report.schema.results import MeasurementDoc, ScoreDoc
from edgefit_toolkit.report.tables import EMPTY, Cell, Column, Table


@dataclass(frozen=True)
class Figure:
    """One line: its cells, and for a measured latency what they were made from, both by network."""

    name: str
    cells: dict[str, Cell]  # "int8", "float", "reference"
    measured: dict[str, MeasurementDoc] = field(default_factory=dict)

    def cell(self, network: str) -> Cell:
        """What this line says of a network; EMPTY where it says nothing."""
        return self.cells.get(network, EMPTY)


COLUMNS: tuple[Column, ...] = (
    Column("Figure", lambda figure: figure.name),
    Column("int8 .tflite", lambda figure: figure.cell("int8"), short="int8"),
    Column("float .tflite", lambda figure: figure.cell("float"), short="float"),
    Column("float torch (reference)", lambda figure: figure.cell("reference"), short="reference"),
)


def table(doc: ReportDoc) -> Table:
    """The table of one run."""
    caption = "The same weights and the same test pictures. Every latency says how it is known."
    return Table("Comparison of int8, float and reference", caption, COLUMNS, figures(doc), css="compare")


def figures(doc: ReportDoc) -> list[Figure]:
    """The lines of one run."""
    return [*latencies(doc), *_answers(doc)]


def latencies(doc: ReportDoc) -> list[Figure]:
    """The prediction, every target that was measured, the reference."""
    lines = []
    pick, percentile = doc["plan"]["pick"], doc["plan"]["percentile"]
    if pick is not None:
        latency = pick["latency_ms"]
        note = f"{words.level(latency['origin'])} {words.number(latency['low'])}–{words.ms(latency['high'])}"
        main = f"p{percentile} {words.ms(at_percentile(latency, percentile))}"
        lines.append(Figure(f"Latency on {doc['plan']['device']}", {"int8": Cell(main, note, latency["origin"])}))
    by_target: dict[str, dict[str, MeasurementDoc]] = {}
    for row in doc["measurements"]:
        by_target.setdefault(where(row), {})[row["model"]] = row
    for target, pair in by_target.items():
        cells = {model: _latency_cell(row) for model, row in pair.items()}
        lines.append(Figure(f"Latency on {target}", cells, pair))
    reference = doc["reference"]
    p90 = f", p90 {words.ms(reference['p90_ms'])}" if "p90_ms" in reference else ""
    cell = Cell(f"p50 {words.ms(reference['p50_ms'])}{p90}", origin="measured on host")
    lines.append(Figure(f"Latency on {reference['hardware']}, {reference['dtype']}, torch", {"reference": cell}))
    return lines


def _answers(doc: ReportDoc) -> list[Figure]:
    """Accuracy, size, agreement, input and output."""
    scores, reference, agreement = doc["accuracy"], doc["reference"], doc["agreement"]
    int8, full = doc["models"]["int8"], doc["models"]["float"]
    accuracy = {
        "int8": _score_cell(scores["int8_tflite"]),
        "float": _score_cell(scores["float_tflite"]),
        "reference": Cell(words.percent(reference["top1"]), f"n = {reference['n']:,}" if "n" in reference else ""),
    }
    ratio = f"{full['size_bytes'] / int8['size_bytes']:.1f} times smaller than float"
    sizes = {"int8": Cell(words.size(int8["size_bytes"]), ratio), "float": Cell(words.size(full["size_bytes"]))}
    note = f"n = {agreement['n']:,}; SQNR {agreement['sqnr_db']:.1f} dB"
    ends = {
        name: Cell(model["io_dtype"], _partitions(model["partitions"]))
        for name, model in (("int8", int8), ("float", full))
    }
    return [
        Figure("Top-1 on test pictures", accuracy),
        *_over_classes(doc),
        Figure("File size", sizes),
        Figure("Same first answer as float", {"int8": Cell(words.percent(agreement["top1"]), note)}),
        Figure("Input and output", ends),
    ]


def _over_classes(doc: ReportDoc) -> list[Figure]:
    """Top-1 with every class counting once, beside the mean over pictures."""
    if "balance" not in doc:
        return []
    balance = doc["balance"]
    note = f"each class counts once; {words.plural(balance['classes'], 'class', 'classes')} with test pictures"
    return [Figure("Top-1, mean over classes", {"int8": Cell(words.percent(balance["mean_recall"]), note)})]


def where(row: MeasurementDoc) -> str:
    """Target, delegate, threads, runtime: everything that a latency depends on."""
    runtime = f", {row['runtime']}" if "runtime" in row else ""
    return f"{row['target']}, {row['delegate']}, {words.plural(row['threads'], 'thread')}{runtime}"


def timed(doc: ReportDoc) -> list[MeasurementDoc]:
    """Measurements whose milliseconds are a latency."""
    return [row for row in doc["measurements"] if not row.get("emulated")]


def _latency_cell(row: MeasurementDoc) -> Cell:
    if row.get("emulated"):
        return Cell("not a latency", "it ran in an emulator; only its answers count")
    note = f"p99 {words.ms(row['p99_ms'])}; {words.plural(len(row['samples_ms']), 'sample')}"
    return Cell(f"p50 {words.ms(row['p50_ms'])}, p90 {words.ms(row['p90_ms'])}", note, row["origin"])


def _score_cell(score: ScoreDoc) -> Cell:
    if "low" in score and "high" in score:
        return Cell(words.percent(score["top1"]), f"{words.interval(score['low'], score['high'])}, n = {score['n']:,}")
    return Cell(words.percent(score["top1"]), f"n = {score['n']:,}")


def _partitions(count: int) -> str:
    return "one XNNPACK partition, nothing falls back" if count == 1 else f"{count} XNNPACK partitions"
