"""How fast a GPU trains, and whether it waits for pictures.

    python -m experiments.training.gpu_training steps                     a step on pixels that lie in the GPU's memory
    python -m experiments.training.gpu_training compiled                  the same by torch.compile
    python -m experiments.training.gpu_training reading DATA              views per second of threads and of processes
    python -m experiments.training.gpu_training resumed DATA              is a killed training the undisturbed one?
    python -m experiments.training.gpu_training trained DATA [--batch N] [--lr X] [--epochs N] [--seeds N] [--balance]

Lite0 at 224 px, every layer training. `trained` is a whole training, and what it tells right of the test pictures;
`--balance`: each seed without and with balance.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)

from edgefit_toolkit.data.dataset import labels
from edgefit_toolkit.data.pixels import load_pixels
from edgefit_toolkit.data.preprocessing import preprocessing_for
from edgefit_toolkit.data.sources import load_dataset
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.network.scaling import released, with_classes
from edgefit_toolkit.network.weights import load_network
from edgefit_toolkit.training.compute import choose_compute
from edgefit_toolkit.training.evaluation import logits
from edgefit_toolkit.training.fine_tune import fine_tune
from edgefit_toolkit.training.inputs.features import UpperPart
from edgefit_toolkit.training.inputs.views import Views
from edgefit_toolkit.training.settings import TrainSettings
from experiments.training.long_tail_many import COLUMNS, figures

CLASSES = 1081
STEPS = 30
READ = 4000  # views


def network(classes: int) -> EfficientNet:
    """Lite0 with its ImageNet weights and a new classifier."""
    return load_network(with_classes(released("lite0"), classes), allow_download=False)[0].eval()


def step_speed(batch: int, bf16: bool = True, channels_last: bool = True, compiled: str = "") -> str:
    """One line of the table: `STEPS` updates on one batch that lies in the GPU's memory."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    upper = UpperPart(network(CLASSES).to("cuda"), 0)
    upper.to(memory_format=layout)  # type: ignore[call-overload]
    weights = list(upper.parameters())
    optimizer = torch.optim.AdamW(weights, lr=1e-5)
    if compiled:
        torch._dynamo.reset()
        upper.compile(mode=None if compiled == "default" else compiled)
    pictures = torch.randn(batch, 3, 224, 224, device="cuda").contiguous(memory_format=layout)
    truth = torch.randint(0, CLASSES, (batch,), device="cuda")

    def step() -> torch.Tensor:
        with torch.autocast("cuda", torch.bfloat16, enabled=bf16):
            answers = upper(pictures).float()
        loss = F.cross_entropy(answers, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    torch.cuda.reset_peak_memory_stats()
    began = time.monotonic()
    for _ in range(4):
        step().item()
    warm_up_s = time.monotonic() - began
    began = time.monotonic()
    for _ in range(STEPS):
        step().item()  # as a training does, which looks at every loss
    step_s = (time.monotonic() - began) / STEPS
    how = f"{'bfloat16' if bf16 else 'float32'}, {'channels-last' if channels_last else 'channels first'}"
    how += f", torch.compile ({compiled})" if compiled else ""
    memory_gb = torch.cuda.max_memory_allocated() / 1e9
    return f"| {batch} | {how} | {step_s * 1e3:.1f} | {batch / step_s:,.0f} | {warm_up_s:.0f} | {memory_gb:.1f} |"


def steps() -> None:
    """Number formats, layouts and batches."""
    for batch in (32, 64, 128, 256):
        print(step_speed(batch), flush=True)
    print(step_speed(128, channels_last=False), flush=True)
    print(step_speed(128, bf16=False), flush=True)
    print(step_speed(128, bf16=False, channels_last=False), flush=True)


def compiled() -> None:
    """What torch.compile takes and gives."""
    for batch, mode in ((128, "default"), (32, "reduce-overhead"), (128, "reduce-overhead")):
        print(step_speed(batch, compiled=mode), flush=True)


def reading(data: str) -> None:
    """Threads against processes, from JPEG files."""
    photos = load_dataset(data, seed=0).train[:READ]
    for processes in (0, 8, len(os.sched_getaffinity(0)) - 1):
        views = Views(photos, preprocessing_for(released("lite0")), processes=processes)
        views._read = True  # every view from its file
        for _ in views.batches(range(128), 0, 128):
            pass  # begins the processes
        count = len(photos)
        began = time.monotonic()
        for _ in views.batches(range(count), 1, 128):
            pass
        views.close()
        print(f"| {processes or 'threads'} | {count / (time.monotonic() - began):,.0f} |", flush=True)


class Stopwatch:
    """Prints when each part of a training began, and what it said last."""

    def __init__(self) -> None:
        self._began, self._label, self._said = time.monotonic(), "", ""

    def __call__(self, label: str, done: int, total: int, detail: str = "") -> None:
        """As a `Progress`."""
        if label != self._label:
            if self._said:
                print(f"           {self._said}", flush=True)
            self._label = label
            print(f"  {time.monotonic() - self._began:6.1f} s: {label}", flush=True)
        self._said = detail


def trained(data: str, seeds: Sequence[int], balances: Sequence[bool], chosen: dict[str, float]) -> None:
    """Whole trainings, a line each."""
    compute = choose_compute()
    for seed in seeds:
        dataset = load_dataset(data, seed=seed)
        variant = with_classes(released("lite0"), len(dataset.classes))
        usual = TrainSettings.default_for(variant, len(dataset.train), compute.device, seed)
        for balance in balances:
            settings = replace(usual, balance=balance, **chosen)  # type: ignore[arg-type]
            found = fine_tune(network(len(dataset.classes)), dataset, settings, Stopwatch(), compute=compute)
            pixels = load_pixels(dataset.test, found.preprocessing)
            answers = torch.from_numpy(logits(found.network.to(compute.device), pixels))
            truth, train = torch.from_numpy(labels(dataset.test)), torch.from_numpy(labels(dataset.train))
            told = figures(answers, truth, train, dataset.classes)
            epochs = found.trace[1:]
            print(
                f"seed {seed}, batch {settings.batch}, lr {settings.lr:g}, balance {balance}: {found.seconds:.1f} s, "
                f"features {found.trace[0].images_per_s:,.0f} images/s, best {found.best_epoch} of {len(epochs)}, "
                f"images/s {[round(epoch.images_per_s) for epoch in epochs]}, "
                f"waiting {[epoch.waiting_share for epoch in epochs]}, "
                f"val {[round(epoch.val_top1, 4) for epoch in found.trace]}",
                dict(zip(COLUMNS, (round(value, 4) for value in told), strict=True)),
                flush=True,
            )


def resumed(data: str) -> None:
    """A training that is broken off in its third epoch and goes on, against one that is not."""
    dataset, compute = load_dataset(data, seed=0), choose_compute()
    variant = with_classes(released("lite0"), len(dataset.classes))
    settings = replace(TrainSettings.default_for(variant, len(dataset.train), compute.device), epochs=5)

    def break_off(label: str, done: int, total: int, detail: str = "") -> None:
        if label.startswith("fine-tuning epoch 3") and done == total:
            raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder)
        with contextlib.suppress(KeyboardInterrupt):
            fine_tune(network(len(dataset.classes)), dataset, settings, break_off, state_dir=kept, compute=compute)
        went_on = fine_tune(network(len(dataset.classes)), dataset, settings, state_dir=kept, compute=compute)
    whole = fine_tune(network(len(dataset.classes)), dataset, settings, compute=compute)
    mine, theirs = went_on.network.state_dict(), whole.network.state_dict()
    same = all(torch.equal(mine[name], theirs[name]) for name in mine)
    print(f"{went_on.notes}; {whole.seconds:.1f} s; the same to the byte: {same}; val {whole.val_top1:.3f}")


def main() -> None:
    """Prints rows; the page is made of them by hand."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("steps", "compiled", "reading", "resumed", "trained"))
    parser.add_argument("data", nargs="?", default="")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--balance", action="store_true")
    given = parser.parse_args()
    named = {"batch": given.batch, "lr": given.lr, "epochs": given.epochs}
    if given.what == "trained":
        chosen = {name: value for name, value in named.items() if value is not None}
        trained(given.data, range(given.seeds), (False, True) if given.balance else (False,), chosen)
    elif given.what in ("reading", "resumed"):
        {"reading": reading, "resumed": resumed}[given.what](given.data)
    else:
        {"steps": steps, "compiled": compiled}[given.what]()


if __name__ == "__main__":
    main()
