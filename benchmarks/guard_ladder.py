"""int8 against float on real photographs, each step of the ladder: Lite0-2 with their ImageNet weights.

    python benchmarks/guard_ladder.py ../shared/data/imagenet-samples lite0 lite1 lite2

The photographs are halved (every other line of labels.csv). Each half is calibrated on and judged by the other, so all
of them are held out once and none is ever both. Writes guard_ladder.json and .md into edgefit_benchmarks/results.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch

from edgefit_benchmarks.halves import described, join, read_halves
from edgefit_benchmarks.local import cpu_name
from edgefit_converters import ladder, litert
from edgefit_converters.ladder import Step
from edgefit_converters.recipe import LADDER, Recipe
from edgefit_toolkit import preprocessing, scaling, weights

RESULTS = Path(__file__).parent / "edgefit_benchmarks" / "results"
ALL_RUNGS = Recipe(first=len(LADDER))
TARGET = "issue 5 asks for agreement >= .99 and SQNR >= 24 dB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path, help="a folder with labels.csv (column `file`)")
    parser.add_argument("networks", nargs="+", help="released variants, such as lite0")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    folder: Path = arguments.photographs
    rows = [row for name in arguments.networks for row in judge(name, folder)]
    document = {
        "photographs": described(folder),
        "hardware": f"{cpu_name()}, {arguments.threads} threads",
        "versions": {
            name: version(name) for name in ("torch", "litert-torch", "ai-edge-quantizer", "ai-edge-litert", "numpy")
        }
        | {"python": platform.python_version()},
        "rows": rows,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "guard_ladder.json").write_text(json.dumps(document, indent=1) + "\n")
    (RESULTS / "guard_ladder.md").write_text(markdown(document))
    print(markdown(document))


def judge(name: str, photographs: Path) -> list[dict[str, object]]:
    """One row per step: both halves together."""
    variant = scaling.released(name)
    network, _ = weights.load_network(variant)
    halves = read_halves(photographs, preprocessing.preprocessing_for(variant))
    folds: list[tuple[Step, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        float_path = Path(folder) / "float.tflite"
        litert.export_float(network, float_path)
        for number, half in enumerate(halves, 1):
            result = ladder.climb(float_path, half.calibration, half.holdout, Path(folder) / "int8.tflite", ALL_RUNGS)
            folds.append(result.steps)
            print(f"{name}, half {number}\n{ladder.table(result.steps)}\n", flush=True)
    return [row(name, first, second) for first, second in zip(*folds, strict=True)]


def row(name: str, first: Step, second: Step) -> dict[str, object]:
    """Both halves of one step."""
    return {
        "network": name,
        "step": first.name,
        **join([first.parity, second.parity]),
        "seconds": round((first.seconds + second.seconds) / 2, 1),
    }


def markdown(document: dict[str, object]) -> str:
    """The table with what it was measured on."""
    lines = [
        "# int8 against float, step by step",
        "",
        f"ImageNet weights; {document['photographs']}; {document['hardware']}.",
        ", ".join(f"{name} {number}" for name, number in dict(document["versions"]).items()) + ".",  # type: ignore[call-overload]
        f"Seconds are of one step alone, beside other work on the machine. ({TARGET}.)",
        "",
        "| network | step | top-1 agreement | SQNR of the logits (halves) | seconds |",
        "|---|---|---|---|---|",
    ]
    for r in document["rows"]:  # type: ignore[attr-defined]
        halves = " / ".join(f"{db:.1f}" for db in r["sqnr_db_halves"])
        lines.append(
            f"| {r['network']} | {r['step']} | {r['top1_agreement']:.3f} (n {r['n']}) "
            f"| {r['sqnr_db']:.1f} dB ({halves}) | {r['seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
