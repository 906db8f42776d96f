"""What a browser measured about itself: checked on arrival, kept in the run, shown in the report."""

from __future__ import annotations

import ipaddress
import json
import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from edgefit_benchmarks.stats import summarise
from edgefit_toolkit.errors import InputError, OutputError
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.report import ReportDoc, read_report, write_report
from edgefit_toolkit.report.schema import MeasurementDoc

Measured = Literal["measured on device", "measured on host"]

SCHEMA = "edgefit.web-bench/1"
FOLDER = "web-bench"  # inside the run
MOST_RESULTS = 200  # of one run: a full folder takes no more
SAMPLES = (50, 5000)
LONGEST_SAMPLE_MS = 60_000.0
MOST_THREADS = 64
PLAIN_TEXT = re.compile(r"[\x20-\x7e]{1,400}")
RUNTIME_TEXT = re.compile(r"[A-Za-z0-9 .,()_-]{1,60}")
PHONE = re.compile(r"Android|iPhone|iPad|Mobile")


@dataclass(frozen=True)
class WebResult:
    """One posted measurement."""

    model: str  # "int8" | "float"
    model_sha256: str
    runtime: str  # "LiteRT.js 2.5.3, WASM"
    threads: int
    warmups: int
    cross_origin_isolated: bool  # threads and a fine clock need it
    user_agent: str
    samples_ms: tuple[float, ...]
    origin: Measured = "measured on device"


def parse(body: bytes, client: str, known: dict[str, str]) -> WebResult:
    """A posted body as a result; `known` maps model name to SHA-256, `client` is the sender's address.

    Raises InputError that names the first bad field. A field that is not expected is refused as well.
    """
    try:
        doc: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError("the body is not JSON") from error
    wanted = {
        "schema": str, "model": str, "model_sha256": str, "runtime": str, "threads": int, "warmups": int,
        "cross_origin_isolated": bool, "user_agent": str, "samples_ms": list,
    }  # fmt: skip
    if not isinstance(doc, dict) or set(doc) != set(wanted):
        raise InputError(f"the body must be an object with exactly {', '.join(wanted)}")
    for name, kind in wanted.items():
        if type(doc[name]) is not kind:
            raise InputError(f"{name} must be {kind.__name__}")
    if doc.pop("schema") != SCHEMA:
        raise InputError(f"schema must be {SCHEMA}")
    if known.get(doc["model"]) != doc["model_sha256"]:
        raise InputError("model and model_sha256 are not those of this run")
    if not RUNTIME_TEXT.fullmatch(doc["runtime"]) or not PLAIN_TEXT.fullmatch(doc["user_agent"]):
        raise InputError("runtime and user_agent must be plain, short text")
    if not (1 <= doc["threads"] <= MOST_THREADS and 0 <= doc["warmups"] <= SAMPLES[1]):
        raise InputError(f"threads must be 1 to {MOST_THREADS}, warmups 0 to {SAMPLES[1]}")
    samples = doc.pop("samples_ms")
    if not SAMPLES[0] <= len(samples) <= SAMPLES[1]:
        raise InputError(f"samples_ms must hold {SAMPLES[0]} to {SAMPLES[1]} samples, not {len(samples)}")
    for sample in samples:
        if type(sample) not in (int, float) or not math.isfinite(sample) or not 0 <= sample <= LONGEST_SAMPLE_MS:
            raise InputError(f"samples_ms must be numbers from 0 to {LONGEST_SAMPLE_MS:g}")
    return WebResult(**doc, samples_ms=tuple(map(float, samples)), origin=origin_of(doc["user_agent"], client))


def origin_of(user_agent: str, client: str) -> Measured:
    """A browser of this computer measures the host; a phone on `adb reverse` is on loopback too, hence the name."""
    local = ipaddress.ip_address(client.partition("%")[0]).is_loopback
    return "measured on host" if local and not PHONE.search(user_agent) else "measured on device"


def keep(run_dir: Path, result: WebResult) -> Path:
    """Writes one result under the run's own folder, under a name of our choice. Raises OutputError when it is full."""
    folder = run_dir / FOLDER
    folder.mkdir(exist_ok=True)
    count = len(list(folder.glob("*.json")))
    if count >= MOST_RESULTS:
        raise OutputError(f"{folder.name} holds {count} results already", "remove the ones you do not need")
    path = folder / f"{count + 1:04d}.json"
    write_atomic(path, json.dumps({"schema": SCHEMA, **asdict(result)}, indent=1) + "\n")
    return path


def read_results(run_dir: Path) -> list[WebResult]:
    """Every kept result, oldest first."""
    found = []
    for path in sorted((run_dir / FOLDER).glob("*.json")):
        doc = json.loads(path.read_text())
        doc.pop("schema")
        doc["samples_ms"] = tuple(doc["samples_ms"])
        found.append(WebResult(**doc))
    return found


def web_measurements(run_dir: Path) -> list[MeasurementDoc]:
    """The kept results as report rows; the last of each browser, model and thread count counts."""
    latest: dict[tuple[str, str, int], WebResult] = {}
    for result in read_results(run_dir):
        latest[result.user_agent, result.model, result.threads] = result
    return [_row(result) for result in latest.values()]


def _row(result: WebResult) -> MeasurementDoc:
    summary = summarise(result.samples_ms)
    isolated = "cross-origin isolated" if result.cross_origin_isolated else "not cross-origin isolated: a coarse clock"
    return {
        "model": result.model,
        "model_sha256": result.model_sha256,
        "target": f"web: {browser_of(result.user_agent)}",
        "runtime": result.runtime,
        "delegate": "xnnpack",
        "threads": result.threads,
        "origin": result.origin,
        "warmups": result.warmups,
        "p50_ms": summary.p50_ms,
        "p90_ms": summary.p90_ms,
        "p99_ms": summary.p99_ms,
        "samples_ms": [round(sample, 4) for sample in result.samples_ms],
        "notes": [f"web, WASM; reported by the browser itself: {result.user_agent}", isolated],
    }


def browser_of(user_agent: str) -> str:
    """`Chrome 131 on Android 14; Pixel 7`, as far as the browser tells."""
    system = re.search(r"\(([^)]*)\)", user_agent)
    name = re.search(r"(Firefox|EdgA?|SamsungBrowser|CriOS|FxiOS|HeadlessChrome|Chrome|Version)/(\d+)", user_agent)
    browser = f"{name[1].replace('Version', 'Safari')} {name[2]}" if name else "browser"
    return f"{browser} on {system[1][:60]}" if system else browser


def add_to_report(run_dir: Path) -> ReportDoc:
    """Puts the kept results into report.json, report.md and report.html, beside the native rows."""
    doc = read_report(run_dir)
    native = [row for row in doc["measurements"] if not row["target"].startswith("web: ")]
    doc["measurements"] = [*native, *web_measurements(run_dir)]
    write_report(doc, run_dir)
    return doc
