"""int8 against float on real photographs, each step of the ladder: Lite0-2 with their ImageNet weights.

    python -m experiments.int8.guard_ladder ../shared/data/imagenet-samples lite0 lite1 lite2 \\
        --others ../shared/data/flowers/train

The photographs are halved (every other line of labels.csv). Each half is calibrated on and judged by the other, so all
of them are held out once and none is ever both. OTHERS of other photographs, which are never judged, join each half for
calibration; the last step trains on the rest of them as well. Writes guard_ladder.json and .md into
benchmarks/results; networks that are not named keep the rows that they have there. `--steps 5` leaves out the
last step, which takes as long as all the others.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import torch

from edgefit_converters.judge.holdout import JudgedStep, table
from edgefit_converters.ladder.climb import best_passing, climb
from edgefit_converters.ladder.material import Evidence
from edgefit_converters.ladder.steps import STEPS, Step
from edgefit_converters.recipe import Recipe
from edgefit_converters.routes import litert
from edgefit_toolkit.data import preprocessing
from edgefit_toolkit.host import cpu_name
from edgefit_toolkit.network import scaling, weights
from experiments.int8.halves import described, join, read, read_halves, split_others

RESULTS = Path(__file__).parents[2] / "results"
TARGET = "wanted: agreement >= .99 and SQNR >= 24 dB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path, help="a folder with labels.csv (column `file`)")
    parser.add_argument("networks", nargs="+", help="released variants, such as lite0")
    parser.add_argument("--others", type=Path, help="a folder with other photographs to calibrate on, at any depth")
    parser.add_argument("--steps", type=int, default=len(STEPS), help="how many steps of the ladder to climb")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    folder: Path = arguments.photographs
    joining, rest = split_others(arguments.others)
    steps = STEPS[: arguments.steps]
    rows = kept_rows(arguments.networks)
    for name in arguments.networks:
        rows += judge(name, folder, joining, rest, steps)
    rows.sort(key=lambda row: str(row["network"]))
    document = {
        "photographs": described(folder, joining)
        + ("; the last step trains on all of those" if rest and arguments.steps == len(STEPS) else ""),
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


def kept_rows(networks: list[str]) -> list[dict[str, object]]:
    """Rows of an earlier run, of networks that this one does not judge."""
    file = RESULTS / "guard_ladder.json"
    earlier = json.loads(file.read_text())["rows"] if file.exists() else []
    return [row for row in earlier if row["network"] not in networks]


def judge(
    name: str, photographs: Path, joining: list[Path], rest: list[Path], steps: tuple[Step, ...]
) -> list[dict[str, object]]:
    """One row per step: both halves together."""
    variant = scaling.released(name)
    network, _ = weights.load_network(variant)
    how = preprocessing.preprocessing_for(variant)
    halves = read_halves(photographs, how, joining)
    folds: list[tuple[JudgedStep, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        float_path = Path(folder) / "float.tflite"
        litert.export_float(network, float_path)
        for number, half in enumerate(halves, 1):
            more = (lambda: read(rest, how)) if rest else None
            result = climb(
                Evidence(float_path, half.calibration, half.holdout, more_pixels=more),
                Path(folder) / "int8.tflite",
                Recipe(first=steps[-1].name),
                steps=steps,
                on_step=lambda step: print(f"{name}: {step.sentence}", flush=True),
            )
            folds.append(result.steps)
            print(f"{name}, half {number}\n{table(result.steps)}\n", flush=True)
    chosen = [handed_over(steps) for steps in folds]
    return [
        row(name, first, second) | {"handed_over_halves": chosen.count(first.name)}
        for first, second in zip(*folds, strict=True)
    ]


def handed_over(steps: tuple[JudgedStep, ...]) -> str:
    """The step at which the product would have stopped, by its own floors."""
    at_least = [step.name for step in steps].index(Recipe().first)
    for climbed in range(at_least + 1, len(steps) + 1):
        if (best := best_passing(steps[:climbed])) is not None:
            return best.name
    return ""


def row(name: str, first: JudgedStep, second: JudgedStep) -> dict[str, object]:
    """Both halves of one step."""
    return {
        "network": name,
        "step": first.name,
        **join([first.parity, second.parity]),
        "seconds": round((first.seconds + second.seconds) / 2, 1),
    }


def markdown(document: Mapping[str, object]) -> str:
    """The table with what it was measured on."""
    lines = [
        "# int8 against float, step by step",
        "",
        f"ImageNet weights; {document['photographs']}; {document['hardware']}.",
        ", ".join(f"{name} {number}" for name, number in dict(document["versions"]).items()) + ".",  # type: ignore[call-overload]
        f"Seconds are of one step alone, beside other work on the machine. ({TARGET}.)",
        "",
        "By its own floors (.95, 15 dB) the product stops earlier: the last column counts the halves that end there.",
        "",
        "| network | step | top-1 agreement | SQNR of the logits (halves) | seconds | handed over |",
        "|---|---|---|---|---|---|",
    ]
    for r in document["rows"]:  # type: ignore[attr-defined]
        halves = " / ".join(f"{db:.1f}" for db in r["sqnr_db_halves"])
        lines.append(
            f"| {r['network']} | {r['step']} | {r['top1_agreement']:.3f} (n {r['n']}) "
            f"| {r['sqnr_db']:.1f} dB ({halves}) | {r['seconds']:.0f} "
            f"| {r.get('handed_over_halves', '?')} of 2 |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
