"""What a browser measured about itself: checked on arrival, kept in the run, shown in the report."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edgefit_benchmarks.stats import summarise
from edgefit_toolkit.errors import InputError, OutputError
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.report.documents import read_report, write_report
from edgefit_toolkit.report.schema import ReportDoc
from edgefit_toolkit.report.schema.results import MeasurementDoc

Measured = Literal["measured on device", "measured on host"]

FOLDER = "web-bench"  # inside the run
MOST_RESULTS = 200  # of one run: a full folder takes no more
LONGEST_SAMPLE_MS = 60_000.0
PHONE = re.compile(r"Android|iPhone|iPad|Mobile")


Sample = Annotated[float, msgspec.Meta(ge=0, le=LONGEST_SAMPLE_MS)]


class Posted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a browser may send: these fields, no others."""

    schema: Literal["edgefit.web-bench/1"]
    model: str  # "int8" | "float"
    model_sha256: str
    runtime: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9 .,()_-]{1,60}\Z")]  # "LiteRT.js 2.5.3, WASM"
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)]
    warmups: Annotated[int, msgspec.Meta(ge=0, le=5000)]
    cross_origin_isolated: bool  # threads and a fine clock need it
    user_agent: Annotated[str, msgspec.Meta(pattern=r"^[\x20-\x7e]{1,400}\Z")]
    samples_ms: Annotated[tuple[Sample, ...], msgspec.Meta(min_length=50, max_length=5000)]


class WebResult(Posted, frozen=True, forbid_unknown_fields=True):
    """One measurement that was kept."""

    origin: Measured = "measured on device"


def parse(body: bytes, client: str, known: dict[str, str]) -> WebResult:
    """A posted body as a result; `known` maps model name to SHA-256, `client` is the sender's address.

    Raises InputError that names the first bad field. A field that is not expected is refused as well.
    """
    try:
        posted = msgspec.json.decode(body, type=Posted)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"not a measurement: {error}") from error
    if known.get(posted.model) != posted.model_sha256:
        raise InputError("model and model_sha256 are not those of this run")
    return WebResult(**msgspec.structs.asdict(posted), origin=origin_of(posted.user_agent, client))


def origin_of(user_agent: str, client: str) -> Measured:
    """A browser of this computer measures the host; a phone on `adb reverse` is on loopback too, hence the name."""
    local = ipaddress.ip_address(client.partition("%")[0]).is_loopback
    return "measured on host" if local and not PHONE.search(user_agent) else "measured on device"


def keep(run_dir: Path, result: WebResult) -> Path:
    """Writes one result under the run's own folder, under a name of our choice. Raises OutputError when it is full."""
    folder = run_dir / FOLDER
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder.name} cannot be made: {error.strerror}") from error
    count = len(list(folder.glob("*.json")))
    if count >= MOST_RESULTS:
        raise OutputError(f"{folder.name} holds {count} results already", "remove the ones you do not need")
    highest = max((int(path.stem) for path in folder.glob("*.json") if path.stem.isdecimal()), default=0)
    path = folder / f"{highest + 1:04d}.json"  # never the name of one that is kept
    try:
        write_atomic(path, msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    except OSError as error:
        raise OutputError(f"{path.name} cannot be written: {error.strerror}", "make room") from error
    return path


def read_results(run_dir: Path) -> list[WebResult]:
    """Every kept result, oldest first. Raises InputError that names a file which is none."""
    found = []
    for path in sorted((run_dir / FOLDER).glob("*.json")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=WebResult))
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(f"{path} is not a measurement: {error}", "remove that file") from error
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
