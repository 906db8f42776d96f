"""Is int8 faster than float on this host, and if it is not, why?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefit_toolkit.errors import EdgefitError

if TYPE_CHECKING:
    from edgefit_benchmarks.operators import OperatorProfile
    from edgefit_converters.tflite.inspect import ModelFacts

NOISE = 0.02  # medians that lie closer than this are called equal
SHARE = 0.05  # of int8's time: what costs less is no reason
_GLUE = ("TRANSPOSE", "PAD", "QUANTIZE", "DEQUANTIZE", "RESHAPE")  # moves or converts numbers, computes nothing
# words of /proc/cpuinfo for an int8 dot product: x86 "flags" and Arm "Features" (Linux, arch/*/include/asm)
_DOT_X86 = frozenset({"avx512_vnni", "avx_vnni", "avx_vnni_int8"})
_DOT_ARM = frozenset({"asimddp", "i8mm"})


@dataclass(frozen=True)
class Int8Speed:
    """Medians of both models, timed in turns on this host."""

    int8_ms: float
    float_ms: float
    threads: int
    reasons: tuple[str, ...]  # empty unless int8 is slower

    @property
    def slower(self) -> bool:
        """int8 needs longer than float, by more than noise."""
        return is_slower(self.int8_ms, self.float_ms)

    @property
    def sentence(self) -> str:
        """Which is faster, and by how much."""
        both = f"int8 {self.int8_ms:.2f} ms, float {self.float_ms:.2f} ms (p50, measured on host)"
        if self.slower:
            return f"int8 is SLOWER than float here, {self.int8_ms / self.float_ms:.2f} times its time: {both}"
        if is_slower(self.float_ms, self.int8_ms):
            return f"int8 is {self.float_ms / self.int8_ms:.2f} times as fast as float: {both}"
        return f"int8 is as fast as float: {both}"


def slower_warnings(
    measurements: Iterable[Mapping[str, Any]],
    int8: ModelFacts,
    float_: ModelFacts,
    profiles: Mapping[str, OperatorProfile],
) -> list[str]:
    """One line for every target and runtime on which int8's p50 lies above float's.

    `measurements` are report.MeasurementDocs. The operators' times are this host's and LiteRT's: they explain no other.
    """
    pairs: dict[tuple[str, str, str], dict[str, Mapping[str, Any]]] = {}
    for row in measurements:
        pairs.setdefault((row["target"], row["origin"], row.get("runtime", "")), {})[row["model"]] = row
    found = []
    for (target, origin, runtime), pair in pairs.items():
        if not {"int8", "float"} <= pair.keys() or not is_slower(pair["int8"]["p50_ms"], pair["float"]["p50_ms"]):
            continue
        where = f"{target}, {runtime}" if runtime else target
        times = f"{pair['int8']['p50_ms']:.1f} against {pair['float']['p50_ms']:.1f} ms, {origin}"
        found.append(f"int8 is slower than float on {where} ({times}): {'; '.join(_why(pair, int8, float_, profiles))}")
    return found


def _why(
    pair: Mapping[str, Mapping[str, Any]],
    int8: ModelFacts,
    float_: ModelFacts,
    profiles: Mapping[str, OperatorProfile],
) -> tuple[str, ...]:
    if pair["float"].get("delegate") == "xnnpack" and pair["int8"].get("delegate") == "none":
        return ("this runtime hands the float model to XNNPACK and the int8 model not",)
    here = pair["int8"]["origin"] == "measured on host"
    known = (profiles["int8"], profiles["float"]) if here and {"int8", "float"} <= profiles.keys() else None
    return why_slower(int8, float_, known, cpuinfo() if here else "")


def profile_models(models: Mapping[str, Path], threads: int) -> tuple[dict[str, OperatorProfile], list[str]]:
    """The profile of every model that the profiler could take, and a warning for each that it could not.

    Times per operator explain a latency and are none themselves: a job never ends for want of them.
    """
    from edgefit_benchmarks.operators import profile_operators

    profiles: dict[str, OperatorProfile] = {}
    warnings: list[str] = []
    for name, path in models.items():
        try:
            found = profile_operators(path, threads)
        except EdgefitError as error:
            warnings.append(f"no time per operator for {name}: {error.message}")
            continue
        if found.total_ms > 0:
            profiles[name] = found
        else:
            warnings.append(f"no time per operator for {name}: it is below the profiler's microsecond")
    return profiles, warnings


def is_slower(one_ms: float, other_ms: float) -> bool:
    """By more than noise."""
    return one_ms > other_ms * (1 + NOISE)


def compare_speed(
    int8: ModelFacts,
    float_: ModelFacts,
    threads: int,
    *,
    profiles: tuple[OperatorProfile, OperatorProfile] | None = None,
    seconds: float = 1.0,
) -> Int8Speed:
    """Time both files in turns on this host, at least 50 samples and `seconds` each; `profiles` (int8, float)."""
    from edgefit_benchmarks.sessions.options import TimingOptions
    from edgefit_benchmarks.stats import summarise
    from edgefit_benchmarks.targets.local import LocalTarget
    from edgefit_benchmarks.timing import measure_interleaved

    rows = measure_interleaved(
        LocalTarget(),
        {"int8": Path(int8.path), "float": Path(float_.path)},
        TimingOptions(threads=threads, min_seconds=seconds, max_seconds=4 * seconds),
    )
    int8_ms, float_ms = (summarise(rows[name].samples_ms).p50_ms for name in ("int8", "float"))
    reasons = why_slower(int8, float_, profiles, cpuinfo()) if is_slower(int8_ms, float_ms) else ()
    return Int8Speed(int8_ms, float_ms, threads, reasons)


def why_slower(
    int8: ModelFacts,
    float_: ModelFacts,
    profiles: tuple[OperatorProfile, OperatorProfile] | None,
    cpu: str = "",
) -> tuple[str, ...]:
    """What explains an int8 model that is slower than its float twin, the most telling first."""
    return (
        *_by_structure(int8, float_),
        *(_by_time(*profiles) if profiles else ()),
        *(("this CPU has no int8 dot product instruction (see /proc/cpuinfo)",) if int8_dot(cpu) is False else ()),
    ) or ("no single operator explains it; run it again on an idle machine with other --threads",)


def _by_structure(int8: ModelFacts, float_: ModelFacts) -> list[str]:
    found = []
    if int8.float_islands:
        n = len(int8.float_islands)
        found.append(f"{n} operators still compute in float (float islands), with conversions around them")
    if int8.partitions > float_.partitions:
        found.append(f"int8 is cut into {int8.partitions} XNNPACK partitions, float into {float_.partitions}")
    more = {kind: int8.ops.get(kind, 0) - float_.ops.get(kind, 0) for kind in _GLUE}
    ends = 2 if int8.ops.get("QUANTIZE", 0) >= 2 else 0  # uint8 at the input and at the output is no fault
    more["QUANTIZE"] -= min(ends, more["QUANTIZE"])
    extra = [f"{n} {kind}" for kind, n in more.items() if n > 0]
    if extra:
        found.append(f"int8 has {', '.join(extra)} more than float: they move numbers and compute nothing")
    return found


def _by_time(int8: OperatorProfile, float_: OperatorProfile) -> list[str]:
    found = []
    outside = [row for row in int8.rows if not row.kernels and row.ms > SHARE * int8.total_ms]
    if outside:
        said = ", ".join(f"{row.op} {row.ms:.2f} ms" for row in outside)
        found.append(f"outside XNNPACK, on plain kernels, run {said} of int8's {int8.total_ms:.2f} ms")
    before = {row.op: row.ms for row in float_.rows}
    for row in int8.rows:
        if row.op in before and row.ms - before[row.op] > SHARE * int8.total_ms:
            found.append(f"{row.op} takes {row.ms:.2f} ms in int8 and {before[row.op]:.2f} ms in float")
    return found


def cpuinfo() -> str:
    """/proc/cpuinfo; empty where there is none."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def int8_dot(cpu: str) -> bool | None:
    """Whether /proc/cpuinfo's text names an int8 dot product; None where it names no features at all."""
    words: set[str] = set()
    for line in cpu.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            words.update(value.split())
    return bool(words & (_DOT_X86 | _DOT_ARM)) if words else None
