"""Predicted against published latency, every prediction made without what it is compared with.

    python -m experiments.latency.validate_latency    print, and write results/latency_validation.{csv,md}
    python -m experiments.latency.validate_latency --write    also fit toolkit/edgefit_toolkit/latency/{cores,gpus}.toml

1. Leave one out: each published latency of a device from its other ones (the Pixel 4's EfficientNet-Lite0-4), with the
   two constants of the point fit chosen among the others only.
2. Leave one device out: every device's rows from its cores and clocks alone, by a model fitted to all others; and the
   Pixel 6's by a model without any row of a Cortex-X1.
3. Both for plain multiply-adds too, the model to beat, and without memory; whether memory counts is chosen inside of
   the loop, by leaving out one more. 4. Coverage of the intervals. 5. GPUs, each row without itself.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import statistics

from edgefit_toolkit.devices import SHIPPED_DIR
from edgefit_toolkit.devices.schema import read_profile
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.latency.gpu import GPUS_FILE
from edgefit_toolkit.latency.speed import CORES_FILE
from edgefit_toolkit.records import Precision
from experiments.latency import gpu_fit
from experiments.latency.core_fit import Options, fit_cores, leave_one_device_out, leave_out
from experiments.latency.cores_file import cores_toml
from experiments.latency.evidence import covered, fastest, left_out_errors, widths
from experiments.latency.points_fit import leave_one_out, leave_one_out_madds
from experiments.latency.published import RESULTS, Row, read_rows

NEW_CORE = ("pixel6", "Cortex-X1")  # a device, and the core that no other row may teach
CHOICES = (Options(), Options(memory=False))
Held = dict[str, list[tuple[Row, float]]]


def _share(predicted: float, published: float) -> float:
    return abs(predicted / published - 1)


def errors_of(pairs: list[tuple[Row, float]]) -> list[float]:
    """|predicted / published - 1| of each row."""
    return [_share(predicted, row.latency_ms) for row, predicted in pairs]


def without_core(rows: list[Row], device: str, core: str) -> list[tuple[Row, float]]:
    """The device's rows by a model that no row of that core taught."""
    others = [row for row in rows if row.device.name == device or all(kind != core for kind, _ in row.device.cores)]
    return leave_out(others, {device})


def chosen(rows: list[Row]) -> dict[str, Options]:
    """For every device: which of CHOICES the others choose, each of those by XNNPACK left out in turn.

    Devices count alike: what is least is the mean of their mean |log(predicted / published)|.
    """
    ours = {row.device.name for row in rows if row.by_xnnpack}

    def missed(rest: list[Row], name: str, options: Options) -> float:
        pairs = leave_out(rest, {name}, options)
        errors = [abs(math.log(ms / row.latency_ms)) for row, ms in pairs if row.by_xnnpack]
        return statistics.mean(errors) if errors else 0.0

    found = {}
    for device in {row.device.name for row in rows}:
        rest = [row for row in rows if row.device.name != device]
        sums = [math.fsum(missed(rest, name, options) for name in ours - {device}) for options in CHOICES]
        found[device] = CHOICES[sums.index(min(sums))]
    return found


def report(rows: list[Row]) -> str:
    """The whole comparison as Markdown."""
    lines = ["# Predicted against published latency", ""]
    lines += ["Written by `python -m experiments.latency.validate_latency`; rows in latency_validation.csv.", ""]
    lines += [*_points(), "", *_devices(rows), "", *_coverage(rows), "", *_gpus()]
    return "\n".join([*lines, ""])


def _points() -> list[str]:
    lines = ["## Leave one out: Pixel 4, each EfficientNet-Lite from the other four", ""]
    lines += ["| precision | network | published ms | predicted ms | error | by multiply-adds |"]
    lines += ["|---|---|--:|--:|--:|--:|"]
    pixel4 = read_profile(SHIPPED_DIR / "pixel4.toml")
    precisions: tuple[Precision, ...] = ("int8", "float32")
    for precision in precisions:
        ours, plain = leave_one_out(pixel4, precision), leave_one_out_madds(pixel4, precision)
        for (network, published, predicted), (_, _, by_madds) in zip(ours, plain, strict=True):
            lines.append(
                f"| {precision} | {network} | {published:g} | {predicted:.2f} | {predicted / published - 1:+.1%} "
                f"| {by_madds / published - 1:+.1%} |"
            )
        worst = [max(_share(p, y) for _, y, p in found) for found in (ours, plain)]
        lines.append(f"| **{precision}** | worst | | | **{worst[0]:.1%}** | {worst[1]:.1%} |")
    return lines


