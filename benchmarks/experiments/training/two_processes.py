"""One training process against two at the same global batch: images/s, as a training's trace and report give them.

    python -m experiments.training.two_processes FLOWERS

On one machine with gloo, in turns: one process of one thread, two of one thread each, and one of two threads, which is
what edgefit does by default on two cores. Lite0 with cached activations, the head and the last stage training. Writes
two_processes.md into the results (`--out`).
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from edgefit_toolkit.data.sources import load_dataset
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.host import cpu_name
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.network.scaling import released, with_classes
from edgefit_toolkit.pipeline.company import several
from edgefit_toolkit.training.fine_tune import fine_tune
from edgefit_toolkit.training.initial import initial_network
from edgefit_toolkit.training.settings import TrainSettings
from edgefit_toolkit.training.world import ALONE, World, joined

RESULTS = Path(__file__).parents[2] / "results"
WAYS = ((1, 1), (2, 1), (1, 2))  # processes, threads of each
SETTINGS = TrainSettings(epochs=3, views=1, unfreeze_from=6)
TRAIN, VAL = 128, 16  # pictures
Rates = tuple[float, float]  # images/s of the features, of the last epoch


def train(world: World, flowers: str, out: Path) -> None:
    """One process's part; the first one writes the rates."""
    whole = load_dataset(flowers, seed=0)
    dataset = replace(whole, train=whole.train[::2][:TRAIN], val=whole.val[::4][:VAL], sha256="")
    variant = with_classes(released("lite0"), len(dataset.classes))
    network = EfficientNet.from_variant(variant)
    if world.first:
        network, _ = initial_network(variant, dataset, allow_download=False)
    trace = fine_tune(network, dataset, SETTINGS, world=world).trace
    if world.first:
        out.write_text(json.dumps([trace[0].images_per_s, trace[-1].images_per_s]), "utf-8")


def rates(flowers: Path, size: int, threads: int, out: Path) -> Rates:
    """Starts so many processes with torchrun's environment and waits for their end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"OMP_NUM_THREADS": str(threads), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "experiments.training.two_processes", str(flowers), "--part", str(out)]
    places = (
        [{"RANK": str(r), "LOCAL_RANK": str(r), "WORLD_SIZE": str(size)} for r in range(size)] if size > 1 else [{}]
    )
    started = [subprocess.Popen(command, env=os.environ | given | place) for place in places]
    codes = [process.wait() for process in started]
    if any(codes):
        raise SystemExit("a process failed")
    features, steps = json.loads(out.read_text("utf-8"))
    return features, steps


def page(turns: Sequence[Sequence[Rates]]) -> str:
    """The results file."""
    lines = [
        "# One process and two, gloo",
        "",
        f"Lite0, {TRAIN} flowers, batches of {SETTINGS.batch} in all, the last stage and the head training on cached "
        f"activations; two cores of {cpu_name()}, torch {torch.__version__}, measured on this host beside other work. "
        f"Images/s in all, as the report gives them; the ways in turns, {len(turns)} times, side by side. Written by "
        "`python -m experiments.training.two_processes FLOWERS`.",
        "",
        "| processes x threads | features, images/s | fine-tuning, images/s |",
        "|---|---|---|",
    ]
    for place, (size, threads) in enumerate(WAYS):
        cells = [", ".join(f"{turn[place][part]:.0f}" for turn in turns) for part in (0, 1)]
        lines.append(f"| {size} x {threads} | {cells[0]} | {cells[1]} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """The turns; or, with `--part`, one process of one of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("flowers", type=Path)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--part", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.part is not None:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        if several():
            with joined() as world:
                train(world, str(chosen.flowers), chosen.part)
        else:
            train(ALONE, str(chosen.flowers), chosen.part)
        return
    turns = []
    for _ in range(chosen.turns):
        turns.append([rates(chosen.flowers, *way, chosen.out / "two_processes.json") for way in WAYS])
        (chosen.out / "two_processes.json").unlink()
        write_atomic(chosen.out / "two_processes.md", page(turns))
        print(turns[-1], flush=True)


if __name__ == "__main__":
    main()
