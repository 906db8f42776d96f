"""The process that times one model on this host: nothing of torch, nothing of the caller, in its memory.

    python -m edgefit_benchmarks.sessions.worker MODEL --threads 2 [--input FILE] [--seed 0] [--cpus 0,1]
    SIDE_PYTHON -I worker.py --runtime tflite-runtime MODEL ...    tflite-runtime, in an environment of its own

Speaks JSON lines: first what it loaded, then for every line {"warmups": w, "samples": n} on stdin a line
{"samples_ms": [...], "warmups_ms": [...]} on stdout. Ends when stdin does. Imports nothing of edgefit.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

RUNTIMES = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}


def time_invocations(interpreter: Any, n: int) -> list[float]:
    """n invocations one after the other, each timed alone, in ms."""
    invoke, clock = interpreter.invoke, time.perf_counter_ns
    samples_ns = [0] * n
    for i in range(n):
        start = clock()
        invoke()
        samples_ns[i] = clock() - start
    return [ns / 1e6 for ns in samples_ns]


def fill_inputs(interpreter: Any, input_path: Path | None, seed: int) -> str:
    """Put a picture (raw bytes of the first input) or seeded noise in; returns which, for the record."""
    rng = np.random.default_rng(seed)
    said = f"input: seeded noise, seed {seed}"
    for i, detail in enumerate(interpreter.get_input_details()):
        shape, dtype = tuple(detail["shape"]), np.dtype(detail["dtype"])
        if i == 0 and input_path is not None:
            raw = np.fromfile(input_path, dtype=dtype)
            if raw.size != int(np.prod(shape)):
                raise ValueError(f"{input_path} holds {raw.nbytes} bytes; the input {shape} {dtype} is another size")
            values, said = raw.reshape(shape), f"input: {input_path.name}"
        elif np.issubdtype(dtype, np.integer):
            info = np.iinfo(dtype)
            values = rng.integers(info.min, info.max, size=shape, dtype=dtype, endpoint=True)
        else:
            values = rng.uniform(-1.0, 1.0, size=shape).astype(dtype)
        interpreter.set_tensor(detail["index"], values)
    return said


def delegate_of(interpreter: Any) -> tuple[str, int]:
    """("xnnpack", partitions) when the runtime's default delegate took nodes over, else ("none", 0)."""
    # no public call tells what a delegate took; the pins of both runtimes keep this name
    partitions = sum(op["op_name"] == "DELEGATE" for op in interpreter._get_ops_details())
    return ("xnnpack", partitions) if partitions else ("none", 0)


def main() -> int:
    parser = argparse.ArgumentParser(description="time one model on this host")
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--input", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpus", default="")
    parser.add_argument("--runtime", choices=RUNTIMES, default="ai-edge-litert")
    args = parser.parse_args()
    if args.cpus:
        os.sched_setaffinity(0, {int(c) for c in args.cpus.split(",")})
    interpreter_class = importlib.import_module(RUNTIMES[args.runtime]).Interpreter
    runtime = f"{args.runtime} {version(args.runtime)}"
    try:
        interpreter = interpreter_class(model_path=str(args.model), num_threads=args.threads)
        interpreter.allocate_tensors()
        said = fill_inputs(interpreter, args.input, args.seed)
    except (ValueError, RuntimeError, OSError) as error:
        print(json.dumps({"error": str(error).strip(), "runtime": runtime}), flush=True)
        return 1
    delegate, partitions = delegate_of(interpreter)
    ready = {
        "runtime": runtime,
        "delegate": delegate,
        "partitions": partitions,
        "input": said,
    }
    print(json.dumps(ready), flush=True)
    gc.disable()  # a collection in the middle of a sample is not the model's time
    for line in sys.stdin:
        order = json.loads(line)
        warmups_ms = time_invocations(interpreter, order["warmups"])
        samples_ms = time_invocations(interpreter, order["samples"])
        print(json.dumps({"warmups_ms": warmups_ms, "samples_ms": samples_ms}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
