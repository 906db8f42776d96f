"""The table of benchmarks/experiments/int8/peers.py: edgefit's steps beside other tools' int8. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

Row = Mapping[str, Any]
EDGEFIT = "edgefit"


def beside(ladder: Iterable[Row], peers: Sequence[Row], networks: Sequence[str]) -> list[Row]:
    """Per network edgefit's steps in their order, then the peers' rows in theirs.

    `ladder`: rows of guard_ladder.json; those of networks that no peer was measured on are left out.
    """
    own = [{"tool": EDGEFIT, "setting": row["step"], **row} for row in ladder]
    return [row for network in networks for row in (*own, *peers) if row["network"] == network]


def ratios(latency: Iterable[Row], base: str) -> list[dict[str, Any]]:
    """Each row's p50s as ratios to the base tool's with the same network and threads, repeat by repeat, and their
    median; the base itself gives 1. A row has `p50_ms`, one a repeat."""
    rows = list(latency)
    bases = {(row["network"], row["threads"]): row["p50_ms"] for row in rows if row["tool"] == base}
    found = []
    for row in rows:
        pairs = zip(row["p50_ms"], bases[row["network"], row["threads"]], strict=True)
        each = [round(own / other, 3) for own, other in pairs]
        found.append({**row, "ratios": each, "ratio": median(each)})
    return found


def merged(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The document of `now` with what an earlier one of the same machine and versions adds: its latencies, which no
    photograph changes, and, from the same photographs, its other networks."""
    if any(before.get(key) != now[key] for key in ("hardware", "versions")):
        return dict(now)
    if before.get("latency"):
        now = {**now, "latency": before["latency"]}
    if before["photographs"] != now["photographs"]:
        return dict(now)
    anew = {row["network"] for row in now["rows"]}
    kept = {key: [row for row in before[key] if row["network"] not in anew] for key in ("rows", "floats")}
    return {**now, **{key: sorted([*kept[key], *now[key]], key=lambda row: row["network"]) for key in kept}}


def markdown(document: Mapping[str, Any], ladder: Mapping[str, Any]) -> str:
    """The page: what was compared on what, the table, the latencies."""
    networks = list(dict.fromkeys(row["network"] for row in document["rows"]))
    lines = [
        "# int8 against float: edgefit's ladder beside other tools",
        "",
        f"The same ImageNet weights, batch norms folded; {document['photographs']}; the other tools were calibrated "
        f"on the same photographs. {document['hardware']}; {_versions(document['versions'])}.",
        "Top-1 agreement is with the float network (not accuracy). edgefit's rows are those of `guard_ladder.md` "
        f"({_photographs(ladder)}), made in a run of their own.",
        "Seconds are of quantizing and judging (edgefit) or of quantizing alone (the others), beside other work that "
        "stopped them at times: upper bounds.",
        "",
        "| network | tool | how | top-1 agreement | SQNR of the logits (halves) | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for row in beside(ladder["rows"], document["rows"], networks):
        halves = " / ".join(f"{db:.1f}" for db in row["sqnr_db_halves"])
        lines.append(
            f"| {row['network']} | {row['tool']} | {row['setting']} | {row['top1_agreement']:.3f} (n {row['n']}) "
            f"| {row['sqnr_db']:.1f} dB ({halves}) | {row['seconds']:.0f} |"
        )
    floats = document["floats"]
    if floats:
        worst = min(floats, key=lambda row: row["sqnr_db"])
        lines += ["", f"Each tool's float32 repeats torch's logits to {worst['sqnr_db']:.0f} dB or better."]
    return "\n".join([*lines, *_latency(document.get("latency"))]) + "\n"


def _latency(latency: Mapping[str, Any] | None) -> list[str]:
    if latency is None:
        return []
    rows = latency["rows"]
    threads = sorted({row["threads"] for row in rows})
    lines = [
        "",
        "## Latency",
        "",
        f"p50 as a ratio to {latency['base']} with as many threads, *measured on host* ({latency['hardware']}), in "
        "turns; below 1 is faster. Median of the repeats, each with processes of its own, and their range. The input "
        "is in place. The .tflite files also turn bytes into int8 and take the softmax.",
        "",
        "| network | tool | " + " | ".join(f"{n} thread{'s' if n > 1 else ''}" for n in threads) + " |",
        "|---|---|" + "--:|" * len(threads),
    ]
    found = {(row["network"], row["tool"], row["threads"]): row for row in rows}
    for network, tool in dict.fromkeys((row["network"], row["tool"]) for row in rows):
        cells = [_ratio(found.get((network, tool, n))) for n in threads]
        lines.append(f"| {network} | {tool} | " + " | ".join(cells) + " |")
    return lines


def _photographs(ladder: Mapping[str, Any]) -> str:
    return "; ".join(ladder[key] for key in ("photographs", "others") if ladder.get(key))


def _ratio(row: Row | None) -> str:
    return "–" if row is None else f"{row['ratio']:.2f} ({min(row['ratios']):.2f} to {max(row['ratios']):.2f})"


def _versions(versions: Mapping[str, Mapping[str, str]]) -> str:
    return "; ".join(
        f"{tool}: " + ", ".join(f"{name} {number}" for name, number in packages.items())
        for tool, packages in versions.items()
    )
