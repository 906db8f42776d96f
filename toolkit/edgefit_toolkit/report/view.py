"""What both renderings say beside their tables: title, verdict, cautions, sections. Words only, no markup."""

from __future__ import annotations

from typing import Any

from edgefit_toolkit.report import words
from edgefit_toolkit.report.schema import ReportDoc
from edgefit_toolkit.report.schema.plan import PlanDoc, at_percentile
from edgefit_toolkit.report.tables.figures import timed


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


FLOOR_WORDS = {  # fields of the converters' Floors
    "top1": "same first answer on {:.1%}",
    "top5": "float's answer among the first five on {:.1%}",
    "sqnr_db": "SQNR {:g} dB",
    "accuracy_loss": "not significantly more than {:.1%} of the labelled pictures lost",
    "false_alarms": "no class or kind of photograph lost, at {:.0%} false alarms",
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


def title(doc: ReportDoc) -> str:
    """One line that names the run."""
    pick = doc["plan"]["pick"]
    return f"{words.name_of(pick) if pick else 'Nothing that fits'} for {doc['plan']['device']}, {doc['data']['name']}"


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


def none_of_these(other: Any) -> str:
    """What is known of how pictures of other things are turned away."""
    kept = (
        f"Where no name is {words.percent(other['floor'], 0)} certain a picture is none of these (chosen on "
        f"{words.plural(other['n_val'], 'validation picture')}, so that 95% of the classes' own stay). On test "
        f"{words.percent(other['kept'])} of {other['n']:,} stay"
    )
    if "turned_away" not in other:
        return (
            f"{kept}. The model has seen no pictures of other things, so what they get is not measured, and many will "
            "get a name: --other DIR teaches it."
        )
    figures = [
        f"{name} AUROC {other[name]['auroc']:.3f}, FPR95 {words.percent(other[name]['fpr95'])}"
        for name in ("float", "int8")
    ]
    return (
        f"{kept}, and {words.percent(other['turned_away'])} of {other['n_other']:,} pictures of other things are "
        f"turned away ({'; '.join(figures)}: what of them is kept where 95% of the classes' own are)."
    )
