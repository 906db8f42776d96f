"""What both renderings show: comparison rows, confusion pairs, findings. Words only, no markup."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgefit_toolkit.report import words
from edgefit_toolkit.report.plots import at_percentile
from edgefit_toolkit.report.schema import MeasurementDoc, PlanDoc, ReportDoc, ScoreDoc

MOST_CLASSES_IN_MATRIX = 16


@dataclass(frozen=True)
class Cell:
    """One cell: the figure, a second line, and the origin badge of a latency."""

    main: str
    note: str = ""
    origin: str = ""


EMPTY = Cell("–")


@dataclass(frozen=True)
class Row:
    """One line of the comparison table: int8, float, reference."""

    name: str
    int8: Cell = EMPTY
    float: Cell = EMPTY
    reference: Cell = EMPTY

    @property
    def cells(self) -> tuple[Cell, Cell, Cell]:
        """In column order."""
        return self.int8, self.float, self.reference


def comparison(doc: ReportDoc) -> list[Row]:
    """int8 against float against the reference; every latency with its origin."""
    rows: list[Row] = []
    pick, percentile = doc["plan"]["pick"], doc["plan"]["percentile"]
    if pick is not None:
        latency = pick["latency_ms"]
        note = f"{words.level(latency['origin'])} {words.number(latency['low'])}–{words.ms(latency['high'])}"
        main = f"p{percentile} {words.ms(at_percentile(latency, percentile))}"
        rows.append(Row(f"Latency on {doc['plan']['device']}", Cell(main, note, latency["origin"])))
    for key, pair in _by_target(doc).items():
        cells = {model: _latency_cell(row) for model, row in pair.items()}
        rows.append(Row(f"Latency on {key}", cells.get("int8", EMPTY), cells.get("float", EMPTY)))
    reference = doc["reference"]
    p90 = f", p90 {words.ms(reference['p90_ms'])}" if "p90_ms" in reference else ""
    rows.append(
        Row(
            f"Latency on {reference['hardware']}, {reference['dtype']}, torch",
            reference=Cell(f"p50 {words.ms(reference['p50_ms'])}{p90}", origin="measured on host"),
        )
    )
    scores = doc["accuracy"]
    rows.append(
        Row(
            "Top-1 on test pictures",
            _score_cell(scores["int8_tflite"]),
            _score_cell(scores["float_tflite"]),
            Cell(words.percent(reference["top1"]), f"n = {reference['n']:,}" if "n" in reference else ""),
        )
    )
    int8, full = doc["models"]["int8"], doc["models"]["float"]
    ratio = f"{full['size_bytes'] / int8['size_bytes']:.1f} times smaller than float"
    rows.append(Row("File size", Cell(words.size(int8["size_bytes"]), ratio), Cell(words.size(full["size_bytes"]))))
    agreement = doc["agreement"]
    note = f"n = {agreement['n']:,}; SQNR {agreement['sqnr_db']:.1f} dB"
    rows.append(Row("Same first answer as float", Cell(words.percent(agreement["top1"]), note)))
    rows.append(
        Row(
            "Input and output",
            Cell(int8["io_dtype"], _partitions(int8["partitions"])),
            Cell(full["io_dtype"], _partitions(full["partitions"])),
        )
    )
    return rows


def _by_target(doc: ReportDoc) -> dict[str, dict[str, MeasurementDoc]]:
    found: dict[str, dict[str, MeasurementDoc]] = {}
    for row in doc["measurements"]:
        found.setdefault(where(row), {})[row["model"]] = row
    return found


def where(row: MeasurementDoc) -> str:
    """Target, delegate, threads, runtime: everything that a latency depends on."""
    runtime = f", {row['runtime']}" if "runtime" in row else ""
    return f"{row['target']}, {row['delegate']}, {words.plural(row['threads'], 'thread')}{runtime}"


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


def timed(doc: ReportDoc) -> list[MeasurementDoc]:
    """Measurements whose milliseconds are a latency."""
    return [row for row in doc["measurements"] if not row.get("emulated")]


def confused(doc: ReportDoc, most: int = 12) -> list[tuple[str, str, int]]:
    """(truth, answer, pictures) of the most frequent mistakes."""
    table = doc.get("confusion")
    if table is None:
        return []
    pairs = [
        (table["labels"][i], table["labels"][j], count)
        for i, row in enumerate(table["matrix"])
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))[:most]


def operators(doc: ReportDoc) -> list[tuple[str, int, int]]:
    """(operator, count in int8, count in float), the most frequent first."""
    int8, full = doc["models"]["int8"]["ops"], doc["models"]["float"]["ops"]
    names = sorted({*int8, *full}, key=lambda op: (-int8.get(op, 0), -full.get(op, 0), op))
    return [(op, int8.get(op, 0), full.get(op, 0)) for op in names]


def verdict_words(doc: ReportDoc) -> str:
    """`Fits` or `Does not fit`, with the gap."""
    verdict = doc["verdict"]
    gap = words.gap(verdict["budget_ms"] - verdict["latency_ms"], verdict["latency_ms"])
    share = abs(verdict["margin"])
    side = "to spare" if verdict["fits"] else "over budget"
    return f"{'Fits' if verdict['fits'] else 'Does not fit'}: {gap} {side} ({words.percent(share, 0)})"


def caution(doc: ReportDoc) -> str:
    """What to know before relying on a verdict that was not measured on the device; empty when there is nothing."""
    verdict, pick = doc["verdict"], doc["plan"]["pick"]
    if verdict["origin"] == "measured on host":
        if doc["plan"]["device"] == "host":
            return ""
        return f"This says nothing about {doc['plan']['device']}: measure there before relying on it."
    if verdict["origin"] != "predicted" or pick is None or not verdict["fits"]:
        return ""
    high = pick["latency_ms"]["high"]
    if high <= verdict["budget_ms"]:
        return ""
    return (
        f"The prediction's 80% interval reaches {words.ms(high)}, beyond the budget: measure on the device before "
        "relying on it."
    )


def candidates(doc: ReportDoc) -> list[dict[str, Any]]:
    """The pick and the next one as table rows."""
    plan = doc["plan"]
    rows = []
    for role, candidate in (("pick", plan["pick"]), ("next, does not fit", plan["next"])):
        if candidate is None:
            continue
        latency = candidate["latency_ms"]
        rows.append(
            {
                "role": role,
                "name": name_of(candidate),
                "phi": f"{candidate['phi']:.3f}",
                "width": f"{candidate['width']:.3f}",
                "depth": f"{candidate['depth']:.3f}",
                "input": f"{candidate['resolution_px']} px",
                "madds": words.millions(candidate["madds"]),
                "params": words.millions(candidate["params"]),
                "latency": words.ms(at_percentile(latency, plan["percentile"])),
                "interval": f"{words.number(latency['low'])}–{words.ms(latency['high'])}",
                "level": words.level(latency["origin"]),
                "origin": latency["origin"],
            }
        )
    return rows


def proof(doc: ReportDoc) -> list[dict[str, Any]]:
    """What was measured before training, as table rows in that order."""
    rows = []
    for row in doc["plan"].get("proof", []):
        latency = row["latency_ms"]
        rows.append(
            {
                "name": name_of(row),
                "input": f"{row['resolution_px']} px",
                "p50": words.ms(latency["p50"]),
                "p90": words.ms(latency["p90"]),
                "interval": f"{words.number(latency['low'])}–{words.ms(latency['high'])}",
                "rounds": ", ".join(words.number(ms) for ms in row["rounds_ms"]),
                "fits": row["fits"],
                "origin": latency["origin"],
            }
        )
    return rows


FLOOR_WORDS = {  # fields of the converters' Floors
    "top1": "same first answer on {:.1%}",
    "top5": "float's answer among the first five on {:.1%}",
    "sqnr_db": "SQNR {:g} dB",
    "accuracy_loss": "not significantly more than {:.1%} of the labelled pictures lost",
    "top5_classes": "first five judged from {:g} classes on",
}


def floors(guard: dict[str, Any] | None) -> str:
    """The guard's floors in words; a floor that this version does not know keeps its name."""
    return "; ".join(FLOOR_WORDS.get(name, name + " {:g}").format(value) for name, value in (guard or {}).items())


