"""Run by test_processes, one of several processes: trains on the drawn set and writes what each step lost."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import ClassVar

import safetensors.torch
import torch
from support.training_parts import drawn_dataset, fresh_network, variant

from edgefit_toolkit.errors import EdgefitError
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.pipeline.company import several
from edgefit_toolkit.training import state
from edgefit_toolkit.training.fine_tune import fine_tune
from edgefit_toolkit.training.inputs import feature_store
from edgefit_toolkit.training.inputs.batches import Batch
from edgefit_toolkit.training.settings import TrainSettings
from edgefit_toolkit.training.trainer import Trainer
from edgefit_toolkit.training.world import ALONE, World, joined


class Lost(Trainer):
    """A trainer whose steps are written down, and which may be ended in one of them."""

    losses: ClassVar[list[float]] = []
    ends: ClassVar[tuple[int, str, str]] = -1, "", ""  # rank, where, how

    def _step(self, batch: Batch, lr: float, random: torch.Generator) -> tuple[float, int]:
        if (self.world.rank, str(len(self.losses) + 1)) == self.ends[:2]:
            disturb(self.ends[2])
        found = super()._step(batch, lr, random)
        self.losses.append(found[0])
        return found


def disturb(how: str) -> None:
    """A signal; `mount`: the main thread waits for ever in the system; `slow`: for 1.5 times as long as a process
    without a sign of life is waited for."""
    if how == "mount":
        with tempfile.TemporaryDirectory() as folder:
            os.mkfifo(pipe := Path(folder) / "nobody writes")
            pipe.read_bytes()
    elif how == "slow":
        for _ in range(6 * int(os.environ["EDGEFIT_ANSWER_S"])):
            time.sleep(0.25)
    else:
        os.kill(os.getpid(), signal.Signals[how])


def train(world: World, pictures: Path, out: Path, unfreeze_from: int) -> None:
    settings = TrainSettings(seed=3, epochs=2, views=1, unfreeze_from=unfreeze_from, lr=1e-3, batch=16)
    network = fresh_network() if world.first else EfficientNet.from_variant(variant())
    out.mkdir(parents=True, exist_ok=True)
    dataset = drawn_dataset(pictures / str(world.rank), test=1)
    at = {"features": 18, "linear probe": 0}  # pictures of 48, of one of two views

    def on_progress(label: str, done: int, total: int, detail: str = "") -> None:
        if (world.rank, label) == Lost.ends[:2] and done == at[label]:
            disturb(Lost.ends[2])

    with world.training():
        result = fine_tune(network, dataset, settings, on_progress, state_dir=out / "state", world=world)
    (out / f"losses-{world.rank}.json").write_text(json.dumps(Lost.losses))
    safetensors.torch.save_file(result.network.state_dict(), out / f"network-{world.rank}.safetensors")


def main(pictures: Path, out: Path, unfreeze_from: int, ends: str) -> None:
    """`ends`: "", or "1,3,SIGKILL": process 1 in its step 3; "0,linear probe,mount": see `disturb`."""
    torch.set_num_threads(1)
    import edgefit_toolkit.training.fine_tune as module

    module.Trainer = Lost  # type: ignore[misc]
    state.SAVE_EVERY_S = feature_store.SAVE_EVERY_S = 0.0
    if ends:
        rank, where, how = ends.split(",")
        Lost.ends = int(rank), where, how
    (pictures / os.environ.get("RANK", "0")).mkdir(parents=True, exist_ok=True)
    try:
        if several():
            with joined() as world:
                train(world, pictures, out, unfreeze_from)
        else:
            train(ALONE, pictures, out, unfreeze_from)
    except EdgefitError as error:
        sys.exit(f"{type(error).__name__}: {error.message}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
