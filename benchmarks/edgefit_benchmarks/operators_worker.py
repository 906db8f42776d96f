"""The process that profiles one model on this host with LiteRT's own profiler, through its C API.

    python -m edgefit_benchmarks.operators_worker MODEL --threads 2 --runs 30

Prints one JSON line: {"summary", "kinds", "invoke_ms", "runtime"}, or {"unavailable": why}, or {"error": why}.
Python's classes of ai-edge-litert have no way to the profiler; libLiteRt.so of the same wheel has. Names, arguments and
constants are those of LiteRT 2.x, litert/c/litert_{common,model,options,compiled_model,tensor_buffer,profiler}.h.
"""

from __future__ import annotations

import argparse
import ctypes as c
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ai_edge_litert
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

WARMUPS = 5
CPU = 1  # kLiteRtHwAcceleratorCpu
WRITE = 1  # kLiteRtTensorBufferLockModeWrite
FLOAT32, BYTES = 1, (3, 9)  # kLiteRtElementTypeFloat32, ...UInt8, ...Int8
TYPE_BYTES = 1024  # more than a LiteRtRankedTensorType, which begins with its element type as an int

_P, _N, _I = c.c_void_p, c.c_size_t, c.c_int
FUNCTIONS: dict[str, list[Any]] = {
    "CreateEnvironment": [_I, _P, _P],
    "CreateModelFromFile": [_P, c.c_char_p, _P],
    "CreateOptions": [_P],
    "SetOptionsHardwareAccelerators": [_P, _I],
    "CreateOpaqueOptions": [c.c_char_p, _P, _P, _P],
    "AddOpaqueOptions": [_P, _P],
    "CreateCompiledModel": [_P, _P, _P, _P],
    "GetModelSignature": [_P, _N, _P],
    "GetNumSignatureInputs": [_P, _P],
    "GetNumSignatureOutputs": [_P, _P],
    "GetSignatureInputTensorByIndex": [_P, _N, _P],
    "GetSignatureOutputTensorByIndex": [_P, _N, _P],
    "GetRankedTensorType": [_P, _P],
    "GetCompiledModelInputBufferRequirements": [_P, _N, _N, _P],
    "GetCompiledModelOutputBufferRequirements": [_P, _N, _N, _P],
    "CreateManagedTensorBufferFromRequirements": [_P, _P, _P, _P],
    "GetTensorBufferPackedSize": [_P, _P],
    "LockTensorBuffer": [_P, _P, _I],
    "UnlockTensorBuffer": [_P],
    "RunCompiledModel": [_P, _N, _N, _P, _N, _P],
    "CompiledModelGetProfiler": [_P, _P],
    "StartProfiler": [_P],
    "StopProfiler": [_P],
    "GetProfileSummary": [_P, _P, _P],
}


class Unavailable(Exception):  # noqa: N818  (an outcome, not a fault)
    """This LiteRT has no profiler that can be reached."""


class LiteRt:
    """LiteRT's C API. A call that fails raises RuntimeError with the function's name and LiteRT's status."""

    def __init__(self) -> None:
        path = Path(ai_edge_litert.__file__).with_name("libLiteRt.so")
        try:
            library = c.CDLL(str(path))
            self._functions = {name: getattr(library, f"LiteRt{name}") for name in FUNCTIONS}
        except (OSError, AttributeError) as error:
            raise Unavailable(str(error)) from error
        for name, arguments in FUNCTIONS.items():
            self._functions[name].argtypes = arguments
        self._libc = c.CDLL(None)
        self._libc.strdup.restype, self._libc.strdup.argtypes = _P, [c.c_char_p]

    def call(self, name: str, *arguments: Any) -> None:
        """LiteRt<name>(arguments)."""
        status = self._functions[name](*arguments)
        if status:
            raise RuntimeError(f"LiteRt{name} ended with status {status}")

    def new(self, name: str, *arguments: Any) -> c.c_void_p:
        """LiteRt<name>(arguments, &handle) -> handle."""
        handle = _P()
        self.call(name, *arguments, c.byref(handle))
        return handle

    def count(self, name: str, handle: c.c_void_p) -> int:
        """LiteRt<name>(handle, &n) -> n."""
        n = _N()
        self.call(name, handle, c.byref(n))
        return n.value

    def option(self, options: c.c_void_p, group: bytes, toml: bytes) -> None:
        """Adds one group of options; LiteRT takes them as TOML, and frees the text with free()."""
        text = self._libc.strdup(toml)
        self.call("AddOpaqueOptions", options, self.new("CreateOpaqueOptions", group, text, self._libc.free))