def _devices(rows: list[Row]) -> list[str]:
    picks = chosen(rows)
    full, flat, plain = (leave_one_device_out(rows, options) for options in (*CHOICES, Options(plain_madds=True)))
    held = {name: (full if picks[name].memory else flat)[name] for name in full}
    lines = ["## Leave one device out: from cores and clocks alone", ""]
    lines += ["| device | fastest core | rows | median error | worst | predicted / published | without memory "]
    lines[-1] += "| by multiply-adds |"
    lines += ["|---|---|--:|--:|--:|--:|--:|--:|"]
    for name, pairs in held.items():
        errors = errors_of(pairs)
        others = " | ".join(f"{statistics.median(errors_of(some[name])):.1%}" for some in (flat, plain))
        device = pairs[0][0].device
        middle = statistics.median(predicted / row.latency_ms for row, predicted in pairs)
        lines.append(
            f"| {device.title} ({name}) | {fastest(device)} | {len(pairs)} | {statistics.median(errors):.1%} "
            f"| {max(errors):.1%} | {middle:.2f} | {others} |"
        )
    for title, keep in (
        ("all rows", lambda row: True),
        ("TFLite with XNNPACK", lambda row: row.by_xnnpack),
        ("TFLite with XNNPACK, one thread", lambda row: row.by_xnnpack and row.threads == 1),
    ):
        errors, no_memory, by_madds = (
            errors_of([pair for each in some.values() for pair in each if keep(pair[0])])
            for some in (held, flat, plain)
        )
        lines.append(
            f"| **{title}** | | {len(errors)} | **{statistics.median(errors):.1%}** | {max(errors):.1%}"
            f" | | {statistics.median(no_memory):.1%} | {statistics.median(by_madds):.1%} |"
        )
    lines += [
        "",
        f"Memory was chosen for {sum(pick.memory for pick in picks.values())} of {len(picks)} devices, by the ",
    ]
    lines[-1] += "others' rows by XNNPACK alone."
    name, core = NEW_CORE
    errors = errors_of(without_core(rows, name, core))
    lines += ["", f"{name} by a model without any row of a {core}: median error {statistics.median(errors):.1%}, "]
    lines[-1] += f"worst {max(errors):.1%} ({len(errors)} rows)."
    return lines


def _coverage(rows: list[Row]) -> list[str]:
    errors = left_out_errors(rows)
    found = widths(errors)
    lines = ["## The 80% interval", ""]
    lines += [
        "Half-width by what a prediction rests on (evidence.py), from devices left out; `inside`: the share of their"
    ]
    lines += ["rows inside an interval sized on the other devices.", ""]
    lines += ["| threads | evidence | devices | rows | half-width |", "|---|---|--:|--:|--:|"]
    for threads, by_class in found.items():
        for evidence, share in by_class.items():
            mine = [pair for key, pairs in errors.items() if (key.threads, key.evidence) == (threads, evidence)
                    for pair in pairs]  # fmt: skip
            lines.append(f"| {threads} | {evidence} | {len({n for n, _ in mine})} | {len(mine)} | {share:.0%} |")
    inside = covered(errors)
    lines += ["", f"Inside: {statistics.mean(inside):.0%} of {len(inside)} rows."]
    return lines


def _gpus() -> list[str]:
    lines = ["## GPUs, float16: each row from the others of its GPU", ""]
    lines += ["| GPU | rows | median error | worst | faster accelerator named |", "|---|--:|--:|--:|---|"]
    for name, rows in gpu_fit.read_gpu_rows().items():
        predicted = gpu_fit.leave_one_out(rows)
        errors = [_share(ms, row.latency_ms) for row, ms in zip(rows, predicted, strict=True)]
        right = gpu_fit.faster_named(rows, predicted)
        pairs = f"{sum(right)} of {len(right)} pairs" if right else "no CPU row of the same networks"
        lines.append(f"| {name} | {len(rows)} | {statistics.median(errors):.1%} | {max(errors):.1%} | {pairs} |")
    return [
        *lines,
        "",
        "A pair is a network with a CPU row (int8) and a GPU row of one device, each predicted without its own.",
    ]


def rows_csv(rows: list[Row]) -> str:
    """Every row with the latency predicted without its device."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        ["device", "software", "precision", "threads", "network", "input_px", "published_ms", "predicted_ms"]
    )
    for name, pairs in leave_one_device_out(rows).items():
        for row, predicted in pairs:
            setting = (row.software, row.precision, row.threads, row.network, row.input_px)
            table.writerow([name, *setting, f"{row.latency_ms:g}", f"{predicted:.2f}"])
    return text.getvalue()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="refit cores.toml and gpus.toml to every row")
    args = parser.parse_args()
    rows = read_rows()
    if args.write:
        write_atomic(CORES_FILE, cores_toml(fit_cores(rows), rows, widths(left_out_errors(rows))))
        write_atomic(GPUS_FILE, gpu_fit.gpus_toml())
    text = report(rows)
    write_atomic(RESULTS / "latency_validation.md", text)
    write_atomic(RESULTS / "latency_validation.csv", rows_csv(rows))
    print(text)


if __name__ == "__main__":
    main()
