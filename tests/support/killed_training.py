"""Run by test_train: trains on the drawn set and kills itself, with no chance to clean up, where it is told to."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from support.training_parts import drawn_dataset, fresh_network

from edgefit_toolkit.training import state
from edgefit_toolkit.training.fine_tune import fine_tune
from edgefit_toolkit.training.inputs import feature_store
from edgefit_toolkit.training.settings import TrainSettings


def main(pictures: Path, state_dir: Path, dies_in: str, after: int) -> None:
    """`dies_in` is the beginning of a progress label, such as "fine-tuning epoch 3"; `after` that many pictures of it.

    From 16 on the state is kept after every step, instead of every few minutes.
    """

    def on_progress(label: str, done: int, total: int, detail: str = "") -> None:
        if label.startswith(dies_in) and done >= after:
            os.kill(os.getpid(), signal.SIGKILL)

    if after >= 16:
        state.SAVE_EVERY_S = feature_store.SAVE_EVERY_S = 0.0
    torch.set_num_threads(1)
    settings = TrainSettings(seed=3, epochs=4, views=2, unfreeze_from=6, lr=1e-3, batch=16)
    fine_tune(fresh_network(), drawn_dataset(pictures), settings, on_progress, state_dir=state_dir)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
