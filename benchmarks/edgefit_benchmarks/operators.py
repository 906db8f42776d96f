"""Time per operator on this host, by LiteRT's own profiler, in a process of its own (operators_worker.py).

XNNPACK reports its operators under its own names: a 1x1 convolution runs as "Fully Connected". They are given back the
kinds that stand in the .tflite file wherever both lists go together in order; where they do not, XNNPACK's names stay.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefit_toolkit.errors import DeviceError, InputError
from edgefit_toolkit.host import python_module
from edgefit_toolkit.progress import plain

WORKER = python_module("edgefit_benchmarks.operators_worker")

# one line of the summary's "Run Order" table
_ROW = re.compile(
    r"^\s*(?P<name>\S.*?)\s+(?P<start>[\d.]+)\s+(?P<first>[\d.]+)\s+(?P<avg>[\d.]+)\s+(?P<share>[\d.]+)%"
    r"\s+[\d.]+%\s+[\d.]+\s+(?P<called>\d+)\s+\S.*$"
)
_DELEGATE = "Delegate/"
_MATRIX = {  # what XNNPACK may run these kinds as: subgraph.c of XNNPACK, tensorflow/lite/delegates/xnnpack
    "CONV_2D": ("Convolution", "Fully Connected"),
    "DEPTHWISE_CONV_2D": ("Convolution",),
    "FULLY_CONNECTED": ("Fully Connected",),
    "TRANSPOSE_CONV": ("Deconvolution",),
}
_OTHERS = {
    "Add": "ADD",
    "Subtract": "SUB",
    "Multiply": "MUL",
    "Mean": "MEAN",
    "Sigmoid": "LOGISTIC",
    "Softmax": "SOFTMAX",
    "HardSwish": "HARD_SWISH",
    "Transpose": "TRANSPOSE",
    "Constant Pad": "PAD",
    "Average Pooling": "AVERAGE_POOL_2D",
    "Max Pooling": "MAX_POOL_2D",
    "Static Reshape": "RESHAPE",
    "Concatenate": "CONCATENATION",
}
_TABLE = "Invalid Unary Op"  # what XNNPACK prints for a look-up table: an int8 x * sigmoid(x) becomes one


@dataclass(frozen=True)
class OperatorTime:
    """All operators of one kind within one inference."""

    op: str  # as in the file: "CONV_2D"; XNNPACK's own name where the file has no such operator
    count: int
    ms: float  # mean over the profiled inferences, summed over `count`
    kernels: tuple[str, ...]  # XNNPACK's names for what ran; empty: LiteRT's own kernel, outside XNNPACK


@dataclass(frozen=True)
class OperatorProfile:
    """One model's inference, taken apart."""

    rows: tuple[OperatorTime, ...]  # most time first
    invoke_ms: float  # mean of the same inferences by the clock: the rows' sum and what lies between operators
    threads: int
    runs: int
    runtime: str

    @property
    def total_ms(self) -> float:
        """The rows' sum."""
        return sum(row.ms for row in self.rows)


@dataclass(frozen=True)
class _Node:
    name: str
    count: int  # nodes of several partitions with one name and place are one row, called more often
    ms: float  # per inference
    share: float  # percent, finer than `ms`


def profile_operators(
    model_path: Path, threads: int, runs: int = 30, *, timeout_s: float = 300.0, worker: Sequence[str] = WORKER
) -> OperatorProfile:
    """Time per operator kind over `runs` inferences on seeded noise.

    InputError when the model is missing or LiteRT cannot run it; DeviceError when the installed ai-edge-litert has no
    profiler, when its summary has another form, or when the process dies or takes longer than `timeout_s`.
    """
    if not model_path.is_file():
        raise InputError(f"there is no model {model_path}", "edgefit convert makes one")
    if threads < 1 or runs < 1:
        raise InputError(f"{threads} threads and {runs} runs cannot be profiled", "both are at least 1")
    answer = _ask(model_path, threads, runs, timeout_s, worker)
    if "unavailable" in answer:
        raise DeviceError(
            f"the installed ai-edge-litert has no profiler for operators: {answer['unavailable']}",
            "pip install -U ai-edge-litert, or leave times out: edgefit inspect --no-time",
        )
    if "error" in answer:
        raise InputError(f"LiteRT cannot profile {model_path}: {plain(answer['error'])}", "convert it again")
    rows = rows_from(answer["summary"], answer["kinds"], runs)
    return OperatorProfile(rows, float(answer["invoke_ms"]), threads, runs, answer["runtime"])


