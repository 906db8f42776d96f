"""`edgefit inspect`: what is inside a .tflite file, and what each of its operators costs on this host."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgefit_toolkit.app.native_pages import PACKAGES, PAGE_BYTES, libraries
from edgefit_toolkit.cli.options import emit, json_option, say, threads_option
from edgefit_toolkit.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from edgefit_benchmarks.operators import OperatorProfile
    from edgefit_converters.tflite.inspect import ModelFacts
    from edgefit_toolkit.pipeline.measuring.int8_speed import Int8Speed

INT8, FLOAT = "model_int8.tflite", "model_float.tflite"  # what a run directory calls its models


@click.command("inspect")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--float",
    "float_path",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="The float twin of an int8 MODEL: is int8 faster here, and if not, why?",
)
@click.option("--no-time", is_flag=True, help="Read the file only; time nothing.")
@threads_option
@json_option
def command(model: Path, float_path: Path | None, no_time: bool, threads: int | None, as_json: bool) -> None:
    """Show operators, partitions, float islands, inputs and outputs of a .tflite MODEL and what its operators cost.

    MODEL may be a run directory: its int8 model is shown, beside its float model. Of an Android package (.apk, .aab,
    .aar) or a library (.so) it is shown whether it loads where memory pages have 16 KB.
    """  # fmt: skip
    if model.suffix in (*PACKAGES, ".so"):
        _show_pages(model, as_json)
        return
    from rich.text import Text

    from edgefit_benchmarks.targets.local import LocalTarget
    from edgefit_converters.tflite.gpu import QUANTIZED_NOTE, gpu_fallback
    from edgefit_converters.tflite.inspect import read_foreign
    from edgefit_toolkit.api.console import PlainConsole
    from edgefit_toolkit.pipeline.measuring.bench import host_threads
    from edgefit_toolkit.pipeline.measuring.int8_speed import compare_speed, profile_models
    from edgefit_toolkit.pipeline.report_rows import times_doc
    from edgefit_toolkit.records import as_json as plain

    model, float_path = _models(model, float_path)
    facts = {"model": read_foreign(model)}
    if float_path is not None:
        facts["float"] = read_foreign(float_path)
        if not _quantized(facts["model"]) or _quantized(facts["float"]):
            raise InputError(
                f"{model} is no quantized model with {float_path} as its float twin",
                "edgefit inspect INT8.tflite --float FLOAT.tflite",
            )
    threads = threads or host_threads()
    profiles: dict[str, OperatorProfile] = {}
    warnings: list[str] = []
    speed: Int8Speed | None = None
    if not no_time:
        profiles, warnings = profile_models({name: Path(f.path) for name, f in facts.items()}, threads)
        if "float" in facts:
            pair = (profiles["model"], profiles["float"]) if len(profiles) == 2 else None
            speed = compare_speed(facts["model"], facts["float"], threads, profiles=pair)
    fallback = gpu_fallback(facts["model"].ops)
    note = QUANTIZED_NOTE if _quantized(facts["model"]) else None
    if as_json:
        label = LocalTarget().facts().label
        doc: dict[str, Any] = {"schema": "edgefit.inspect/1"} | plain(facts["model"])
        doc["gpu"] = {"fallback": list(fallback), "note": note}
        doc["operator_times"] = [times_doc(name, profile, label) for name, profile in profiles.items()]
        doc["int8_speed"] = plain(speed) | {"slower": speed.slower} if speed else None
        emit(doc | {"warnings": warnings})
        return
    out = PlainConsole()
    _show_facts(out, facts["model"])
    out.print(Text.assemble("\n", ("GPU delegate", "bold"), f"  {_gpu_line(fallback)}", f"\n{note}" if note else ""))
    if "model" in profiles:
        _show_times(out, profiles["model"], profiles.get("float"))
    if speed is not None:
        out.print(
            Text.assemble("\n", ("warning: ", "bold red") if speed.slower else "", speed.sentence), soft_wrap=True
        )
        for reason in speed.reasons:
            out.print(f"  - {reason}", soft_wrap=True)
    for warning in warnings:
        say(f"warning: {warning}", err=True)


def _show_pages(package: Path, as_json: bool) -> None:
    """Exit code 1 where a library needs smaller pages."""
    found = libraries(package)
    if as_json:
        rows = [asdict(library) | {"fits": library.fits} for library in found]
        emit({"schema": "edgefit.pages/1", "page_bytes": PAGE_BYTES, "libraries": rows})
    else:
        for library in found:
            start = "" if library.start_bytes is None else f", from byte {library.start_bytes:,}"
            aligned = f"{library.machine}, segments aligned to {library.align_bytes:,}{start}"
            say(f"{'fits 16 KB pages' if library.fits else 'DOES NOT FIT'}  {library.name} ({aligned})")
        say(f"{len(found)} native libraries, {sum(not one.fits for one in found)} of them not for pages of 16 KB")
    if not all(library.fits for library in found):
        raise SystemExit(1)


def _models(model: Path, float_path: Path | None) -> tuple[Path, Path | None]:
    """The model to show and its float model; a run directory holds both."""
    if not model.is_dir():
        return model, float_path
    if not (model / INT8).is_file():
        raise InputError(f"{model} holds no {INT8}", "hand over a .tflite file or the directory of a finished run")
    beside = model / FLOAT
    return model / INT8, float_path or (beside if beside.is_file() else None)


def _quantized(facts: ModelFacts) -> bool:
    return facts.full_integer or bool(facts.float_islands)


def _gpu_line(fallback: tuple[str, ...]) -> str:
    if not fallback:
        return "takes every kind of operator here"
    return f"leaves to the CPU: {', '.join(fallback)} (each crossing costs a copy)"


def _show_facts(out: Console, facts: ModelFacts) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("file", f"{facts.path} ({facts.size_bytes / 1e6:.2f} MB)")
    table.add_row("sha256", facts.sha256)
    for word, ends in (("input", facts.inputs), ("output", facts.outputs)):
        for end in ends:
            scale = f", scale {end.scale:g}, zero point {end.zero_point}" if end.scale else ""
            table.add_row(word, f"{end.name}: {end.dtype} {list(end.shape)}{scale}")
    table.add_row("operators", ", ".join(f"{count} {kind}" for kind, count in facts.ops.items()))
    outside = f"; outside: {', '.join(facts.fallback)}" if facts.fallback else ""
    table.add_row("partitions", f"{facts.partitions} on XNNPACK{outside}")
    table.add_row("integer", "fully, between input and output" if facts.full_integer else "no")
    if facts.float_islands:
        table.add_row("float islands", ", ".join(facts.float_islands))
    out.print(table)


def _show_times(out: Console, profile: OperatorProfile, float_profile: OperatorProfile | None) -> None:
    """One row per kind; beside it the float model's time for the same kind."""
    from rich.table import Table
    from rich.text import Text

    plural = "s" if profile.threads > 1 else ""
    how = f", {profile.threads} thread{plural}, {profile.runtime}, mean of {profile.runs} runs (measured on host)"
    out.print(Text.assemble("\n", ("time per operator on this host", "bold"), how), soft_wrap=True)
    table = Table(box=None)
    table.add_column("operator")
    for title in ("count", "ms", "share", *(("float ms",) if float_profile else ())):
        table.add_column(title, justify="right")
    table.add_column("runs as", style="dim")
    other = {row.op: row.ms for row in float_profile.rows} if float_profile else {}
    for row in profile.rows:
        beside = (f"{other[row.op]:.3f}" if row.op in other else "-",) if float_profile else ()
        kernel = ", ".join(row.kernels) or "LiteRT's own kernel, outside XNNPACK"
        table.add_row(row.op, str(row.count), f"{row.ms:.3f}", f"{row.ms / profile.total_ms:.0%}", *beside, kernel)
    beside = (f"{float_profile.total_ms:.3f}",) if float_profile else ()
    table.add_row("together", "", f"{profile.total_ms:.3f}", "100%", *beside, f"whole call {profile.invoke_ms:.3f} ms")
    out.print(table)
