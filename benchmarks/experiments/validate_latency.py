"""Predicted against published latency, every prediction made without what it is compared with.

    python -m experiments.validate_latency            print, and write results/latency_validation.{csv,md}
    python -m experiments.validate_latency --write    also refit toolkit/edgefit_toolkit/cores.toml

1. Leave one out: each published latency of a device from its other ones (the Pixel 4's EfficientNet-Lite0-4).
2. Leave one device out: each phone's rows from its cores and clocks alone, by a model fitted to all other devices.
3. Both for plain multiply-adds too, the model to beat.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import math
import os
import statistics
from pathlib import Path

import numpy as np

from edgefit_toolkit.devices import SHIPPED_DIR, DeviceProfile, read_profile
from edgefit_toolkit.latency.predict import CORES_FILE, point_variant, predict
from edgefit_toolkit.records import Precision
from experiments.core_fit import PRIOR_PER_GHZ, CoreModel, Options, fit_cores, leave_one_device_out
from experiments.published import RESULTS, Row, read_rows

COVERAGE = 0.8  # what an interval promises
SOFTWARE = "tflite 2020"  # whose kernels predictions are for: the only phone rows of the runtime that edgefit ships
Held = dict[str, list[tuple[Row, float]]]


def leave_one_out(profile: DeviceProfile, precision: Precision) -> list[tuple[str, float, float]]:
    """(network, published ms, ms predicted from the device's other points)."""
    points = profile.points_of(precision)
    found = []
    for held in points:
        rest = dataclasses.replace(profile, points=tuple(point for point in profile.points if point != held))
        predicted = predict(point_variant(held), rest, precision).p50
        found.append((held.network, held.latency_ms, predicted))
    return found


def leave_one_out_madds(profile: DeviceProfile, precision: Precision) -> list[tuple[str, float, float]]:
    """The same by a straight line through multiply-adds, least relative error."""
    points = profile.points_of(precision)
    madds = np.array([point_variant(point).madds / 1e6 for point in points])
    ms = np.array([point.latency_ms for point in points])
    found = []
    for at, held in enumerate(points):
        keep = np.arange(len(points)) != at
        line = np.stack([madds, np.ones(len(points))], 1)
        fit = np.linalg.lstsq(line[keep] / ms[keep, None], np.ones(keep.sum()), rcond=None)[0]
        found.append((held.network, held.latency_ms, float(line[at] @ fit)))
    return found


def log_errors(pairs: list[tuple[Row, float]]) -> list[float]:
    """|log(predicted / published)| of each row."""
    return [abs(float(np.log(predicted / row.latency_ms))) for row, predicted in pairs]


def interval_share(held: Held, without: str | None = None) -> float:
    """Half-width (factor minus one) that holds COVERAGE of the rows, every device counting the same."""
    errors = sorted(
        (error, 1 / len(pairs)) for name, pairs in held.items() if name != without for error in log_errors(pairs)
    )
    total, reached = sum(weight for _, weight in errors), 0.0
    for error, weight in errors:
        reached += weight
        if reached >= COVERAGE * total:
            return float(np.exp(error)) - 1
    return float(np.exp(errors[-1][0])) - 1


def covered(held: Held) -> dict[str, list[bool]]:
    """Whether each row is inside of an interval that was sized without its device."""
    return {
        name: [error <= math.log1p(interval_share(held, name)) for error in log_errors(pairs)]
        for name, pairs in held.items()
    }


def _share(predicted: float, published: float) -> float:
    return abs(predicted / published - 1)


def report(rows: list[Row]) -> str:
    """The whole comparison as Markdown."""
    lines = ["# Predicted against published latency", ""]
    lines += ["Written by `python -m experiments.validate_latency`; rows in latency_validation.csv.", ""]
    lines += ["## Leave one out: Pixel 4, each EfficientNet-Lite from the other four", ""]
    lines += [
        "| precision | network | published ms | predicted ms | error | by multiply-adds |",
        "|---|---|--:|--:|--:|--:|",
    ]
    pixel4 = read_profile(SHIPPED_DIR / "pixel4.toml")
    for precision in ("int8", "float32", "float16"):
        ours, plain = leave_one_out(pixel4, precision), leave_one_out_madds(pixel4, precision)
        for (network, published, predicted), (_, _, by_madds) in zip(ours, plain, strict=True):
            lines.append(
                f"| {precision} | {network} | {published:g} | {predicted:.2f} | {predicted / published - 1:+.1%} "
                f"| {by_madds / published - 1:+.1%} |"
            )
        worst = [max(_share(p, y) for _, y, p in found) for found in (ours, plain)]
        lines.append(f"| **{precision}** | worst | | | **{worst[0]:.1%}** | {worst[1]:.1%} |")
    held, plain_held = leave_one_device_out(rows), leave_one_device_out(rows, Options(plain_madds=True))
    lines += ["", "## Leave one device out: phones from cores and clocks alone", ""]
    lines += ["`inside` is the share of rows inside an 80% interval that was sized on the other phones.", ""]
    lines += [
        "| device | rows | median error | worst | inside | median by multiply-adds |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    inside = covered(held)
    for name, pairs in held.items():
        errors = [_share(predicted, row.latency_ms) for row, predicted in pairs]
        by_madds = statistics.median(_share(predicted, row.latency_ms) for row, predicted in plain_held[name])
        lines.append(
            f"| {pairs[0][0].device.title} ({name}) | {len(pairs)} | {statistics.median(errors):.1%} "
            f"| {max(errors):.1%} | {statistics.mean(inside[name]):.0%} | {by_madds:.1%} |"
        )
    lines.append(_total("**all phones**", held, plain_held, inside))
    known = {
        name: [(row, predicted) for row, predicted in pairs if row.software != "ncnn"] for name, pairs in held.items()
    }
    known = {name: pairs for name, pairs in known.items() if pairs}
    plain_known = {name: [pair for pair in plain_held[name] if pair[0].software != "ncnn"] for name in known}
    lines.append(_total("without ncnn (versions unstated)", known, plain_known, covered(known)))
    return "\n".join([*lines, ""])


def _total(title: str, held: Held, plain: Held, inside: dict[str, list[bool]]) -> str:
    errors, by_madds = (
        [_share(predicted, row.latency_ms) for pairs in some.values() for row, predicted in pairs]
        for some in (held, plain)
    )
    hits = [hit for flags in inside.values() for hit in flags]
    return (
        f"| {title} | {len(errors)} | **{statistics.median(errors):.1%}** | {max(errors):.1%} "
        f"| **{statistics.mean(hits):.0%}** | {statistics.median(by_madds):.1%} |"
    )


def write_rows(rows: list[Row], path: Path) -> None:
    """Every row with the latency predicted without its device."""
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(
            ["device", "software", "precision", "threads", "network", "input_px", "published_ms", "predicted_ms"]
        )
        for name, pairs in leave_one_device_out(rows).items():
            for row, predicted in pairs:
                setting = (row.software, row.precision, row.threads, row.network, row.input_px)
                table.writerow([name, *setting, f"{row.latency_ms:g}", f"{predicted:.2f}"])


def cores_toml(model: CoreModel, scaled_share: float) -> str:
    """toolkit/edgefit_toolkit/cores.toml from a fit to all rows."""
    one, several = model.fixed_ghz_ms
    arm = {
        name: model.cycles(SOFTWARE, precision)
        for name, precision in [(f"int8-{isa}", "int8") for isa in ("neon", "dotprod", "i8mm")]
        + [("float32-neon", "float32")]
    }
    blocks = [_HEAD]
    for name, cycles in arm.items():
        fixed = f"[{one:.3f}, {several:.3f}]"
        blocks.append(f"[engines.{name}]\ncycles_per_instruction = {cycles:.4f}\nfixed_ghz_ms = {fixed}\n{_ARM}")
    blocks.append(_STATIC)
    loss = model.loss
    blocks.append(
        f"[thread_loss]  # n threads give n ** (1 - loss)\nphone = {loss['phone']:.3f}\nboard = {loss['board']:.3f}\n"
        f"computer = {loss['phone']:.3f}\n"
    )
    for precision in ("int8", "float32"):
        speeds = [f'"{core}" = {model.per_ghz(precision, core):.3f}' for core in PRIOR_PER_GHZ]
        speeds += [f'"{core}" = 1.0' for core in ("x86-64",)]
        blocks.append(f"[per_ghz.{precision}]\n" + "\n".join(speeds) + "\n")
    blocks.append(_INTERVAL.format(scaled=scaled_share))
    return "\n".join(blocks)


_HEAD = """\
# How fast cores run the instructions that kernels.toml counts. Written by
# `python -m experiments.validate_latency --write` from results/published_latency.csv beside it; cores without a
# row there keep their prior (core_fit.py: vector width and issue rate).
"""
_ARM = 'reference = "a fit to published latencies of other phones and boards, TFLite on Pixel 3 and 4 above all"\n'
_STATIC = """\
# x86: between two 2-core servers, an AMD EPYC and a Xeon three times slower; `edgefit calibrate` knows better.
[engines.int8-x86]
cycles_per_instruction = 0.055
fixed_ghz_ms = [0.2, 0.4]
reference = "two x86-64 servers that differ by a factor of 3"

[engines.float32-x86]
cycles_per_instruction = 0.16
fixed_ghz_ms = [0.2, 0.4]
reference = "two x86-64 servers that differ by a factor of 3"

# ms per million instructions on an Adreno 640; a GPU without a point of its own is not predicted.
[engines.float16-gpu]
cycles_per_instruction = 0.022
fixed_ghz_ms = 2.8
reference = "the Pixel 4"
"""
_INTERVAL = """\
# Half-width of the 80% interval, as a factor minus one, by what a prediction rests on: leave one out on the Pixel 4
# (rounded up: five points, one phone), validate_calibration.py, leave one device out.
[interval]
"published" = 0.06
"measured here" = 0.10
"scaled" = {scaled:.2f}

# Median p95 / p50 of 66 CPU measurements on 16 phones is 1.081 (Qualcomm AI Hub devices, 97 samples each); a normal
# tail makes that 1.064 at p90.
[spread]
p90_over_p50 = 1.064
"""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="refit cores.toml to every row")
    args = parser.parse_args()
    rows = read_rows()
    if args.write:
        share = interval_share(leave_one_device_out(rows))
        _replace(CORES_FILE, cores_toml(fit_cores(rows), share))
    text = report(rows)
    _replace(RESULTS / "latency_validation.md", text)
    write_rows(rows, RESULTS / "latency_validation.csv")
    print(text)


def _replace(path: Path, text: str) -> None:
    partial = path.with_suffix(".part")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


if __name__ == "__main__":
    main()
