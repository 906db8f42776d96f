"""edgefit's host latency against litert-benchmark, the tool that comes with ai-edge-litert, on the same file.

    python -m experiments.latency.compare_litert_benchmark MODEL.tflite [MODEL.tflite ...] --threads 2 --rounds 10

Both are started anew in every round, in turns and in alternating order, so that a busy machine is busy for both; each
takes `--runs` samples after its warm-up. Compared are the medians over the rounds of each round's median
(litert-benchmark prints no samples). Exit 1 when they differ by more than `--limit`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.targets.local import LocalTarget
from edgefit_benchmarks.timing import measure
from edgefit_toolkit.host import python_module

WARMUPS = 10


def litert_benchmark_ms(model: Path, threads: int, runs: int) -> float:
    """The median that one start of litert-benchmark reports."""
    with tempfile.TemporaryDirectory() as work:
        result = Path(work) / "result.json"
        command = [*python_module("ai_edge_litert.tools.benchmark_litert_model"), f"--model={model}"]
        command += [f"--num_threads={threads}", f"--num_runs={runs}", f"--warmup_runs={WARMUPS}"]
        subprocess.run([*command, f"--result_json={result}"], check=True, capture_output=True)
        return float(json.loads(result.read_text())["latency"]["median_ms"])


def edgefit_ms(model: Path, threads: int, runs: int) -> float:
    """The median of one `edgefit bench` of about as many samples."""
    options = TimingOptions(threads=threads, warmups=WARMUPS, min_samples=runs, min_seconds=0.0, max_seconds=0.0)
    measured = measure(LocalTarget(), model, options)
    return statistics.median(measured.samples_ms[:runs])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--limit", type=float, default=0.05)
    args = parser.parse_args()
    worst = 0.0
    for model in args.models:
        ours: list[float] = []
        theirs: list[float] = []
        for number in range(args.rounds):
            tools = [(ours, edgefit_ms), (theirs, litert_benchmark_ms)]
            for medians, tool in tools if number % 2 == 0 else reversed(tools):
                medians.append(tool(model, args.threads, args.runs))
        edgefit, litert = statistics.median(ours), statistics.median(theirs)
        difference = edgefit / litert - 1
        worst = max(worst, abs(difference))
        spread = max(max(m) / min(m) - 1 for m in (ours, theirs))
        print(
            f"{model.name}: edgefit {edgefit:.3f} ms, litert-benchmark {litert:.3f} ms, {difference:+.1%} "
            f"({args.rounds} rounds of {args.runs}, {args.threads} threads; medians of rounds spread {spread:.0%})"
        )
    return 0 if worst <= args.limit else 1


if __name__ == "__main__":
    sys.exit(main())
