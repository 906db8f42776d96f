"""Random one-place mutants of the pure modules: which of them do the modules' own tests notice?

    python -m venv /tmp/mutants && /tmp/mutants/bin/pip install cosmic-ray
    /tmp/mutants/bin/python tests/mutants.py [MODULE ...] [--each 20] [--seed 0] [--pytest "python -m pytest"]

A place is drawn at random, then one of cosmic-ray's operators for it (another number, comparison, operator, condition,
loop). Each mutant is written into the file, the tests run, the file is put back: never beside unsaved work. Prints a
Markdown table, and the survivors to stderr. Results: benchmarks/results/mutants.md.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sys
from collections import defaultdict
from pathlib import Path

from cosmic_ray.commands.init import _all_work_items
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.testing import run_tests
from cosmic_ray.work_item import TestOutcome

ROOT = Path(__file__).parents[1]
MODULES = {  # module -> its own tests
    "toolkit/edgefit_toolkit/network/families.py": "tests/toolkit/test_families.py tests/toolkit/test_scaling.py",
    "toolkit/edgefit_toolkit/network/blocks.py": "tests/toolkit/test_scaling.py",
    "toolkit/edgefit_toolkit/network/graph.py": "tests/toolkit/test_scaling.py",
    "toolkit/edgefit_toolkit/network/scaling.py": "tests/toolkit/test_scaling.py",
    "toolkit/edgefit_toolkit/network/grow.py": "tests/toolkit/test_grow.py",
    "toolkit/edgefit_toolkit/picker/rule.py": "tests/toolkit/test_rule.py",
    "toolkit/edgefit_toolkit/picker/search.py": "tests/toolkit/test_search.py",
    "toolkit/edgefit_toolkit/picker/bracket.py": (
        "tests/toolkit/test_prove.py tests/toolkit/test_bracket_rounds.py -k 'not this_host'"
    ),
    "toolkit/edgefit_toolkit/picker/rounds.py": "tests/toolkit/test_rounds.py",
    "toolkit/edgefit_toolkit/latency/predict.py": "tests/toolkit/test_latency.py",
    "toolkit/edgefit_toolkit/latency/memory.py": "tests/toolkit/test_latency.py -k 'memory or board'",
    "toolkit/edgefit_toolkit/latency/speed.py": "tests/toolkit/test_speed.py tests/toolkit/test_latency.py",
    "toolkit/edgefit_toolkit/intervals.py": "tests/toolkit/test_intervals.py",
    "benchmarks/edgefit_benchmarks/stats.py": "tests/benchmarks/test_stats.py",
    "converters/edgefit_converters/int8/ranges.py": "tests/converters/test_ranges.py",
    "converters/edgefit_converters/judge/guard.py": "tests/converters/test_guard.py",
}
UNFIT = re.compile(r"core/(ReplaceBinaryOperator_BitOr|RemoveDecorator)")  # types in annotations; caches
TIMEOUT_S = 600.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="part of a module's path; all of them by default")
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pytest", default="python -m pytest")
    asked = parser.parse_args()
    wanted = [name for name in MODULES if not asked.modules or any(part in name for part in asked.modules)]
    os.chdir(ROOT)
    print("| module | mutants | killed |\n|---|--:|--:|", flush=True)
    for name in wanted:
        places = defaultdict(list)
        for item in _all_work_items([Path(name)], {}):
            (mutation,) = item.mutations
            if not UNFIT.match(mutation.operator_name):
                places[mutation.start_pos].append(mutation)
        chance = random.Random(f"{name} {asked.seed}")
        drawn = [chance.choice(places[place]) for place in chance.sample(sorted(places), min(asked.each, len(places)))]
        command = f"{asked.pytest} -x -q -p no:cacheprovider {MODULES[name]}"
        if run_tests(command, TIMEOUT_S)[0] != TestOutcome.SURVIVED:
            sys.exit(f"{MODULES[name]} fails without a mutant")
        alive = 0
        for mutation in drawn:
            result = mutate_and_test([mutation], command, TIMEOUT_S)
            if result.test_outcome == TestOutcome.SURVIVED:
                alive += 1
                print(f"{mutation.operator_name}\n{result.diff}\n", file=sys.stderr, flush=True)
        print(f"| `{name}` | {len(drawn)} | {len(drawn) - alive} |", flush=True)


if __name__ == "__main__":
    main()
