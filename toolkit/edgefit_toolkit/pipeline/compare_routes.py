"""The converter routes on one checkpoint: the same photographs, one guard, latencies taken in turns.

1. every route converts the checkpoint and climbs the ladder      minutes each; a failure is a row, no end
2. every float file is compared with the checkpoint in torch       guard
3. the int8 files that came out are timed in turns, round by round, against the default's
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgefit_toolkit import __version__
from edgefit_toolkit.errors import ConversionError, GuardFailed, InputError, SideEnvironmentError
from edgefit_toolkit.files import read_verified
from edgefit_toolkit.host import environment
from edgefit_toolkit.pipeline.subject import Subject
from edgefit_toolkit.progress import Ui
from edgefit_toolkit.records import IoDtype

SCHEMA = "edgefit.compare/1"
COMPARISON = "compare.json"
ROUND_S = 0.5  # timed seconds of each file in one round
THREADS = (1, 2)

Row = dict[str, Any]


def compare_routes(
    subject: Subject,
    converters: Sequence[str],
    out: Path,
    ui: Ui,
    *,
    io_dtype: IoDtype = "uint8",
    rounds: int = 5,
    offline: bool = False,
) -> dict[str, Any]:
    """The document `edgefit.compare/1`. Leaves NAME_float.tflite and NAME_int8.tflite of each route in `out`.

    Raises InputError for converters that are none or are named twice.
    """
    from edgefit_converters.recipe import Recipe
    from edgefit_converters.routes import DEFAULT, ROUTES

    unknown = [name for name in converters if name not in ROUTES]
    if unknown or len(set(converters)) != len(converters) or not converters:
        raise InputError(
            f"{', '.join(unknown or converters) or 'nothing'} is no list of different converters",
            f"valid: --converters {','.join(ROUTES)}",
        )
    out.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(io_dtype=io_dtype)
    rows = []
    for number, name in enumerate(converters, start=1):
        ui.stage(number, len(converters) + 1, f"--converter {name}")
        rows.append(_convert(subject, name, out, ui, recipe, offline))
    ui.stage(len(converters) + 1, len(converters) + 1, "latency, in turns")
    default = DEFAULT if DEFAULT in converters else converters[0]
    latencies = _latencies(rows, default, out, rounds, ui)
    made_by = environment()
    return {
        "schema": SCHEMA,
        "edgefit": __version__,
        "network": subject.name,
        "photographs": subject.photographs,
        "default": default,
        "floors": asdict(recipe.floors),
        "rows": rows,
        "latencies": latencies,
        "environment": {"cpu": made_by["cpu"], "cores": made_by["cores"], "versions": made_by["versions"]},
    }


def time_again(out: Path, rounds: int, ui: Ui) -> dict[str, Any]:
    """The document that an earlier comparison left in `out`, with latencies taken anew of the same files.

    Converting takes minutes and may be done beside other work; timing wants a quiet machine. Raises InputError when
    there is no such comparison, or a file is not the one that it made.
    """
    file = out / COMPARISON
    try:
        doc: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if doc["schema"] != SCHEMA:
            raise ValueError(f"its schema is {doc['schema']!r}")
        rows, default = doc["rows"], doc["default"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{file} is no comparison to time again: {error}", "leave --time-again out") from error
    for row in rows:
        if "error" not in row:
            read_verified(out, f"{row['converter']}_int8.tflite", row["sha256"], "leave --time-again out")
    ui.stage(1, 1, "latency, in turns")
    return doc | {"latencies": _latencies(rows, default, out, rounds, ui)}


def _convert(subject: Subject, name: str, out: Path, ui: Ui, recipe: Any, offline: bool) -> Row:
    """One route's row; what went wrong stands in `error`."""
    from edgefit_converters.judge.guard import check_float
    from edgefit_converters.judge.parity import sqnr_db
    from edgefit_converters.ladder.climb import climb
    from edgefit_converters.ladder.material import Evidence
    from edgefit_converters.routes import open_route
    from edgefit_converters.routes.deploy import deploy
    from edgefit_converters.tflite.inspect import read_model
    from edgefit_toolkit.interpreter import TFLite
    from edgefit_toolkit.pipeline.report_rows import ladder_doc
    from edgefit_toolkit.training.evaluation import logits

    route = open_route(name, ui.progress, offline=offline)
    row: Row = {"converter": name, "stack": route.stack, "versions": {}}
    float_path, int8_path = out / f"{name}_float.tflite", out / f"{name}_int8.tflite"
    for path in (float_path, int8_path):
        path.unlink(missing_ok=True)
    if route.to_make():
        ui.note(route.to_make())
    network = deploy(subject.network, subject.temperature)
    try:
        route.check()
        row["versions"] = route.versions()
        started = time.monotonic()
        route.export_float(network, float_path)
        row["float_seconds"] = round(time.monotonic() - started, 1)
        reference = logits(subject.network, subject.holdout, temperature=subject.temperature)
        row["float_sqnr_db"] = min(sqnr_db(reference, TFLite(float_path).logits(subject.holdout)), 999.0)
        check_float(reference, float_path, subject.holdout, subject.labels, _classes(subject))
        started = time.monotonic()
        result = climb(
            Evidence(
                float_path, subject.calibration, subject.holdout, subject.labels, network, classes=subject.classes
            ),
            int8_path, recipe, route=route, on_step=lambda step: ui.note(step.sentence),
        )  # fmt: skip
        row["int8_seconds"] = round(time.monotonic() - started, 1)
    except (GuardFailed, ConversionError, SideEnvironmentError) as error:
        ui.warn(f"--converter {name}: {error.message.splitlines()[0]}")
        steps = ladder_doc(error.steps) if isinstance(error, GuardFailed) else []
        return row | {"error": error.message.splitlines()[0], "exit_code": error.exit_code, "steps": steps}
    facts = read_model(int8_path)
    return row | {
        "step": result.chosen,
        "steps": ladder_doc(result.steps),
        "left_out": list(result.left_out),
        "agreement": result.parity.top1,
        "agreement_top5": result.parity.top5,
        "sqnr_db": result.parity.sqnr_db,
        "n": result.parity.n,
        "size_bytes": facts.size_bytes,
        "sha256": facts.sha256,
        "ops": facts.ops,
        "partitions": facts.partitions,
        "fallback": list(facts.fallback),
        "io_dtype": facts.io_dtype,
        "notes": list(result.model.notes),
    }