def attempts(doc: ReportDoc) -> list[str]:
    """What was trained before, and missed; one sentence each."""
    percentile, budget_ms = doc["plan"]["percentile"], doc["plan"]["budget_ms"]
    found = []
    for row in doc.get("attempts", []):
        at = at_percentile(row["latency_ms"], percentile)
        low, high = row["latency_ms"]["low"], row["latency_ms"]["high"]
        found.append(
            f"{row['label']} was trained first: its int8 model took {words.ms(at)} (p{percentile}, "
            f"{row['latency_ms']['origin']}; 95% interval {words.number(low)}–{words.ms(high)}), over the budget of "
            f"{budget_ms:g} ms. Its top-1 on test was {words.percent(row['top1'])}; it is kept in {row['folder']}."
        )
    return found


def name_of(candidate: Any) -> str:
    """`EfficientNet-Lite2` or `EfficientNet-Lite, φ 1.370`."""
    if candidate.get("released"):
        return "EfficientNet-" + str(candidate["released"]).capitalize()
    return f"EfficientNet-{'Lite' if candidate['family'] == 'lite' else 'B'} φ {candidate['phi']:.3f}"


def title(doc: ReportDoc) -> str:
    """One line that names the run."""
    pick = doc["plan"]["pick"]
    return f"{name_of(pick) if pick else 'Nothing that fits'} for {doc['plan']['device']}, {doc['data']['name']}"


def best_row(doc: ReportDoc) -> int | None:
    """Index of the kept epoch in the trace: the last line with its number (the probe counts its own epochs)."""
    training = doc.get("training")
    if training is None or "best_epoch" not in training:
        return None
    found = [i for i, epoch in enumerate(training["trace"]) if epoch["epoch"] == training["best_epoch"]]
    return found[-1] if found else None


def frontier_origins(plan: PlanDoc) -> str:
    """How the curve's and the marks' latencies are known."""
    marked = {c["latency_ms"]["origin"] for c in (plan["pick"], plan["next"]) if c is not None}
    curve = {p.get("origin", "predicted") for p in plan.get("frontier", [])} or marked
    if marked == curve and len(curve) == 1:
        return f"all of it {next(iter(curve))}"
    return f"the curve predicted, pick and next {' or '.join(sorted(marked))}"


def sections(doc: ReportDoc) -> list[tuple[str, str]]:
    """(anchor, name) of the page's sections that this document fills."""
    found = [("frontier", "Why this network"), ("comparison", "Comparison")]
    if timed(doc):
        found.append(("latency", "Latency samples"))
    found.append(("accuracy", "Accuracy"))
    if doc.get("predictions") or doc.get("worst_mistakes"):
        found.append(("pictures", "Pictures"))
    if doc.get("training"):
        found.append(("training", "Training"))
    found += [("model", "Model files"), ("origin", "Data and weights")]
    if doc.get("pipeline_trace"):
        found.append(("pipeline", "From photograph to answer"))
    return [*found, ("reproduce", "How to reproduce")]