def profile(lite: LiteRt, model_path: Path, threads: int, runs: int) -> tuple[str, float]:
    """The profiler's summary of `runs` inferences, and their mean time by the clock, in ms."""
    environment = lite.new("CreateEnvironment", 0, None)
    model = lite.new("CreateModelFromFile", environment, os.fsencode(model_path))
    options = lite.new("CreateOptions")
    lite.call("SetOptionsHardwareAccelerators", options, CPU)
    lite.option(options, b"runtime_options_string", b"enable_profiling = true\n")
    lite.option(options, b"cpu_options_string", b"num_threads = %d\n" % threads)
    compiled = lite.new("CreateCompiledModel", environment, model, options)
    signature = lite.new("GetModelSignature", model, 0)
    ends = {}
    for end in ("Input", "Output"):
        buffers = []
        for i in range(lite.count(f"GetNumSignature{end}s", signature)):
            kind = c.create_string_buffer(TYPE_BYTES)
            lite.call("GetRankedTensorType", lite.new(f"GetSignature{end}TensorByIndex", signature, i), kind)
            needs = lite.new(f"GetCompiledModel{end}BufferRequirements", compiled, 0, i)
            buffers.append(lite.new("CreateManagedTensorBufferFromRequirements", environment, kind, needs))
            if end == "Input":
                _fill(lite, buffers[-1], c.c_int.from_buffer(kind).value)
        ends[end] = (len(buffers), (_P * len(buffers))(*buffers))
    run = ("RunCompiledModel", compiled, 0, *ends["Input"], *ends["Output"])
    for _ in range(WARMUPS):
        lite.call(*run)
    try:
        profiler = lite.new("CompiledModelGetProfiler", compiled)
        lite.call("StartProfiler", profiler)
    except RuntimeError as error:
        raise Unavailable(str(error)) from error
    start_ns = time.perf_counter_ns()
    for _ in range(runs):
        lite.call(*run)
    took_ns = time.perf_counter_ns() - start_ns
    lite.call("StopProfiler", profiler)
    summary = c.c_char_p()
    lite.call("GetProfileSummary", profiler, compiled, c.byref(summary))
    if summary.value is None:
        raise Unavailable("LiteRtGetProfileSummary gave nothing")
    return summary.value.decode("utf-8", "replace"), took_ns / runs / 1e6


def _fill(lite: LiteRt, buffer: c.c_void_p, kind: int) -> None:
    """Seeded noise in bytes and floats, zeros in what may be an index: denormal leftovers would cost time."""
    size, address = lite.count("GetTensorBufferPackedSize", buffer), _P()
    chance = np.random.default_rng(0)
    data = bytes(size)
    if kind == FLOAT32:
        data = chance.uniform(-1.0, 1.0, size // 4).astype(np.float32).tobytes()
    elif kind in BYTES:
        data = chance.bytes(size)
    lite.call("LockTensorBuffer", buffer, c.byref(address), WRITE)
    c.memmove(address, data, size)
    lite.call("UnlockTensorBuffer", buffer)


def kinds_of(model_path: Path) -> list[str]:
    """The operators of the file's main graph, in order."""
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_path=str(model_path), experimental_op_resolver_type=plain)
    return [str(op["op_name"]) for op in interpreter._get_ops_details()]  # as worker.py: no public call tells


def main() -> int:
    parser = argparse.ArgumentParser(description="time the operators of one model on this host")
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--runs", type=int, required=True)
    args = parser.parse_args()
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a native library prints goes to stderr: stdout is the answer alone
    doc: dict[str, Any]
    try:
        kinds = kinds_of(args.model)
        summary, invoke_ms = profile(LiteRt(), args.model, args.threads, args.runs)
        runtime = f"ai-edge-litert {version('ai-edge-litert')}"
        doc = {"summary": summary, "kinds": kinds, "invoke_ms": invoke_ms, "runtime": runtime}
    except Unavailable as error:
        doc = {"unavailable": str(error)}
    except (ValueError, RuntimeError, OSError) as error:
        doc = {"error": str(error).strip()}
    print(json.dumps(doc), file=answer, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
