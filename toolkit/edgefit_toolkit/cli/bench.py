"""`edgefit bench`: the latency of one .tflite file on this host, a phone or a board."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgefit_toolkit.cli.options import emit, json_option, say, threads_option, where_options
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.records import Measurement

if TYPE_CHECKING:
    from edgefit_benchmarks.fleet import FleetRow


@click.command("bench")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--device", default=None, show_default="host", help="Profile of the device to run it on.")
@partial(where_options, repeated=True)
@click.option(
    "--all",
    "everywhere",
    is_flag=True,
    help="On every attached phone and every --host (give it several times), side by side.",
)
@threads_option
@click.option("--min-samples", type=click.IntRange(10, 100_000), default=50, show_default=True)
@click.option("--runner", type=click.Path(path_type=Path), default=None, help="A benchmark_model for the device.")
@click.option(
    "--runtime",
    type=click.Choice(["litert", "tflite-runtime"]),
    default="litert",
    show_default=True,
    help="tflite-runtime 2.14, on this host only; its environment is made on first use.",
)
@click.option("--gpu", is_flag=True, help="The phone's GPU delegate (float models; needs benchmark_model).")
@click.option("--yes", is_flag=True, help="Accept what a hosted device (--ai-hub) costs, and that it gets the model.")
@click.option("--log", type=click.Path(path_type=Path), default=None, help="Keep the runner's raw log in this folder.")
@json_option
def command(
    model: Path, device: str | None, where: dict[str, tuple[str, ...]], everywhere: bool, threads: int | None,
    min_samples: int, runner: Path | None, runtime: str, gpu: bool, yes: bool, log: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Time a .tflite MODEL: warm-up, at least 50 samples and 1 s, every sample kept."""
    from edgefit_toolkit.api.bench import bench
    from edgefit_toolkit.pipeline.report_rows import measurement_doc

    if runtime == "tflite-runtime":
        if device not in (None, "host") or where or everywhere or runner or gpu or log:
            raise InputError("--runtime tflite-runtime is for this host", "leave the flags of a device out")
        _bench_tflite_runtime(model, threads, min_samples, as_json)
        return
    options: dict[str, Any] = {"min_samples": min_samples, "benchmark_model": runner, "gpu": gpu, "log_dir": log}
    options["accept_cost"] = yes
    if everywhere:
        if device is not None:
            raise InputError("--all takes every device by its own profile", "leave --device out")
        _bench_all(model, where, threads, options, as_json)
        return
    for flag, names in where.items():
        if len(names) > 1:
            raise InputError(f"--{flag} names {len(names)} targets", "edgefit bench --all times several")
    named = {flag: name for flag, (name,) in where.items()}
    row = bench(model, device or "host", where=named, threads=threads, **options)
    doc = {"schema": "edgefit.bench/1"} | measurement_doc(row)
    if as_json:
        emit(doc)
        return
    _show(model, row)


def _bench_tflite_runtime(model: Path, threads: int | None, min_samples: int, as_json: bool) -> None:
    """The same file by tflite-runtime and, in turns, by LiteRT: how the two compare is what a reader wants to know."""
    from edgefit_benchmarks.sessions.options import TimingOptions
    from edgefit_benchmarks.tflite_runtime import measure_with_tflite_runtime
    from edgefit_converters.routes.environments import TENSORFLOW, ensure
    from edgefit_toolkit.api.console import Terminal
    from edgefit_toolkit.pipeline.measuring.bench import host_threads
    from edgefit_toolkit.pipeline.report_rows import measurement_doc

    with Terminal() as ui:
        python = ensure(TENSORFLOW, ui.progress)
    options = TimingOptions(threads=threads or host_threads(), min_samples=min_samples)
    times = measure_with_tflite_runtime(python, model, options, model=model.name)
    if as_json:
        beside = measurement_doc(times.litert)
        warnings = [times.warning] if times.warning else []
        emit({"schema": "edgefit.bench/1"} | measurement_doc(times.side) | {"beside": beside, "warnings": warnings})
        return
    for row in (times.side, times.litert):
        _show(model, replace(row, notes=tuple(note for note in row.notes if note != times.warning)))
    if times.warning:
        say(f"warning: {times.warning}", err=True)


def _bench_all(
    model: Path, named: dict[str, tuple[str, ...]], threads: int | None, options: dict[str, Any], as_json: bool
) -> None:
    """One after the other, so that none waits for this computer; exit code 3 when one could not be timed."""
    from edgefit_benchmarks.fleet import measure_member, members
    from edgefit_benchmarks.sessions.options import TimingOptions
    from edgefit_toolkit.api.console import Terminal
    from edgefit_toolkit.pipeline.report_rows import measurement_doc

    if not model.is_file():
        raise InputError(f"there is no model {model}", "edgefit convert makes one")
    rows, log = [], options["log_dir"]
    with Terminal() as ui:
        for member in members(named):
            ui.note(f"timing on {member.label}")
            own = TimingOptions(**options | {"log_dir": log and log / member.name})
            rows.append(measure_member(member, model, own, model=model.name, threads=threads))
    if as_json:
        docs = [
            {"kind": row.member.kind.name, "name": row.member.name, "target": row.label}
            | (measurement_doc(row.measurement) if row.measurement else {"reason": row.reason, "next": row.hint})
            for row in rows
        ]
        emit({"schema": "edgefit.bench-all/1", "model": model.name, "rows": docs})
    else:
        _show_table(rows)
    if any(row.measurement is None for row in rows):
        raise SystemExit(3)


def _show_table(rows: list[FleetRow]) -> None:
    from rich.table import Table

    from edgefit_toolkit.api.console import PlainConsole
    from edgefit_toolkit.pipeline.report_rows import measurement_doc

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("device", "p50 ms", "p90 ms", "samples", "how"):
        table.add_column(heading, overflow="fold", justify="left" if heading in ("device", "how") else "right")
    for row in rows:
        if row.measurement is None:
            table.add_row(row.label, "-", "-", "-", f"not timed: {row.reason}; next: {row.hint}")
            continue
        doc = measurement_doc(row.measurement)
        how = f"{row.measurement.runtime}, {row.measurement.delegate}, {row.measurement.threads} threads"
        cells = (f"{doc['p50_ms']:.2f}", f"{doc['p90_ms']:.2f}", str(len(row.measurement.samples_ms)))
        table.add_row(row.label, *cells, how)
    PlainConsole().print(table)


def _show(model: Path, row: Measurement) -> None:
    from edgefit_toolkit.pipeline.report_rows import measurement_doc

    doc = measurement_doc(row)
    say(f"{model.name} on {row.target}, {row.runtime}, {row.delegate}, {row.threads} threads, {row.origin}")
    say(
        f"p50 {doc['p50_ms']:.2f} ms   p90 {doc['p90_ms']:.2f} ms   p99 {doc['p99_ms']:.2f} ms   "
        f"{len(row.samples_ms)} samples after {row.warmups} warm-ups"
    )
    for note in row.notes:
        say(f"note: {note}")