def _classes(subject: Subject) -> tuple[str, ...]:
    """Names of the classes, made up where a network has none."""
    return subject.classes or tuple(f"class {i}" for i in range(subject.network.variant.classes))


def _latencies(rows: Sequence[Row], default: str, out: Path, rounds: int, ui: Ui) -> list[Row]:
    """For every number of threads and route: p50 of each round, and its ratio to the default's of the same round."""
    from edgefit_benchmarks.sessions.options import TimingOptions
    from edgefit_benchmarks.stats import summarise
    from edgefit_benchmarks.targets.local import LocalTarget, usable_cores
    from edgefit_benchmarks.timing import measure_interleaved

    paths = {row["converter"]: out / f"{row['converter']}_int8.tflite" for row in rows if "error" not in row}
    if default not in paths or not rounds:
        return []
    found: list[Row] = []
    for threads in (n for n in THREADS if n <= usable_cores()):
        p50_ms: dict[str, list[float]] = {name: [] for name in paths}
        notes: dict[str, None] = {}
        for number in range(rounds):
            ui.progress(f"timing with {threads} thread(s)", number, rounds)
            options = TimingOptions(threads=threads, seed=number, min_seconds=ROUND_S, max_seconds=4 * ROUND_S)
            timed = measure_interleaved(LocalTarget(), paths, options)
            for name, measured in timed.items():
                p50_ms[name].append(summarise(measured.samples_ms).p50_ms)
                notes |= dict.fromkeys(note for note in measured.notes if note.startswith("warning"))
        ui.progress(f"timing with {threads} thread(s)", rounds, rounds)
        for name, own in p50_ms.items():
            ratios = [mine / base for mine, base in zip(own, p50_ms[default], strict=True)]
            found.append(
                {
                    "converter": name,
                    "threads": threads,
                    "p50_ms": [round(ms, 4) for ms in own],
                    "ratios": [round(ratio, 4) for ratio in ratios],
                    "ratio": statistics.median(ratios),
                    "origin": "measured on host",
                    "notes": list(notes),
                }
            )
    return found