def rows_from(summary: str, kinds: Sequence[str], runs: int) -> tuple[OperatorTime, ...]:
    """The profiler's printed summary as rows, most time first. `kinds`: the file's operators in order.

    DeviceError when the summary has no table of operators in the form of LiteRT 2.
    """
    nodes = _nodes(summary, runs)
    if not nodes:
        raise DeviceError(
            "LiteRT's profiler gave no table of operators that edgefit can read",
            "see which ai-edge-litert is installed: edgefit doctor",
        )
    grouped: dict[tuple[str, bool], list[_Node]] = {}
    for node, kind in zip(nodes, _kinds(nodes, kinds), strict=True):
        grouped.setdefault((kind, node.name.startswith(_DELEGATE)), []).append(node)
    total_ms, shares = sum(n.ms for n in nodes), sum(n.share for n in nodes)

    def time_ms(group: Iterable[_Node]) -> float:  # shares have three digits where the printed ms may have one
        return total_ms * sum(n.share for n in group) / shares if shares else sum(n.ms for n in group)

    rows = [
        OperatorTime(
            kind,
            sum(n.count for n in group),
            time_ms(group),
            tuple(dict.fromkeys(n.name.removeprefix(_DELEGATE) for n in group)) if inside else (),
        )
        for (kind, inside), group in grouped.items()
    ]
    seen = [row for row in rows if row.ms > 0 or row.op in kinds]  # XNNPACK's own reshapes cost nothing
    return tuple(sorted(seen, key=lambda row: -row.ms))


def _nodes(summary: str, runs: int) -> list[_Node]:
    """The rows of the first table, in the order in which they ran."""
    nodes: list[_Node] = []
    _, _, table = summary.partition("Run Order")
    for line in table.splitlines()[1:]:
        match = _ROW.match(line)
        if match is not None:
            per_inference = int(match["called"]) / runs
            ms, share = float(match["avg"]) * per_inference, float(match["share"])
            nodes.append(_Node(match["name"], max(1, round(per_inference)), ms, share))
        elif nodes or line.startswith("="):
            break
    inside = any(node.name.startswith(_DELEGATE) for node in nodes)
    # the delegate as a whole, where a version lists it beside its operators, would count twice
    return [n for n in nodes if not (inside and n.name.startswith(("TfLiteXNNPackDelegate", "DELEGATE")))]


def _kinds(nodes: Sequence[_Node], kinds: Sequence[str]) -> list[str]:
    """The kind in the file of every node."""
    found = [_other(node.name, kinds) for node in nodes]
    matrix_kinds = [kind for kind in kinds if kind in _MATRIX]
    places = [i for i, node in enumerate(nodes) if _is_matrix(node.name)]
    pairs = list(zip(places, matrix_kinds, strict=False))
    if len(places) == len(matrix_kinds) and all(_runs_as(nodes[i].name, kind) for i, kind in pairs):
        for i, kind in pairs:
            found[i] = kind
    return found


def _other(name: str, kinds: Sequence[str]) -> str:
    if not name.startswith(_DELEGATE):
        return name
    name = name.removeprefix(_DELEGATE)
    if _is_matrix(_DELEGATE + name):
        possible = [kind for kind in _MATRIX if kind in kinds and _runs_as(_DELEGATE + name, kind)]
        if "DWConv" not in name and not name.startswith("Fully Connected"):
            possible = [kind for kind in possible if kind != "DEPTHWISE_CONV_2D"] or possible
        if len(possible) == 1:
            return possible[0]
    for start, kind in _OTHERS.items():
        if name.startswith(start) and kind in kinds:
            return kind
    return f"{'Table look-up' if name == _TABLE else name} (XNNPACK)"


def _is_matrix(name: str) -> bool:
    return name in _MATRIX or name.startswith(
        tuple({_DELEGATE + start for starts in _MATRIX.values() for start in starts})
    )


def _runs_as(name: str, kind: str) -> bool:
    if not name.startswith(_DELEGATE):
        return name == kind
    if "DWConv" in name:
        return kind == "DEPTHWISE_CONV_2D"
    return name.removeprefix(_DELEGATE).startswith(_MATRIX[kind])


def _ask(model_path: Path, threads: int, runs: int, timeout_s: float, worker: Sequence[str]) -> dict[str, Any]:
    """The worker's answer, or why there is none."""
    command = [*worker, str(model_path), "--threads", str(threads), "--runs", str(runs)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise DeviceError(
            f"profiling {model_path.name} took longer than {timeout_s:.0f} s", "use fewer runs or a smaller model"
        ) from error
    if done.returncode == 0 and done.stdout.strip():
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer
    code = done.returncode
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    said = done.stderr.strip().splitlines()
    raise DeviceError(
        f"the process that profiled {model_path.name} {how}" + (f": {plain(said[-1])}" if said else ""),
        "run it again; when it happens again, leave times out: edgefit inspect --no-time",
    )
