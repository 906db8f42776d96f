"""What is inside a .tflite file: operators, XNNPACK partitions, float islands, inputs and outputs."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import struct
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefit_converters.tflite.flatfile import FlatModel
from edgefit_toolkit.errors import EdgefitError, InputError
from edgefit_toolkit.host import python_module
from edgefit_toolkit.interpreter import TensorFacts, open_interpreter, read_ends
from edgefit_toolkit.records import TFLiteModel

FILE_IDENTIFIER = b"TFL3"  # bytes 4 to 8 of every .tflite
READING_S = 120.0  # a healthy file takes less than one
FORBIDDEN = ("TRANSPOSE", "PAD", "PADV2")  # each is a pass over memory, and a sign of a layout gone wrong
IO_CASTS = ("QUANTIZE", "DEQUANTIZE")


@dataclass(frozen=True)
class ModelFacts:
    """One .tflite file as it was read back."""

    path: str
    sha256: str
    size_bytes: int
    ops: dict[str, int]  # operator kind -> count, most frequent first
    partitions: int  # XNNPACK partitions on this host; 1 and `fallback` empty: all of it runs in XNNPACK
    fallback: tuple[str, ...]  # kinds of operators outside every partition
    float_islands: tuple[str, ...]  # in a quantized model: outputs of operators that still compute in float
    full_integer: bool  # no float tensor between input and output
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    description: str

    @property
    def io_dtype(self) -> str:
        """`uint8`, `int8`, `float32`; `uint8 -> int8` when input and output differ."""
        start, end = self.inputs[0].dtype, self.outputs[0].dtype
        return start if start == end else f"{start} -> {end}"

    def as_model(self, recipe: str, notes: tuple[str, ...] = ()) -> TFLiteModel:
        """The record that travels on to the guard, the benchmark and the report."""
        return TFLiteModel(
            path=self.path,
            sha256=self.sha256,
            size_bytes=self.size_bytes,
            io_dtype=self.io_dtype,
            ops=self.ops,
            partitions=self.partitions,
            recipe=recipe,
            notes=notes,
        )


def read_foreign(path: str | Path) -> ModelFacts:
    """`read_model` of a file from anywhere: a process of its own reads it first, for damage can kill the native
    runtime, which no exception tells. Raises InputError then, too."""
    command, damaged = (*python_module(__name__), str(path)), "it is damaged: make or fetch it again"
    try:
        died_of = -subprocess.run(command, capture_output=True, timeout=READING_S, check=False).returncode
    except subprocess.TimeoutExpired as error:
        raise InputError(f"LiteRT cannot open {path} within {READING_S:.0f} s", damaged) from error
    if died_of > 0:
        raise InputError(f"LiteRT dies of {signal.Signals(died_of).name} when it opens {path}", damaged)
    return read_model(path)


def read_model(path: str | Path) -> ModelFacts:
    """Reads any .tflite. Raises InputError when the file is missing or is something else."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no file {path}", "hand over the path of a .tflite model")
    content = path.read_bytes()
    if content[4:8] != FILE_IDENTIFIER:
        raise InputError(
            f"{path} is not a .tflite model: bytes 4 to 8 are {content[4:8]!r}, not {FILE_IDENTIFIER!r}",
            "hand over a .tflite file, such as model.tflite in a run directory",
        )
    try:
        return _read(path, content)
    except (ValueError, LookupError, TypeError, AttributeError, struct.error) as error:  # names, offsets, missing parts
        raise InputError(f"{path} is damaged: {error or type(error).__name__}", "make or fetch it again") from error


def _read(path: Path, content: bytes) -> ModelFacts:
    interpreter = open_interpreter(path, threads=1)  # first: it verifies what the parser would trip over
    flat = FlatModel(content)
    inputs, outputs = read_ends(interpreter)
    islands = tuple(_float_outputs(flat))
    quantized = any(flat.dtype(t) in ("int8", "uint8", "int16") for op in flat.graph.operators for t in op.outputs)
    partitions, fallback = _partitions(interpreter)
    return ModelFacts(
        path=str(path),
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        ops=dict(Counter(flat.kind(operator) for operator in flat.graph.operators).most_common()),
        partitions=partitions,
        fallback=fallback,
        float_islands=islands if quantized else (),
        full_integer=quantized and not islands,
        inputs=inputs,
        outputs=outputs,
        description=(flat.model.description or b"").decode(errors="replace"),
    )


def _float_outputs(flat: FlatModel) -> list[str]:
    """Outputs of operators that compute in float. A cast at an end is none."""
    ends = set(flat.graph.outputs)
    return [
        f"{flat.kind(operator)} {flat.name(tensor)}"
        for operator in flat.graph.operators
        for tensor in operator.outputs
        if flat.dtype(tensor) in ("float32", "float16", "bfloat16")
        and not (flat.kind(operator) in IO_CASTS and tensor in ends)
    ]


def _partitions(interpreter: Any) -> tuple[int, tuple[str, ...]]:
    """The DELEGATE nodes of an allocated interpreter, and the kinds of operators that none of them took.

    A delegated operator stays in the interpreter's list, so what fell back is found by its tensors: the runtime still
    has to see its output outside a partition.
    """
    nodes = interpreter._get_ops_details()
    delegates = [node for node in nodes if node["op_name"] == "DELEGATE"]
    return len(delegates), tuple(sorted(set(_outside(nodes, delegates))))


def _outside(nodes: list[dict[str, Any]], delegates: list[dict[str, Any]]) -> list[str]:
    made_by = {int(t): node for node in nodes if node["op_name"] != "DELEGATE" for t in node["outputs"]}
    starts = {int(t) for node in delegates for t in node["inputs"]}
    inside: set[int] = set()
    for delegate in delegates:
        todo = [int(t) for t in delegate["outputs"]]
        while todo:  # from the partition's outputs back to its inputs
            tensor = todo.pop()
            node = made_by.get(tensor)
            if tensor in starts or node is None or node["index"] in inside:
                continue
            inside.add(node["index"])
            todo += [int(t) for t in node["inputs"] if t >= 0]
    return [str(n["op_name"]) for n in nodes if n["op_name"] != "DELEGATE" and n["index"] not in inside]


if __name__ == "__main__":  # for read_foreign, which reads again: an error has its words there
    with contextlib.suppress(EdgefitError):
        read_model(sys.argv[1])
